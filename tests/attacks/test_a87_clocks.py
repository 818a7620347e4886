"""A87: let the clock of the web server jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.db.models.functions import Now

from django_otp_channels.models import Challenge, Lockout
from tests.clock import let_pass
from tests.journey import STATUS, VERIFY

pytestmark = pytest.mark.django_db

HOUR = 3600


def at(seconds):
    """The web server's clock is wrong by so much; the database's is right."""
    return time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds))


@pytest.mark.parametrize("wrong_by", [-90, -30, 30, 90, 400])
def test_a87_hosts_that_disagree_about_the_time_let_people_in(parked, wrong_by):
    with at(wrong_by):
        parked.enter_code()

        assert parked.is_in


@pytest.mark.parametrize("wrong_by", [-HOUR, -310, HOUR])
@pytest.mark.guard("django_otp_channels.models.challenges._chargeable")
def test_a87_no_clock_of_a_web_server_revives_a_code(parked, wrong_by):
    let_pass(301)
    session = parked.client.session
    session["otp_channels"]["parked"]["at"] += wrong_by  # asked for by that clock as well
    session.save()

    with at(wrong_by):
        parked.enter_code()

        assert parked.is_nobody


@pytest.mark.parametrize("wrong_by", [-HOUR, HOUR])
@pytest.mark.guard("django_otp_channels.models.challenges._chargeable")
def test_a87_no_clock_of_a_web_server_lifts_a_lock(parked, alex, wrong_by):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    session = parked.client.session
    session["otp_channels"]["parked"]["at"] += wrong_by
    session.save()

    with at(wrong_by):
        assert parked.client.get(VERIFY).context["page"].locked
        parked.enter_code()
        assert parked.is_nobody


@pytest.mark.parametrize("wrong_by", [-HOUR, HOUR])
def test_a87_nobody_gets_another_message_sooner_or_is_shown_a_negative_wait(parked, alex, wrong_by):
    session = parked.client.session
    session["otp_channels"]["parked"]["at"] += wrong_by
    session.save()

    with at(wrong_by):
        parked.ask()
        page = parked.client.get(VERIFY).context["page"]
        status = parked.client.get(STATUS).json()

    assert len(parked.outbox) == 1
    assert 0 < page.seconds_to_send <= 30
    assert status["state"] == "open"


def test_a87_a_login_from_the_future_is_none(parked):
    with at(-HOUR):
        parked.enter_code()
        assert parked.is_nobody


@pytest.mark.parametrize("back", [300, 600])
def test_a87_a_clock_of_the_database_that_steps_back_prolongs_by_no_more_than_that(
    parked, alex, back
):
    code = parked.code
    let_pass(-back)  # what was written lies in the future now

    page = parked.client.get(VERIFY).context["page"]
    parked.ask()
    assert 0 < page.seconds_to_send <= back + 30
    assert len(parked.outbox) == 1
    let_pass(back + 300)
    parked.enter_code(code)
    assert parked.is_nobody


def test_a87_what_is_spent_stays_spent_when_the_databases_clock_steps_back(parked, alex, elsewhere):
    for _ in range(3):
        parked.enter_code(parked.wrong_code)
    used = parked.code
    cookies = parked.client.cookies.copy()
    parked.enter_code()
    assert parked.is_in
    elsewhere.enter_password(alex)
    before = Lockout.objects.values("failures", "daily_failures").get()
    let_pass(-300)

    parked.client.cookies = cookies
    parked.enter_code(used)

    assert parked.is_nobody
    assert Challenge.objects.filter(attempts=4, state="verified").count() == 1
    assert Lockout.objects.values("failures", "daily_failures").get() == before


@pytest.mark.parametrize("back", [300, 600])
def test_a87_a_lock_is_prolonged_by_no_more_than_the_clock_steps_back(parked, alex, back):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    let_pass(-back)
    let_pass(895)
    lock = Lockout.lock_of(alex.pk)
    assert lock is not None
    assert 0 < lock.seconds_left <= back + 5
    let_pass(back + 6)
    assert Lockout.lock_of(alex.pk) is None


# Clocks go back, and forward, in the tests' own zone.
CHANGES = [
    datetime(2026, 10, 25, 0, 59, 30, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC),
]


@pytest.mark.parametrize("change", CHANGES, ids=["back", "forward"])
@pytest.mark.parametrize("use_tz", [True, False])
def test_a87_nobody_notices_when_summer_begins_or_ends(
    journey, alex, phone, settings, change, use_tz
):
    if not use_tz and connection.vendor != "sqlite":
        pytest.skip("A connection keeps the zone that it began with; see settings_no_tz.")
    settings.USE_TZ = use_tz
    with time_machine.travel(change):
        journey.enter_password(alex)
    with time_machine.travel(change + timedelta(seconds=90)):
        assert journey.client.get(VERIFY).status_code == 200
        journey.enter_code()
        assert journey.is_in
