from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine

from django_otp_channels import breaker, delivery
from django_otp_channels.backends.base import Backend
from django_otp_channels.breaker import Breaker, Leave
from django_otp_channels.codes import Token
from django_otp_channels.delivery import Attempt, Outcome, carry
from django_otp_channels.exceptions import (
    BackendMisconfigured,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
    Reason,
)
from django_otp_channels.messages import Message, Receipt, Status

MESSAGE = Message(
    channel="sms",
    to="+12025550123",
    token=Token("048213"),
    text="048213 is your code.",
    title="Example",
    language="en",
    lifetime=300,
)
PATIENCE = 5  # seconds after which a test that waits has failed


class Fake(Backend):
    """A backend that does as told: takes the message, raises, or first waits to be let go."""

    channels = frozenset({"sms"})

    def __init__(
        self,
        error: Exception | None = None,
        *,
        provider: str = "fake",
        inline: bool = False,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self.error = error
        self.provider = provider  # type: ignore[misc]
        self.inline = inline  # type: ignore[misc]
        self.before = before
        self.timeouts: list[float] = []
        self.threads: list[threading.Thread] = []
        self.asked = threading.Event()

    def send(self, message: Message, *, timeout: float) -> Receipt:
        assert message is MESSAGE
        self.timeouts.append(timeout)
        self.threads.append(threading.current_thread())
        self.asked.set()
        self.before()
        if self.error is not None:
            raise self.error
        return Receipt(provider=self.provider, message_id=f"{self.provider}-{len(self.threads)}")


class Gate:
    """Holds a backend until it is opened."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        assert self._event.wait(PATIENCE)

    def open(self) -> None:
        self._event.set()


@pytest.fixture(autouse=True)
def _threads_end() -> Iterator[None]:
    delivery._pools.reset()
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(params=["inline", "thread"])
def inline(request: pytest.FixtureRequest) -> bool:
    return request.param == "inline"


def attempts_of(outcome: Outcome) -> Sequence[Attempt]:
    attempts = outcome.claim(unexpected, wait=PATIENCE)
    assert attempts is not None
    return attempts


def unexpected(attempts: Sequence[Attempt]) -> None:
    raise AssertionError(attempts)


def summary(attempts: Sequence[Attempt]) -> list[tuple[str, str, str]]:
    return [(each.provider, each.status.value, each.error_code) for each in attempts]


# ── Which backend is asked ──────────────────────────────────────────────────────────────────────


def test_the_first_backend_that_takes_it_is_the_last_one_asked(inline: bool) -> None:
    first, second = Fake(provider="first", inline=inline), Fake(provider="second", inline=inline)
    (attempt,) = attempts_of(carry(MESSAGE, [first, second]))
    assert (attempt.provider, attempt.status, attempt.message_id) == ("first", "sent", "first-1")
    assert not second.asked.is_set()


@pytest.mark.parametrize(
    "error", [DeliveryUnavailable(code="429"), BackendMisconfigured("No sender.", code="21603")]
)
def test_the_next_backend_is_asked_when_nothing_was_sent(error: Any, inline: bool) -> None:
    first = Fake(error, provider="first", inline=inline)
    second = Fake(provider="second", inline=inline)
    assert summary(attempts_of(carry(MESSAGE, [first, second]))) == [
        ("first", "failed", error.code),
        ("second", "sent", ""),
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeliveryRefused(code="21610"), Status.FAILED),
        (DeliveryUnknown(code="ReadTimeout"), Status.UNKNOWN),
    ],
)
def test_the_next_backend_is_not_asked_when_it_may_be_out_or_never_will_be(
    error: Any, status: Status, inline: bool
) -> None:
    first = Fake(error, provider="first", inline=inline)
    second = Fake(provider="second", inline=inline)
    attempts = attempts_of(carry(MESSAGE, [first, second]))
    assert summary(attempts) == [("first", status, error.code)]
    assert not second.asked.is_set()


def test_an_attempt_says_that_the_address_is_dead(inline: bool) -> None:
    (attempt,) = attempts_of(
        carry(MESSAGE, [Fake(DeliveryRefused(code="21211", reason=Reason.GONE), inline=inline)])
    )
    assert attempt.reason == Reason.GONE


def test_a_foreign_error_counts_as_maybe_sent(
    inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first = Fake(KeyError("048213 to +12025550123"), provider="first", inline=inline)
    second = Fake(provider="second", inline=inline)
    with caplog.at_level(logging.DEBUG):
        attempts = attempts_of(carry(MESSAGE, [first, second]))
    assert summary(attempts) == [("first", "unknown", "KeyError")]
    assert not second.asked.is_set()
    assert "KeyError" in caplog.text
    assert "048213" not in caplog.text
    assert "2025550123" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_backend_that_returns_no_receipt_may_have_sent_it(
    inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Fake(inline=inline)
    monkeypatch.setattr(backend, "send", lambda message, timeout: None)
    assert summary(attempts_of(carry(MESSAGE, [backend]))) == [
        ("fake", "unknown", "AttributeError")
    ]


def test_what_is_misconfigured_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    carry(MESSAGE, [Fake(BackendMisconfigured("No sender.", code="21603"), inline=True)])
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "21603" in record.getMessage()
    assert "No sender." in record.getMessage()


def test_all_backends_may_fail(inline: bool) -> None:
    backends = [Fake(DeliveryUnavailable(code=name), inline=inline) for name in ("a", "b", "c")]
    assert [each.error_code for each in attempts_of(carry(MESSAGE, backends))] == ["a", "b", "c"]


def test_without_a_backend_there_is_no_attempt() -> None:
    assert attempts_of(carry(MESSAGE, [])) == []


def test_the_list_of_backends_stays_as_it_was(inline: bool) -> None:
    backends = [Fake(DeliveryUnavailable(), inline=inline), Fake(inline=inline)]
    attempts_of(carry(MESSAGE, backends))
    assert len(backends) == 2


# ── How long it takes ───────────────────────────────────────────────────────────────────────────


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> Callable[[], None]:
        def spend() -> None:
            self.now += seconds

        return spend


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Clock:
    settings.OTP_CHANNELS_SEND_TIMEOUT = 10
    clock = Clock()
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=clock))
    return clock


def test_each_backend_gets_what_is_left_of_the_time(clock: Clock, inline: bool) -> None:
    first = Fake(DeliveryUnavailable(), inline=inline, before=clock.spend(4))
    second = Fake(DeliveryUnavailable(), inline=inline, before=clock.spend(3))
    third = Fake(inline=inline)
    attempts_of(carry(MESSAGE, [first, second, third]))
    assert [*first.timeouts, *second.timeouts, *third.timeouts] == [10, 6, 3]


@pytest.mark.parametrize("seconds", [10, 11])
def test_no_backend_is_asked_when_the_time_is_used_up(
    clock: Clock, inline: bool, seconds: float
) -> None:
    first = Fake(DeliveryUnavailable(code="late"), inline=inline, before=clock.spend(seconds))
    second = Fake(inline=inline)
    attempts = attempts_of(carry(MESSAGE, [first, second]))
    assert summary(attempts) == [("fake", "failed", "late")]
    assert not second.asked.is_set()


@pytest.mark.parametrize(("seconds", "asked"), [(7.9, True), (8.1, False)])
def test_a_further_backend_is_asked_only_where_it_has_a_fair_chance(
    clock: Clock, inline: bool, seconds: float, asked: bool
) -> None:
    first = Fake(DeliveryUnavailable(code="late"), inline=inline, before=clock.spend(seconds))
    second = Fake(inline=inline)
    attempts_of(carry(MESSAGE, [first, second]))
    assert second.asked.is_set() is asked


def test_a_backend_that_got_the_rest_of_anothers_time_only_is_not_judged(clock: Clock) -> None:
    for _ in range(6):
        slow = Fake(DeliveryUnavailable(), provider="slow", before=clock.spend(7))
        well = Fake(DeliveryUnknown(code="ReadTimeout"), provider="well", before=clock.spend(3))
        attempts_of(carry(MESSAGE, [slow, well]))
        clock.now += 1000
        breaker.forget()  # of the slow one
    assert Breaker(MESSAGE.channel, 1, "well").admit() == Leave()


# ── Where it runs ───────────────────────────────────────────────────────────────────────────────


def test_a_backend_without_network_runs_at_once_in_the_calling_thread() -> None:
    backend = Fake(inline=True)
    outcome = carry(MESSAGE, [backend])
    assert backend.threads == [threading.current_thread()]
    assert outcome.claim(unexpected) is not None


def test_a_network_backend_runs_in_a_daemon_thread_and_is_not_waited_for() -> None:
    gate = Gate()
    backend = Fake(provider="slow", before=gate)
    outcome = carry(MESSAGE, [backend])
    late: list[tuple[Sequence[Attempt], threading.Thread]] = []
    recorded = threading.Event()

    def record(attempts: Sequence[Attempt]) -> None:
        late.append((attempts, threading.current_thread()))
        recorded.set()

    assert outcome.claim(record) is None
    assert late == []
    gate.open()
    assert recorded.wait(PATIENCE)
    (thread,) = backend.threads
    assert thread.daemon
    assert "slow" in thread.name
    thread.join(PATIENCE)
    ((attempts, recorder),) = late
    assert summary(attempts) == [("slow", "sent", "")]
    assert recorder is thread


def test_an_outcome_in_time_is_not_recorded_late() -> None:
    backend = Fake()
    late: list[Sequence[Attempt]] = []
    assert carry(MESSAGE, [backend]).claim(late.append, wait=PATIENCE) is not None
    backend.threads[0].join(PATIENCE)
    assert late == []


def test_an_outcome_that_comes_while_it_is_claimed_is_recorded() -> None:
    outcome = Outcome()
    finishing = threading.Thread(target=outcome.finish, args=([],))

    class Meeting(threading.Event):
        """Lets the outcome come between the look at it and what follows from the look."""

        def is_set(self) -> bool:
            seen = super().is_set()
            finishing.start()
            finishing.join(0.1)
            return seen

    outcome._done = Meeting()
    late: list[Sequence[Attempt]] = []
    assert outcome.claim(late.append) is None
    finishing.join(PATIENCE)
    assert late == [[]]


def test_a_backend_without_network_may_follow_one_with() -> None:
    first = Fake(DeliveryUnavailable(code="x"), provider="first")
    second = Fake(provider="second", inline=True)
    attempts = attempts_of(carry(MESSAGE, [first, second]))
    assert summary(attempts) == [("first", "failed", "x"), ("second", "sent", "")]
    assert first.threads == second.threads
    assert first.threads != [threading.current_thread()]


@pytest.mark.parametrize(
    ("options", "threaded"),
    [
        ({}, False),
        ({"enable-threads": True}, True),
        ({b"enable-threads": True}, True),
        ({"threads": b"4"}, True),
        ({b"threads": b"4"}, True),
    ],
)
def test_under_uwsgi_it_runs_in_a_thread_only_where_threads_run(
    options: dict[Any, Any], threaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=options))  # type: ignore[arg-type]
    backend = Fake()
    attempts_of(carry(MESSAGE, [backend]))
    assert delivery.threads_available() is threaded
    assert (backend.threads != [threading.current_thread()]) is threaded


def test_a_process_that_may_start_no_thread_asks_the_next_backend(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.OTP_CHANNELS_SEND_THREADS = 1

    def start(self: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        attempts = attempts_of(carry(MESSAGE, [Fake(), Fake(inline=True)]))
    assert summary(attempts) == [("fake", "failed", "no-thread"), ("fake", "sent", "")]
    # Nor does what did not start keep its slot.
    assert summary(attempts_of(carry(MESSAGE, [Fake()]))) == [("fake", "sent", "")]


# ── Who is left alone ───────────────────────────────────────────────────────────────────────────


def carry_all(*backends: Fake, times: int) -> list[Sequence[Attempt]]:
    return [attempts_of(carry(MESSAGE, backends)) for _ in range(times)]


OF_THE_PROVIDER = [
    DeliveryUnavailable(code="429"),
    DeliveryUnknown(code="ReadTimeout"),
    BackendMisconfigured("Credentials.", code="20003"),
    TimeoutError(),
    ConnectionResetError(),
]
OF_ONE_MESSAGE = [
    None,
    DeliveryRefused(code="21610"),
    DeliveryRefused(code="21610, whatever it says", provider_wide=True),
    DeliveryUnavailable(code="21612", provider_wide=False),
    DeliveryUnknown(code="odd", provider_wide=False),
    BackendMisconfigured("Trial account.", code="21608", provider_wide=False),
    KeyError("x"),
    ValueError("+12025550123"),
]


def named(error: Exception | None) -> str:
    return f"{type(error).__name__} {getattr(error, 'code', '')}".strip()


@pytest.mark.parametrize("error", OF_THE_PROVIDER, ids=named)
def test_a_provider_that_fails_five_times_is_skipped(error: Exception) -> None:
    first, second = Fake(error, provider="first"), Fake(provider="second")
    carry_all(first, second, times=5)

    attempts = attempts_of(carry(MESSAGE, [first, second]))

    assert summary(attempts) == [("first", "failed", "paused"), ("second", "sent", "")]
    assert len(first.threads) == 5


@pytest.mark.parametrize("error", OF_ONE_MESSAGE, ids=named)
def test_a_provider_is_asked_on_after_what_is_about_one_message(error: Exception | None) -> None:
    backend = Fake(error)

    carry_all(backend, times=12)

    assert len(backend.threads) == 12


def test_a_success_in_between_keeps_a_provider_in_use() -> None:
    backend = Fake(DeliveryUnavailable())
    for _ in range(3):
        backend.error = DeliveryUnavailable()
        carry_all(backend, times=4)
        backend.error = None
        carry_all(backend, times=1)

    assert len(backend.threads) == 15


def test_a_backend_without_network_is_never_skipped() -> None:
    backend = Fake(DeliveryUnavailable(), inline=True)

    carry_all(backend, times=12)

    assert len(backend.threads) == 12


def test_being_busy_is_no_failure(full: tuple[Fake, Outcome]) -> None:
    carry_all(Fake(provider="full"), times=12)

    assert Breaker("sms", 0, "full").admit() == Leave()


def test_where_all_are_skipped_the_send_fails_at_once_and_somebody_probes_in_time() -> None:
    backends = [Fake(DeliveryUnavailable(), provider=name) for name in ("first", "second")]
    with time_machine.travel(1_800_000_000, tick=False) as now:
        carry_all(*backends, times=5)
        paused = [("first", "failed", "paused"), ("second", "failed", "paused")]
        assert summary(attempts_of(carry(MESSAGE, backends))) == paused

        now.shift(30)
        backends[1].error = None
        assert summary(attempts_of(carry(MESSAGE, backends))) == [
            ("first", "failed", ""),
            ("second", "sent", ""),
        ]
        assert summary(attempts_of(carry(MESSAGE, backends))) == [
            ("first", "failed", "paused"),
            ("second", "sent", ""),
        ]


@pytest.mark.parametrize(
    ("error", "asked"), [(DeliveryRefused(), True), (DeliveryUnavailable(), False)]
)
def test_a_probe_that_met_a_bad_number_leaves_the_next_message_to_probe(
    error: Exception, asked: bool
) -> None:
    backend = Fake(DeliveryUnavailable())
    with time_machine.travel(1_800_000_000, tick=False) as now:
        carry_all(backend, times=5)
        now.shift(30)
        backend.error = error
        carry_all(backend, times=1)
        carry_all(backend, times=1)

    assert len(backend.threads) == (7 if asked else 6)


def test_the_breaker_is_asked_and_told_where_the_send_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = []
    for name in ("admit", "failed"):
        method = getattr(Breaker, name)

        def spy(*args: Any, method: Any = method) -> Any:
            where.append(threading.current_thread())
            return method(*args)

        monkeypatch.setattr(Breaker, name, spy)
    backend = Fake(DeliveryUnavailable())

    carry_all(backend, times=1)

    assert where == backend.threads * 2
    assert where[0] is not threading.current_thread()


# ── How many at once ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def full(settings: Any) -> Iterator[tuple[Fake, Outcome]]:
    """A provider with one slot, taken by a send that hangs."""
    settings.OTP_CHANNELS_SEND_THREADS = 1
    gate = Gate()
    hanging = Fake(provider="full", before=gate)
    outcome = carry(MESSAGE, [hanging])
    assert hanging.asked.wait(PATIENCE)
    yield hanging, outcome
    gate.open()


def test_a_full_provider_refuses_at_once(full: tuple[Fake, Outcome]) -> None:
    backend = Fake(provider="full")
    assert summary(carry(MESSAGE, [backend]).claim(unexpected) or []) == [
        ("full", "failed", "busy")
    ]
    assert not backend.asked.is_set()


def test_the_next_backend_is_asked_when_a_provider_is_full(full: tuple[Fake, Outcome]) -> None:
    attempts = attempts_of(carry(MESSAGE, [Fake(provider="full"), Fake(provider="other")]))
    assert summary(attempts) == [("full", "failed", "busy"), ("other", "sent", "")]


def test_a_full_provider_starves_no_other(full: tuple[Fake, Outcome]) -> None:
    assert summary(attempts_of(carry(MESSAGE, [Fake(provider="other")]))) == [("other", "sent", "")]


@pytest.mark.parametrize("error", [None, DeliveryUnavailable(), KeyError("x")])
def test_a_slot_is_free_again_when_its_thread_has_ended(
    error: Exception | None, settings: Any
) -> None:
    settings.OTP_CHANNELS_SEND_THREADS = 1
    backend = Fake(error)
    for count in range(1, 4):
        attempts_of(carry(MESSAGE, [backend]))
        for thread in backend.threads:
            thread.join(PATIENCE)
        assert len(backend.threads) == count


def test_a_slot_stays_taken_until_its_thread_has_ended(full: tuple[Fake, Outcome]) -> None:
    # Whoever waited for it may have gone; the socket has not.
    _, outcome = full
    assert outcome.claim(lambda attempts: None) is None
    assert summary(attempts_of(carry(MESSAGE, [Fake(provider="full")]))) == [
        ("full", "failed", "busy")
    ]


def test_as_many_sends_as_the_setting_says_run_at_once(settings: Any) -> None:
    settings.OTP_CHANNELS_SEND_THREADS = 3
    gate = Gate()
    backends = [Fake(before=gate) for _ in range(4)]
    outcomes = [carry(MESSAGE, [backend]) for backend in backends]
    assert summary(attempts_of(outcomes[3])) == [("fake", "failed", "busy")]
    gate.open()
    assert [summary(attempts_of(each))[0][1] for each in outcomes[:3]] == ["sent"] * 3


def test_a_forked_worker_starts_with_free_slots() -> None:
    # In a process of its own, since this one has threads, with which nobody should fork.
    code = """if True:
        import os, sys
        from django.conf import settings
        settings.configure(OTP_CHANNELS_SEND_THREADS=1)
        from django_otp_channels import delivery
        assert delivery._pools.slots("x").acquire(blocking=False)
        child = os.fork()
        if child == 0:
            os._exit(not delivery._pools.slots("x").acquire(blocking=False))
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run([sys.executable, "-c", code], check=True)
