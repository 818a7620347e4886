"""A28: log in through whatever else calls ``login()``, or writes the session's keys itself."""

from __future__ import annotations

import pytest

from django_otp_channels.testing import login_verified
from tests.factories import PhoneFactory, UserFactory
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

DOORS = [
    "/login/", "/custom-login/", "/async-login/", "/wrapped-login/", "/any-login/", "/by-hand/",
    "/login-and-reload/", "/reload-and-write/",
]  # fmt: skip


@pytest.mark.parametrize("url", DOORS)
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a28_whoever_calls_login_the_login_is_parked(journey, alex, phone, url):
    answer = journey.enter_password(alex, url)

    assert answer.headers["Location"] == VERIFY
    assert "secret" not in answer.text
    assert "remember" not in answer.cookies
    assert journey.is_nobody


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a28_a_forced_login_is_parked(journey, alex, phone):
    journey.client.force_login(alex)

    assert journey.is_nobody


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a28_nobody_acts_as_somebody_else_without_their_code(journey, alex, phone, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "hijack.middleware.HijackUserMiddleware"]
    chief = UserFactory(username="chief", staff=True)
    PhoneFactory(user=chief)
    login_verified(journey.client, chief)

    journey.client.post("/hijack/acquire/", {"user_pk": alex.pk})

    assert journey.is_nobody
