"""A17: plant a session in somebody's browser, and wait until they are in."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.journey import LOGIN, Journey

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("url", [LOGIN, "/login/", "/custom-login/"])
def test_a17_a_planted_session_is_worth_nothing_after_each_step(journey, alex, phone, url):
    planted = journey.client.session
    planted["cart"] = ["book"]
    planted.save()
    keys = [planted.session_key]
    journey.enter_password(alex, url)
    keys.append(journey.client.session.session_key)
    journey.enter_code()
    keys.append(journey.client.session.session_key)

    assert len(set(keys)) == 3
    assert journey.is_in
    for key in keys[:2]:
        attacker = Journey(Client(), journey.outbox, journey.password)
        attacker.client.cookies["sessionid"] = key
        assert attacker.is_nobody


@pytest.mark.parametrize(
    "planted",
    [
        {"free": {"user": "1", "hash": "", "policy": "enrolled", "at": 10**10}},
        {"proof": "known to the attacker"},
        {"parked": {"user": "1", "backend": "", "hash": "", "at": 10**10, "flow": "known"}},
    ],
    ids=["free", "proof", "parked"],
)
def test_a17_what_an_anonymous_session_held_decides_nothing(journey, alex, phone, planted):
    session = journey.client.session
    session["otp_channels"] = planted
    session["otp_device_id"] = phone.persistent_id
    session.save()
    journey.client.cookies["sessionid"] = session.session_key

    journey.enter_password(alex)

    assert journey.is_nobody
    assert journey.client.session["otp_channels"]["parked"]["flow"] != "known"
