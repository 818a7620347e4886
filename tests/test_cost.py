"""What the login step costs in statements: promised figures, held by counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import UserFactory
from tests.journey import CANCEL, LOGIN, VERIFY, Journey

pytestmark = pytest.mark.django_db

TRANSACTION_CONTROL = ("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT")


def statements(act: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        act()
    return [
        query["sql"]
        for query in captured.captured_queries
        if not query["sql"].startswith(TRANSACTION_CONTROL)
    ]


def ours(found: list[str]) -> list[str]:
    return [sql for sql in found if "otp_channels_" in sql]


def budgets(found: list[str]) -> list[str]:
    """What the limits of a message, and the person's own history, cost: the peers have neither."""
    tables = ("otp_channels_budget", "COUNT(DISTINCT", "otp_channels_activity")
    return [sql for sql in found if any(table in sql for table in tables)]


def without_second_factor(journey: Journey, user: Any, url: str) -> None:
    journey.client.get(url)
    journey.enter_password(user, url)
    journey.client.get("/private/")


def with_second_factor(journey: Journey, user: Any, url: str) -> None:
    journey.client.get(url)
    journey.enter_password(user, url)
    journey.client.get(VERIFY)
    journey.enter_code()
    assert journey.client.get("/private/").status_code == 200


@pytest.fixture
def plain_settings(settings):
    """The same site without the package's middleware and policy."""
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if "django_otp" not in path]


@pytest.mark.parametrize("url", [LOGIN, "/login/"])
def test_a_whole_login_costs_at_most_fifteen_statements_more(journey, alex, phone, settings, url):
    from django.contrib.auth.signals import user_logged_in

    from django_otp_channels.login import park_on_login

    two_factor = statements(lambda: with_second_factor(journey, alex, url))

    somebody = UserFactory()
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if "django_otp" not in path]
    user_logged_in.disconnect(dispatch_uid="otp_channels.park_on_login")
    try:
        plain = Journey(type(journey.client)(), journey.outbox, journey.password)
        one_factor = statements(lambda: without_second_factor(plain, somebody, "/login/"))
    finally:
        user_logged_in.connect(park_on_login, dispatch_uid="otp_channels.park_on_login")

    assert one_factor
    assert len(two_factor) - len(one_factor) <= 15 + len(budgets(two_factor))


def test_the_budgets_of_a_message_cost_a_statement_each_and_one_for_the_conversion(
    journey, alex, phone
):
    journey.enter_password(alex)  # makes the rows
    journey.client.post(CANCEL)

    found = statements(lambda: journey.enter_password(alex))

    assert len(budgets(found)) <= 6


def test_a_right_code_costs_at_most_four_statements_of_ours(journey, alex, phone):
    journey.enter_password(alex)

    assert len(ours(statements(journey.enter_code))) <= 5  # one is the person's own history


def test_a_right_code_after_a_wrong_one_costs_no_more(journey, alex, phone):
    journey.enter_password(alex)
    journey.enter_code(journey.wrong_code)

    assert len(ours(statements(journey.enter_code))) <= 5  # one is the person's own history


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_wrong_code_costs_at_most_three_statements_of_ours(journey, alex, phone, earlier):
    from django_otp_channels.models import Challenge

    journey.enter_password(alex)
    for _ in range(earlier):
        journey.enter_code(journey.wrong_code)
    flow = journey.client.session["otp_channels"]["parked"]["flow"]

    def verify():
        assert Challenge.current(flow).verify("000000") is False

    assert len(ours(statements(verify))) <= 3


def test_a_verified_person_costs_what_django_otp_costs(journey, alex, phone):
    journey.log_in(alex)

    found = statements(lambda: journey.client.get("/private/"))

    tables = [sql.split(" FROM ")[1].split()[0].strip('"`') for sql in found]
    assert tables == [
        "django_session",
        "auth_user",
        "otp_channels_channeldevice",
    ]


def test_somebody_without_a_factor_costs_nothing_more_while_that_is_remembered(journey, alex):
    journey.enter_password(alex)

    assert len(statements(lambda: journey.client.get("/private/"))) == 2


def test_a_request_that_reads_no_session_costs_nothing(journey, alex, phone):
    journey.log_in(alex)

    def visit():
        answer = journey.client.get("/")
        assert answer.text == "public page"
        assert "Vary" not in answer.headers or "Cookie" not in answer.headers["Vary"]

    assert statements(visit) == []
