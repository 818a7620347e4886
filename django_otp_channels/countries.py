"""The names of countries, as people know them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

import phonenumbers
from babel import Locale, UnknownLocaleError
from django.utils.translation import get_language


def name_of(code: str) -> str:
    """Return the name of the country ``code`` (ISO 3166) in the active language, else the code."""
    return _names(get_language() or "en").get(code, code)


def choices(codes: Collection[str]) -> Sequence[tuple[str, str]]:
    """Return ``codes`` (ISO 3166) with their names and dialling codes, in the names' order."""
    named = [
        (code, f"{name_of(code)} (+{phonenumbers.country_code_for_region(code)})") for code in codes
    ]
    return sorted(named, key=lambda choice: choice[1].casefold())


@lru_cache(maxsize=8)
def _names(language: str) -> dict[str, str]:
    for identifier in (language, language.split("-", maxsplit=1)[0], "en"):
        try:
            return dict(Locale.parse(identifier, sep="-").territories)
        except (UnknownLocaleError, ValueError):
            continue
    raise AssertionError  # babel knows English
