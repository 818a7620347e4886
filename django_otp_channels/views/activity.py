"""What happened lately, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps

from ..channels import CHANNELS
from ..models import Activity
from ..models.browsers import browser_in_words
from ..models.devices import phone_in_words


@dataclass(frozen=True)
class Happening:
    """``what``, in a few words, ``how`` and ``where``, each maybe empty."""

    at: datetime
    what: str
    how: str
    where: str


def sentences(events: Iterable[Activity]) -> Sequence[Happening]:
    """Return what to show of ``events``, in the active language."""
    return [
        Happening(
            at=event.at,
            what=str(event.get_event_display()),
            how=_how(event),
            where=browser_in_words(event.browser, event.system),
        )
        for event in events
    ]


def _how(event: Activity) -> str:
    way: Any = ""
    if event.way in CHANNELS:
        way = CHANNELS[event.way].label
    elif event.way:
        with suppress(LookupError, ValueError):  # of a plugin that is gone
            way = apps.get_model(event.way)._meta.verbose_name
    device = phone_in_words(event.device, event.digits) if event.digits else event.device
    # Isolated (U+2068, U+2069), since a name in another script would turn the digits round.
    return ", ".join(filter(None, [str(way), device and f"\u2068{device}\u2069"]))
