"""How the providers are: facts for staff. Nothing is sent, and nothing is written.

What is configured, what each backend says of its own settings, whether its breaker is open, and
what has lately become of its messages. Never a number, never a code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from time import time
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from . import channels
from .breaker import Breaker, Standing, cache_is_shared
from .conf import conf
from .delivery import NOT_ASKED
from .exceptions import BackendMisconfigured
from .messages import Status
from .models import Budget, Delivery
from .models.budgets import MARKS, Level
from .models.commits import lock_wait
from .models.deliveries import with_outcome

REACHED = frozenset({Status.SENT, Status.ANSWERED, Status.DELIVERED})
ARRIVED = frozenset({Status.ANSWERED, Status.DELIVERED})
LOST = frozenset({Status.FAILED, Status.UNDELIVERED, Status.UNKNOWN})
DAY = timedelta(days=1)
# How far back the last success and the last error are looked for: a provider that has not failed
# for months would else be looked for among all messages that are kept.
WEEK = timedelta(days=7)
_WINDOWS: Mapping[int, str | Promise] = {
    600: gettext_lazy("10 minutes"),
    3600: gettext_lazy("an hour"),
    86400: gettext_lazy("a day"),
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """One attempt that is over. ``code`` is the provider's own; ``why`` is for a person."""

    at: datetime
    status: str
    code: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the attempts of the last 24 hours.

    ``sent``: taken by the provider; ``arrived`` of these: it told us so. ``skipped``: the provider
    was not asked.
    """

    sent: int = 0
    arrived: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0

    @property
    def words(self) -> str:
        figures = (
            (self.sent, ngettext("%(count)d sent", "%(count)d sent", self.sent)),
            (
                self.arrived,
                ngettext(
                    "%(count)d known to have arrived",
                    "%(count)d known to have arrived",
                    self.arrived,
                ),
            ),
            (self.failed, ngettext("%(count)d failed", "%(count)d failed", self.failed)),
            (self.unknown, ngettext("%(count)d unknown", "%(count)d unknown", self.unknown)),
            (self.skipped, ngettext("%(count)d skipped", "%(count)d skipped", self.skipped)),
        )
        return ", ".join(words % {"count": count} for count, words in figures if count)


@dataclass(frozen=True, kw_only=True)
class BackendHealth:
    """One entry of ``OTP_CHANNELS``. ``standing`` is None where there is no breaker."""

    provider: str
    problems: Sequence[checks.CheckMessage] = ()
    standing: Standing | None = None
    receipts: bool = False
    last_success: Event | None = None
    last_failure: Event | None = None
    day: Counts = field(default_factory=Counts)

    @property
    def broken(self) -> bool:
        """Whether its own check found an error."""
        return any(problem.is_serious() for problem in self.problems)

    @property
    def paused(self) -> bool:
        return self.standing is not None and self.standing.paused

    @property
    def ready(self) -> bool:
        """Whether it can be expected to send now. Missing credentials are a warning only."""
        return not self.paused and not any(
            problem.is_serious(checks.WARNING) for problem in self.problems
        )

    @property
    def state(self) -> str:
        """In a word or two, whether it sends."""
        if self.broken:
            return _("cannot send")
        if self.paused:
            return _("paused")
        return _("ready") if self.ready else _("needs attention")

    @property
    def breaker(self) -> str:
        """In words, how its circuit breaker stands."""
        if self.standing is None:
            return _("none, since it needs no network")
        if self.standing.shared:
            return _breaker_words(self.standing)
        return _("%(state)s, as far as this process knows") % {
            "state": _breaker_words(self.standing)
        }


def _breaker_words(standing: Standing) -> str:
    if standing.until is None:
        return _("closed")
    if standing.probing:
        return _("half open: the next message tries it again")
    seconds = max(1, ceil(standing.until - time()))
    return ngettext(
        "open: it failed again and again, and is skipped for %(seconds)d more second",
        "open: it failed again and again, and is skipped for %(seconds)d more seconds",
        seconds,
    ) % {"seconds": seconds}


@dataclass(frozen=True, kw_only=True)
class ChannelHealth:
    """One channel. ``blocked`` says in words why nothing leaves, whatever its backends could do."""

    name: str
    label: str | Promise
    blocked: str
    backends: Sequence[BackendHealth]

    @property
    def usable(self) -> bool:
        return not self.blocked and any(backend.ready for backend in self.backends)


@dataclass(frozen=True, kw_only=True)
class Health:
    """How all of it is. ``problems`` are settings out of bounds: then nothing else is known.

    ``limits`` are, in words, those of the site and its countries that are used up by half or more,
    or closed.
    """

    problems: Sequence[str] = ()
    channels: Sequence[ChannelHealth] = ()
    limits: Sequence[str] = ()
    proxies: int = 0
    base_url: str = ""
    countries: Sequence[str] = ()
    shared_cache: bool = False
    # Seconds that a login page waits for a locked row; None where the database does not tell.
    lock_wait: float | None = None

    @property
    def usable(self) -> bool:
        return any(channel.usable for channel in self.channels)

    @property
    def silent(self) -> Sequence[str]:
        """The configured channels, in words, over which nothing can be sent now."""
        return [str(channel.label) for channel in self.channels if not channel.usable]

    @property
    def client(self) -> str:
        """In words, by what address limits tell people apart."""
        if not self.proxies:
            return _("the address that connects: no proxy is trusted")
        return ngettext(
            "the address that %(count)d trusted proxy has added",
            "the address that %(count)d trusted proxies have added",
            self.proxies,
        ) % {"count": self.proxies}

    @property
    def broken(self) -> bool:
        """Whether somebody must act: an error in the settings, or no way to reach anybody."""
        return (
            bool(self.problems)
            or not self.usable
            or any(backend.broken for channel in self.channels for backend in channel.backends)
        )


def examine() -> Health:
    """Look at everything. Waits for the cache for a moment at most, and for no provider."""
    problems = list(_problems_of_the_settings())
    if problems:
        return Health(problems=problems)
    today = _today()
    return Health(
        channels=[
            _channel(name, len(entries), today)
            for name, entries in conf.CHANNELS.items()
            if entries
        ],
        limits=[
            _level_words(level)
            for level in Budget.levels()
            if level.percent >= min(MARKS) or level.paused_until is not None
        ],
        proxies=conf.TRUSTED_PROXY_COUNT,
        base_url=conf.BASE_URL,
        countries=sorted(conf.COUNTRIES),
        shared_cache=cache_is_shared(),
        lock_wait=lock_wait(Delivery),
    )


def _level_words(level: Level) -> str:
    name = f"{level.bucket} ({level.region})" if level.region else level.bucket
    if level.paused_until is not None:
        return _(
            "%(limit)s: closed, since hardly anybody enters a code there, until %(moment)s"
        ) % {
            "limit": name,
            "moment": _moment(level.paused_until),
        }
    return _("%(limit)s: %(percent)d percent of %(count)d in %(window)s") % {
        "limit": name,
        "percent": level.percent,
        "count": level.limit,
        "window": _WINDOWS[level.window],
    }


def _moment(at: datetime) -> str:
    return date_format(localtime(at) if is_aware(at) else at, "DATETIME_FORMAT")


def _problems_of_the_settings() -> Sequence[str]:
    found = []
    for setting in conf.all():
        try:
            setting.read()
        except ImproperlyConfigured as error:
            found.append(str(error))
    return found


def _channel(name: str, entries: int, today: Mapping[tuple[str, str], Counts]) -> ChannelHealth:
    channel = channels.CHANNELS.get(name)
    blocked = ""
    if channel is not None and channel.kind == "phone" and not conf.COUNTRIES:
        blocked = _("No country is allowed, so nothing leaves.")
    return ChannelHealth(
        name=name,
        label=name if channel is None else channel.label,
        blocked=blocked,
        backends=[_backend(name, position, today) for position in range(entries)],
    )


def _backend(channel: str, position: int, today: Mapping[tuple[str, str], Counts]) -> BackendHealth:
    try:
        backend = channels.build(channel, position)
    except BackendMisconfigured as error:
        problem = checks.Error(error.detail, id="otp_channels.E004")
        path = conf.CHANNELS[channel][position]["BACKEND"]
        return BackendHealth(provider=path, problems=[problem])
    provider = backend.provider
    recent = Delivery.objects.filter(
        channel=channel, provider=provider, created_at__gte=Now() - WEEK
    )
    attempts: Any = with_outcome(recent)
    overdue = Q(status=Status.SENDING, outcome=Status.UNKNOWN)
    reached = attempts.filter(status__in=REACHED)
    lost = attempts.filter(Q(status__in=LOST) | overdue).exclude(error_code__in=NOT_ASKED)
    return BackendHealth(
        provider=provider,
        problems=list(backend.check()),
        standing=None if backend.inline else Breaker(channel, position, provider).standing(),
        receipts=bool(conf.BASE_URL) and backend.receives,
        # By the number of the row, since the newest are the likeliest.
        last_success=_event(reached.order_by("-pk").first()),
        last_failure=_event(lost.order_by("-pk").first()),
        day=today.get((channel, provider), Counts()),
    )


def _event(delivery: Delivery | None) -> Event | None:
    if delivery is None:
        return None
    return Event(
        at=delivery.created_at,
        status=str(Delivery.Outcome(delivery.outcome).label),
        code=delivery.error_code,
        why=delivery.get_reason_display(),
    )


def _today() -> Mapping[tuple[str, str], Counts]:
    """Count the attempts of the last 24 hours, in one statement."""
    attempts: Any = with_outcome(Delivery.objects.filter(created_at__gte=Now() - DAY))
    rows = (
        attempts.values_list("channel", "provider", "outcome")
        .annotate(
            skipped=Count("pk", filter=Q(error_code__in=NOT_ASKED)),
            asked=Count("pk", filter=~Q(error_code__in=NOT_ASKED)),
        )
        .order_by()
    )
    counters: dict[tuple[str, str], Counter[str]] = {}
    for channel, provider, status, skipped, asked in rows:
        counter = counters.setdefault((channel, provider), Counter())
        counter["skipped"] += skipped
        for name, statuses in (
            ("sent", REACHED),
            ("arrived", ARRIVED),
            ("failed", LOST - {Status.UNKNOWN}),
            ("unknown", {Status.UNKNOWN}),
        ):
            counter[name] += asked if status in statuses else 0
    return {key: Counts(**counter) for key, counter in counters.items()}
