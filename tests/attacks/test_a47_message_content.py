"""A47: write something of one's own into the message."""

from __future__ import annotations

import pytest

from django_otp_channels.messages import segments
from tests.factories import AppFactory, PhoneFactory, UserFactory

pytestmark = pytest.mark.django_db

EVIL = [
    "Your bank: call +979123456789 http://evil.example", "\u202e321", "x" * 120,
    "line\n@evil.example #123456", "%(token)s {token} {{ token }} %s",
]  # fmt: skip


@pytest.mark.parametrize("name", EVIL, ids=lambda name: ascii(name[:12]))
@pytest.mark.parametrize("channel", ["sms", "voice", "push"])
def test_a47_nothing_that_a_person_may_choose_is_in_a_message(journey, outbox, name, channel):
    plain = UserFactory(username="sam")
    loud = UserFactory(username="loud", first_name=name, last_name=name, email="evil@example.com")
    made = AppFactory if channel == "push" else PhoneFactory
    for user, label in ((plain, "Phone"), (loud, name[:60])):
        made(user=user, name=label, channel=channel)
        journey.enter_password(user)

    said = [
        (message.title, message.text.replace(str(message.token), "").replace(
            ", ".join(str(message.token)), ""))
        for message in outbox
    ]  # fmt: skip
    assert len(said) == 2
    assert said[0] == said[1]


@pytest.mark.parametrize("name", EVIL, ids=lambda name: ascii(name[:12]))
@pytest.mark.guard("django_otp_channels.messages.plain_site_name")
def test_a47_a_sites_name_adds_no_line_and_no_second_message(parked, alex, settings, name):
    settings.OTP_CHANNELS_SITE_NAME = name
    parked.enter_password(alex)

    message = parked.outbox[-1]
    assert len(parked.outbox) == 2
    assert message.text.splitlines()[-1] == f"@www.example.com #{message.token}"
    assert [line for line in message.text.splitlines() if line.startswith("@")] == [
        f"@www.example.com #{message.token}"
    ]
    assert segments(message.text) == 1
    assert "\u202e" not in message.text
