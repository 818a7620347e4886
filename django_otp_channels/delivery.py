"""Carry one message down the providers of its channel. No database.

A backend that touches no network runs at once. Every other send runs in a daemon thread, so that
no request waits for a provider: no SDK here bounds a send in time by itself. Each provider has its
own bounded set of threads, so a push that hangs never starves an SMS. A thread's slot is free again
only when the thread ends.

Once a provider may have taken the message, nothing is sent again by itself. So a hang needs no
watcher: the deadline passes, the delivery reads as "unknown", and the late outcome is recorded when
it comes.

A provider that fails again and again is skipped for a while (see :mod:`.breaker`). The breaker is
asked and told in the sending thread. Where every provider of a channel is skipped, the send fails
at once: the person is offered another way instead of a wait, and whoever asks first when the time
comes makes the probe.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

from django.views.decorators.debug import sensitive_variables

from .backends.base import Backend
from .breaker import Breaker
from .conf import conf
from .exceptions import (
    BackendMisconfigured,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
)
from .messages import Message, Status
from .threads import Pools, threads_available

logger = logging.getLogger("django_otp_channels.delivery")

# Codes of our own, for an attempt that did not get as far as its provider.
BUSY = "busy"
NO_THREAD = "no-thread"
PAUSED = "paused"
NOT_ASKED = frozenset({BUSY, NO_THREAD, PAUSED})


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of handing the message to the backend at ``position`` of the channel's list.

    ``started`` and ``ended`` are monotonic seconds of this process.
    """

    position: int
    provider: str
    status: Status
    started: float
    ended: float
    message_id: str = ""
    error_code: str = ""
    reason: str = ""


class Outcome:
    """The attempts of one send: ready at once, or later, handed to exactly one recorder."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []
        self._late: Callable[[Sequence[Attempt]], None] | None = None

    def finish(self, attempts: list[Attempt]) -> None:
        with self._lock:
            self._attempts = attempts
            late = self._late
            self._done.set()
        if late is not None:
            late(attempts)

    def claim(
        self, late: Callable[[Sequence[Attempt]], None], *, wait: float = 0
    ) -> Sequence[Attempt] | None:
        """Return the attempts if they are ready within ``wait`` seconds.

        Otherwise return None, and ``late`` is called with them, in the sending thread, when they
        are. Never both, so that an outcome is recorded once.
        """
        self._done.wait(wait)
        with self._lock:
            if self._done.is_set():
                return self._attempts
            self._late = late
        return None


_pools = Pools()


def carry(message: Message, backends: Sequence[Backend], callbacks: Sequence[str] = ()) -> Outcome:
    """Start to send ``message`` through the first backend that takes it.

    Backends are tried in order until one has it, or may have it, or the address itself is refused,
    or the time budget of all of them together (``OTP_CHANNELS_SEND_TIMEOUT``) is used up. Never
    raises for a provider's sake. ``callbacks`` are the URLs for the receipts of each backend.
    """
    outcome = Outcome()
    legs = [
        _Leg(position, backend, replace(message, callback=callback) if callback else message)
        for position, (backend, callback) in enumerate(
            zip(backends, callbacks or repeat(""), strict=False)
        )
    ]
    _Relay(legs, outcome).run()
    return outcome


@dataclass(frozen=True)
class _Leg:
    """The message as one backend gets it."""

    position: int
    backend: Backend
    message: Message


# Seconds below which a further provider is not asked: it would time out after the message has left,
# and nobody could be asked any more.
FAIR_CHANCE = 2.0


@dataclass(frozen=True, kw_only=True)
class _Result:
    """Whether the way ends here, whether the provider took it, or else failed for everybody."""

    settled: bool
    took: bool = False
    provider_wide: bool = False


class _Relay:
    """One message on its way: it runs a leg per backend, each leg in the place it belongs to."""

    def __init__(self, legs: list[_Leg], outcome: Outcome) -> None:
        self.legs = legs
        self.outcome = outcome
        self.attempts: list[Attempt] = []
        self.deadline = time.monotonic() + conf.SEND_TIMEOUT

    def run(self) -> None:
        while self.legs and self._has_time():
            leg = self.legs.pop(0)
            if threads_available() and not leg.backend.inline:
                if self._hand_to_thread(leg):
                    return
                continue
            if self._walk(leg):
                break
        self.outcome.finish(self.attempts)

    def _has_time(self) -> bool:
        """Whether the next backend has a fair chance, or is the first one."""
        left = self.deadline - time.monotonic()
        least = min(FAIR_CHANCE, conf.SEND_TIMEOUT / 2) if self.attempts else 0
        return left > least

    def _hand_to_thread(self, leg: _Leg) -> bool:
        provider = leg.backend.provider
        slots = _pools.slots(provider)
        if not slots.acquire(blocking=False):
            # Refused at once, never queued: a queue would deliver codes that nobody waits for.
            logger.warning("All sends of %s are busy; nothing was sent.", provider)
            self._note(leg, Status.FAILED, error_code=BUSY)
            return False
        thread = threading.Thread(
            target=self._in_thread,
            args=(leg, slots),
            name=f"otp-channels-{provider}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:  # the process may start no more threads
            slots.release()
            self._note(leg, Status.FAILED, error_code=NO_THREAD)
            return False
        return True

    def _in_thread(self, leg: _Leg, slots: threading.BoundedSemaphore) -> None:
        try:
            settled = self._walk(leg)
        finally:
            slots.release()
        if settled:
            self.outcome.finish(self.attempts)
        else:
            self.run()

    def _walk(self, leg: _Leg) -> bool:
        """Try one backend, unless it is left alone for now. Return whether the way ends here."""
        backend = leg.backend
        if backend.inline:  # no network that could fail, and no thread to ask the breaker in
            return self._send(leg).settled
        breaker = Breaker(leg.message.channel, leg.position, backend.provider)
        leave = breaker.admit()
        if leave is None:
            self._note(leg, Status.FAILED, error_code=PAUSED)
            return False
        result = self._send(leg)
        if result.took:
            breaker.succeeded(leave)
        elif result.provider_wide:
            breaker.failed(leave)
        else:
            breaker.undecided(leave)
        return result.settled

    @sensitive_variables()
    def _send(self, leg: _Leg) -> _Result:
        """Hand the message to the backend and note what came of it."""
        backend, started = leg.backend, time.monotonic()
        error: DeliveryError | BackendMisconfigured
        try:
            message_id = backend.send(leg.message, timeout=self.deadline - started).message_id
        except (DeliveryError, BackendMisconfigured) as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001
            # An exception that a backend did not sort may have come after the bytes went out. Its
            # text may hold the number or the code: only its type is named. And unless it is one of
            # the network's, it may be about this one number.
            error = DeliveryUnknown(
                code=type(caught).__name__, provider_wide=isinstance(caught, OSError)
            )
        else:
            self._note(leg, Status.SENT, started, message_id=message_id)
            return _Result(settled=True, took=True)
        _log(backend, error)
        unknown = isinstance(error, DeliveryUnknown)
        refused = isinstance(error, DeliveryRefused)
        self._note(
            leg,
            Status.UNKNOWN if unknown else Status.FAILED,
            started,
            error_code=error.code,
            reason=getattr(error, "reason", ""),
        )
        # Who was given the rest of another's time only, and used it up, may be quite well.
        hurried = time.monotonic() >= self.deadline and len(self.attempts) > 1
        return _Result(
            settled=unknown or refused,
            provider_wide=error.provider_wide and not (refused or hurried),
        )

    def _note(self, leg: _Leg, status: Status, started: float | None = None, **facts: str) -> None:
        ended = time.monotonic()
        self.attempts.append(
            Attempt(
                position=leg.position,
                provider=leg.backend.provider,
                status=status,
                started=ended if started is None else started,
                ended=ended,
                **facts,
            )
        )


def _log(backend: Backend, error: DeliveryError | BackendMisconfigured) -> None:
    """Tell the operators what failed, as loudly as they must act: never the number or the text."""
    if isinstance(error, BackendMisconfigured):
        logger.error(
            "%s is misconfigured (code %s). %s", backend.provider, error.code, error.detail
        )
    elif isinstance(error, DeliveryUnavailable):
        logger.warning("%s is unavailable (code %s).", backend.provider, error.code)
    elif isinstance(error, DeliveryUnknown):
        logger.warning("%s may have sent a message (code %s).", backend.provider, error.code)
    else:
        logger.info("%s refused an address (code %s).", backend.provider, error.code)
