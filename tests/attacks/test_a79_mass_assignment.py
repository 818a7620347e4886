"""A79: send more fields than the form has."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge, ChannelDevice, Lockout
from tests.factories import UserFactory
from tests.journey import ADD_PHONE, CANCEL, LOGIN, SEND, VERIFY

pytestmark = pytest.mark.django_db

EXTRA = {
    "confirmed": "1", "attempts": "0", "sends": "0", "granted": "99", "state": "open",
    "throttling_failure_count": "0", "is_primary": "1", "purpose": "login", "verified": "1",
    "expires_at": "2100-01-01", "id": "1", "pk": "1", "key": "x", "version": "7", "flow": "x",
    "kind": "app", "address": "+12025550199", "disabled_reason": "", "is_staff": "1",
    "failures": "0", "locked_until": "", "otp_channels": "{}",
}  # fmt: skip


def test_a79_no_page_of_the_login_takes_a_field_that_it_does_not_ask_for(parked, alex, phone):
    Lockout.objects.create(user=alex, failures=3)
    mallory = UserFactory(username="mallory")
    models = (ChannelDevice, Challenge, Lockout)
    extra = {**EXTRA, "user": mallory.pk, "username": "mallory"}
    parked.enter_code(parked.wrong_code, **extra)
    before = [model._default_manager.values().get() for model in models]

    for url in (VERIFY, SEND, LOGIN):
        parked.client.post(url, extra)

    assert [model._default_manager.values().get() for model in models] == before
    assert (before[1]["attempts"], before[2]["failures"]) == (1, 4)
    parked.client.post(CANCEL, extra)
    assert Challenge.objects.get().state == "cancelled"
    assert parked.is_nobody


def test_a79_a_number_is_added_for_oneself_and_unproven_whatever_else_is_sent(journey, alex):
    mallory = UserFactory(username="mallory")
    journey.client.force_login(alex)

    typed = {"number": "+12025550123", "channel": "sms", "user": mallory.pk}
    journey.client.post(ADD_PHONE, {**EXTRA, **typed})

    device = ChannelDevice.objects.get()
    assert (device.user, device.confirmed, device.version, device.kind) == (alex, False, 1, "phone")
    assert device.address == "+12025550123"
    journey.client.post(f"/account/devices/{device.pk}/confirm/", {**EXTRA, "token": "000000"})
    device.refresh_from_db()
    assert device.confirmed is False
