"""A93: wait for a new ``SECRET_KEY``, and begin anew."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge, Lockout
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

NEW = "another secret of the site"


@pytest.fixture(params=[True, False], ids=["with the old one", "alone"])
def kept(request, settings):
    """Whether the old key stays a fallback. Call it to rotate."""

    def rotate():
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if request.param else []
        settings.SECRET_KEY = NEW
        return request.param

    return rotate


def test_a93_a_code_lives_as_long_as_its_key(parked, kept):
    code = parked.code
    alive = kept()

    answer = parked.enter_code(code)

    assert answer.status_code in {200, 302}
    assert parked.is_in is alive


def test_a93_no_lock_ends_with_a_key(parked, alex, kept):
    for _ in range(2):
        parked.enter_password(alex)
        for _ in range(5):
            parked.enter_code(parked.wrong_code)
    counts = Lockout.objects.values("failures", "daily_failures", "locked_until", "stopped_at")
    before = counts.get()
    kept()

    parked.enter_password(alex)
    parked.enter_code()

    assert counts.get() == before
    assert Lockout.lock_of(alex.pk) is not None
    assert parked.is_nobody


@pytest.mark.guard("django_otp_channels.models.budgets.keyed_digest")
def test_a93_no_budget_begins_anew_while_the_old_key_is_kept(journey, alex, phone, settings):
    for _ in range(3):
        journey.enter_password(alex)
    assert len(journey.outbox) == 3
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = NEW

    journey.enter_password(alex)

    assert len(journey.outbox) == 3


def test_a93_without_the_old_key_each_limit_can_be_used_up_once_more_and_no_oftener(
    journey, alex, phone, settings
):
    for _ in range(4):
        journey.enter_password(alex)
    assert len(journey.outbox) == 3
    settings.SECRET_KEY = NEW

    for _ in range(6):
        journey.enter_password(alex)

    assert len(journey.outbox) == 6


def test_a93_a_dead_code_is_no_error_and_a_new_one_can_be_had(parked, alex, settings):
    settings.SECRET_KEY = NEW

    assert parked.client.get(VERIFY).status_code in {200, 302}
    parked.enter_password(alex)
    parked.enter_code()

    assert parked.is_in
    assert Challenge.objects.filter(state="verified").count() == 1
