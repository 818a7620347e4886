"""A PostgreSQL database of its own, and what its connections are doing."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from .people import Traffic

EVERY = 0.02  # seconds

# Of all clients but the one that asks: how many, how many with a transaction open that does
# nothing, and for how long the longest of those has been doing nothing.
ACTIVITY = """
SELECT
    count(*),
    count(*) FILTER (WHERE state LIKE 'idle in transaction%%'),
    coalesce(
        extract(epoch FROM max(clock_timestamp() - state_change)
            FILTER (WHERE state LIKE 'idle in transaction%%')), 0)::float8
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
    AND pid <> pg_backend_pid()
"""


@contextlib.contextmanager
def own_database(url: str) -> Iterator[str]:
    """Create a database beside the one that ``url`` names, return its URL, and drop it."""
    name = f"otp_channels_hang_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


@dataclass
class Activity:
    """What the samples saw: ``quiet`` ones were taken while no request was under way.

    ``idle_in_transaction`` counts the samples with any such connection, ``longest_idle`` is in
    seconds. A request has one for moments, between two statements of a transaction of its own.
    """

    samples: int = 0
    idle_in_transaction: int = 0
    longest_idle: float = 0
    quiet_samples: int = 0
    quiet_idle_in_transaction: int = 0
    quiet_connections: int = 0


class Watch:
    """Add to ``seen`` what ``pg_stat_activity`` tells while the block runs."""

    def __init__(self, url: str, traffic: Traffic, seen: Activity) -> None:
        self.seen = seen
        self._url = url
        self._traffic = traffic
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        seen, traffic = self.seen, self._traffic
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._over.wait(EVERY):
                begun, quiet = traffic.begun, not traffic.under_way
                row = connection.execute(ACTIVITY).fetchone()
                assert row is not None
                connections, idle, longest = row
                seen.samples += 1
                seen.idle_in_transaction += bool(idle)
                seen.longest_idle = max(seen.longest_idle, longest)
                if quiet and traffic.begun == begun:
                    seen.quiet_samples += 1
                    seen.quiet_connections = max(seen.quiet_connections, connections)
                    seen.quiet_idle_in_transaction += bool(idle)
