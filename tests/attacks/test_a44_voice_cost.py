"""A44: let calls cost money."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.factories import PhoneFactory

pytestmark = pytest.mark.django_db(transaction=True)


def test_a44_a_call_is_short_whoever_answers_it(over_twilio):
    call = over_twilio("voice").request.form

    assert int(call["Timeout"]) <= 20
    assert int(call["TimeLimit"]) <= 60
    twiml = ET.fromstring(call["Twiml"])  # noqa: S314 (made by the code under test)
    assert not {"Redirect", "Dial", "Play", "Enqueue"} & {verb.tag for verb in twiml.iter()}
    assert not [verb for verb in twiml.iter() if verb.get("loop") not in (None, "1")]


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._reserve_send")
def test_a44_there_is_one_call_at_a_time(journey, alex, monkeypatch):
    PhoneFactory(user=alex, channel="voice")
    journey.enter_password(alex)
    # Even for who gets past the page's own word for it.
    monkeypatch.setattr(
        "django_otp_channels.models.challenges.Challenge.check_sendable", lambda *_args: None
    )

    for _ in range(10):
        journey.ask(channel="voice")

    assert len(journey.outbox) == 1


def test_a44_a_call_costs_the_site_five_texts(journey, settings):
    settings.OTP_CHANNELS_LIMITS = {"login.site": {3600: 10}}

    for n in range(4):
        device = PhoneFactory(address=f"+1202555{n}{n}23", channel="voice")
        journey.enter_password(device.user)

    assert len(journey.outbox) == 2
