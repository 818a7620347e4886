"""What Twilio knows of a number, asked through its own SDK, before a message goes out."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.db import transaction
from django.test import Client
from django.utils import timezone

from django_otp_channels import lookup
from django_otp_channels.backends import twilio
from django_otp_channels.exceptions import SendNotAllowed
from django_otp_channels.lookup import before_send
from django_otp_channels.models.budgets import Send
from tests.clock import let_pass
from tests.factories import PASSWORD, UserFactory
from tests.journey import ADD_PHONE, VERIFY, Journey
from tests.providers.loopback import HANG, RESET, Endpoint, Reply
from tests.providers.twilio import AUTH_TOKEN, OPTIONS, TwilioAPI, error

pytestmark = [pytest.mark.django_db, pytest.mark.provider]

NUMBER = "+12025550123"
CREDENTIALS = {name: OPTIONS[name] for name in ("account_sid", "auth_token")}


def ask(part: str = "enrol", number: str = NUMBER) -> None:
    before_send(Send(part=part, channel="sms", user_id=1, number=number))


def refused(part: str = "enrol", number: str = NUMBER) -> bool:
    try:
        ask(part, number)
    except SendNotAllowed:
        return True
    return False


@pytest.fixture
def rules(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets the options of the look-up. It begins with an empty cache."""
    cache.clear()
    monkeypatch.setattr(lookup, "_pause", lookup._Pause())

    def set_to(**options: Any) -> None:
        settings.OTP_CHANNELS_BEFORE_SEND = "django_otp_channels.lookup.before_send"
        settings.OTP_CHANNELS_LOOKUP = {**CREDENTIALS, "sim_swap_hours": 72, **options}

    set_to()
    return set_to


@pytest.fixture
def lookups(twilio_api: TwilioAPI, rules: Any) -> Endpoint:
    return twilio_api.lookups


def ago(**age: float) -> str:
    return (timezone.now() - timedelta(**age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def swapped(**facts: Any) -> dict[str, Any]:
    return {
        "last_sim_swap_date": None, "swapped_period": "PT24H", "swapped_in_period": None, **facts,
    }  # fmt: skip


# -- what is asked, and what it decides --------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "no"),
    [
        ("mobile", False),
        ("landline", False),
        ("fixedVoip", False),
        ("nonFixedVoip", True),
        ("premium", True),
        ("pager", True),
        ("something new", False),
    ],
)
def test_a_number_is_enrolled_by_its_kind_of_line(twilio_api, lookups, line, no):
    twilio_api.lines[NUMBER] = line

    assert refused() is no
    (request,) = lookups.requests
    assert request.path == "/v2/PhoneNumbers/+12025550123?Fields=line_type_intelligence"


@pytest.mark.parametrize(
    ("swap", "no"),
    [
        (swapped(last_sim_swap_date=ago(hours=71), swapped_in_period=False), True),
        (swapped(last_sim_swap_date=ago(hours=73), swapped_in_period=True), False),
        (swapped(swapped_in_period=True), True),
        (swapped(swapped_in_period=False), False),
        (swapped(), False),
    ],
)
def test_a_login_gets_no_code_to_a_new_sim(twilio_api, lookups, swap, no):
    twilio_api.swaps[NUMBER] = swap

    assert refused("login") is no
    (request,) = lookups.requests
    assert request.path == "/v2/PhoneNumbers/+12025550123?Fields=sim_swap"


def test_what_is_not_asked_costs_nothing(lookups, rules):
    rules(refuse_lines=[], sim_swap_hours=0)

    ask("enrol")
    ask("login")
    before_send(Send(part="login", channel="push", user_id=1, address="token of an app"))

    assert lookups.requests == []


def test_an_answer_is_paid_for_once(twilio_api, lookups):
    twilio_api.lines[NUMBER] = "premium"

    assert [refused() for _ in range(3)] == [True] * 3
    assert [refused(number="+12025550124") for _ in range(3)] == [False] * 3
    assert [refused("login") for _ in range(3)] == [False] * 3

    assert len(lookups.requests) == 3


def test_an_answer_is_kept_for_as_long_as_the_site_says(lookups, rules, monkeypatch):
    kept: list[tuple[str, int]] = []
    real = LocMemCache.set

    def noted(self: Any, key: str, value: Any, timeout: int, **kwargs: Any) -> None:
        kept.append((key, timeout))
        real(self, key, value, timeout, **kwargs)

    monkeypatch.setattr(LocMemCache, "set", noted)
    rules(remember_line=7000, remember_sim=70)

    ask("enrol")
    ask("login")

    assert [seconds for _key, seconds in kept] == [7000, 70]


# -- where there is no answer ------------------------------------------------------------------


@pytest.fixture(params=["send", "refuse"])
def choice(request: pytest.FixtureRequest, rules: Any) -> str:
    rules(when_unknown=request.param, timeout=0.5)
    return str(request.param)


@pytest.mark.parametrize(
    ("reply", "asked_again"),
    [
        (HANG, False),
        (RESET, False),
        (Reply(503, "<html>"), False),
        (error(20429, status=429), False),
        (error(20003, status=401), False),
        (error(20404, status=404), True),
        (Reply(200, "no JSON"), False),
    ],
    ids=["hang", "reset", "503", "429", "401", "404", "no JSON"],
)
def test_where_twilio_does_not_answer_the_site_has_chosen(
    lookups, choice, reply, asked_again, caplog
):
    lookups.always(reply)
    begun = time.monotonic()

    assert refused() is (choice == "refuse")
    assert refused(number="+12025550124") is (choice == "refuse")

    assert time.monotonic() - begun < 3
    assert len(lookups.requests) == (2 if asked_again else 1)
    assert "Twilio's Lookup did not answer" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        {"line_type_intelligence": None, "sim_swap": None},
        {"line_type_intelligence": {"type": None, "error_code": 60601}},
        {"sim_swap": {"last_sim_swap": None, "error_code": 60606}},
    ],
)
@pytest.mark.parametrize("part", ["enrol", "login"])
def test_a_carrier_that_tells_nothing_is_asked_once(lookups, choice, answer, part):
    lookups.always(Reply(200, {"line_type_intelligence": None, "sim_swap": None, **answer}))

    assert [refused(part) for _ in range(2)] == [choice == "refuse"] * 2
    assert len(lookups.requests) == 1


def test_without_credentials_nothing_is_asked(lookups, rules, caplog):
    rules(account_sid="", auth_token="")

    assert not refused()
    assert lookups.requests == []
    assert "W102" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_nothing_is_asked_while_a_transaction_is_open(lookups, choice):
    with transaction.atomic():
        assert refused() is (choice == "refuse")
        assert lookups.requests == []
    ask()
    assert len(lookups.requests) == 1
    with transaction.atomic():
        ask()  # the answer is known by now
    assert len(lookups.requests) == 1


def test_a_cache_that_fails_has_forgotten(lookups, monkeypatch):
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(LocMemCache, "get", broken)
    monkeypatch.setattr(LocMemCache, "set", broken)

    assert [refused() for _ in range(2)] == [False] * 2
    assert len(lookups.requests) == 2


# -- what it tells, and whom -------------------------------------------------------------------


@pytest.mark.parametrize("reply", [None, error(20404, status=404), Reply(503)])
def test_no_log_no_key_of_the_cache_and_no_error_holds_a_number(
    twilio_api, lookups, rules, caplog, monkeypatch, reply
):
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    rules(when_unknown="refuse")
    twilio_api.lines[NUMBER] = "premium"
    if reply:
        lookups.always(reply)

    with pytest.raises(SendNotAllowed) as told:
        ask()

    seen = f"{caplog.text} {list(cache._cache)} {told.value!r} {told.value.__context__!r}"
    for secret in (NUMBER, NUMBER[1:], AUTH_TOKEN):
        assert secret not in seen
    assert list(cache._cache) or reply


def test_a_person_reads_why_and_is_not_let_in(journey, twilio_api, lookups, alex, phone):
    twilio_api.swaps[phone.address] = swapped(last_sim_swap_date=ago(hours=1))

    journey.enter_password(alex)

    page = journey.client.get(VERIFY).text
    assert "SIM card of this number was changed" in page
    assert journey.outbox == []
    assert journey.is_nobody


def test_a_number_of_the_web_is_refused_beside_its_field(journey, twilio_api, lookups):
    twilio_api.lines[NUMBER] = "nonFixedVoip"
    newcomer = Journey(Client(), journey.outbox, PASSWORD)
    newcomer.enter_password(UserFactory())

    answer = newcomer.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    assert "A number of this kind cannot be used." in answer.text
    assert journey.outbox == []


def test_a_look_up_that_is_down_holds_up_nobody_for_long(journey, lookups, rules, alex, phone):
    rules(timeout=0.5)
    lookups.always(HANG)

    journey.enter_password(alex)
    let_pass(31)
    journey.ask()
    journey.enter_code()

    assert len(journey.outbox) == 2
    assert journey.is_in
    assert len(lookups.requests) == 1


def test_every_line_that_is_refused_by_default_is_one_of_twilios():
    from django_otp_channels.conf import conf

    assert conf.LOOKUP["refuse_lines"] < twilio.LINE_TYPES
