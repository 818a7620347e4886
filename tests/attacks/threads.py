"""Release many requests at the same instant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


def at_once(acts: Sequence[Callable[[], T]]) -> list[T]:
    """Run ``acts`` in a thread each, released by one barrier; return their results in order."""
    barrier = threading.Barrier(len(acts))
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(position: int, act: Callable[[], T]) -> None:
        try:
            connections["default"].ensure_connection()
            barrier.wait(timeout=30)
            results[position] = act()
        except BaseException as error:  # noqa: BLE001 - reported below, in the main thread
            errors.append(error)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=run, args=(position, act)) for position, act in enumerate(acts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if errors:
        raise errors[0]
    return [results[position] for position in range(len(acts))]
