"""A86: let the database, or whatever else, fail at each step."""

from __future__ import annotations

import importlib

import pytest
from django.db import OperationalError

from django_otp_channels.models import Challenge, Lockout
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

PACKAGE = "django_otp_channels"
AT_THE_PASSWORD = [
    "login.needs_code", "login.has_factor", "login.park", "login.begin", "login.own_devices",
    "models.challenges.admit", "models.budgets.Budget.charge", "models.budgets.Budget._charge",
    "models.challenges.Challenge.issue", "models.challenges.Challenge.open_flow",
    "models.devices.ChannelDeviceManager.for_login", "models.admission._watch_conversion",
]  # fmt: skip
AT_THE_CODE = [
    "models.challenges.Challenge.current", "models.challenges.Challenge.judge",
    "models.challenges.Challenge._charge", "models.challenges.Challenge._token", "codes.matches",
    "models.challenges.Challenge._close_verified", "models.lockouts.Lockout.record_success",
    "login.parked_in", "login.may_resume", "login.resume", "login.otp_login",
]  # fmt: skip


@pytest.fixture
def reached():
    """What was called, and failed."""
    return []


@pytest.fixture
def break_down(monkeypatch, reached):
    def arrange(path):
        """Let the database be gone when ``path`` is called."""
        module, _, name = path.rpartition(".")
        try:
            owner = importlib.import_module(f"{PACKAGE}.{module}")
        except ModuleNotFoundError:
            module, _, cls = module.rpartition(".")
            owner = getattr(importlib.import_module(f"{PACKAGE}.{module}"), cls)

        def gone(*_args, **_kwargs):
            reached.append(path)
            raise OperationalError

        monkeypatch.setattr(owner, name, gone)

    return arrange


@pytest.mark.parametrize("url", ["/account/login/", "/login/", "/custom-login/"])
@pytest.mark.parametrize("path", AT_THE_PASSWORD)
def test_a86_what_fails_at_the_password_lets_nobody_in_and_sends_nothing(
    journey, alex, phone, break_down, reached, monkeypatch, url, path
):
    journey.client.raise_request_exception = False
    break_down(path)
    journey.enter_password(alex, url)
    monkeypatch.undo()

    assert reached
    assert journey.outbox == []
    assert journey.is_nobody


@pytest.mark.parametrize("path", AT_THE_CODE)
def test_a86_what_fails_at_the_code_lets_nobody_in(
    parked, alex, break_down, reached, monkeypatch, path
):
    Lockout.objects.create(user=alex, failures=1)
    parked.client.raise_request_exception = False
    break_down(path)
    code = parked.code

    answer = parked.enter_code(code)

    monkeypatch.undo()
    assert reached
    assert answer.status_code in {302, 503}
    assert answer.headers.get("Location") != "/private/"
    assert parked.is_nobody


def test_a86_a_try_is_spent_even_if_its_comparison_never_came(parked, break_down, monkeypatch):
    parked.client.raise_request_exception = False
    break_down("codes.matches")
    for _ in range(7):
        parked.enter_code()
    monkeypatch.undo()

    assert Challenge.objects.get().attempts == 5
    parked.enter_code()
    assert parked.is_nobody


def test_a86_a_code_that_was_used_is_burnt_even_if_nobody_got_in(parked, break_down, monkeypatch):
    parked.client.raise_request_exception = False
    break_down("login.resume")
    parked.enter_code()
    monkeypatch.undo()

    parked.enter_code()

    assert Challenge.objects.get().state == "verified"
    assert parked.is_nobody
    assert parked.client.get(VERIFY).status_code == 200
