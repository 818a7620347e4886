"""How long rows are kept, and how those that are old enough go.

Beside live traffic: some hundred rows at a time, each batch in a short transaction of its own that
judges its rows again as it deletes them. What somebody still needs stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, reduce
from operator import and_
from typing import Any

from django.db import IntegrityError, models
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, When
from django.db.models.functions import Now

from .models import Activity, Budget, Challenge, ChannelDevice, Refusal, TrustedBrowser
from .models.budgets import WINDOWS
from .models.challenges import State
from .models.commits import committed

BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Ages:
    """What is old enough to go.

    ``trail``: challenges with their deliveries, and refused messages, which staff look at; at
    least a day, since limits look back for an hour. ``secrets``: what a code was derived from and
    bound to; at least an hour, when the login that it belongs to has long ended. ``unproven``:
    devices that were never proven. ``activity``: what a person is shown of what happened lately.
    """

    trail: timedelta = timedelta(days=30)
    secrets: timedelta = timedelta(hours=24)
    unproven: timedelta = timedelta(hours=24)
    activity: timedelta = timedelta(days=90)


@dataclass(frozen=True)
class Chore:
    """One kind of rows, and what to do with a batch of them inside a transaction.

    ``work`` gets the rows that are to go among those of the batch, and returns how many went.
    """

    rows: models.QuerySet[Any]
    work: Callable[[models.QuerySet[Any]], int]

    def run(self) -> int:
        done = 0
        for keys in _batches(self.rows):
            batch = self.rows.filter(pk__in=keys)
            # Whoever has used one of them in this moment keeps the batch for the next time.
            with suppress(IntegrityError):
                done += committed(self.rows.model, partial(self.work, batch))
        return done


def chores(ages: Ages) -> Mapping[str, Chore]:
    """Return what is to be done, by what it is done to, in the order in which to do it."""
    return {
        "challenges": Chore(
            Challenge.objects.filter(created_at__lt=Now() - ages.trail), _delete_challenges
        ),
        "secrets": Chore(
            Challenge.objects.filter(
                Q(flow__isnull=False) | ~Q(nonce=b""),
                created_at__lt=Now() - ages.secrets,
                created_at__gte=Now() - ages.trail,
            ),
            _blank,
        ),
        "refusals": Chore(Refusal.objects.filter(last_at__lt=Now() - ages.trail), _delete),
        "budgets": Chore(_idle_budgets(), _delete_budgets),
        "browsers": Chore(TrustedBrowser.objects.filter(expires_at__lt=Now()), _delete),
        "activity": Chore(Activity.objects.filter(at__lt=Now() - ages.activity), _delete),
        "devices": Chore(_never_proven(ages.unproven), _delete_devices),
    }


def _batches(rows: models.QuerySet[Any]) -> Iterator[list[Any]]:
    """Yield the keys of ``rows`` in order of the key: each row is met once, whatever is done."""
    rows, after = rows.order_by("pk"), Q()
    while keys := list(rows.filter(after).values_list("pk", flat=True)[:BATCH]):
        yield keys
        after = Q(pk__gt=keys[-1])


def _delete(rows: models.QuerySet[Any]) -> int:
    return rows.delete()[0]


def _delete_budgets(rows: models.QuerySet[Any]) -> int:
    # In one statement, whatever listens to deletions: a row that is charged meanwhile stays.
    return rows._raw_delete(rows.db)


def _delete_challenges(rows: models.QuerySet[Any]) -> int:
    _carry_over_last_use(rows)
    label = Challenge._meta.label
    return rows.delete()[1].get(label, 0)


def _carry_over_last_use(rows: models.QuerySet[Any]) -> None:
    """Note on the devices when they were used last: the admin reads that from the challenges."""
    verified = Challenge.objects.filter(
        device=OuterRef("pk"), device_version=OuterRef("version"), state=State.VERIFIED
    )
    latest = Subquery(verified.order_by("-closed_at").values("closed_at")[:1])
    used = ChannelDevice.objects.filter(
        pk__in=list(
            rows.filter(state=State.VERIFIED, device__isnull=False)
            .order_by()
            .values_list("device", flat=True)
            .distinct()
        )
    )
    used.update(
        last_used_at=Case(
            When(Q(last_used_at=None) | Q(last_used_at__lt=latest), then=latest),
            default=F("last_used_at"),
        )
    )


def _blank(rows: models.QuerySet[Any]) -> int:
    return rows.update(nonce=b"", flow=None)


def _idle_budgets() -> models.QuerySet[Budget]:
    """Return the rows that count nothing any more: as good as none."""
    over = reduce(
        and_,
        (
            Q(**{f"{name}_since__lt": Now() - timedelta(seconds=seconds)})
            for seconds, name in WINDOWS.items()
        ),
    )
    return Budget.objects.filter(over, Q(paused_until=None) | Q(paused_until__lt=Now()))


def _never_proven(age: timedelta) -> models.QuerySet[ChannelDevice]:
    """Return devices that wait for their first proof for too long, and for no code just now.

    One whose address has changed was a factor before, and is not meant.
    """
    under_way = Challenge.objects.filter(device=OuterRef("pk"), expires_at__gt=Now())
    return ChannelDevice.objects.filter(
        ~Exists(under_way), confirmed=False, version=1, created_at__lt=Now() - age
    )


def _delete_devices(rows: models.QuerySet[Any]) -> int:
    # Whoever proves one of them in this moment waits, or has made it stay.
    rows.update(confirmed=False)
    return rows.delete()[1].get(ChannelDevice._meta.label, 0)
