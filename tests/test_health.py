"""What staff are told of the providers: of the settings, the breakers and the last messages."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.checks import Error, Info, Warning  # noqa: A004
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from django_otp_channels.backends import memory
from django_otp_channels.backends.base import Backend
from django_otp_channels.breaker import Breaker
from django_otp_channels.health import BackendHealth, ChannelHealth, Counts, examine
from django_otp_channels.models import Budget, Challenge, Delivery
from django_otp_channels.models.budgets import Send
from tests.factories import PhoneFactory

pytestmark = pytest.mark.django_db

TWILIO = "django_otp_channels.backends.twilio"
MEMORY = "django_otp_channels.backends.memory"
OPTIONS = {"account_sid": "AC" + "0" * 32, "auth_token": "0" * 32, "sender": "+12025550100"}


class Complaining(memory.SMS):
    """A backend whose check says what the test wants."""

    found: list[Any] = []  # noqa: RUF012

    def check(self) -> list[Any]:
        return self.found


class Pigeon(Backend):
    """A provider with a network."""

    provider = "pigeon"
    channels = frozenset({"sms", "voice"})


def here(name: str) -> dict[str, Any]:
    return {"BACKEND": f"{__name__}.{name}"}


@pytest.fixture
def settings(settings: Any, tmp_path) -> Any:
    """One channel with one provider, whose breaker all processes know."""
    settings.OTP_CHANNELS = {"sms": [here("Pigeon")]}
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(tmp_path),
        }
    }
    return settings


def the_channel() -> ChannelHealth:
    (channel,) = examine().channels
    return channel


def the_backend() -> BackendHealth:
    (backend,) = the_channel().backends
    return backend


@pytest.fixture
def challenge() -> Challenge:
    return Challenge.issue(PhoneFactory(), purpose="login")


@pytest.fixture
def note(challenge):
    """Return a function that notes deliveries, so many ``hours`` ago."""

    def note(status: str, *, hours: float = 1, **facts: Any) -> None:
        facts = {"channel": "sms", "provider": "pigeon", **facts}
        Delivery.objects.create(
            challenge=challenge,
            status=status,
            created_at=Now() - timedelta(hours=hours),
            **facts,
        )

    return note


# -- what is configured ----------------------------------------------------------------------


def test_a_sound_site_is_told_as_it_is(settings):
    settings.OTP_CHANNELS = {
        "voice": [{"BACKEND": f"{TWILIO}.Voice", "OPTIONS": OPTIONS}, here("Pigeon")],
        "push": [{"BACKEND": f"{MEMORY}.Push"}],
        "sms": [],
    }

    found = examine()

    assert [(c.name, str(c.label)) for c in found.channels] == [
        ("voice", "phone call"),
        ("push", "app notification"),
    ]
    assert [b.provider for c in found.channels for b in c.backends] == [
        "twilio", "pigeon", "memory",
    ]  # fmt: skip
    assert [b.receipts for c in found.channels for b in c.backends] == [True, False, False]
    assert {b.state for c in found.channels for b in c.backends} == {"ready"}
    assert (found.base_url, found.countries) == ("https://www.example.com", ["DE", "GB", "US"])
    assert (found.problems, found.usable, found.broken) == ((), True, False)


def test_without_a_base_url_no_receipts_are_possible(settings):
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": f"{TWILIO}.SMS", "OPTIONS": OPTIONS}]}
    settings.OTP_CHANNELS_BASE_URL = ""

    assert not the_backend().receipts


@pytest.mark.parametrize(
    ("problems", "state", "ready", "broken"),
    [
        ([], "ready", True, False),
        ([Info("i", id="x.I1")], "ready", True, False),
        ([Warning("w", id="x.W1")], "needs attention", False, False),
        ([Error("e", id="x.E1"), Warning("w", id="x.W1")], "cannot send", False, True),
    ],
)
def test_a_backend_is_as_well_as_its_own_check_says(
    settings, monkeypatch, problems, state, ready, broken
):
    settings.OTP_CHANNELS = {"sms": [here("Complaining")]}
    monkeypatch.setattr(Complaining, "found", problems)

    backend = the_backend()

    assert backend.problems == problems
    assert (backend.state, backend.ready, backend.broken) == (state, ready, broken)
    assert examine().usable is ready
    assert examine().broken is not ready


def test_missing_credentials_leave_a_channel_without_use(settings, monkeypatch):
    for name in list(os.environ):
        if name.startswith("TWILIO_"):
            monkeypatch.delenv(name)
    settings.OTP_CHANNELS = {
        "sms": [{"BACKEND": f"{TWILIO}.SMS", "OPTIONS": {"sender": "+12025550100"}}]
    }

    assert [problem.id for problem in the_backend().problems] == ["otp_channels.W102"]
    assert examine().broken


def test_one_channel_that_works_is_enough(settings, monkeypatch):
    settings.OTP_CHANNELS = {"sms": [here("Complaining")], "voice": [here("Pigeon")]}
    monkeypatch.setattr(Complaining, "found", [Warning("w", id="x.W1")])

    assert examine().usable
    assert not examine().broken


def test_an_error_anywhere_is_something_broken(settings, monkeypatch):
    settings.OTP_CHANNELS = {"sms": [here("Pigeon"), here("Complaining")]}
    monkeypatch.setattr(Complaining, "found", [Error("e", id="x.E1")])

    assert examine().usable
    assert examine().broken


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"BACKEND": "no.such.Thing"}, "cannot be imported"),
        ({**here("Pigeon"), "OPTIONS": {"colour": "red"}}, "has no option colour"),
    ],
)
def test_an_entry_that_cannot_be_built_is_told_by_its_path(settings, entry, said):
    settings.OTP_CHANNELS = {"sms": [entry]}

    backend = the_backend()

    assert backend.provider == entry["BACKEND"]
    assert said in backend.problems[0].msg
    assert (backend.state, backend.breaker) == ("cannot send", "none, since it needs no network")
    assert examine().broken


def test_a_channel_that_does_not_exist_is_told_too(settings):
    settings.OTP_CHANNELS = {"fax": [here("Pigeon")]}

    assert the_channel().label == "fax"
    assert the_backend().broken


def test_without_countries_no_phone_is_reached(settings):
    settings.OTP_CHANNELS = {"sms": [here("Pigeon")], "push": [{"BACKEND": f"{MEMORY}.Push"}]}
    settings.OTP_CHANNELS_COUNTRIES = []

    sms, push = examine().channels

    assert (sms.usable, sms.blocked) == (False, "No country is allowed, so nothing leaves.")
    assert (push.usable, push.blocked) == (True, "")


def test_settings_out_of_bounds_are_all_that_is_told(settings):
    settings.OTP_CHANNELS_MAX_SENDS = 0
    settings.OTP_CHANNELS_TOKEN_LENGTH = 4

    found = examine()

    assert [problem.split(":")[0] for problem in found.problems] == [
        "OTP_CHANNELS_TOKEN_LENGTH",
        "OTP_CHANNELS_MAX_SENDS",
    ]
    assert (found.channels, found.broken) == ((), True)


def test_without_a_channel_something_is_broken(settings):
    settings.OTP_CHANNELS = {}

    assert examine().broken


# -- the breaker -----------------------------------------------------------------------------


def fail(switch: Breaker) -> None:
    for _ in range(5):
        switch.failed(switch.admit())


def test_the_breaker_is_told_from_its_opening_to_its_probe(settings):
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        assert the_backend().breaker == "closed"

        fail(Breaker("sms", 0, "pigeon"))
        clock.shift(6)
        paused = the_backend()
        assert paused.state == "paused"
        assert paused.breaker == (
            "open: it failed again and again, and is skipped for 24 more seconds"
        )
        assert not examine().usable

        clock.shift(24)
        probing = the_backend()
        assert probing.state == "ready"
        assert probing.breaker == "half open: the next message tries it again"


def test_where_processes_share_nothing_the_breaker_is_told_as_one_process_knows_it(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    assert not examine().shared_cache
    assert the_backend().breaker == "closed, as far as this process knows"


# -- what has become of the messages ---------------------------------------------------------


def test_the_last_success_and_the_last_error_are_told(settings, note):
    for status, hours, code in [
        ("failed", 60, "20429"),
        ("sent", 50, ""),
        ("delivered", 40, ""),
        ("undelivered", 30, "30003"),
        ("sending", 0, ""),
    ]:
        note(status, hours=hours, error_code=code)
    note("failed", error_code="x", provider="other")
    note("sent", channel="voice")

    backend = the_backend()

    last = backend.last_success, backend.last_failure
    assert [(event.status, event.code) for event in last] == [
        ("delivered", ""), ("undelivered", "30003"),
    ]  # fmt: skip
    assert [Delivery.objects.get(created_at=event.at).status for event in last] == [
        "delivered", "undelivered",
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["sent", "delivered", "answered"])
def test_what_counts_as_a_success(settings, note, status):
    note(status)

    assert the_backend().last_success.status == status
    assert the_backend().last_failure is None


@pytest.mark.parametrize("status", ["failed", "undelivered", "unknown"])
def test_what_counts_as_an_error(settings, note, status):
    note(status, error_code="E1", reason="gone")

    event = the_backend().last_failure
    assert (event.status, event.code, event.why) == (status, "E1", "no longer in use")
    assert the_backend().last_success is None


def test_a_send_that_is_overdue_is_an_unknown_outcome(settings, note):
    note("sending", hours=1)

    assert the_backend().last_failure.status == "unknown"
    assert the_backend().day == Counts(unknown=1)


@pytest.mark.parametrize("code", ["paused", "busy", "no-thread"])
def test_a_provider_that_was_not_asked_made_no_error(settings, note, code):
    note("failed", error_code="20429")
    note("failed", error_code=code)

    assert the_backend().last_failure.code == "20429"
    assert the_backend().day == Counts(failed=1, skipped=1)


def test_the_last_day_is_counted(settings, note):
    for status, times in {
        "sent": 5, "delivered": 3, "answered": 1, "failed": 2, "undelivered": 1, "unknown": 4,
    }.items():  # fmt: skip
        for _ in range(times):
            note(status, hours=23)
        note(status, hours=25)
    note("sent", provider="other")

    day = the_backend().day

    assert day == Counts(sent=9, arrived=4, failed=3, unknown=4)
    assert day.words == "9 sent, 4 known to have arrived, 3 failed, 4 unknown"
    assert Counts().words == ""


def test_what_is_older_than_a_week_is_not_looked_for(settings, note):
    note("sent", hours=7 * 24 + 1)
    note("failed", hours=7 * 24 + 1)
    assert (the_backend().last_success, the_backend().last_failure) == (None, None)

    note("sent", hours=7 * 24 - 1)
    note("failed", hours=7 * 24 - 1)
    assert None not in (the_backend().last_success, the_backend().last_failure)


def test_more_messages_cost_no_more_statements(settings, note):
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            examine()
        return len(captured)

    note("sent")
    note("failed")
    before = statements()
    for _ in range(10):
        note("sent")
        note("failed")

    assert statements() == before == 5


def test_nothing_is_sent(settings, monkeypatch):
    def send(*args: Any, **kwargs: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(Pigeon, "send", send)
    settings.OTP_CHANNELS = {"sms": [here("Pigeon")], "voice": [here("Pigeon")]}

    assert examine().usable
    assert not Delivery.objects.exists()


# -- the limits --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "told"),
    [
        (19, []),
        (20, ["login.country (US): 50 percent of 4 in a day"]),
        (40, ["login.country (US): 100 percent of 4 in a day"]),
    ],
)
def test_a_limit_is_told_once_half_of_it_is_used_up(settings, used, told):
    settings.OTP_CHANNELS_LIMITS = {"login.country": {3600: 40, 86400: 4}}
    Budget.charge(Send(part="login", channel="sms", user_id=1, number="+12025550123"))
    Budget.objects.filter(bucket="login.country").update(hour_used=used, day_used=used)

    assert examine().limits == told


def test_a_window_that_is_over_counts_no_more(settings):
    settings.OTP_CHANNELS_LIMITS = {"login.site": {3600: 1}}
    Budget.charge(Send(part="login", channel="sms", user_id=1, number="+12025550123"))
    assert examine().limits == ["login.site: 100 percent of 1 in an hour"]

    Budget.objects.update(hour_since=Now() - timedelta(seconds=3601))

    assert examine().limits == []


def test_a_country_that_is_closed_is_told(settings):
    send = Send(part="enrol", channel="sms", user_id=1, number="+12025550123")
    Budget.charge(send)
    country = next(each for each in send.charges() if each.bucket == "enrol.country")
    Budget.pause(country, timedelta(hours=1))

    (told,) = examine().limits

    assert told.startswith("enrol.country (US): closed, since hardly anybody enters a code there")
