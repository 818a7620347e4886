"""A48: let the call go to the voicemail, and listen to it later."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.hooks import code_in, spoken_in

pytestmark = pytest.mark.django_db(transaction=True)


def digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge.key_to_press")
def test_a48_what_a_machine_records_holds_no_code(over_twilio):
    call = over_twilio("voice")
    recorded = "".join(ET.fromstring(call.request.form["Twiml"]).itertext())  # noqa: S314

    assert len(set(digits(recorded))) == 1
    code = code_in(spoken_in(call.tells(call.pressed())))
    assert code not in digits(recorded)
    assert set(digits(recorded)) == {call.key}
    assert code not in str(call.request.form)


def test_a48_a_tone_that_is_not_the_announced_one_hears_nothing(over_twilio):
    call = over_twilio("voice")

    for key in "0123456789":
        if key != call.key:
            assert spoken_in(call.tells(call.pressed(key))) == []


@pytest.mark.parametrize("status", ["no-answer", "busy", "completed"])
def test_a48_a_call_that_nobody_answered_says_nothing_afterwards(over_twilio, status):
    call = over_twilio("voice")

    call.tells(call.status(status))

    assert call.journey.is_nobody
    assert call.delivery.status in {"undelivered", "sent"}
