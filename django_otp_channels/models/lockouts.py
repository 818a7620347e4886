"""The failures of one account, over all its devices and channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, router, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from .commits import record
from .primary import PrimaryManager

# An account's consecutive failures and what they cost (NIST SP 800-63B-4, 3.2.2 allows 100 in all
# and waits of up to an hour; half of it here).
CONSECUTIVE_LIMIT = 10
LOCKS = {
    10: timedelta(minutes=15),
    20: timedelta(minutes=30),
    30: timedelta(minutes=60),
    40: timedelta(minutes=60),
}
HARD_STOP = 50
# Nobody mistypes a code so often: from here on the owner should hear of it (ASVS 6.3.5).
WARNING_AT = 3
# Success between two failures clears the consecutive count, so a patient guesser needs another
# limit: 20 failures in a day from the first one, whatever succeeds between.
DAILY_LIMIT = 20
DAY = timedelta(hours=24)


def failures_since_lock(lockout: Lockout | None) -> int:
    """Return how many wrong codes in a row count towards the next lock."""
    return lockout.failures % CONSECUTIVE_LIMIT if lockout is not None else 0


@dataclass(frozen=True)
class Lock:
    """A lock in force. It ends after ``seconds_left``; if ``stopped``, when staff lift it."""

    stopped: bool
    seconds_left: int


class Lockout(models.Model):
    """Consecutive and daily failures of one user, and the lock that they led to.

    A lock closes the channels of this package; other django-otp devices stay usable. It is never
    extended by tries during it, and no change of devices resets it.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="otp_lockout",
        verbose_name=_("user"),
    )
    failures = models.PositiveIntegerField(_("consecutive failures"), default=0)
    daily_failures = models.PositiveIntegerField(_("failures within a day"), default=0)
    day_started_at = models.DateTimeField(_("day started at"), db_default=Now())
    locked_until = models.DateTimeField(_("locked until"), null=True, blank=True)
    stopped_at = models.DateTimeField(_("stopped at"), null=True, blank=True)
    # What has been told already, so that of many failures at once one tells it.
    warned = models.BooleanField(default=False, editable=False)
    told_lock = models.DateTimeField(null=True, editable=False)

    objects = PrimaryManager["Lockout"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("lockout")
        verbose_name_plural = _("lockouts")

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @staticmethod
    def closed() -> Q:
        """Return the condition under which a row closes its account, by the database's clock."""
        return Q(stopped_at__isnull=False) | Q(locked_until__gt=Now())

    def lock(self, now: datetime) -> Lock | None:
        """Return the lock in force at ``now``, a time read from the database, or None."""
        left = self.locked_until - now if self.locked_until else timedelta(0)
        if self.stopped_at is None and left <= timedelta(0):
            return None
        return Lock(stopped=self.stopped_at is not None, seconds_left=int(left.total_seconds()))

    def tell(self, now: datetime, *, client: str = "") -> list[str]:
        """Record what the failures of this account have led to by ``now``, as read from the row.

        Each third failure and each lock is recorded once, by whoever marks it first. Costs nothing
        where there is nothing to tell. Returns the events that were recorded, of which the owner
        should hear as well.
        """
        row = type(self).objects.filter(pk=self.pk)
        told: list[str] = []
        if self.failures >= WARNING_AT and not self.warned:
            warn = row.filter(failures__gte=WARNING_AT, warned=False)
            if warn.update(warned=True):
                record(Lockout, "third_failure", user=self.user_id, client=client)
                told.append("third_failure")
        lock = self.lock(now)
        if lock is None or self.told_lock == (self.stopped_at or self.locked_until):
            return told
        # Each lock is known by its time; the times are compared where they were made.
        this = Coalesce("stopped_at", "locked_until")
        untold = Q(told_lock=None) | ~Q(told_lock=this)
        if row.filter(self.closed(), untold).update(told_lock=this):
            until = None if lock.stopped or not self.locked_until else self.locked_until.isoformat()
            record(
                Lockout,
                "account_locked",
                user=self.user_id,
                client=client,
                reason=self._reason(lock),
                until=until,
            )
            told.append("account_locked")
        return told

    def _reason(self, lock: Lock) -> str:
        if lock.stopped:
            return "stopped"
        return "daily" if self.locked_until == self.day_started_at + DAY else "consecutive"

    @classmethod
    def tell_of(cls, user_id: Any) -> list[str]:
        """Like :meth:`tell`, for whoever has not read the row since the failure."""
        row: Any = cls.objects.filter(user_id=user_id).annotate(db_now=Now()).first()
        return row.tell(row.db_now) if row is not None else []

    @classmethod
    def lock_of(cls, user_id: Any) -> Lock | None:
        """Return the lock in force for this user, or None."""
        row: Any = cls.objects.filter(user_id=user_id).annotate(db_now=Now()).first()
        return row.lock(row.db_now) if row is not None else None

    @classmethod
    def hold(cls, user_id: Any) -> None:
        """Make whoever else calls this for the same user wait for the end of the transaction."""
        cls.objects.get_or_create(user_id=user_id)
        cls.objects.filter(user_id=user_id).update(failures=F("failures"))

    @classmethod
    def record_failure(cls, user_id: Any, *, exists: bool) -> None:
        """Count one wrong code of this user, and lock where a limit is reached: one statement.

        ``exists`` says whether the user is known to have a row already.
        """
        if not exists:
            try:
                with transaction.atomic(using=router.db_for_write(cls)):
                    cls.objects.create(user_id=user_id, failures=1, daily_failures=1)
                return
            except IntegrityError:  # a parallel failure made the row first
                pass
        a_day_ago = Now() - DAY
        # MySQL assigns from left to right and reads what it has just assigned: whatever depends on
        # an old value stands before the field that changes it.
        cls.objects.filter(user_id=user_id).update(
            stopped_at=Case(When(failures=HARD_STOP - 1, then=Now()), default=F("stopped_at")),
            locked_until=Case(
                When(  # the longer lock, so it goes first
                    daily_failures__gte=DAILY_LIMIT - 1,
                    day_started_at__gt=a_day_ago,
                    then=F("day_started_at") + Value(DAY, models.DurationField()),
                ),
                *(When(failures=count - 1, then=Now() + wait) for count, wait in LOCKS.items()),
                default=F("locked_until"),
                output_field=models.DateTimeField(),
            ),
            daily_failures=Case(
                When(day_started_at__lte=a_day_ago, then=1), default=F("daily_failures") + 1
            ),
            day_started_at=Case(
                When(day_started_at__lte=a_day_ago, then=Now()), default=F("day_started_at")
            ),
            failures=F("failures") + 1,
        )

    @classmethod
    def record_success(cls, user_id: Any) -> None:
        """Clear the consecutive failures. The daily ones stay."""
        cls.objects.filter(user_id=user_id).update(failures=0, warned=False)

    @classmethod
    def lift(cls, user_ids: Any) -> int:
        """Unlock these users, as staff ask for it. Returns how many had a row."""
        return cls.objects.filter(user_id__in=user_ids).update(
            failures=0,
            daily_failures=0,
            locked_until=None,
            stopped_at=None,
            warned=False,
            told_lock=None,
        )
