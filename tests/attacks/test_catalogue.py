"""The tests under ``tests/attacks`` and the catalogue agree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .catalogue import ATTACKS, CONTROLS, MISSING, PARTLY, UNGUARDED, WAITING, entry_of
from .unguarded import STAND_INS, guards

ENTRIES = {**ATTACKS, **CONTROLS}


def all_tests() -> Iterator[tuple[str, bool]]:
    """Yield the name of each test, and whether it or its module names a guard."""
    for path in Path(__file__).parent.glob("test_*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        marks = [ast.unparse(node) for node in module.body if isinstance(node, ast.Assign)]
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                own = [ast.unparse(each) for each in node.decorator_list]
                yield node.name, any("pytest.mark.guard(" in mark for mark in marks + own)


COVERED = {entry for name, _ in all_tests() if (entry := entry_of(name))}
GUARDED = {entry for name, guarded in all_tests() if guarded and (entry := entry_of(name))}


def test_every_entry_is_covered_or_known_to_be_missing():
    assert COVERED | set(WAITING) | MISSING == set(ENTRIES)


def test_what_is_covered_is_neither_missing_nor_waiting():
    assert not COVERED & (MISSING | set(WAITING))
    assert not MISSING & set(WAITING)


def test_what_is_partly_covered_is_covered():
    assert set(PARTLY) <= COVERED


def test_every_attack_names_its_guard_or_what_else_is_in_its_way():
    assert set(UNGUARDED) == (COVERED & set(ATTACKS)) - GUARDED


def test_every_stand_in_stands_in_for_a_guard_that_a_test_names():
    assert {f"django_otp_channels.{name}" for name in STAND_INS} <= guards()
