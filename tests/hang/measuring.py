"""The measurement of one shape of server, step by step."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

from django_otp_channels.conf import conf
from django_otp_channels.models import Delivery
from tests.factories import PASSWORD, PhoneFactory
from tests.providers import twilio
from tests.providers.certificates import Authority
from tests.providers.loopback import HANG, Endpoint, Network

from .database import Activity, Watch
from .people import Figures, Person, traffic
from .serving import Site, end_worker

PEOPLE = 8


@dataclass(frozen=True)
class Block:
    """Rounds of logins, ``pace`` seconds from the start of one to that of the next."""

    hangs: bool
    rounds: int
    pace: float = 0


# In turns, since a machine has its moods. Each of the eight people asks for two messages, the two
# workers have eight slots each, and a hanging send is given up after 7 s. So the sends of a first
# round hang, those of a second one are refused at once, and by a third one slots are free again.
WHOLE = [
    *[Block(hangs=False, rounds=2), Block(hangs=True, rounds=2, pace=3.8)] * 2,
    *[Block(hangs=False, rounds=3), Block(hangs=True, rounds=3, pace=3.8)],
]
SHORT = [Block(hangs=False, rounds=1), Block(hangs=True, rounds=1)] * 3


class Provider:
    """Twilio's stand-in, which answers at once or hangs until it is told to answer again."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._api = twilio.TwilioAPI(network.problems)
        network.hosts[twilio.HOST] = self._api.handle

    @property
    def messages(self) -> Endpoint:
        return self._api.messages

    def hang(self) -> None:
        self.messages.always(HANG)

    def answer(self) -> None:
        self.messages.reset()
        self.network.let_go.set()
        self.network.let_go = threading.Event()


@contextlib.contextmanager
def loopback_provider() -> Iterator[Provider]:
    """Run the stand-in, and complain at the end of whatever the real API would not understand."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder), [twilio.HOST])
        network = Network(authority, authority)
        try:
            yield Provider(network)
        finally:
            network.close()
    if trouble := [*network.strangers, *network.problems]:
        raise AssertionError(f"Not as the real API would have it: {trouble}")


@dataclass
class Stopped:
    """A worker that was ended after ``seconds``, and how its ``sends`` under way read later."""

    seconds: float
    sends: int
    reads: dict[str, int] = field(default_factory=dict)
    codes_that_opened: int = 0


@dataclass
class Phase:
    """All logins with one kind of provider. Sends by their status and error code."""

    figures: Figures = field(default_factory=Figures)
    activity: Activity = field(default_factory=Activity)
    sends: Counter[str] = field(default_factory=Counter)


@dataclass
class Measured:
    """What came of one shape of server. Times in seconds."""

    answering: Phase
    hanging: Phase
    stopped: dict[str, Stopped]
    server_stopped: Stopped


def measure(provider: Provider, site: Site, plan: Sequence[Block]) -> Measured:
    """Measure ``site`` by ``plan``, and stop it in the end, with sends under way."""
    stranded = _strand(provider, site)
    people = _people()

    def round_of_logins(figures: Figures) -> None:
        _at_once(people, lambda person: person.log_in(site.address, figures, provider.messages))

    _warm_up(round_of_logins, without=stranded.workers)
    answering, hanging = Phase(), Phase()
    before = 0
    for block in plan:
        phase = hanging if block.hangs else answering
        if block.hangs:
            provider.hang()
        else:
            provider.answer()
            time.sleep(0.3)  # until what was hanging is recorded
        before = _latest_delivery()
        with Watch(os.environ["DATABASE_URL"], traffic, phase.activity):
            started = time.monotonic()
            for number in range(block.rounds):
                time.sleep(max(0, started + number * block.pace - time.monotonic()))
                round_of_logins(phase.figures)
            # A moment in which no page is asked for, and only sends may be under way.
            time.sleep(0.3)
        phase.sends += _sends(after=before)
    stopped = stranded.read_again()
    under_way = _sends(after=before)["sending"]
    seconds = site.stop()
    server_stopped = Stopped(seconds, sends=under_way, reads=_sends(after=before))
    return Measured(answering, hanging, stopped, server_stopped)


def _people() -> list[Person]:
    phones = PhoneFactory.create_batch(PEOPLE)
    connection.close()
    return [Person(phone.user.get_username(), PASSWORD, phone.address) for phone in phones]


def _at_once(people: Sequence[Person], act: Callable[[Person], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(act, people))


def _warm_up(round_of_logins: Callable[[Figures], None], *, without: frozenset[int]) -> None:
    """Have two workers, none of them in ``without``, serve every page at least once.

    The first send of a process loads the provider's SDK, which takes it a while.
    """
    figures = Figures()
    for _ in range(20):
        round_of_logins(figures)
        if len(frozenset.intersection(*map(frozenset, figures.workers.values())) - without) == 2:
            return
    raise AssertionError(f"No two workers have served every page: {figures.workers}")


# -- workers that are stopped ----------------------------------------------------------------


@dataclass
class _Stranded:
    """People whose message was under way when its worker was stopped."""

    workers: frozenset[int]
    asked_at: float
    stopped: dict[str, Stopped]
    waiting: dict[str, list[tuple[Person, str]]]

    def read_again(self) -> dict[str, Stopped]:
        """See, once the send time-out is over, what the code pages say and whether codes open."""
        time.sleep(max(0, self.asked_at + conf.SEND_TIMEOUT + 0.5 - time.monotonic()))
        for name, stopped in self.stopped.items():
            stopped.reads = dict(Counter(person.delivery() for person, _ in self.waiting[name]))
            for person, code in self.waiting[name]:
                person.enter_code(code)
                stopped.codes_that_opened += 1
        return self.stopped


def _strand(provider: Provider, site: Site) -> _Stranded:
    """End one worker by SIGTERM and the other by SIGKILL while each has sends under way.

    gunicorn starts new ones.
    """

    waiting: dict[int, list[tuple[Person, str]]] = {}

    def ask(person: Person) -> None:
        worker = person.enter_password(site.address, Figures()).worker
        if person.delivery() == "sending":  # and not refused, where one worker has too many
            [code] = person.codes(provider.messages)
            waiting.setdefault(worker, []).append((person, code))

    provider.hang()
    for _ in range(3):
        if len(waiting) < 2:
            _at_once(_people(), ask)
    if len(waiting) != 2:
        raise AssertionError("No two workers have answered a password while its send hangs.")
    asked_at = time.monotonic()
    stopped = {
        how.name: Stopped(end_worker(worker, how), sends=len(waiting[worker]))
        for worker, how in zip(waiting, _SIGNALS, strict=True)
    }
    provider.answer()
    by_signal = dict(zip(stopped, waiting.values(), strict=True))
    return _Stranded(frozenset(waiting), asked_at, stopped, by_signal)


_SIGNALS = (signal.SIGTERM, signal.SIGKILL)


# -- rows ------------------------------------------------------------------------------------


def _latest_delivery() -> int:
    latest = Delivery.objects.order_by("-pk").values_list("pk", flat=True).first()
    connection.close()
    return latest or 0


def _sends(*, after: int) -> Counter[str]:
    rows = Delivery.objects.filter(pk__gt=after).values_list("status", "error_code")
    counts = Counter(" ".join(filter(None, row)) for row in rows)
    connection.close()
    return counts
