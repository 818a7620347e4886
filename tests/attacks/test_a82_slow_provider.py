"""A82: let a provider that hangs take the site along."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from django_otp_channels.models import Budget, Delivery
from tests.factories import PhoneFactory
from tests.hooks import sends_are_over
from tests.journey import VERIFY
from tests.providers.loopback import HANG

pytestmark = pytest.mark.django_db(transaction=True)


def test_a82_nobody_waits_for_a_provider_that_hangs(journey, elsewhere, twilio):
    twilio.messages.always(HANG)
    phones = [PhoneFactory() for _ in range(4)]
    before = time.monotonic()

    for device in phones:
        journey.enter_password(device.user)
        assert not connection.in_atomic_block
        assert journey.client.get(VERIFY).context["page"].delivery == "sending"
        assert elsewhere.client.get("/").status_code == 200
    took = time.monotonic() - before

    assert took < len(phones) * 0.9  # of one second each that the sends themselves take
    assert Budget.objects.get(bucket="login.site").hour_used == 40
    sends_are_over()
    # On a busy machine not even the greeting is in time.
    assert set(Delivery.objects.values_list("status", flat=True)) <= {"unknown", "failed"}
    assert not twilio.calls.requests
