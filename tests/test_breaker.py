"""When a backend is left alone, for how long, and who finds out that it works again."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.filebased import FileBasedCache

from django_otp_channels import breaker
from django_otp_channels.breaker import Breaker, Leave

FILES = "django.core.cache.backends.filebased.FileBasedCache"
PATIENCE = 5  # seconds after which a test that waits has failed


def use_cache(settings: Any, backend: str, location: object = "") -> None:
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(location)}}


@pytest.fixture(params=["own memory", "shared cache"])
def store(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> str:
    if request.param == "shared cache":
        use_cache(settings, FILES, tmp_path)
    return str(request.param)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(1_800_000_000, tick=False) as coordinates:
        yield coordinates


@pytest.fixture
def twilio(store: str) -> Breaker:
    return Breaker("sms", 0, "twilio")


def fail(switch: Breaker, times: int = 5) -> None:
    for _ in range(times):
        leave = switch.admit()
        assert leave is not None
        switch.failed(leave)


# ── When it opens ───────────────────────────────────────────────────────────────────────────────


def test_five_failures_in_a_row_open_it(twilio, clock):
    fail(twilio, 4)
    assert twilio.admit() is not None
    fail(twilio, 1)

    assert twilio.admit() is None


def test_it_opens_for_every_other_object_of_the_same_entry(twilio, clock):
    fail(twilio)

    assert Breaker("sms", 0, "twilio").admit() is None


@pytest.mark.parametrize(
    "other",
    [("voice", 0, "twilio"), ("sms", 1, "twilio"), ("sms", 0, "aws"), ("sms", 0, "twilio 2")],
)
def test_another_channel_entry_or_provider_goes_on(twilio, clock, other):
    fail(twilio)

    assert Breaker(*other).admit() is not None


@pytest.mark.parametrize(
    ("moments", "opens"),
    [
        ([0, 7, 14, 21, 29], True),
        ([0, 10, 20, 30, 40], False),
        ([0, 8, 16, 24, 32], False),
        ([0, 28, 29, 31, 32, 57], True),  # five within 30 s, though not the first five
        ([0, 28, 29, 31, 32, 59], False),
    ],
)
def test_only_failures_within_half_a_minute_count_together(twilio, clock, moments, opens):
    for moment in moments:
        clock.move_to(1_800_000_000 + moment)
        fail(twilio, 1)

    assert (twilio.admit() is None) is opens


def test_a_success_makes_good_for_the_failures_before_it(twilio, clock):
    fail(twilio, 4)
    leave = twilio.admit()
    twilio.succeeded(leave)
    fail(twilio, 4)

    assert twilio.admit() is not None


def test_what_says_nothing_of_the_provider_changes_nothing(twilio, clock):
    fail(twilio, 4)
    for _ in range(10):
        twilio.undecided(twilio.admit())

    assert twilio.admit() is not None
    fail(twilio, 1)
    assert twilio.admit() is None


# ── How long it stays open ──────────────────────────────────────────────────────────────────────


def test_it_stays_open_for_half_a_minute(twilio, clock):
    fail(twilio)

    clock.shift(29)
    assert twilio.admit() is None
    clock.shift(1)
    assert twilio.admit() is not None


def test_one_message_only_is_the_probe(twilio, clock):
    fail(twilio)
    clock.shift(30)

    assert [twilio.admit() is not None for _ in range(5)] == [True] + [False] * 4


def test_of_many_at_the_same_instant_one_is_the_probe(clock):
    switch = Breaker("sms", 0, "twilio")
    fail(switch)
    clock.shift(30)

    together = threading.Barrier(20)

    def ask() -> Leave | None:
        together.wait(PATIENCE)
        return switch.admit()

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask) for _ in range(20)]

    assert sum(each.result() is not None for each in asked) == 1


def test_a_probe_that_succeeds_closes_it(twilio, clock, caplog):
    fail(twilio)
    clock.shift(30)
    twilio.succeeded(twilio.admit())

    assert twilio.admit() == Leave()
    fail(twilio, 4)
    assert twilio.admit() is not None
    assert "sms:0:twilio works again" in caplog.text


def test_a_probe_that_fails_doubles_the_pause_up_to_five_minutes(twilio, clock):
    fail(twilio)
    for seconds in (30, 60, 120, 240, 300, 300):
        clock.shift(seconds - 1)
        assert twilio.admit() is None
        clock.shift(1)
        probe = twilio.admit()
        assert probe is not None
        twilio.failed(probe)


def test_after_a_success_the_pause_is_short_again(twilio, clock):
    fail(twilio)
    clock.shift(30)
    twilio.failed(twilio.admit())
    clock.shift(60)
    twilio.succeeded(twilio.admit())
    fail(twilio)

    clock.shift(30)
    assert twilio.admit() is not None


def test_a_probe_that_says_nothing_of_the_provider_is_followed_by_another(twilio, clock):
    fail(twilio)
    clock.shift(30)
    twilio.undecided(twilio.admit())

    assert [twilio.admit() is not None for _ in range(3)] == [True, False, False]


def test_a_probe_of_which_nothing_is_heard_is_replaced(twilio, clock, settings):
    settings.OTP_CHANNELS_SEND_TIMEOUT = 10
    fail(twilio)
    clock.shift(30)
    assert twilio.admit() is not None

    clock.shift(24)
    assert twilio.admit() is None
    clock.shift(2)
    assert [twilio.admit() is not None for _ in range(3)] == [True, False, False]


def test_a_send_from_before_the_pause_neither_lengthens_it_nor_counts_later(twilio, clock):
    late = [twilio.admit() for _ in range(12)]
    for leave in late[:5]:
        twilio.failed(leave)
    clock.shift(29)
    for leave in late[5:]:
        twilio.failed(leave)

    clock.shift(1)
    probe = twilio.admit()
    assert probe is not None
    twilio.succeeded(probe)
    fail(twilio, 4)
    assert twilio.admit() is not None


def test_a_pause_that_nobody_ended_is_forgotten_in_time(twilio, clock):
    fail(twilio)
    clock.shift(30 + 601)

    assert twilio.admit() == Leave()


def test_what_opens_is_an_error_in_the_log_once(twilio, clock, caplog):
    late = [twilio.admit() for _ in range(12)]
    for leave in late:
        twilio.failed(leave)

    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == "sms:0:twilio has failed and is left alone for 30 s."


# ── What staff see ──────────────────────────────────────────────────────────────────────────────


def test_its_standing_tells_closed_from_paused_and_probing(twilio, store, clock):
    def seen() -> tuple[float | None, bool, bool]:
        standing = twilio.standing()
        assert standing.shared is (store == "shared cache")
        return standing.until, standing.paused, standing.probing

    assert seen() == (None, False, False)
    fail(twilio)
    until = 1_800_000_030
    assert seen() == (until, True, False)
    clock.shift(30)
    assert seen() == (until, False, True)
    probe = twilio.admit()
    assert seen() == (until, False, True)
    twilio.succeeded(probe)
    assert seen() == (None, False, False)


def test_a_look_is_no_probe(twilio, clock):
    fail(twilio)
    clock.shift(30)
    twilio.standing()

    assert twilio.admit() is not None


# ── Several processes ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def elsewhere(tmp_path: Path, settings: Any) -> Callable[..., str]:
    """Return a function that runs a statement in another process with the same cache.

    With the same settings too, unless it is told another ``secret`` or ``entry``.
    """
    ours = {"secret": settings.SECRET_KEY, "entry": settings.OTP_CHANNELS["sms"][0]}

    def run(statement: str, at: float, **other: Any) -> str:
        secret, entry = {**ours, **other}.values()
        code = f"""if True:
            import time_machine
            from django.conf import settings
            settings.configure(
                CACHES={{"default": {{"BACKEND": {FILES!r}, "LOCATION": {str(tmp_path)!r}}}}},
                OTP_CHANNELS={{"sms": [{entry!r}]}},
                SECRET_KEY={secret!r},
            )
            from django_otp_channels.breaker import Breaker
            switch = Breaker("sms", 0, "twilio")
            with time_machine.travel({at}, tick=False):
                {statement}
        """
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


def test_all_processes_with_one_cache_agree(settings, tmp_path, elsewhere, clock):
    use_cache(settings, FILES, tmp_path)
    here = Breaker("sms", 0, "twilio")
    fail(here, 2)

    elsewhere("for _ in range(3): switch.failed(switch.admit())", time.time())
    assert here.admit() is None
    clock.shift(30)
    assert elsewhere("print(switch.admit())", time.time()).startswith("Leave(failures=False, pro")
    assert here.admit() is None
    assert elsewhere("print(switch.admit())", time.time()) == "None"


@pytest.mark.parametrize(
    "other", [{"secret": "of another site"}, {"entry": {"BACKEND": "mended.SMS"}}]
)
def test_another_site_and_mended_settings_have_a_breaker_of_their_own(
    settings, tmp_path, elsewhere, clock, other
):
    use_cache(settings, FILES, tmp_path)
    fail(Breaker("sms", 0, "twilio"))

    assert elsewhere("print(switch.admit())", time.time()) == "None"
    assert elsewhere("print(switch.admit())", time.time(), **other).startswith("Leave(")


def test_a_forked_worker_knows_only_what_it_has_seen_itself(tmp_path):
    # In a process of its own, since this one has threads, with which nobody should fork.
    code = """if True:
        import os, sys
        from django.conf import settings
        settings.configure(SECRET_KEY="of a test")
        from django_otp_channels.breaker import Breaker
        switch = Breaker("sms", 0, "twilio")
        for _ in range(5):
            switch.failed(switch.admit())
        assert switch.admit() is None
        child = os.fork()
        if child == 0:
            os._exit(switch.admit() is None)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("backend", "shared"),
    [
        ("django.core.cache.backends.locmem.LocMemCache", False),
        ("django.core.cache.backends.dummy.DummyCache", False),
        ("no.such.Cache", False),
        (FILES, True),
        ("django.core.cache.backends.db.DatabaseCache", True),
        ("django.core.cache.backends.redis.RedisCache", True),
    ],
)
def test_it_knows_which_caches_are_of_one_process_only(settings, backend, shared):
    use_cache(settings, backend)

    assert breaker.cache_is_shared() is shared


# ── A cache in trouble ──────────────────────────────────────────────────────────────────────────


class Broken(BaseCache):
    """Every call does :attr:`happens`."""

    asked = 0
    happens: Callable[[], object]

    def __init__(self, _location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def _ask(self, *args: Any, **kwargs: Any) -> Any:
        Broken.asked += 1
        return Broken.happens()

    get = get_many = set = add = incr = delete = delete_many = _ask  # type: ignore[assignment]


class Silent(BaseCache):
    """Takes everything and keeps nothing, without a word."""

    def __init__(self, _location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return default

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def set(self, *args: Any, **kwargs: Any) -> None:
        pass

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return False


def raises() -> None:
    message = "marker +12025550123"
    raise ConnectionError(message)


@pytest.fixture
def broken(settings: Any) -> None:
    use_cache(settings, f"{__name__}.Broken")
    Broken.asked = 0
    Broken.happens = staticmethod(raises)  # type: ignore[assignment]


@pytest.fixture
def hanging(broken: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    let_go = threading.Event()
    monkeypatch.setattr(breaker, "PATIENCE", 0.05)
    Broken.happens = staticmethod(lambda: let_go.wait(PATIENCE))  # type: ignore[assignment]
    before = set(threading.enumerate())
    yield
    let_go.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.parametrize("trouble", ["broken", "hanging"])
def test_without_its_cache_a_process_goes_by_its_own_memory(trouble, request, caplog):
    request.getfixturevalue(trouble)
    switch = Breaker("sms", 0, "twilio")
    started = time.monotonic()

    fail(switch)

    assert switch.admit() is None
    assert switch.standing().paused
    assert not switch.standing().shared
    assert time.monotonic() - started < 2
    assert "The cache cannot be used" in caplog.text
    assert "marker" not in caplog.text
    assert "2025550123" not in caplog.text


def test_a_cache_that_keeps_nothing_is_found_out_at_the_first_failure(settings):
    use_cache(settings, f"{__name__}.Silent")
    switch = Breaker("sms", 0, "twilio")

    fail(switch)

    assert switch.admit() is None


class Fleeting(FileBasedCache):
    """Loses a count once between its two steps, as when a success deletes it."""

    losses = 1

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        if Fleeting.losses:
            Fleeting.losses -= 1
            self.delete(key)
        return super().incr(key, delta, version)


def test_a_success_in_the_middle_of_a_count_is_no_trouble(settings, tmp_path, caplog):
    use_cache(settings, f"{__name__}.Fleeting", tmp_path)
    switch = Breaker("sms", 0, "twilio")

    fail(switch)

    assert Fleeting.losses == 0
    assert switch.standing().shared
    assert switch.admit() is None
    assert "cannot be used" not in caplog.text


@pytest.mark.parametrize("trouble", ["broken", "hanging"])
def test_a_cache_in_trouble_is_left_alone_for_a_while(trouble, request, monkeypatch):
    request.getfixturevalue(trouble)
    switch = Breaker("sms", 0, "twilio")

    for _ in range(20):
        switch.admit()
    assert Broken.asked == 1

    monkeypatch.setattr(breaker, "REST", 0)
    breaker.forget()
    for _ in range(2):
        switch.admit()
    assert Broken.asked == 3


def test_sends_that_end_together_ask_the_shared_cache_one_after_the_other(settings, tmp_path):
    use_cache(settings, FILES, tmp_path)
    many = 24
    together = threading.Barrier(many)

    def ask() -> bool:
        together.wait(PATIENCE)
        return Breaker("sms", 0, "twilio").standing().shared

    with ThreadPoolExecutor(many) as threads:
        shared = [future.result() for future in [threads.submit(ask) for _ in range(many)]]

    assert shared == [True] * many


def test_a_cache_that_hangs_takes_few_threads(hanging, monkeypatch):
    monkeypatch.setattr(breaker, "REST", 0)
    monkeypatch.setattr(breaker, "PATIENCE", 0.01)
    before = threading.active_count()

    for _ in range(20):
        assert Breaker("sms", 0, "twilio").admit() is not None

    assert threading.active_count() - before <= 4


@pytest.mark.parametrize("value", [None, "text", 5, [], [1], ["a", "b"]])
def test_a_value_that_is_not_ours_pauses_nobody(settings, tmp_path, value, monkeypatch):
    use_cache(settings, FILES, tmp_path)
    from django.core.cache import cache

    cache.set(Breaker("sms", 0, "twilio")._open, value)

    assert Breaker("sms", 0, "twilio").admit() == Leave()
    assert Breaker("sms", 0, "twilio").standing().until is None


def test_where_no_threads_run_no_shared_cache_is_asked(broken, monkeypatch):
    monkeypatch.setattr(breaker, "threads_available", lambda: False)

    assert Breaker("sms", 0, "twilio").admit() == Leave()

    assert Broken.asked == 0


def test_a_process_that_may_start_no_thread_goes_by_its_own_memory(broken, monkeypatch):
    def start(self: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert Breaker("sms", 0, "twilio").admit() == Leave()
    assert Broken.asked == 0
