"""A catalogue of translations for one test: no test depends on a translator's words."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HEADER = "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"


def install(settings: Any, folder: Path, language: str, sentences: Mapping[str, str]) -> None:
    """Make ``sentences`` the translations into ``language`` for the rest of the test.

    A key with a plural is ``"singular\\0plural"``, and so is its value.
    """
    write(folder, language, sentences)
    settings.LOCALE_PATHS = [str(folder)]


def write(folder: Path, language: str, sentences: Mapping[str, str]) -> None:
    """Write the catalogue of one language into ``folder``, for a ``LOCALE_PATHS`` to name."""
    target = folder / language / "LC_MESSAGES"
    target.mkdir(parents=True)
    (target / "django.mo").write_bytes(_compiled({"": _HEADER, **sentences}))


def _compiled(sentences: Mapping[str, str]) -> bytes:
    """Return the sentences in the format of GNU gettext's .mo files."""
    pairs = [(key.encode(), value.encode()) for key, value in sorted(sentences.items())]
    tables = 28
    offset = tables + 16 * len(pairs)
    body = b""
    entries: list[tuple[int, int]] = []
    for texts in zip(*pairs, strict=True):
        for text in texts:
            entries.append((len(text), offset + len(body)))
            body += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), tables, tables + 8 * len(pairs), 0, offset)
    return head + b"".join(struct.pack("<2I", *entry) for entry in entries) + body
