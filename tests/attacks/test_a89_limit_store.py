"""A89: lose the store that the limits live in."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import OperationalError

from django_otp_channels.models import Budget, Lockout
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

CACHES = ["dummy.DummyCache", "locmem.LocMemCache"]


@pytest.mark.parametrize("backend", CACHES)
@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
def test_a89_budgets_hold_whatever_becomes_of_the_cache(journey, alex, phone, settings, backend):
    settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
    for _ in range(6):
        journey.enter_password(alex)
        cache.clear()

    assert len(journey.outbox) == 3


def test_a89_no_cache_that_is_emptied_opens_a_lock(parked, alex):
    for _ in range(2):
        parked.enter_password(alex)
        for _ in range(5):
            parked.enter_code(parked.wrong_code)
    assert Lockout.lock_of(alex.pk) is not None

    cache.clear()
    parked.enter_password(alex)
    parked.enter_code()

    assert parked.is_nobody


@pytest.mark.parametrize("method", ["charge", "_charge"])
def test_a89_without_its_store_nothing_is_sent_and_nobody_is_let_in(
    journey, alex, phone, monkeypatch, method
):
    def gone(*_args, **_kwargs):
        raise OperationalError

    with monkeypatch.context() as patched:
        patched.setattr(Budget, method, gone)
        journey.enter_password(alex)
        assert journey.client.get(VERIFY).status_code == 200
        journey.ask()

    assert journey.outbox == []
    assert journey.is_nobody
    journey.ask()
    journey.enter_code()
    assert journey.is_in
