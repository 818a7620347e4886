"""Short transactions of our own, committed when they return."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.db import OperationalError, connections, models, router, transaction

from .. import audit
from ..exceptions import SendNotAllowed

T = TypeVar("T")

TRIES = 3
# Seconds after which nothing is begun anew: a person waits for the answer. A row that is locked for
# so long is not a deadlock, and is not waited for again.
PATIENCE = 2.0
# SQLite and PostgreSQL count in milliseconds.
_LOCK_WAITS = {
    "sqlite": ("PRAGMA busy_timeout", 1000),
    "postgresql": ("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'", 1000),
    "mysql": ("SELECT @@innodb_lock_wait_timeout", 1),
}


def lock_wait(model: type[models.Model]) -> float | None:
    """Return for how many seconds this connection waits for a locked row of ``model``.

    Infinity where it waits without end, None where the database is not known.
    """
    connection = connections[router.db_for_write(model)]
    if connection.vendor not in _LOCK_WAITS:
        return None
    question, unit = _LOCK_WAITS[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(question)
        wait = int(cursor.fetchone()[0])
    # Of these, PostgreSQL alone means "without end" by nought.
    return math.inf if connection.vendor == "postgresql" and not wait else wait / unit


def committed(model: type[models.Model], work: Callable[[], T], *, durable: bool = True) -> T:
    """Return what ``work`` returns, committed in the database that ``model`` is written to.

    Parallel requests can end in a deadlock or a serialization failure, whose remedy is to begin
    anew: ``work`` runs up to three times, so it must change nothing but rows. After the third, or
    after two seconds, the database's ``OperationalError`` goes on to the caller. ``durable``
    as in Django's ``atomic()``; inside somebody else's transaction nothing can be begun anew.
    """
    using = router.db_for_write(model)
    began = time.monotonic()
    for tries_left in reversed(range(TRIES if durable else 1)):
        try:
            with transaction.atomic(using=using, durable=durable):
                return work()
        except OperationalError:
            if not tries_left or time.monotonic() - began > PATIENCE:
                raise
    raise AssertionError  # the last try has returned or raised


def reserved(model: type[models.Model], work: Callable[[], T]) -> T:
    """Like :func:`committed`, for what must stand before a message goes out: else none does.

    Raises ``SendNotAllowed`` where the database cannot decide.
    """
    try:
        return committed(model, work)
    except OperationalError:
        raise SendNotAllowed from None


def in_transaction(model: type[models.Model]) -> bool:
    """Whether somebody's transaction is open (a test case's own does not count)."""
    try:
        with transaction.atomic(using=router.db_for_write(model), durable=True):
            return False
    except RuntimeError:
        return True


def record(model: type[models.Model], event: str, **fields: Any) -> None:
    """Record a security event that is true only once a change of ``model`` is committed."""
    after(model, partial(audit.record, event, **fields))


def after(model: type[models.Model], act: Callable[[], object]) -> None:
    """Do ``act`` once the transaction around the call, if there is one, is committed."""
    if in_transaction(model):
        transaction.on_commit(act, using=router.db_for_write(model))
    else:
        act()
