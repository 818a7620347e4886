"""Catalogues made by a machine of every string of the package.

They are no language: they show what a translation will meet. German has long words, Arabic other
letters and another direction. What stays in Latin letters on an Arabic page is not translatable.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation.template import templatize

import django_otp_channels
from tests import catalogue

PACKAGE = Path(django_otp_channels.__file__).parent

_CALLS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
# What a translation keeps as it is: places for values, and what is typed or sent as it stands.
_KEPT = re.compile(r"(%\(\w+\)[sd]|%[sd%]|\{\w*\})")
_ARABIC = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "ابجدهوزحطيكلمنسعفصقرشتثخذض" * 2
)


def write_catalogues(folder: Path) -> None:
    """Write ``ar`` and ``de`` into ``folder``."""
    keys = {*_of_python(), *_of_templates()}
    for language, translate in (("ar", to_arabic), ("de", to_german)):
        catalogue.write(
            folder,
            language,
            {key: "\0".join(map(translate, key.split("\0"))) for key in keys},
        )


def to_arabic(sentence: str) -> str:
    """Write the words in Arabic letters."""
    parts = _KEPT.split(sentence)
    return "".join(part if _KEPT.fullmatch(part) else part.translate(_ARABIC) for part in parts)


def to_german(sentence: str) -> str:
    """Make long words of the sentence's: about a third longer, and compounded two by two."""
    parts = _KEPT.split(sentence)
    return "".join(part if _KEPT.fullmatch(part) else _compounded(part) for part in parts)


def _compounded(text: str) -> str:
    return re.sub(
        r"(\w{3,})(?: (\w{3,}))?",
        lambda words: f"{words[1]}ungs{(words[2] or 'schein').lower()}",
        text,
    )


def _of_python() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _CALLS:
                yield from _key(node)


def _of_templates() -> Iterator[str]:
    """Django itself makes Python of a template for ``makemessages``: read that."""
    for path in PACKAGE.rglob("templates/**/*.*"):
        source = templatize(path.read_text(encoding="utf-8"), origin=str(path))
        for found in re.finditer(r"\b(?:n?gettext|_)\(", source):
            call = source[found.start() :]
            for end in (each.end() for each in re.finditer(r"\)", call)):
                try:
                    tree = ast.parse(call[:end], mode="eval")
                except SyntaxError:
                    continue  # a bracket inside the sentence
                assert isinstance(tree.body, ast.Call)
                yield from _key(tree.body)
                break


def _key(call: ast.Call) -> Iterator[str]:
    wanted = 2 if getattr(call.func, "id", "").startswith("n") else 1
    words = [arg.value for arg in call.args[:wanted] if isinstance(arg, ast.Constant)]
    if len(words) == wanted:
        yield "\0".join(words)
