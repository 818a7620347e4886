"""Threads of this process: whether they run here, and how many may run at once."""

from __future__ import annotations

import os
import sys
import threading

from .conf import conf


def threads_available() -> bool:
    """Say whether threads run in this process: under uWSGI only with ``enable-threads``."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return True
    options = getattr(uwsgi, "opt", {})
    names = ("enable-threads", "threads")  # uWSGI has had them as text and as bytes
    return any(options.get(name) or options.get(name.encode()) for name in names)


class Pools:
    """Slots per name, for this process. Made lazily, because workers fork after import."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[tuple[str, int], threading.BoundedSemaphore] = {}

    def slots(self, name: str) -> threading.BoundedSemaphore:
        """Return the slots of ``name``: as many as ``OTP_CHANNELS_SEND_THREADS``."""
        key = (name, conf.SEND_THREADS)
        with self._lock:
            if key not in self._slots:
                self._slots[key] = threading.BoundedSemaphore(conf.SEND_THREADS)
            return self._slots[key]
