"""What a request owes once its view is through: charges to make good, and news for owners.

django-otp verifies inside ``atomic()``, where a rollback (``ATOMIC_REQUESTS`` and an error, say)
would hand a spent try back. The middleware opens a ledger for each request and settles it after the
view. Weaker than the login step's own charges, which commit at once: without the middleware, or
when the worker is killed in between, a try may come back.

What wrong codes have led to is noted here too where no page of ours has judged them: the owner
hears of it from the layers above the models.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class News:
    """An event that the owner of ``device``, on which a code was entered, should hear of."""

    event: str
    device: Any


@dataclass
class Ledger:
    """``charges``: each makes one good that is gone, and does nothing about one that is not."""

    charges: list[Callable[[], None]] = field(default_factory=list)
    news: list[News] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.charges or self.news)


_ledger: ContextVar[Ledger | None] = ContextVar("otp_channels_ledger", default=None)


def open_ledger() -> Ledger:
    """Start to note what this request owes, and return where it is noted."""
    ledger = Ledger()
    _ledger.set(ledger)
    return ledger


def note(make_good: Callable[[], None]) -> None:
    """Note a charge. ``make_good`` repeats it if it is gone, and does nothing if it is not."""
    ledger = _ledger.get()
    if ledger is not None:
        ledger.charges.append(make_good)


def note_news(event: str, device: Any) -> None:
    """Note what a wrong code on ``device`` has led to, once that is committed."""
    ledger = _ledger.get()
    if ledger is not None:
        ledger.news.append(News(event, device))


def settle(ledger: Ledger) -> None:
    """Make good what a rollback took back."""
    for make_good in ledger.charges:
        make_good()
