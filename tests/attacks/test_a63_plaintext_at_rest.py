"""A63: while a code is good it is in no row, session, cookie or cache."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, STATUS, VERIFY, Journey

from .leaks import cached, database, found

pytestmark = pytest.mark.django_db

NUMBER = "+12025550123"
STORES = ("db", "cached_db", "cache", "signed_cookies")


@pytest.fixture(params=STORES)
def journey(request, settings, outbox) -> Journey:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    cache.clear()
    return Journey(Client(), outbox, PASSWORD)


def at_rest(journey: Journey) -> str:
    """Return all that is kept anywhere: rows, cache, cookies, and the session in clear."""
    session: Any = journey.client.session
    cookies = " ".join(morsel.OutputString() for morsel in journey.client.cookies.values())
    return "\n".join((database(), cached(), cookies, json.dumps(dict(session.items()))))


def test_a63_no_row_session_or_cache_holds_the_code(journey):
    user = PhoneFactory(user=UserFactory(username="alex"), address=NUMBER).user
    journey.enter_password(user)
    journey.enter_code(journey.wrong_code)
    code, guess = journey.code, journey.wrong_code

    kept = at_rest(journey)

    assert "otp_channels_challenge.nonce=" in kept
    for secret in (code, guess, NUMBER):
        assert found(secret, kept) == []
    journey.enter_code(code)
    assert journey.is_in
    assert found(code, at_rest(journey)) == []


def test_a63_the_code_of_a_proof_is_kept_nowhere_either(journey):
    user = UserFactory(username="alex")
    journey.enter_password(user)
    confirm = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"}).headers[
        "Location"
    ]
    journey.client.post(confirm, {"token": journey.wrong_code})

    kept = at_rest(journey)

    for secret in (journey.code, journey.wrong_code, NUMBER):
        assert found(secret, kept) == []
    journey.client.post(confirm, {"token": journey.code})
    assert journey.is_in


def test_a63_no_page_shows_the_code_or_the_number(journey):
    user = PhoneFactory(user=UserFactory(username="alex"), address=NUMBER).user
    answers = [journey.enter_password(user)]
    answers += [journey.client.get(url) for url in (VERIFY, STATUS, VERIFY)]
    answers.append(journey.enter_code(journey.wrong_code))

    for answer in answers:
        told = f"{answer.content.decode()} {answer.headers} {answer.cookies}"
        for secret in (journey.code, NUMBER):
            assert found(secret, told) == []


def test_a63_the_dump_would_show_a_code_that_is_kept(journey):
    """The test of the tests above."""
    user = UserFactory(username="alex", first_name="246802")
    journey.enter_password(user)
    session = journey.client.session
    session["kept"] = "135791"

    assert found("246802", database())
    assert found("135791", json.dumps(dict(session.items())))
