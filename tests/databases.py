"""A database in trouble: connections that are killed, and rows that somebody else keeps locked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections, models

# How long a locked row is waited for; MySQL and MariaDB count in whole seconds.
WAIT = 1
IMPATIENT = {
    "sqlite": {"timeout": WAIT},
    "postgresql": {"options": f"-c lock_timeout={WAIT}s"},
    "mysql": {"init_command": f"SET SESSION innodb_lock_wait_timeout = {WAIT}"},
}


@contextmanager
def somebody_else() -> Iterator[Any]:
    """A second connection to the same database."""
    other = connection.copy()
    try:
        yield other
    finally:
        other.close()


@contextmanager
def locked(rows: models.QuerySet[Any]) -> Iterator[None]:
    """Keep these rows locked, from a transaction that does not end. SQLite locks all there is."""
    with somebody_else() as other:
        other.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        if other.vendor != "sqlite":
            keys = list(rows.values_list("pk", flat=True))
            column = rows.model._meta.pk.column
            table = other.ops.quote_name(rows.model._meta.db_table)
            marks = ", ".join(["%s"] * len(keys))
            field = rows.model._meta.pk
            values = [field.get_db_prep_value(key, other) for key in keys]
            with other.cursor() as cursor:
                cursor.execute(
                    f"SELECT {column} FROM {table} WHERE {column} IN ({marks}) FOR UPDATE",  # noqa: S608
                    values,
                )
        try:
            yield
        finally:
            other.rollback()


@contextmanager
def options(**changes: Any) -> Iterator[None]:
    """Connect anew with these among the OPTIONS of the database."""
    known = connections["default"].settings_dict
    before = known["OPTIONS"]
    known["OPTIONS"] = {**before, **changes}
    connection.close()
    try:
        yield
    finally:
        connection.close()
        known["OPTIONS"] = before


class Killer:
    """Kills the connection before its statement number ``victim``; commits count as statements."""

    def __init__(self, victim: int) -> None:
        self.victim = victim
        self.seen = 0

    @property
    def has_killed(self) -> bool:
        return self.seen >= self.victim

    def step(self) -> None:
        self.seen += 1
        if self.seen != self.victim:
            return
        raw: Any = connection.connection
        with somebody_else() as other, other.cursor() as cursor:
            if other.vendor == "postgresql":
                cursor.execute("SELECT pg_terminate_backend(%s, 2000)", [raw.info.backend_pid])
            else:
                cursor.execute(f"KILL {raw.thread_id()}")

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.step()
        return execute(sql, params, many, context)


@contextmanager
def killed_before(victim: int) -> Iterator[Killer]:
    killer = Killer(victim)
    commit = connection._commit

    def counted() -> Any:
        if connection.connection is not None:
            killer.step()
        return commit()

    patch = pytest.MonkeyPatch()
    patch.setattr(connection, "_commit", counted)
    try:
        with connection.execute_wrapper(killer):
            yield killer
    finally:
        patch.undo()
        connection.close()
