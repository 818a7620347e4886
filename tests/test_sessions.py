"""What the package keeps in a session: believed only of who is logged in, and read once."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY

from django_otp_channels import sessions

NOTHING = {"notice": "", "news": ""}


@pytest.fixture
def session() -> dict[str, Any]:
    """The session of user 1, who has just given the password."""
    session: dict[str, Any] = {SESSION_KEY: "1"}
    sessions.note_given(session, "password")
    return session


def test_what_was_given_is_known_for_its_age(session):
    sessions.note_given(session, "code", int(time.time()) - 60)

    assert 0 <= sessions.given(session, "password") < 10
    assert 60 <= sessions.given(session, "code") < 70


def test_what_somebody_else_has_given_counts_for_nothing(session):
    session[SESSION_KEY] = "2"

    assert sessions.given(session, "password") == math.inf
    sessions.note_given(session, "code")
    assert sessions.given(session, "password") == math.inf


@pytest.mark.parametrize("at", [None, "now", 1.5, {}])
def test_a_moment_that_is_none_counts_for_nothing(session, at):
    session[sessions.SESSION]["given"]["password"] = at

    assert sessions.given(session, "password") == math.inf


def test_hosts_may_disagree_about_the_time_by_a_little(session):
    sessions.note_given(session, "password", int(time.time()) + sessions.CLOCK_SKEW - 10)
    assert sessions.given(session, "password") <= 0

    sessions.note_given(session, "password", int(time.time()) + sessions.CLOCK_SKEW + 10)
    assert sessions.given(session, "password") == math.inf


@pytest.mark.parametrize("kept", [None, "", 7, [], {"given": "1"}])
def test_what_is_not_ours_to_read_is_read_as_nothing(session, kept):
    session[sessions.SESSION] = kept

    assert sessions.given(session, "password") == math.inf
    assert sessions.take_notices(session) == NOTHING


def test_what_is_left_for_a_page_is_left_for_one(session):
    sessions.leave_notice(session, "Too soon.")
    sessions.leave_news(session, "Done.")

    assert sessions.take_notices(session) == {"notice": "Too soon.", "news": "Done."}
    assert sessions.take_notices(session) == NOTHING
    assert 0 <= sessions.given(session, "password") < 10


def test_nothing_of_ours_stays_when_the_last_of_it_goes(session):
    sessions.keep(session, "given", None)

    assert session == {SESSION_KEY: "1"}
