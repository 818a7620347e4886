"""Where a secret could show, and how it could be spelt."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import caches
from django.db import connection

from django_otp_channels.models import Challenge

# Loggers of the SDKs and of Django that say something at DEBUG.
TALKATIVE = (
    "asyncio", "boto3", "botocore", "cachecontrol", "django", "django.db.backends",
    "django.request", "django.security", "django.template", "django_otp_channels",
    "firebase_admin", "google", "google.auth", "requests", "twilio", "twilio.http_client",
    "urllib3", "urllib3.connectionpool",
)  # fmt: skip


# Of a record: moments and numbers of threads, in which any six digits can stand.
_PLAIN = {"created", "duration", "msecs", "process", "relativeCreated", "thread"}
# Where any six digits stand by chance: digests and ids, parts of a second, and intervals.
_CHANCE = re.compile(r"[0-9a-f]{16,}|(?<=:\d\d)\.\d+|\d{9,}|[\d.]+e-\d+")


class Listener(logging.Handler):
    """Everything that any logger says, as it would be written, with arguments and tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        extra = [f"{key}={value!r}" for key, value in vars(record).items() if key not in _PLAIN]
        self.lines.append((record.name, " ".join((self.format(record), str(record.msg), *extra))))

    @property
    def text(self) -> str:
        return "\n".join(f"{name}: {line}" for name, line in self.lines)


@contextmanager
def every_logger() -> Iterator[Listener]:
    """Listen to all loggers at DEBUG, with each statement of the database."""
    listener = Listener()
    root = logging.getLogger()
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in TALKATIVE}
    before = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    for logger in levels:
        logger.setLevel(logging.DEBUG)
    connection.force_debug_cursor = True
    try:
        yield listener
    finally:
        connection.force_debug_cursor = False
        for logger, level in levels.items():
            logger.setLevel(level)
        root.setLevel(before)
        root.removeHandler(listener)


def found(secret: str, text: str) -> list[str]:
    """Return the spellings in which a code or a number stands in ``text``."""
    digits = secret.lstrip("+")
    spelt = {joint.join(digits) for joint in ("", ", ", " ", ",", ". ", "-")}
    if secret.startswith("+"):
        spelt |= {digits[1:], f"%2B{digits}"}
    else:
        spelt |= {f"{digits[:3]} {digits[3:]}", f"{digits[:3]}-{digits[3:]}"}
        text = _CHANCE.sub("", text)
    return [each for each in spelt if each in text]


def code_of(challenge: Challenge) -> str:
    code = challenge._token()
    assert code is not None
    return str(code)


def database() -> str:
    """Return all rows of all tables, but for the one column that holds people's addresses."""
    dump = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                dump += [
                    f"{table}.{name}={_told(value)}"
                    for name, value in zip(names, row, strict=True)
                    if name not in ("address", "app_address")
                ]
    return "\n".join(dump)


def _told(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("latin-1")
    return str(value)


def cached() -> str:
    """Return all that the cache of this process holds, as it is stored."""
    stored: Any = caches["default"]
    return "\n".join(f"{key}={_told(value)}" for key, value in stored._cache.items())
