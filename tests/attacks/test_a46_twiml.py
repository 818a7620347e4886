"""A46: put commands for the telephone network where a name is expected."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from django.contrib.auth import get_user_model

from django_otp_channels.models import ChannelDevice
from tests.clock import let_pass
from tests.hooks import code_in, sends_are_over, spoken_in

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [
    "</Say><Dial>+979123456789</Dial><Say>", "&amp;&lt;", "]]>", "\u2028", "\x00\x1b[2J",
    'alice" loop="0', "x" * 10_000,
]  # fmt: skip
LANGUAGES = ['en"/><Redirect', "xx-YY", "../../etc", "tlh", ""]


def verbs_of(twiml):
    root = ET.fromstring(twiml)  # noqa: S314 (made by the code under test)
    return {verb.tag for verb in root.iter()}, [verb.attrib for verb in root.iter()]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:12]))
def test_a46_a_name_is_no_command(over_twilio, settings, name):
    first = over_twilio("voice")
    settings.OTP_CHANNELS_SITE_NAME = name
    plain = name.replace("\x00", "")[:60]  # as much as the columns take
    ChannelDevice.objects.update(name=plain)
    get_user_model().objects.update(first_name=plain, last_name=plain)
    let_pass(31)
    first.journey.ask(channel="voice")
    sends_are_over()
    call = replace(first, request=first.api.calls.requests[-1], sid=first.api.sids[-1])

    verbs, attributes = verbs_of(call.request.form["Twiml"])

    assert len(first.api.calls.requests) == 2
    assert verbs <= {"Response", "Say", "Pause", "Gather", "Hangup"}
    assert not any("loop" in each for each in attributes)
    assert len(call.request.form["Twiml"]) < 4000
    assert len(code_in(spoken_in(call.tells(call.pressed())))) == 6


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.guard("django_otp_channels.backends.twilio._locale")
def test_a46_an_odd_language_is_english_and_no_error(over_twilio, language):
    call = over_twilio("voice")
    ChannelDevice.objects.update(language=language)
    call.challenge.device.challenges.update(language=language)

    answer = call.tells(call.pressed())

    assert len(code_in(spoken_in(answer))) == 6
    _verbs, attributes = verbs_of(answer.text)
    assert {each["language"] for each in attributes if "language" in each} == {"en-US"}
