"""A86: kill the connection between any two statements, and keep rows locked from outside."""

from __future__ import annotations

import time
from itertools import count

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from django_otp_channels.models import Budget, Challenge, ChannelDevice, Lockout
from tests.clock import let_pass
from tests.databases import IMPATIENT, WAIT, killed_before, locked, options
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import LOGIN, SEND, STATUS, VERIFY, Journey

pytestmark = pytest.mark.django_db(transaction=True)

# 400: Django's own answer where a session could not be saved.
CLEAN = {302, 400, 500, 503}
needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="no connection to be killed, no row to be locked"
)


@pytest.fixture
def impatient():
    """The database gives up on a locked row after a second, as a site should have it."""
    with options(**IMPATIENT[connection.vendor]):
        yield


@pytest.fixture
def somebody(outbox):
    """Return a function that makes a person with a phone, and their browser."""
    numbers = count(555)

    def make() -> tuple[Journey, ChannelDevice]:
        number = next(numbers)
        device = PhoneFactory(
            user=UserFactory(username=f"person{number}"), address=f"+1202{number:03d}0123"
        )
        Lockout.objects.create(user=device.user)
        journey = Journey(Client(raise_request_exception=False), outbox, PASSWORD)
        return journey, device

    return make


def charged(device):
    return sum(Challenge.objects.filter(user=device.user).values_list("sends", flat=True))


def sent(journey, device):
    return [message for message in journey.outbox if message.to == device.address]


def works_again(journey, device):
    """The next request is served, and whoever begins anew gets in."""
    let_pass(86_401)
    anew = Journey(Client(), journey.outbox, PASSWORD)
    anew.log_in(device.user)
    return anew.is_in


def unharmed(start, act, check):
    """Let ``act`` lose its connection at each of its statements in turn; return how many it has."""
    for victim in count(1):
        subject = start()
        with killed_before(victim) as killer:
            answer = act(subject)
        check(subject, answer)
        if not killer.has_killed:
            return victim - 1
        assert victim < 80
    raise AssertionError


@needs_server
@pytest.mark.usefixtures("endless_budgets")
@pytest.mark.parametrize("url", [LOGIN, "/login/"])
def test_a86_a_connection_that_dies_at_the_password_lets_nobody_in(somebody, url):
    def check(subject, answer):
        journey, device = subject
        assert answer.status_code in CLEAN
        assert journey.is_nobody
        assert len(sent(journey, device)) <= charged(device)
        assert works_again(journey, device)

    assert unharmed(somebody, lambda who: who[0].enter_password(who[1].user, url), check) > 8


@needs_server
@pytest.mark.usefixtures("endless_budgets")
def test_a86_a_connection_that_dies_at_a_wrong_code_refunds_no_try(somebody, compared):
    def start():
        journey, device = somebody()
        journey.enter_password(device.user)
        compared.clear()
        return journey, device

    def check(subject, answer):
        journey, device = subject
        assert answer.status_code in {200, *CLEAN}
        assert len(compared) <= Challenge.objects.get(user=device.user).attempts <= 2
        assert journey.is_nobody
        assert works_again(journey, device)

    assert unharmed(start, lambda who: who[0].enter_code(who[0].wrong_code), check) > 3


@needs_server
@pytest.mark.usefixtures("endless_budgets")
def test_a86_a_connection_that_dies_at_the_right_code_opens_no_second_door(somebody):
    def start():
        journey, device = somebody()
        journey.enter_password(device.user)
        return journey, device

    def check(subject, answer):
        journey, device = subject
        code = str(sent(journey, device)[-1].token)
        assert answer.status_code in CLEAN
        challenge = Challenge.objects.get(user=device.user)
        inside = journey.is_in
        assert challenge.attempts >= inside
        if answer.status_code != 302 or challenge.state == "verified":
            assert not inside or challenge.state == "verified"
        burnt = challenge.state == "verified"
        journey.enter_code(code)
        # Burnt, or still good for the one door; never for another.
        assert inside or not (burnt and journey.is_in)
        assert works_again(journey, device)

    assert unharmed(start, lambda who: who[0].enter_code(), check) > 5


@needs_server
@pytest.mark.usefixtures("endless_budgets")
def test_a86_a_connection_that_dies_at_another_message_sends_none_for_nothing(somebody):
    def start():
        journey, device = somebody()
        journey.enter_password(device.user)
        let_pass(31)
        return journey, device

    def check(subject, answer):
        journey, device = subject
        assert answer.status_code in CLEAN
        assert len(sent(journey, device)) <= charged(device) <= 2
        assert journey.is_nobody
        assert works_again(journey, device)

    assert unharmed(start, lambda who: who[0].ask(), check) > 5


def in_time(act):
    began = time.monotonic()
    answer = act()
    # A few waits, where a page has several; not one after the other without end.
    assert time.monotonic() - began < 6 * WAIT
    return answer


def rows_of(name, device):
    return {
        "challenge": Challenge.objects.filter(user=device.user),
        "device": ChannelDevice.objects.filter(pk=device.pk),
        "lockout": Lockout.objects.filter(user=device.user),
        "budget": Budget.objects.all(),
    }[name]


# SQLite locks all there is, whichever row is meant: one of them will do.
ROWS = (
    ["challenge"] if connection.vendor == "sqlite" else ["challenge", "device", "lockout", "budget"]
)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ROWS)
def test_a86_locked_rows_keep_nobody_waiting_and_let_nobody_in(somebody, name):
    journey, device = somebody()
    journey.enter_password(device.user)
    let_pass(31)
    with locked(rows_of(name, device)):
        wrong = in_time(lambda: journey.enter_code(journey.wrong_code))
        told = journey.client.get(STATUS)
        asked = in_time(journey.ask)
        journey.enter_password(device.user)

    assert wrong.status_code in {200, 503}
    assert told.status_code == 200
    assert asked.status_code in CLEAN
    assert len(sent(journey, device)) <= charged(device)
    assert journey.is_nobody
    assert works_again(journey, device)


@pytest.mark.usefixtures("impatient")
def test_a86_who_meets_a_locked_challenge_reads_a_sentence(somebody):
    journey, device = somebody()
    journey.enter_password(device.user)
    code = journey.code

    with locked(rows_of("challenge", device)):
        page = in_time(journey.enter_code)
        script = in_time(
            lambda: journey.client.post(
                VERIFY, {"token": code}, headers={"Accept": "application/json"}
            )
        )

    assert page.status_code == script.status_code == 503
    assert "Wait a few seconds" in page.text
    assert page.headers["Retry-After"] == "5"
    assert page.headers["Cache-Control"] == "no-store, private"
    assert code not in page.text
    assert script.json() == {"detail": "unavailable"}
    assert Challenge.objects.get().attempts == 0
    journey.enter_code(code)  # nothing was compared, and nothing lost
    assert journey.is_in


@pytest.mark.usefixtures("impatient")
def test_a86_a_locked_budget_sends_nothing(somebody):
    journey, device = somebody()
    journey.enter_password(device.user)
    let_pass(31)

    with locked(Budget.objects.all()):
        asked = in_time(lambda: journey.client.post(SEND))

    assert asked.status_code in CLEAN
    assert len(sent(journey, device)) == 1
    assert Challenge.objects.get().sends == 1


def test_a86_nothing_is_read_from_a_replica_that_lags(journey, alex, phone, settings):
    # One that has nothing at all, and is an error to ask.
    settings.DATABASE_ROUTERS = ["tests.replica.ReplicaRouter"]
    journey.enter_password(alex)
    code = journey.code
    assert journey.enter_code(journey.wrong_code).status_code == 200
    let_pass(31)
    assert journey.ask().status_code == 302
    assert len(journey.outbox) == 2
    journey.enter_code()
    assert journey.is_in

    journey.client.logout()
    journey.enter_password(alex)
    journey.enter_code(code)
    assert journey.is_nobody


@pytest.mark.parametrize("model", list(apps.get_app_config("otp_channels").get_models()))
def test_a86_each_table_is_read_where_it_is_written(model, settings):
    settings.DATABASE_ROUTERS = ["tests.replica.ReplicaRouter"]

    assert model._default_manager.all().db == model._base_manager.all().db == "default"
