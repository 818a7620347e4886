"""A37: make the only device unusable, and hope that the door opens."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from django_otp_channels.models import ChannelDevice, Lockout
from tests.journey import LOGIN, VERIFY

pytestmark = pytest.mark.django_db


def lock(user, settings):
    Lockout.objects.create(user=user, failures=10, locked_until=Now() + timedelta(minutes=15))


def stop(user, settings):
    Lockout.objects.create(user=user, failures=50, stopped_at=Now())


def mark_as_gone(user, settings):
    ChannelDevice.objects.update(disabled_reason="unregistered")


def switch_off(user, settings):
    ChannelDevice.objects.update(disabled_reason="staff")


def close_the_country(user, settings):
    settings.OTP_CHANNELS_COUNTRIES = ["DE"]


def close_all_countries(user, settings):
    settings.OTP_CHANNELS_COUNTRIES = []


def remove_the_channels(user, settings):
    settings.OTP_CHANNELS = {}


def use_up_the_budget(user, settings):
    settings.OTP_CHANNELS_LIMITS = {"login.site": {3600: 0}}


UNUSABLE = [
    lock, stop, mark_as_gone, switch_off, close_the_country, close_all_countries,
    remove_the_channels, use_up_the_budget,
]  # fmt: skip


@pytest.mark.parametrize("url", [LOGIN, "/login/", "/by-hand/"])
@pytest.mark.parametrize("make_unusable", UNUSABLE)
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a37_a_device_that_cannot_be_reached_is_a_device(
    journey, alex, phone, settings, url, make_unusable
):
    make_unusable(alex, settings)

    assert journey.enter_password(alex, url).headers["Location"] == VERIFY

    page = journey.client.get(VERIFY)
    assert page.status_code == 200
    assert journey.outbox == []
    assert journey.is_nobody


@pytest.mark.parametrize("make_unusable", [mark_as_gone, switch_off, close_all_countries])
@pytest.mark.guard("django_otp_channels.login.has_factor")
def test_a37_whether_there_is_a_factor_is_not_whether_it_can_be_reached(
    journey, alex, phone, settings, make_unusable
):
    make_unusable(alex, settings)

    journey.client.force_login(alex)

    assert journey.is_nobody


def test_a37_a_last_device_that_goes_takes_its_session_along(journey, elsewhere, alex, phone):
    journey.log_in(alex)
    elsewhere.log_in(alex)

    journey.client.post(f"/account/devices/{phone.pk}/remove/")

    assert elsewhere.whoami()["verified"] is False
