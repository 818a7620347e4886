"""A85: the message was taken, and the answer is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_otp_channels.models import Budget, Delivery
from tests.clock import let_pass
from tests.hooks import sends_are_over
from tests.providers.loopback import HTML, RESET, Reply

pytestmark = pytest.mark.django_db(transaction=True)

TAKEN = Reply(201, {"sid": "SM" + "5" * 32, "status": "queued"})
LOST = {
    "reset": RESET,
    "half an answer": replace(TAKEN, how="half"),
    "HTML": Reply(200, HTML),
    "nothing": Reply(200),
}


@pytest.mark.parametrize("reply", LOST.values(), ids=LOST)
@pytest.mark.guard("django_otp_channels.backends.twilio._outcome")
def test_a85_maybe_sent_is_charged_is_not_sent_twice_and_its_code_is_good(
    twilio, settings, journey, alex, phone, reply
):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    twilio.messages.always(reply)

    journey.enter_password(alex)
    sends_are_over()

    assert [row.status for row in Delivery.objects.all()] == ["unknown"]
    assert (len(twilio.messages.requests), len(twilio.calls.requests)) == (1, 0)
    assert Budget.objects.get(bucket="login.user").hour_used == 10
    journey.ask()
    sends_are_over()
    assert len(twilio.messages.requests) == 1
    let_pass(31)
    journey.ask()
    sends_are_over()
    assert len(twilio.messages.requests) == 2
    journey.enter_code(twilio.messages.requests[0].form["Body"][:6])
    assert journey.is_in
