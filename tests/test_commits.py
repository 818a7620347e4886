"""A deadlock is begun anew, a few times; then nothing is sent."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from django_otp_channels.exceptions import SendNotAllowed
from django_otp_channels.models import Lockout
from django_otp_channels.models.commits import committed, reserved
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


class Work:
    """Write a row, and fail in the same transaction as often as told."""

    def __init__(self, failures: int) -> None:
        self.user = UserFactory()
        self.failures = failures
        self.runs = 0

    def __call__(self) -> str:
        self.runs += 1
        Lockout.objects.create(user=self.user)
        if self.runs <= self.failures:
            raise OperationalError("Deadlock found")
        return "done"


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_deadlock_is_begun_anew_from_a_clean_slate(failures: int) -> None:
    assert committed(Lockout, Work(failures)) == "done"
    assert Lockout.objects.count() == 1


def test_after_three_deadlocks_the_database_has_the_word() -> None:
    work = Work(failures=9)

    with pytest.raises(OperationalError):
        committed(Lockout, work)
    assert work.runs == 3
    assert not Lockout.objects.exists()


def test_inside_somebody_elses_transaction_nothing_is_begun_anew() -> None:
    work = Work(failures=1)

    with pytest.raises(OperationalError):
        committed(Lockout, work, durable=False)
    assert work.runs == 1


def test_where_the_database_cannot_decide_nothing_is_sent() -> None:
    with pytest.raises(SendNotAllowed):
        reserved(Lockout, Work(failures=9))
