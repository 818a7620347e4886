"""What happened lately, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps

from ..channels import CHANNELS
from ..models import Activity
from ..models.browsers import browser_in_words
from ..models.devices import LEFT_TO_RIGHT, ending_in


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
    if event.way in CHANNELS:
        way: Any = CHANNELS[event.way].label
    elif event.way:
        try:
            way = apps.get_model(event.way)._meta.verbose_name
        except (LookupError, ValueError):  # of a plugin that is gone
            way = ""
    else:
        way = ""
    return ", ".join(filter(None, [str(way), _device(event.device)]))


def _device(label: str) -> str:
    """Return a device's label with words for the dots of its mask.

    Isolated (U+2068, U+2069), since a name in another script would turn the digits round.
    """
    name, dots, digits = label.replace(LEFT_TO_RIGHT, "").partition(" •••• ")
    in_words = f"{name} {ending_in(digits)}" if dots else label
    return f"\u2068{in_words}\u2069" if label else ""
