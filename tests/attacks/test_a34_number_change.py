"""A34: change the number, and with it who gets the codes."""

from __future__ import annotations

import pytest

from django_otp_channels.models import ChannelDevice
from tests.factories import UserFactory
from tests.journey import ADD_PHONE, REAUTH

pytestmark = pytest.mark.django_db

NEW = "+12025550188"


def confirm_url(device: ChannelDevice) -> str:
    return f"/account/devices/{device.pk}/confirm/"


def test_a34_the_old_number_stays_the_factor_until_the_new_one_is_proven(
    journey, elsewhere, alex, phone
):
    journey.log_in(alex)
    journey.client.post(ADD_PHONE, {"number": NEW, "channel": "sms"})

    elsewhere.enter_password(alex)

    assert journey.outbox[-1].to == phone.address
    assert not ChannelDevice.objects.get(address=NEW).confirmed


@pytest.mark.guard("django_otp_channels.stepup.proven")
@pytest.mark.parametrize("act", ["add", "change", "remove"])
def test_a34_a_session_of_six_minutes_changes_nothing(journey, alex, phone, act):
    journey.log_in(alex)
    journey.let_proof_age(360)
    url = {"add": ADD_PHONE}.get(act, f"/account/devices/{phone.pk}/{act}/")

    answer = journey.client.post(url, {"number": NEW, "channel": "sms"})

    assert answer.headers["Location"] == REAUTH
    assert list(ChannelDevice.objects.values_list("address", flat=True)) == [phone.address]
    assert len(journey.outbox) == 1


def test_a34_a_code_for_the_old_number_proves_no_new_one(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": "+12025550123", "channel": "sms"})
    device = ChannelDevice.objects.get()
    device.address = NEW
    device.save()

    journey.client.post(confirm_url(device), {"token": journey.code})

    assert not ChannelDevice.objects.get().confirmed


@pytest.mark.guard("django_otp_channels.models.devices.ChannelDevice.save")
def test_a34_a_number_that_somebody_changes_in_the_row_is_unproven(phone):
    phone.address = NEW
    phone.save()

    phone.refresh_from_db()
    assert (phone.address, phone.confirmed, phone.version) == (NEW, False, 2)


def test_a34_staff_change_no_number_and_prove_none(client, phone):
    client.force_login(UserFactory(username="chief", staff=True))
    phone.confirmed = False
    phone.save()

    answer = client.post(
        f"/admin/otp_channels/channeldevice/{phone.pk}/change/",
        {"name": "Mine", "channel": "sms", "language": "", "address": NEW, "confirmed": "1"},
    )

    assert answer.status_code == 302
    before = phone.address
    phone.refresh_from_db()
    assert (phone.name, phone.address, phone.confirmed) == ("Mine", before, False)


@pytest.mark.guard("django_otp_channels.models.devices.ChannelDevice._changed")
def test_a34_a_stale_row_brings_no_old_number_back(phone):
    stale = ChannelDevice.objects.get()
    ChannelDevice.objects.update(address=NEW, version=2, confirmed=False)

    stale.name = "My phone"
    stale.save()

    assert ChannelDevice.objects.filter(address=NEW, version=2, confirmed=False).exists()


def test_a34_half_a_login_changes_no_number(parked, phone):
    for url in (ADD_PHONE, confirm_url(phone)):
        parked.client.post(url, {"number": NEW, "address": NEW, "token": parked.code})

    assert ChannelDevice.objects.get().address == phone.address
