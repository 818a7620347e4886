"""A66: nobody learns without the password who is here, nor without the code why one is dead."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.backends.memory import SMS
from django_otp_channels.exceptions import DeliveryUnavailable
from django_otp_channels.messages import Message, Receipt
from django_otp_channels.models import Challenge, Lockout
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, LOGIN, VERIFY, Journey

pytestmark = pytest.mark.django_db


class FailingSMS(SMS):
    def send(self, message: Message, *, timeout: float) -> Receipt:
        raise DeliveryUnavailable(code="500")


_COUNTDOWN = re.compile(r'data-otp-wait="\d+"|\b\d+ (?:second|minute)s?\b|\b\d+:\d\d\b')
_CSRF = re.compile(r'(name="csrfmiddlewaretoken" value=")[^"]*')


def seen(client: Client, url: str, data: dict[str, str], *typed: str) -> dict[str, Any]:
    """POST, and return all that can be told of the answer from outside."""
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(url, data)
    body = _CSRF.sub(r"\1", answer.content.decode())
    for each in typed:
        body = body.replace(each, "•")
    return {
        "status": answer.status_code,
        "body": _COUNTDOWN.sub("", body),
        # Those that tell the time, or the length of what was typed, differ for everybody.
        "headers": {
            name: value
            for name, value in answer.headers.items()
            if name not in ("Date", "Expires", "Content-Length")
        },
        "cookies": {
            name: {**morsel, "expires": ""} for name, morsel in sorted(answer.cookies.items())
        },
        "statements": len(queries),
    }


# -- before the password -----------------------------------------------------------------------


def nobody() -> str:
    return "stranger"


def plain() -> str:
    return UserFactory(username="person").username


def with_phone() -> str:
    return PhoneFactory(user__username="person").user.username


def with_authenticator() -> str:
    return TOTPDevice.objects.create(user=UserFactory(username="person")).user.username


def locked() -> str:
    user = PhoneFactory(user__username="person").user
    Lockout.objects.create(user=user, failures=10, locked_until=Now() + timedelta(minutes=15))
    return user.username


def stopped() -> str:
    user = PhoneFactory(user__username="person").user
    Lockout.objects.create(user=user, failures=50, stopped_at=Now())
    return user.username


def parked_elsewhere() -> str:
    user = PhoneFactory(user__username="person").user
    Journey(Client(), [], PASSWORD).enter_password(user)
    return user.username


def inactive() -> str:
    return PhoneFactory(user__username="person", user__is_active=False).user.username


def staff() -> str:
    return PhoneFactory(user__username="person", user__staff=True).user.username


PEOPLE = (plain, with_phone, with_authenticator, locked, stopped, parked_elsewhere, inactive, staff)


@pytest.mark.parametrize("url", [LOGIN, "/login/", "/admin/login/"])
@pytest.mark.parametrize("person", PEOPLE)
def test_a66_before_the_password_nothing_tells_whether_there_is_an_account(person, url, outbox):
    stranger = seen(Client(), url, {"username": nobody(), "password": "wrong"}, "stranger")
    name = person()
    outbox.clear()

    told = seen(Client(), url, {"username": name, "password": "wrong"}, name)

    assert told == stranger
    assert told["status"] == 200
    assert outbox == []


@pytest.mark.parametrize("url", [LOGIN, "/login/"])
def test_a66_a_deactivated_account_is_like_none_with_its_password_too(url, outbox):
    stranger = seen(Client(), url, {"username": nobody(), "password": PASSWORD}, "stranger")
    name = inactive()

    assert seen(Client(), url, {"username": name, "password": PASSWORD}, name) == stranger
    assert outbox == []


@pytest.mark.parametrize("url", [VERIFY, "/account/send/", "/account/status/", "/account/cancel/"])
def test_a66_the_pages_of_the_step_tell_strangers_nothing(url):
    before = [seen(Client(), url, {"token": "123456", "device": "1"})]
    locked()
    PhoneFactory()

    assert [seen(Client(), url, {"token": "123456", "device": "1"})] == before


def test_a66_with_the_password_a_failing_provider_looks_like_a_good_one(outbox, settings):
    """The answer to the password itself; the code page may tell its own visitor more."""
    answers = []
    for channel, name in (("memory", "one"), ("failing", "two")):
        user = PhoneFactory(user__username=name).user
        if channel == "failing":
            settings.OTP_CHANNELS = {"sms": [{"BACKEND": f"{__name__}.FailingSMS"}]}
        data = {"username": user.username, "password": PASSWORD}
        answer = Client().post(LOGIN, data)
        answers.append((answer.status_code, answer.headers["Location"], sorted(answer.cookies)))

    assert answers[0] == answers[1]


# -- after the password ------------------------------------------------------------------------


def wrong(journey: Journey) -> str:
    return journey.wrong_code


def used(journey: Journey) -> str:
    """One that has opened a door already."""
    other = Journey(Client(), journey.outbox, PASSWORD)
    user = Challenge.objects.latest("created_at").user
    other.enter_password(user)
    code = other.code
    other.enter_code(code)
    return code


def of_another_session(journey: Journey) -> str:
    other = Journey(Client(), journey.outbox, PASSWORD)
    other.enter_password(Challenge.objects.latest("created_at").user)
    return other.code


def of_somebody_else(journey: Journey) -> str:
    other = Journey(Client(), journey.outbox, PASSWORD)
    other.enter_password(PhoneFactory().user)
    return other.code


def of_a_proof(journey: Journey) -> str:
    other = Journey(Client(), journey.outbox, PASSWORD)
    other.enter_password(UserFactory())
    other.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})
    return other.code


def of_a_test(journey: Journey) -> str:
    Challenge.objects.latest("created_at").device.send_test_code()
    return journey.code


def superseded(journey: Journey) -> str:
    """Of this very session, before it asked for one to another phone."""
    code = journey.code
    challenge = Challenge.objects.latest("created_at")
    second = PhoneFactory(user=challenge.user)
    Challenge.objects.update(next_send_at=F("next_send_at") - timedelta(seconds=31))
    journey.ask(device=second.pk)
    Challenge.objects.update(next_send_at=F("next_send_at") + timedelta(seconds=31))
    return code


CODES: tuple[Callable[[Journey], str], ...] = (
    used, of_another_session, of_somebody_else, of_a_proof, of_a_test,
)  # fmt: skip


def park(outbox: list[Any], name: str) -> Journey:
    journey = Journey(Client(), outbox, PASSWORD)
    user = UserFactory(username=name)
    PhoneFactory(user=user, address="+12025550123")
    journey.enter_password(user)
    return journey


@pytest.mark.parametrize("kind", CODES)
def test_a66_after_the_password_every_dead_code_looks_alike(outbox, kind):
    journey = park(outbox, "person")
    Lockout.objects.create(user=Challenge.objects.get().user)
    code = kind(journey)  # whatever else it makes is there for both
    assert code != journey.code or kind is not wrong
    mistyped = next(each for each in (f"{n:06d}" for n in range(99)) if each not in _live(outbox))

    baseline = seen(journey.client, VERIFY, {"token": mistyped}, mistyped)
    told = seen(journey.client, VERIFY, {"token": code}, code)

    assert told == baseline
    assert told["status"] == 200
    assert journey.is_nobody


def _live(outbox: list[Any]) -> set[str]:
    return {str(message.token) for message in outbox}


def test_a66_a_code_of_an_earlier_phone_looks_like_a_wrong_one(outbox):
    journey = park(outbox, "person")
    Lockout.objects.create(user=Challenge.objects.get().user)
    code = superseded(journey)
    mistyped = next(each for each in (f"{n:06d}" for n in range(99)) if each not in _live(outbox))

    baseline = seen(journey.client, VERIFY, {"token": mistyped}, mistyped)

    assert seen(journey.client, VERIFY, {"token": code}, code) == baseline
    assert journey.is_nobody


def expire() -> None:
    Challenge.objects.update(expires_at=Now() - timedelta(seconds=1))


def spend() -> None:
    Challenge.objects.update(attempts=F("granted"), state="failed")


def lock() -> None:
    Lockout.objects.update(failures=10, locked_until=Now() + timedelta(minutes=15))


@pytest.mark.parametrize("kill", [expire, spend, lock])
def test_a66_once_a_code_is_dead_the_right_one_looks_like_a_wrong_one(outbox, kill):
    journey = park(outbox, "person")
    Lockout.objects.create(user=Challenge.objects.get().user)
    kill()
    if kill is lock:
        Lockout.objects.update(told_lock=F("locked_until"), warned=True)
    code, mistyped = journey.code, journey.wrong_code

    baseline = seen(journey.client, VERIFY, {"token": mistyped}, mistyped)

    assert seen(journey.client, VERIFY, {"token": code}, code) == baseline
    assert journey.is_nobody


def test_a66_a_code_where_none_was_sent_looks_like_a_wrong_one(outbox, client):
    user = UserFactory(username="person")
    PhoneFactory(user=user)
    client.force_login(user)  # parked, and nothing sent

    page = client.post(VERIFY, {"token": "123456"})

    assert page.context["form"].errors["token"] == ["This code is not right or no longer valid."]
