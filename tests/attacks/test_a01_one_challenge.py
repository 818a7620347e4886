"""A01: guess on at one challenge."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge, Lockout

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
