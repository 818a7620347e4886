"""A09: bring back the session of before the guess."""

from __future__ import annotations

import pytest

from tests.journey import VERIFY

pytestmark = pytest.mark.django_db


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._charge")
def test_a09_an_old_cookie_brings_back_no_try(journey, alex, phone, settings, compared):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    journey.enter_password(alex)
    kept = journey.client.cookies.copy()

    for _ in range(20):
        journey.client.cookies = kept.copy()
        journey.enter_code(journey.wrong_code)

    assert len(compared) == 5
    journey.client.cookies = kept.copy()
    journey.enter_code()
    assert journey.is_nobody


def test_a09_the_session_holds_no_count_and_nothing_to_guess_from(parked):
    before = dict(parked.client.session)

    parked.enter_code(parked.wrong_code)
    parked.client.get(VERIFY)

    assert dict(parked.client.session) == before
    assert parked.code not in str(before)
