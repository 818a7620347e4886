"""A84: be told to come back later, or never."""

from __future__ import annotations

import time

import pytest

from django_otp_channels.models import ChannelDevice, Delivery
from tests.hooks import sends_are_over
from tests.journey import VERIFY
from tests.providers.twilio import error

pytestmark = pytest.mark.django_db(transaction=True)

LATER = ["3600", "soon", "-1", "Fri, 31 Dec 2049 23:59:59 GMT", ""]
NEVER = [21211, 21408, 21610, 21614]


@pytest.mark.parametrize("after", LATER)
def test_a84_nobody_waits_until_the_provider_likes_to(twilio, journey, alex, phone, after):
    headers = {"Retry_After": after} if after else {}
    twilio.messages.always(error(20429, status=429, **headers))
    before = time.monotonic()

    journey.enter_password(alex)
    sends_are_over()

    assert time.monotonic() - before < 5
    assert len(twilio.messages.requests) == 1
    assert Delivery.objects.get().status == "failed"
    assert journey.client.get(VERIFY).status_code == 200
    assert journey.is_nobody


@pytest.mark.parametrize("code", NEVER)
@pytest.mark.guard("django_otp_channels.login.has_factor")
def test_a84_a_number_that_takes_no_texts_is_a_factor_still(twilio, journey, alex, phone, code):
    twilio.messages.always(error(code))

    journey.enter_password(alex)
    sends_are_over()

    assert len(twilio.messages.requests) == 1
    assert ChannelDevice.objects.get().confirmed
    page = journey.client.get(VERIFY).text
    assert str(code) not in page
    assert "2025550123" not in page
    journey.enter_password(alex, "/custom-login/")
    sends_are_over()
    assert journey.is_nobody
