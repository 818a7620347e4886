"""A31: let something else than a view read the half-finished session."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from channels.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session

from django_otp_channels.models import Challenge
from tests.factories import PhoneFactory, UserFactory
from tests.journey import LOGIN

# Channels closes the connection after each use, as Django does after a request.
pytestmark = pytest.mark.django_db(transaction=True)

DOORS = [LOGIN, "/login/", "/custom-login/", "/async-login/", "/by-hand/"]


@pytest.mark.parametrize("url", DOORS)
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a31_the_stored_session_is_nobodys_for_every_reader(journey, alex, phone, url):
    journey.enter_password(alex, url)

    # Another project on the same store, and a websocket.
    assert not any("_auth_user_id" in row.get_decoded() for row in Session.objects.all())
    session = SessionStore(journey.client.session.session_key)
    assert async_to_sync(get_user)({"session": session}).is_anonymous
    assert journey.whoami("/awhoami/") == {"user": "", "key": None, "verified": False}


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a31_an_older_session_is_taken_from_all_readers_by_its_next_request(journey, alex):
    journey.enter_password(alex)
    session = journey.client.session
    del session["otp_channels"]  # as it was before this package was installed
    session.save()
    PhoneFactory(user=alex)

    journey.client.get("/private/")

    stored = SessionStore(session.session_key)
    assert "_auth_user_id" not in stored
    assert async_to_sync(get_user)({"session": SessionStore(session.session_key)}).is_anonymous


@pytest.mark.parametrize("url", ["/by-hand/", "/reload-and-write/"])
def test_a31_keys_that_are_written_over_a_verified_login_of_somebody_else_are_parked(
    journey, alex, phone, url
):
    own = PhoneFactory(user=UserFactory(username="mallory"), address="+12025550199")
    journey.log_in(own.user)
    assert journey.is_in

    journey.enter_password(alex, url)

    assert journey.client.session.get("_auth_user_id") != str(alex.pk)
    assert journey.is_nobody


def test_a31_keys_that_are_written_over_a_parked_login_end_its_codes(parked, alex):
    cookies = parked.client.cookies.copy()
    code = parked.code

    parked.enter_password(alex, "/by-hand/")
    parked.enter_code(code)

    assert parked.is_nobody
    assert Challenge.objects.get().state == "cancelled"
    parked.client.cookies = cookies
    assert parked.is_nobody
