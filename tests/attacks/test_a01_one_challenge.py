"""A01: guess on at one challenge."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge, Lockout
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._charge")
def test_a01_of_many_guesses_in_a_row_five_are_compared(parked, compared):
    pages = {parked.enter_code(parked.wrong_code).status_code for _ in range(40)}

    assert pages == {200}
    assert len(compared) == 5
    assert (Challenge.objects.get().attempts, Challenge.objects.get().state) == (5, "failed")
    assert Lockout.objects.get().failures == 5


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._charge")
def test_a01_the_right_code_comes_too_late_after_five_wrong_ones(parked, compared):
    for _ in range(5):
        parked.enter_code(parked.wrong_code)
    wrong = parked.enter_code(parked.wrong_code)

    right = parked.enter_code()

    assert parked.is_nobody
    assert (right.status_code, right.context["form"].errors) == (200, wrong.context["form"].errors)
    assert len(parked.outbox) == 1


@pytest.mark.guard("django_otp_channels.models.budgets.Budget.charge_password")
def test_a01_whoever_has_a_stolen_session_gets_five_guesses_at_the_password(
    journey, alex, phone, monkeypatch, caplog
):
    journey.log_in(alex)
    journey.let_proof_age()
    compared: list[str] = []
    check = type(alex).check_password
    monkeypatch.setattr(
        type(alex), "check_password", lambda user, raw: compared.append(raw) or check(user, raw)
    )
    journey.client.get(ADD_PHONE)

    answers = [journey.confirm_password(f"guess {number}") for number in range(20)]
    late = journey.confirm_password()

    assert len(set(compared)) == 5  # each by all of the site's backends
    assert "Too many tries" in answers[-1].text
    assert "Too many tries" in late.text
    assert caplog.text.count('"reason": "wrong"') == 5
    assert caplog.text.count('"reason": "limit"') == 16
    journey.client.logout()
    journey.log_in(alex)  # the way out, past whatever guards the login form
    assert journey.client.get(ADD_PHONE).status_code == 200
