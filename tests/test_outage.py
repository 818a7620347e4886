"""Who waits for a locked row for how long, and what is said where the database is gone."""

from __future__ import annotations

import math
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import RequestFactory

from django_otp_channels import checks, health
from django_otp_channels.management.actions import doctor
from django_otp_channels.models import Challenge
from django_otp_channels.models.commits import lock_wait
from django_otp_channels.outage import unavailable
from tests.databases import IMPATIENT, WAIT, options


@pytest.mark.django_db(transaction=True)
def test_the_wait_for_a_locked_row_is_the_connections_own():
    with options(**IMPATIENT[connection.vendor]):
        assert lock_wait(Challenge) == WAIT


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="others always end the wait")
def test_a_wait_without_a_lock_timeout_is_without_end():
    with options(options="-c lock_timeout=0"):
        assert lock_wait(Challenge) == math.inf


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wait", "told"),
    [(2, None), (10, None), (None, None), (50, "for 50 seconds"), (math.inf, "without end")],
)
def test_the_check_names_a_wait_that_is_too_long(monkeypatch, wait, told):
    monkeypatch.setattr(checks, "lock_wait", lambda _model: wait)

    found = checks.check_database(databases=["default"])

    assert [message.id for message in found] == ([] if told is None else ["otp_channels.W005"])
    assert told is None or told in found[0].msg
    assert told is None or "DATABASES" in found[0].hint


def test_the_check_asks_no_database_unless_it_is_told_to(monkeypatch):
    monkeypatch.setattr(checks, "lock_wait", lambda _model: pytest.fail("asked"))

    assert checks.check_database(databases=None) == []
    assert checks.check_database(databases=["other"]) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wait", "told"),
    [
        (2.0, "A locked row is waited for: 2 seconds\n"),
        (1.0, "A locked row is waited for: 1 second\n"),
        (math.inf, "A locked row is waited for: without end: set a lock time-out"),
    ],
)
def test_the_doctor_says_how_long_a_locked_row_is_waited_for(monkeypatch, wait, told):
    monkeypatch.setattr(health, "lock_wait", lambda _model: wait)
    out = StringIO()

    call_command("otp_channels", "doctor", stdout=out, no_color=True)

    assert told in out.getvalue()
    assert doctor._wait(wait)


def test_the_page_asks_no_database(settings):
    """Without the mark, a test that asks one fails."""
    request = RequestFactory().get("/account/verify/")

    answer = unavailable(request, OperationalError("the text of the driver"))

    assert answer.status_code == 503
    assert "Please try again" in answer.text
    assert "Example" in answer.text
    assert "driver" not in answer.text
