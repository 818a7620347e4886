"""A23: enter a password, and see what it has changed without the code."""

from __future__ import annotations

import pytest
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session

pytestmark = pytest.mark.django_db


@pytest.fixture
def logins():
    seen: list[str] = []

    def receiver(user, **_kwargs):
        seen.append(user.get_username())

    user_logged_in.connect(receiver)
    yield seen
    user_logged_in.disconnect(receiver)


@pytest.mark.guard("django_otp_channels.views.verify.LoginView.form_valid")
def test_a23_a_password_alone_logs_nobody_in_for_anybody(journey, alex, phone, logins):
    journey.enter_password(alex)

    alex.refresh_from_db()
    assert alex.last_login is None
    assert logins == []
    journey.enter_code()
    alex.refresh_from_db()
    assert alex.last_login is not None
    assert logins == ["alex"]


@pytest.mark.parametrize("url", ["/account/login/", "/login/", "/custom-login/", "/by-hand/"])
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a23_no_stored_session_ever_says_who_it_is(journey, alex, phone, url, monkeypatch):
    written: list[bool] = []
    save = Session.save

    def watched(session, *args, **kwargs):
        written.append("_auth_user_id" in session.get_decoded())
        return save(session, *args, **kwargs)

    monkeypatch.setattr(Session, "save", watched)

    journey.enter_password(alex, url)

    assert written
    assert not any(written)
