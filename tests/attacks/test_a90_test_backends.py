"""A90: find a backend in production that shows its codes, or a code that always works."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.checks import run_checks

from django_otp_channels.models import Delivery

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["memory.SMS", "console.SMS"])
def production(request, settings, monkeypatch):
    """Not the environment of a test: there is no outbox of Django's."""
    path = f"django_otp_channels.backends.{request.param}"
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": path}]}
    settings.DEBUG = False
    monkeypatch.delattr(mail, "outbox", raising=False)


@pytest.mark.guard("django_otp_channels.backends.development.allowed")
def test_a90_a_backend_for_development_shows_no_code_in_production(
    production, journey, alex, phone, capsys
):
    journey.enter_password(alex)

    printed = "".join(capsys.readouterr())
    assert journey.outbox == []
    assert not any(char.isdigit() for char in printed)
    assert set(Delivery.objects.values_list("status", flat=True)) <= {"failed"}
    assert journey.is_nobody


def test_a90_and_a_check_says_so(production):
    found = run_checks(include_deployment_checks=True)

    assert [each for each in found if each.is_serious() and each.id.startswith("otp_channels.E")]


@pytest.mark.parametrize("code", ["000000", "123456", "111111", "999999", "0", "test"])
def test_a90_no_code_works_always(parked, settings, code):
    settings.DEBUG = True
    if code == parked.code:
        code = parked.wrong_code

    parked.enter_code(code)

    assert parked.is_nobody
