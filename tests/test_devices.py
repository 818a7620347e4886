"""What saving a device does to the codes that are on their way to it."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from django_otp_channels.models import ChannelDevice
from tests.factories import AppFactory, PhoneFactory

pytestmark = pytest.mark.django_db


def test_another_address_is_unproven_and_no_old_code_is_good_for_it(phone):
    device = ChannelDevice.objects.get()
    device.address = "+12025550188"
    device.save()

    device = ChannelDevice.objects.get()
    assert (device.address, device.version, device.confirmed) == ("+12025550188", 2, False)


def test_a_stale_instance_brings_no_old_address_back(phone):
    stale, fresh = ChannelDevice.objects.get(), ChannelDevice.objects.get()
    fresh.address = "+12025550188"
    fresh.save()

    stale.name = "My phone"
    stale.save()

    device = ChannelDevice.objects.get()
    assert (device.address, device.version, device.name) == ("+12025550188", 2, "My phone")


def test_an_address_that_was_not_loaded_is_a_new_one(phone):
    device = ChannelDevice.objects.defer("address").get()
    device.address = "+12025550188"
    device.save()

    assert ChannelDevice.objects.get().version == 2


def test_a_new_name_changes_nothing_else(phone):
    device = ChannelDevice.objects.get()
    device.name = "My phone"
    device.save(update_fields=["name"])

    device = ChannelDevice.objects.get()
    assert (device.version, device.confirmed, device.name) == (1, True, "My phone")


def test_a_refreshed_instance_is_no_new_address(phone):
    stale = ChannelDevice.objects.get()
    moved = ChannelDevice.objects.get()
    moved.address = "+12025550188"
    moved.save()
    moved.confirm()

    stale.refresh_from_db()
    stale.name = "Work"
    stale.save()

    device = ChannelDevice.objects.get()
    assert (device.address, device.confirmed, device.version) == ("+12025550188", True, 2)


def test_a_phone_is_called_by_name_and_number_and_an_app_by_name():
    assert str(PhoneFactory.build(name="Work", address="+12025550123")) == "Work •••• 23"
    assert str(AppFactory.build(name="Bank app")) == "Bank app"
    assert str(AppFactory.build(name="")) == "app"


@pytest.mark.parametrize(("language", "marked"), [("en", False), ("ar", True)])
def test_a_masked_number_stays_in_order_among_words_from_the_right(language, marked):
    phone = PhoneFactory.build(name="", address="+12025550123")
    with override(language):
        assert ("\u200e•••• 23" in str(phone)) is marked
        assert "•••• 23" in phone.masked_address


def test_an_address_that_is_read_late_is_no_new_address(phone):
    device = ChannelDevice.objects.defer("address").get()
    assert str(device)
    device.save()

    assert ChannelDevice.objects.get().confirmed


@pytest.mark.parametrize(
    ("field", "value"),
    [("confirmed", False), ("disabled_reason", "staff"), ("throttling_failure_count", 3)],
)
def test_a_stale_instance_undoes_nothing(phone, field, value):
    stale = ChannelDevice.objects.get()
    ChannelDevice.objects.update(**{field: value})

    stale.name = "Work"
    stale.save()

    device = ChannelDevice.objects.get()
    assert (getattr(device, field), device.name) == (value, "Work")


def test_a_new_address_that_is_saved_later_is_unproven_all_the_same(phone):
    device = ChannelDevice.objects.get()
    device.address = "+12025550188"
    device.save(update_fields=["name"])
    device.save(update_fields=["address"])

    device = ChannelDevice.objects.get()
    assert (device.address, device.version, device.confirmed) == ("+12025550188", 2, False)


def test_a_stale_instance_that_names_the_address_brings_no_old_one_back(phone):
    stale, fresh = ChannelDevice.objects.get(), ChannelDevice.objects.get()
    fresh.address = "+12025550188"
    fresh.save()

    stale.save(update_fields=["address", "name"])

    assert ChannelDevice.objects.get().address == "+12025550188"
