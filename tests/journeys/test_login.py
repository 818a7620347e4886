"""Whole logins, from the password to the page."""

from __future__ import annotations

import pytest

from tests.factories import AppFactory, PhoneFactory
from tests.journey import LOGIN, VERIFY

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("channel", ["sms", "voice", "push"])
@pytest.mark.parametrize("url", [LOGIN, "/login/"])
def test_a_person_logs_in_with_a_code_of_each_channel(journey, alex, channel, url):
    factory = AppFactory if channel == "push" else PhoneFactory
    device = factory(user=alex, channel=channel)

    answer = journey.enter_password(alex, url, next="/verified-only/")

    assert (answer.status_code, answer.headers["Location"]) == (302, VERIFY)
    assert journey.is_nobody
    assert [(m.channel, m.to) for m in journey.outbox] == [(channel, device.address)]
    page = journey.client.get(VERIFY)
    assert page.status_code == 200
    assert journey.code not in page.text

    answer = journey.enter_code()

    assert (answer.status_code, answer.headers["Location"]) == (302, "/verified-only/")
    assert journey.client.get("/verified-only/").text == "verified page of alex"
    assert journey.whoami() == {"user": "alex", "key": str(alex.pk), "verified": True}
    assert len(journey.outbox) == 1
