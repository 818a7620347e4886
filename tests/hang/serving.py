"""gunicorn, as a site would run it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .people import Browser

START_TIMEOUT = 60  # seconds
# A worker that waits for a hanging send would take its time-out (7 s), or all of the graceful one.
STOP_TIMEOUT = 60


class Site:
    """One gunicorn with two workers, at ``address``."""

    def __init__(self, master: subprocess.Popen[bytes], address: tuple[str, int]) -> None:
        self.master = master
        self.address = address

    def stop(self) -> float:
        """Send SIGTERM to the master and return the seconds until it, and so all, has ended."""
        started = time.monotonic()
        self.master.send_signal(signal.SIGTERM)
        self.master.wait(STOP_TIMEOUT)
        return time.monotonic() - started


@contextlib.contextmanager
def served(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Site]:
    """Serve ``tests.hang.wsgi`` with gunicorn's ``arguments`` until the end of the block."""
    with socket.socket() as listener, log.open("wb") as output:
        listener.bind(("127.0.0.1", 0))
        master = subprocess.Popen(
            [
                sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}",
                "--log-level", "warning", "--no-control-socket", *arguments,
                "tests.hang.wsgi:application",
            ],
            env={**os.environ, **environment},
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )  # fmt: skip
        try:
            site = Site(master, listener.getsockname())
            _wait_for_workers(site)
            yield site
        except BaseException:
            sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-4000:])
            raise
        finally:
            # The master and its workers are a process group of their own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(master.pid, signal.SIGKILL)
            master.wait()


def _wait_for_workers(site: Site) -> None:
    """Return once both workers have answered."""
    deadline = time.monotonic() + START_TIMEOUT

    def ask(_: int) -> int | None:
        try:
            return Browser(site.address).get("start", "/").worker
        except ConnectionRefusedError:
            return None

    seen: set[int | None] = set()
    with ThreadPoolExecutor(8) as pool:
        while len(seen - {None}) < 2:
            if time.monotonic() > deadline or site.master.poll() is not None:
                raise TimeoutError("The server has not started.")
            seen.update(pool.map(ask, range(8)))
            time.sleep(0.02)


def end_worker(pid: int, how: signal.Signals) -> float:
    """Send the signal to this worker of ours and return the seconds until it has ended."""
    started = time.monotonic()
    os.kill(pid, how)
    while time.monotonic() < started + STOP_TIMEOUT:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return time.monotonic() - started
        time.sleep(0.005)
    raise TimeoutError(f"The worker did not end within {STOP_TIMEOUT} s.")
