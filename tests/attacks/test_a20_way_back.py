"""A20: log out, cancel, go back, and enter the code after all."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge
from tests.journey import CANCEL, LOGIN, VERIFY

pytestmark = pytest.mark.django_db

ENGINES = ["db", "cached_db", "signed_cookies"]


@pytest.fixture(params=ENGINES)
def halfway(request, settings, journey, alex, phone):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    journey.enter_password(alex)
    return journey


@pytest.mark.parametrize("way_out", [CANCEL, "/logout/"])
def test_a20_after_the_way_out_neither_code_nor_cookie_opens(halfway, way_out):
    kept = halfway.client.cookies.copy()
    halfway.client.post(way_out)
    assert Challenge.objects.get().state == "cancelled"

    halfway.enter_code()
    assert halfway.is_nobody

    halfway.client.cookies = kept
    halfway.enter_code()
    assert halfway.is_nobody


@pytest.mark.parametrize("way_out", [CANCEL, "/logout/"])
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge.cancel")
def test_a20_the_code_dies_even_for_who_keeps_the_whole_session(
    journey, alex, phone, settings, way_out
):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    journey.enter_password(alex)
    kept = journey.client.cookies.copy()
    journey.client.post(way_out)

    journey.client.cookies = kept
    journey.enter_code()

    assert journey.is_nobody


def test_a20_the_password_again_from_the_history_skips_nothing(parked, alex):
    parked.log_in(alex)
    parked.client.post("/logout/")

    answer = parked.enter_password(alex)

    assert answer.headers["Location"] == VERIFY
    assert parked.is_nobody


def test_a20_back_at_the_login_page_one_is_led_to_the_code(parked):
    assert parked.client.get(LOGIN).headers["Location"] == VERIFY
