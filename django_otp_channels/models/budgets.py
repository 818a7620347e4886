"""How many messages may go where, in which time: the fence around what messages cost.

One row per bucket and key holds the counters of all its windows side by side, so that a bucket
costs one statement. The buckets of one send are charged row by row in one order, the site's last,
each by a conditional UPDATE; any that is full rolls all back. (One UPDATE over several rows lets
PostgreSQL deadlock.) What is charged is never given back: not by a success, which could be farmed,
nor by a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from .. import phones
from ..conf import conf
from ..exceptions import InvalidNumber, SendNotAllowed
from ..messages import Purpose
from .primary import PrimaryManager

# What a message costs a site, in tenths of a text message (DEF-18: a text 1, since ours have one
# segment, a call 5, a notification 0.1).
TEXT, CALL, NOTIFICATION = 10, 50, 1

# seconds → the columns of that window
WINDOWS: Mapping[int, str] = {600: "ten_minutes", 3600: "hour", 86400: "day"}
# Messages by window, as DEF-12 to DEF-17 have them. OTP_CHANNELS_LIMITS replaces single entries.
DEFAULT_LIMITS: Mapping[str, Mapping[int, int]] = {
    "login.number": {600: 3, 3600: 5, 86400: 10},
    "login.user": {3600: 6, 86400: 15},
    "login.client": {3600: 20},
    "login.prefix": {3600: 30},
    "login.country": {86400: 1400},
    "login.site": {3600: 350, 86400: 1400},
    "enrol.number": {600: 3, 3600: 5, 86400: 10},
    "enrol.user": {3600: 6, 86400: 15},
    "enrol.client": {3600: 20},
    "enrol.prefix": {3600: 10},
    "enrol.country": {86400: 600},
    "enrol.site": {3600: 150, 86400: 600},
    "notice.number": {3600: 3, 86400: 6},
    "notice.user": {3600: 5, 86400: 10},
    "notice.client": {3600: 20},
    "notice.prefix": {3600: 30},
    "notice.country": {86400: 300},
    "notice.site": {3600: 100, 86400: 300},
}
# Passwords that are compared where somebody who is logged in is asked for theirs again, right ones
# too: whoever has a stolen session must not guess on in it.
PASSWORDS: Mapping[int, int] = {600: 5, 3600: 15, 86400: 50}
_ORDER = ("number", "user", "client", "prefix", "country", "site")
# Percent of the site's and a country's money at whose use staff are told (DEF-17).
MARKS = (50, 80)


@dataclass(frozen=True, kw_only=True)
class Send:
    """A message that somebody asks for, as the limits see it.

    ``part`` is ``login``, ``enrol`` or ``notice``: whoever floods one must not close the others.
    A notice carries no code. ``number`` is
    in E.164, empty for an app; ``address`` is the device's own. ``client`` is as
    :func:`~..clients.client_of` returns it.
    ``proof`` finds out when a code that went to this very address was last entered.
    ``by_hand`` says that the person has pressed a button for it: of many who share an address, as
    in an office, none is shut out of the login; the later ones press a button more.
    """

    part: str
    channel: str
    user_id: Any
    address: str = field(default="", repr=False)
    number: str = field(default="", repr=False)
    client: str = ""
    by_hand: bool = False
    proof: Callable[[], datetime | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def proven_at(self) -> datetime | None:
        """When the address was last proven, None for never: each right code proves it anew.

        Costs a statement. For a site's hook: who has not used a number for months may have lost it,
        and somebody else may have been given it.
        """
        return self.proof()

    @property
    def cost(self) -> int:
        if self.channel == "sms":
            return TEXT
        return CALL if self.channel == "voice" else NOTIFICATION

    @property
    def region(self) -> str:
        try:
            return phones.parse(self.number).region if self.number else ""
        except InvalidNumber:
            return ""

    @property
    def prefix(self) -> str:
        """The number without its last four digits: such ranges are what fraudsters rent."""
        return self.number[:-4]

    @property
    def purposes(self) -> Sequence[str]:
        """The purposes of challenges that belong to the same part."""
        return [purpose for purpose in Purpose if part_of(purpose) == self.part]

    def charges(self) -> Iterator[Charge]:
        """Yield what is charged, in the order in which it is."""
        keys = {
            # Each channel by itself, so that a call can still help whom no text has reached.
            "number": f"{self.channel}:{self.number or self.address}",
            "user": str(self.user_id),
            "client": self.client,
            "prefix": self.prefix,
            "country": self.region,
            "site": "site",
        }
        for bucket in _ORDER:
            name = f"{self.part}.{bucket}"
            limits = conf.LIMITS.get(name) or DEFAULT_LIMITS[name]
            if keys[bucket]:
                # The money of the site is counted by what a message costs, all else by messages.
                units = self.cost if bucket in ("country", "site") else TEXT
                yield Charge(name, keys[bucket], units, limits)


def part_of(purpose: str) -> str:
    return "login" if purpose in (Purpose.LOGIN, Purpose.STEP_UP) else "enrol"


def keyed_digest(salt: str, value: str) -> str:
    """Return what a table keeps of ``value``, which is nobody's business.

    By the oldest key that the site still has: a new ``SECRET_KEY`` would else begin every count
    anew. That happens once the old one leaves ``SECRET_KEY_FALLBACKS``.
    """
    fallbacks: list[str | bytes] = [key for key in settings.SECRET_KEY_FALLBACKS if key]
    oldest = fallbacks[-1] if fallbacks else settings.SECRET_KEY
    return salted_hmac(salt, value, oldest, algorithm="sha256").hexdigest()


def prefix_digest(number: str) -> str:
    """Return what a delivery keeps of the range that ``number`` belongs to; empty for an app."""
    if not number.startswith("+"):
        return ""
    return keyed_digest("django_otp_channels.prefix", number[:-4])[:16]


@dataclass(frozen=True)
class Mark:
    """``percent`` of a bucket's limit for ``window`` seconds, which a charge has just passed.

    ``region`` is empty but for a country's bucket.
    """

    bucket: str
    region: str
    window: int
    percent: int


@dataclass(frozen=True)
class Charged:
    """What came of the charges of one send: buckets that are ``full``, marks that it ``passed``."""

    full: Sequence[str] = ()
    passed: Sequence[Mark] = ()


@dataclass(frozen=True)
class Charge:
    """``units`` (tenths of a text message) for the row of ``bucket`` and ``key``.

    ``limits`` maps seconds to text messages.
    """

    bucket: str
    key: str = field(repr=False)
    units: int
    limits: Mapping[int, int]

    @property
    def digest(self) -> str:
        return keyed_digest(__name__, f"{self.bucket}:{self.key}")

    def room(self) -> Q:
        """Return the condition under which the row can take this charge."""
        windows = (self._over(seconds) | self._below(seconds) for seconds in self.limits)
        return reduce(and_, windows, _open())

    def quiet_room(self) -> Q:
        """Return the condition under which it can, and passes none of the :data:`MARKS`."""
        windows = []
        for seconds in self.limits:
            marks = [units for _percent, units in self._marks(seconds)]
            between = self._below(seconds)
            for mark in marks:
                used = f"{WINDOWS[seconds]}_used"
                between &= Q(**{f"{used}__gte": mark}) | Q(**{f"{used}__lt": mark - self.units})
            passes_at_once = any(mark <= self.units for mark in marks)
            over = self._over(seconds)
            windows.append(between & ~over if passes_at_once else over | between)
        return reduce(and_, windows, _open())

    def passed(self, used: Mapping[str, int]) -> list[Mark]:
        """Return the marks that lie between the counters before this charge and ``used``, after."""
        return [
            Mark(self.bucket, self.region, seconds, percent)
            for seconds, name in self._windows()
            for percent, units in self._marks(seconds)
            if used[f"{name}_used"] - self.units < units <= used[f"{name}_used"]
        ]

    def _marks(self, seconds: int) -> Iterator[tuple[int, int]]:
        """Yield percent and units of each mark. Only what costs the site money has any."""
        if self.bucket.endswith((".country", ".site")):
            for percent in MARKS:
                yield percent, -(-self.limits[seconds] * TEXT * percent // 100)

    @property
    def region(self) -> str:
        """The country whose bucket it is, empty for any other bucket."""
        return self.key if self.bucket.endswith(".country") else ""

    @property
    def watched(self) -> bool:
        return any(True for seconds in self.limits for _mark in self._marks(seconds))

    @property
    def counters(self) -> Sequence[str]:
        """The columns that count."""
        return [f"{name}_used" for _seconds, name in self._windows()]

    def _over(self, seconds: int) -> Q:
        return Q(**{f"{WINDOWS[seconds]}_since__lte": _since(seconds)})

    def _below(self, seconds: int) -> Q:
        most = self.limits[seconds] * TEXT - self.units
        return Q(**{f"{WINDOWS[seconds]}_used__lte": most})

    def changes(self) -> dict[str, Any]:
        """Return what the charge changes. A window that is over begins anew."""
        changes: dict[str, Any] = {}
        for seconds, name in self._windows():
            over = self._over(seconds)
            used, since = f"{name}_used", f"{name}_since"
            # In this order: MySQL assigns from left to right, and "used" depends on "since".
            changes[used] = Case(When(over, then=Value(self.units)), default=F(used) + self.units)
            changes[since] = Case(When(over, then=Now()), default=F(since))
        return changes

    def _windows(self) -> Iterator[tuple[int, str]]:
        return ((seconds, WINDOWS[seconds]) for seconds in self.limits)

    def first(self) -> dict[str, int] | None:
        """Return the counters of a new row, None if not even one charge is allowed."""
        if any(limit * TEXT < self.units for limit in self.limits.values()):
            return None
        return {f"{name}_used": self.units for _seconds, name in self._windows()}


def _since(seconds: int) -> Any:
    return Now() - timedelta(seconds=seconds)


def _open() -> Q:
    return Q(paused_until=None) | Q(paused_until__lte=Now())


@dataclass(frozen=True, kw_only=True)
class Level:
    """How much of a bucket's limit for ``window`` seconds is used up by now.

    ``region`` is empty but for a country's bucket. ``paused_until`` is None but for a bucket that
    is closed because hardly anybody enters a code.
    """

    bucket: str
    region: str
    window: int
    limit: int
    percent: int
    paused_until: datetime | None


class OverBudget(SendNotAllowed):
    """A bucket is full, or paused. ``bucket`` says which, to staff; a person reads one sentence."""

    sentence = _("Too many codes have been sent. Please try again later, or use another way.")

    def __init__(self, bucket: str) -> None:
        super().__init__()
        self.bucket = bucket


class Budget(models.Model):
    """What one bucket has spent for one key, in each of its windows."""

    bucket = models.CharField(_("bucket"), max_length=24)
    key = models.CharField(max_length=64)
    ten_minutes_used = models.PositiveIntegerField(default=0)
    ten_minutes_since = models.DateTimeField(db_default=Now())
    hour_used = models.PositiveIntegerField(default=0)
    hour_since = models.DateTimeField(db_default=Now())
    day_used = models.PositiveIntegerField(default=0)
    day_since = models.DateTimeField(db_default=Now())
    paused_until = models.DateTimeField(_("paused until"), null=True)

    objects = PrimaryManager["Budget"]()

    db_now: datetime  # added by levels()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["bucket", "key"], name="otp_budget_key"),
        ]
        indexes = [models.Index(fields=["day_since"], name="otp_budget_day")]  # noqa: RUF012

    def __str__(self) -> str:
        return self.bucket

    @classmethod
    def charge(cls, send: Send) -> Charged:
        """Charge all buckets of ``send``, inside the transaction that reserves it.

        Raises ``OverBudget`` where one is full; the rollback takes back what was charged before.
        Where limits are only recorded, returns the buckets that are full instead.
        """
        full: list[str] = []
        passed: list[Mark] = []
        for charge in send.charges():
            marks = cls._charge(charge)
            if marks is None:
                full.append(charge.bucket)
            passed += marks or ()
        hard = [bucket for bucket in full if not (bucket == "login.client" and send.by_hand)]
        if hard and conf.LIMITS_ENFORCED:
            raise OverBudget(hard[0])
        return Charged(full, passed)

    @classmethod
    def charge_password(cls, user_id: Any) -> bool:
        """Charge one comparison of the user's password; say whether there was one left."""
        charge = Charge("password.user", str(user_id), TEXT, PASSWORDS)
        return cls._charge(charge) is not None

    @classmethod
    def _charge(cls, charge: Charge) -> Sequence[Mark] | None:
        """Return the marks that the charge has passed; None if there was no room for it.

        Nearly every charge passes none, and is one statement. One that does is a second statement,
        after which the row is this transaction's, so that its counters can be read: of all that
        charge at the same moment, one finds itself on either side of a mark.
        """
        first = charge.first()
        if first is None:
            return None
        row = cls.objects.filter(bucket=charge.bucket, key=charge.digest)
        if row.filter(charge.quiet_room()).update(**charge.changes()):
            return ()
        if not row.exists():
            try:
                with transaction.atomic(using=row.db):
                    cls.objects.create(bucket=charge.bucket, key=charge.digest, **first)
                return charge.passed(first)
            except IntegrityError:
                pass
        # It is full, or passes a mark, or a parallel send has made it since the first look.
        if not row.filter(charge.room()).update(**charge.changes()):
            return None
        return charge.passed(row.values(*charge.counters).get()) if charge.watched else ()

    @classmethod
    def pause(cls, charge: Charge, wait: timedelta) -> bool:
        """Close the row of ``charge`` for ``wait``. Return whether it was open."""
        row = cls.objects.filter(bucket=charge.bucket, key=charge.digest)
        return bool(row.filter(_open()).update(paused_until=Now() + wait))

    @classmethod
    def levels(cls) -> list[Level]:
        """Return the levels of the site and its countries, each of its fullest window.

        What has spent nothing is left out. The countries are those of ``OTP_CHANNELS_COUNTRIES``,
        since the table does not tell whose its counters are. One statement.
        """
        charges = {
            (charge.bucket, charge.digest): charge
            for part in ("login", "enrol")
            for charge in _watched(part)
        }
        rows = cls.objects.filter(
            bucket__in={bucket for bucket, _key in charges}, key__in={key for _, key in charges}
        )
        levels = [
            row._level(charge, row.db_now)
            for row in rows.annotate(db_now=Now()).order_by("bucket")
            if (charge := charges.get((row.bucket, row.key))) is not None
        ]
        return [level for level in levels if level.percent or level.paused_until]

    def _level(self, charge: Charge, now: datetime) -> Level:
        percents = {
            seconds: self._percent(name, seconds, charge.limits[seconds], now)
            for seconds, name in charge._windows()
        }
        window = max(percents, key=lambda seconds: percents[seconds])
        paused = self.paused_until is not None and self.paused_until > now
        return Level(
            bucket=self.bucket,
            region=charge.region,
            window=window,
            limit=charge.limits[window],
            percent=percents[window],
            paused_until=self.paused_until if paused else None,
        )

    def _percent(self, name: str, seconds: int, limit: int, now: datetime) -> int:
        over = getattr(self, f"{name}_since") <= now - timedelta(seconds=seconds)
        used: int = 0 if over else getattr(self, f"{name}_used")
        return 100 * used // (limit * TEXT) if limit else 100


def _watched(part: str) -> Iterator[Charge]:
    """Yield a charge to each bucket of ``part`` that staff are told of."""
    for bucket, keys in (("country", sorted(conf.COUNTRIES)), ("site", ["site"])):
        name = f"{part}.{bucket}"
        limits = conf.LIMITS.get(name) or DEFAULT_LIMITS[name]
        for key in keys:
            yield Charge(name, key, 0, limits)
