"""Leave a provider alone for a while after it has failed again and again.

Five failures of one backend within 30 s open its breaker: it is skipped for 30 s, and the next
backend is asked at once. Then one message, one over all processes, goes out as a probe. Its success
closes the breaker, its failure doubles the pause, to at most five minutes.

Only what says something of the provider counts. A refused number never does, or whoever knows one
password could take a channel from everybody.

The state lies in Django's default cache, so that all processes agree. A cache of one process only
(``LocMemCache``, ``DummyCache``), one that raises and one that does not answer in time are replaced
by this process's own memory. The cache is asked in a thread of its own: nobody waits longer than
:data:`PATIENCE` for a turn, nor for an answer, and after trouble it is left alone for
:data:`REST`.

Caches differ in what they do in one step. Where ``incr`` is atomic (Redis, Memcached) each failure
counts. Where it is not (files, database) failures at the same instant may count as one, so the
breaker opens a failure later; and where ``add`` is not (files) a second probe may slip through. An
entry that the cache drops closes a breaker early. Nothing worse: no state here decides who gets in.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connections
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from .conf import conf
from .threads import threads_available

logger = logging.getLogger("django_otp_channels.breaker")

T = TypeVar("T")

# Seconds, but for FAILURES.
FAILURES = 5
WINDOW = 30
PAUSE = 30
MAX_PAUSE = 300
REMEMBERED = 600  # after a pause, how long it is known that a probe is due
COUNTED = 86_400  # how long failures are numbered before the numbers start anew
SPARE = 15  # over the send time-out, before a probe that never reported is given up
PATIENCE = 1.0
REST = 30

_THREADS = 4


@dataclass(frozen=True)
class Leave:
    """The breaker lets a message through. What comes of it is told to the breaker.

    ``failures``: whether any were on record. ``probes``: for a probe the pause that it may end, as
    (its end in epoch seconds, its length in seconds).
    """

    failures: bool = False
    probes: tuple[float, float] | None = None


@dataclass(frozen=True)
class Standing:
    """How a breaker stands, for staff. ``until`` in epoch seconds, None where it is closed."""

    until: float | None
    shared: bool

    @property
    def paused(self) -> bool:
        return self.until is not None and time.time() < self.until

    @property
    def probing(self) -> bool:
        """Whether the pause is over, and the next message will tell, or the one under way."""
        return self.until is not None and not self.paused


class Breaker:
    """The breaker of one entry of ``OTP_CHANNELS``.

    Of an entry and not of a provider: a provider's SMS may fail while its calls work, and so may
    one of two accounts at the same provider. Nothing here raises.
    """

    def __init__(self, channel: str, position: int, provider: str) -> None:
        self.name = f"{channel}:{position}:{quote(provider, safe='')}"
        prefix = f"otp_channels:breaker:{self.name}:{_mark(channel, position)}"
        self._open = f"{prefix}:open"
        self._count = f"{prefix}:count"
        self._time = f"{prefix}:time"
        self._probe = f"{prefix}:probe"

    def admit(self) -> Leave | None:
        """Return leave to send one message now. None: skip this backend."""
        verdict: Leave | None = Leave()
        return _keeper.ask(self._admit, default=verdict)

    def _admit(self, cache: BaseCache) -> Leave | None:
        found = cache.get_many([self._open, self._count])
        if self._open not in found:
            return Leave(failures=self._count in found)
        until, pause = map(float, found[self._open])
        if time.time() < until:
            return None
        # A probe of which nothing is heard, since its worker was stopped say, is replaced.
        lease = int(conf.SEND_TIMEOUT) + SPARE
        if not cache.add(self._probe_after(until), 1, lease):
            return None
        return Leave(probes=(until, pause))

    def succeeded(self, leave: Leave) -> None:
        """The provider took a message: close, and forget the failures."""
        if not (leave.failures or leave.probes):
            return
        # A message from before the pause says nothing of now: only the probe closes it.
        keys = [self._open, self._count] if leave.probes else [self._count]
        _keeper.ask(lambda cache: cache.delete_many(keys), default=None)
        if leave.probes:
            logger.warning("%s works again.", self.name)

    def failed(self, leave: Leave) -> None:
        """The provider failed, and would fail the next message too."""
        pause = _keeper.ask(lambda cache: self._fail(cache, leave), default=0.0)
        if pause:
            logger.error("%s has failed and is left alone for %d s.", self.name, pause)

    def _fail(self, cache: BaseCache, leave: Leave) -> float:
        """Count the failure. Return the seconds of the pause that it brings about, or 0."""
        if leave.probes:
            pause = min(2 * leave.probes[1], MAX_PAUSE)
            cache.set(self._open, (time.time() + pause, pause), int(pause) + REMEMBERED)
            return pause
        if cache.get(self._open) is not None:
            return 0  # under way since before the pause: only the probe decides
        now, number = time.time(), self._count_up(cache)
        cache.set(self._time_of(number), now, 2 * WINDOW)
        if number < FAILURES:
            return 0
        first_of_them = cache.get(self._time_of(number - FAILURES + 1))
        if first_of_them is None or now - first_of_them > WINDOW:
            return 0
        # Several may be the fifth at the same instant: one of them opens it.
        opened = cache.add(self._open, (now + PAUSE, PAUSE), PAUSE + REMEMBERED)
        cache.delete(self._count)
        return PAUSE if opened else 0

    def _count_up(self, cache: BaseCache) -> int:
        for _attempt in range(2):
            cache.add(self._count, 0, COUNTED)
            with suppress(ValueError):  # a success has deleted it in between
                return int(cache.incr(self._count))
        raise ValueError("The cache keeps nothing.")

    def undecided(self, leave: Leave) -> None:
        """It came to nothing that says something of the provider: the next one is the probe."""
        if leave.probes:
            until, _pause = leave.probes
            _keeper.ask(lambda cache: cache.delete(self._probe_after(until)), default=None)

    def standing(self) -> Standing:
        def look(cache: BaseCache) -> Standing:
            record = cache.get(self._open)
            return Standing(None if record is None else float(record[0]), not _keeper.owns(cache))

        return _keeper.ask(look, default=Standing(None, shared=False))

    def _time_of(self, number: int) -> str:
        return f"{self._time}:{number % FAILURES}"

    def _probe_after(self, until: float) -> str:
        return f"{self._probe}:{int(until * 1000)}"


def _mark(channel: str, position: int) -> str:
    """Return a mark of the settings in force: of this site alone, and new where they are mended.

    Two sites may share a cache, and must not pause each other's providers.
    """
    entries = conf.CHANNELS.get(channel, ())
    entry = repr(entries[position]) if position < len(entries) else ""
    return salted_hmac(__name__, entry, algorithm="sha256").hexdigest()[:12]


def cache_is_shared() -> bool:
    """Say whether Django's default cache is one for all processes, as configured."""
    try:
        backend = import_string(settings.CACHES["default"]["BACKEND"])
        return not issubclass(backend, LocMemCache | DummyCache)
    except (ImportError, LookupError, TypeError):
        return False  # Django itself reports it


class _Keeper:
    """Asks the shared cache in bounded time, or this process's own memory instead."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._own = LocMemCache(f"otp_channels.breaker.{os.getpid()}", {})
        self._own.clear()
        self._slots = threading.BoundedSemaphore(_THREADS)
        self._rests_until = 0.0  # monotonic seconds

    def owns(self, cache: BaseCache) -> bool:
        return cache is self._own

    def ask(self, act: Callable[[BaseCache], T], *, default: T) -> T:
        if cache_is_shared() and threads_available() and time.monotonic() >= self._rests_until:
            try:
                return self._ask_shared(act)
            except Exception as error:  # noqa: BLE001 (a cache may raise anything)
                self._rests_until = time.monotonic() + REST
                logger.warning(
                    "The cache cannot be used (%s): this process watches its providers alone.",
                    type(error).__name__,
                )
        try:
            return act(self._own)
        except Exception as error:  # noqa: BLE001 (what only saves time must stop nothing)
            logger.warning("The circuit breaker has failed (%s).", type(error).__name__)
            return default

    def _ask_shared(self, act: Callable[[BaseCache], T]) -> T:
        slots, patience = self._slots, min(PATIENCE, conf.SEND_TIMEOUT / 4)
        # Sends that have hung together end together, and then ask together.
        if not slots.acquire(timeout=patience):
            raise TimeoutError
        answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

        def run() -> None:
            answer: tuple[Any, Exception | None]
            try:
                answer = act(caches["default"]), None
            except Exception as error:  # noqa: BLE001
                answer = None, error
            finally:
                slots.release()
            answers.put(answer)
            # A cache in the database has opened a connection for this thread.
            caches.close_all()
            connections.close_all()

        try:
            threading.Thread(target=run, name="otp-channels-breaker", daemon=True).start()
        except RuntimeError:
            slots.release()
            raise
        try:
            value, error = answers.get(timeout=patience)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return value


_keeper = _Keeper()
os.register_at_fork(after_in_child=_keeper.forget)


def forget() -> None:
    """Forget what this process alone knows, for tests. The shared cache stays as it is."""
    _keeper.forget()
