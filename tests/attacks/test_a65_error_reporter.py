"""A65: whatever breaks while a code is handled, no report of the error shows the code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.test import Client
from django.views.debug import ExceptionReporter

from django_otp_channels import codes, enrolment, login, tries
from django_otp_channels.models import Challenge, Delivery, Lockout, challenges
from django_otp_channels.testing import login_verified
from tests.factories import UserFactory
from tests.hooks import sends_are_over
from tests.journey import ADD_PHONE

from .leaks import code_of, found

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = "+12025550123"
# What Sentry's SDK leaves out by the name of the variable, as far as it concerns us.
DENIED = {"token", "secret", "password", "auth", "session", "csrftoken", "api_key", "credentials"}


class Boom(Exception):
    pass


def boom(*_args: Any, **_kwargs: Any) -> Any:
    raise Boom


def locals_of(trace: TracebackType | None) -> str:
    """Return the local variables of every frame as a collector of errors sends them away."""
    lines = []
    for frame, _line in traceback.walk_tb(trace):
        if "/tests/" in frame.f_code.co_filename or "/django/test/" in frame.f_code.co_filename:
            continue
        lines += [
            f"{frame.f_code.co_name} {name}={value!r}"
            for name, value in frame.f_locals.items()
            if name not in DENIED
        ]
    return "\n".join(lines)


class Reports(list[tuple[str, str]]):
    """What Django would mail, and what a collector would get, of each error of a request."""

    def collect(self, request: Any, **_kwargs: Any) -> None:
        kind, error, trace = sys.exc_info()
        reporter = ExceptionReporter(request, kind, error, trace, is_email=True)
        django = reporter.get_traceback_html() + reporter.get_traceback_text()
        self.append((django, locals_of(trace)))


@pytest.fixture
def reports() -> Iterator[Reports]:
    kept = Reports()
    got_request_exception.connect(kept.collect)
    yield kept
    got_request_exception.disconnect(kept.collect)


@pytest.fixture
def parked(journey, alex, phone):
    journey.enter_password(alex)
    journey.client.raise_request_exception = False
    return journey


VERIFYING = {
    "the key": (codes, "_keys"),
    "the comparison": (codes, "matches"),
    "the inside of the comparison": (codes, "constant_time_compare"),
    "the charge": (Challenge, "_charge"),
    "the closing": (Challenge, "_close_verified"),
    "the count of failures": (Lockout, "record_failure"),
    "the audit": (tries.audit, "record"),
    "the resuming": (login, "resume"),
}
RIGHT_ONLY = ("the closing", "the resuming")
WRONG_ONLY = ("the count of failures",)


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
@pytest.mark.parametrize("broken", VERIFYING)
def test_a65_no_report_of_an_error_shows_a_code(parked, monkeypatch, reports, broken, right):
    code, typed = parked.code, parked.code if right else parked.wrong_code
    monkeypatch.setattr(*VERIFYING[broken], boom)

    answer = parked.enter_code(typed)

    if (broken in RIGHT_ONLY and not right) or (broken in WRONG_ONLY and right):
        assert reports == []
        return
    assert answer.status_code == 500
    assert "Boom" not in answer.content.decode()
    ((django, collected),) = reports
    assert "Boom" in django
    for secret in (code, typed, NUMBER):
        assert found(secret, answer.content.decode()) == []
        assert found(secret, django + collected) == []


SENDING = {
    "the derivation": (Challenge, "message"),
    "the carrying": (challenges, "carry"),
    "the note of it": (type(Delivery.objects), "note"),
    "the conclusion": (challenges._Journey, "_conclude"),
}


@pytest.mark.parametrize("broken", SENDING)
def test_a65_no_report_of_a_failed_send_shows_a_code(
    journey, alex, phone, monkeypatch, reports, broken
):
    journey.client.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(*SENDING[broken], boom)
        journey.enter_password(alex)

    code = code_of(Challenge.objects.get())
    ((django, collected),) = reports
    for secret in (code, NUMBER):
        assert found(secret, django + collected) == []


@pytest.mark.parametrize("broken", ["finish", "current"])
def test_a65_no_report_of_a_failed_proof_shows_a_code_or_the_number(
    journey, alex, monkeypatch, reports, broken
):
    journey.enter_password(alex)
    confirm = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"}).headers[
        "Location"
    ]
    journey.client.raise_request_exception = False
    monkeypatch.setattr(enrolment, broken, boom)

    answer = journey.client.post(confirm, {"token": journey.code})

    assert answer.status_code == 500
    ((django, collected),) = reports
    for secret in (journey.code, NUMBER):
        assert found(secret, django + collected) == []


def test_a65_no_report_of_a_failed_enrolment_shows_the_number(journey, alex, monkeypatch, reports):
    journey.enter_password(alex)
    journey.client.raise_request_exception = False
    monkeypatch.setattr(enrolment, "prove", boom)

    assert journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"}).status_code == 500

    ((django, collected),) = reports
    assert found(NUMBER, django + collected) == []


def test_a65_no_report_of_a_failed_key_press_shows_the_code(over_twilio, monkeypatch, reports):
    sent = over_twilio("voice")
    sends_are_over()
    press, code = sent.pressed(), code_of(Challenge.objects.get())
    monkeypatch.setattr("django_otp_channels.backends.twilio.Voice.answer", boom)

    assert press.to(Client(raise_request_exception=False)).status_code == 500

    ((django, collected),) = reports
    for secret in (code, NUMBER):
        assert found(secret, django + collected) == []


def test_a65_no_report_of_a_failed_test_code_shows_it(phone, outbox, monkeypatch, reports):
    staff = Client(raise_request_exception=False)
    login_verified(staff, UserFactory(staff=True))
    monkeypatch.setattr(challenges._Journey, "_conclude", boom)

    staff.post(
        "/admin/otp_channels/channeldevice/",
        {"action": "send_test_code", "_selected_action": [phone.pk]},
    )

    ((django, collected),) = reports
    for secret in (str(outbox[-1].token), NUMBER):
        assert found(secret, django + collected) == []


def test_a65_the_page_for_developers_shows_no_code_that_was_not_typed(
    journey, alex, phone, monkeypatch, settings
):
    """With ``DEBUG`` Django shows all variables; the code is masked even there."""
    settings.DEBUG = True
    journey.client.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(challenges._Journey, "_conclude", boom)
        pages = [journey.enter_password(alex).content.decode()]
    journey.enter_password(alex)
    with monkeypatch.context() as patch:
        patch.setattr(Lockout, "record_failure", boom)
        pages.append(journey.enter_code(journey.wrong_code).content.decode())

    for page in pages:
        assert "Boom" in page
        assert found(journey.code, page) == []


def test_a65_the_collector_would_show_a_code_that_is_not_kept_from_it():
    """The test of the tests above."""

    def careless(entered: str) -> Any:
        return boom()

    with pytest.raises(Boom) as raised:
        careless("246802")
    collected = [
        repr(value)
        for frame, _line in traceback.walk_tb(raised.value.__traceback__)
        for value in frame.f_locals.values()
    ]
    assert found("246802", "".join(collected))
