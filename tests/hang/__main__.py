"""``python -m tests.hang``: measure, print the figures, and exit with 1 if a promise is broken.

``DATABASE_URL`` names a PostgreSQL; a database beside the named one is created and dropped.
``--short`` is less of it, with one shape of server; ``--json`` prints the figures for a program,
and leaves it to judge them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.core.management import call_command

from .database import own_database
from .serving import served

if TYPE_CHECKING:
    from .measuring import Measured

SHAPES = {
    "2 sync workers": ["--workers", "2", "--worker-class", "sync"],
    "2 workers with 4 threads each": [
        "--workers", "2", "--worker-class", "gthread", "--threads", "4",
    ],
}  # fmt: skip
PAGES = (
    "login page", "password", "code page", "status", "public page", "send again", "code",
    "private page",
)  # fmt: skip
MAY_DIFFER = (
    0.1  # seconds between a page's p95 with a provider that hangs and with one that answers
)
MAY_IDLE = 1.0  # seconds that a transaction may do nothing: one that spans a send would do so for 7
MAY_STOP = 3.0  # seconds from SIGTERM to the end of a worker


def main() -> int:
    arguments = _arguments()
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        sys.exit("Set DATABASE_URL to a PostgreSQL: postgres://user@host:5432/name")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # and clean up on the way out
    broken: list[str] = []
    with own_database(url) as own:
        os.environ["DATABASE_URL"] = own
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.hang.settings"
        django.setup()
        call_command("migrate", verbosity=0)
        for name in list(SHAPES)[: 1 if arguments.short else None]:
            result = _measure(SHAPES[name], short=arguments.short)
            if arguments.json:
                _say(json.dumps(result, default=_plain))
                continue
            _say(name, *_table(result), *_told(result), "")
            broken += [f"BROKEN with {name}: {sentence}" for sentence in _broken(result)]
    _say(*broken)
    return 1 if broken else 0


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, set) else vars(value)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.hang", description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measure(shape: Sequence[str], *, short: bool) -> Measured:
    from . import measuring

    with (
        tempfile.TemporaryDirectory() as folder,
        measuring.loopback_provider() as provider,
        served(shape, provider.network.environment(), Path(folder) / "log") as site,
    ):
        return measuring.measure(provider, site, measuring.SHORT if short else measuring.WHOLE)


# -- the report ------------------------------------------------------------------------------


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]


def _broken(result: Measured) -> list[str]:
    answering, hanging = result.answering.figures.seconds, result.hanging.figures.seconds
    sentences = [
        f"the p95 of '{page}' grew by more than {MAY_DIFFER * 1000:.0f} ms."
        for page in PAGES
        if p95(hanging[page]) - p95(answering[page]) > MAY_DIFFER
    ]
    seen = result.hanging.activity
    if seen.quiet_idle_in_transaction or seen.longest_idle > MAY_IDLE:
        sentences.append("a transaction was open while a send was under way.")
    for name, stopped in result.stopped.items():
        if stopped.seconds > MAY_STOP:
            sentences.append(f"{name} took {stopped.seconds:.1f} s to end a worker.")
        if stopped.reads != {"unknown": stopped.sends}:
            sentences.append(f"sends of a worker ended by {name} read as {stopped.reads}.")
    if result.server_stopped.seconds > MAY_STOP:
        sentences.append(f"SIGTERM took {result.server_stopped.seconds:.1f} s to end the server.")
    if "sent" in result.server_stopped.reads:
        sentences.append("a send that never came through reads as sent.")
    return sentences


def _table(result: Measured) -> list[str]:
    columns = f"{'n':>5}{'p50':>8}{'p95':>8}   "
    lines = [
        f"{'page':14}{'provider answers':^21}   {'provider hangs':^21}".rstrip(),
        f"{'':14}{2 * columns}{'p95 differs by':>14}",
    ]
    for page in PAGES:
        answering = result.answering.figures.seconds[page]
        hanging = result.hanging.figures.seconds[page]
        cells = [
            f"{len(each):5}{statistics.median(each) * 1000:8.1f}{p95(each) * 1000:8.1f}"
            for each in (answering, hanging)
        ]
        difference = (p95(hanging) - p95(answering)) * 1000
        lines.append(f"{page:14}{cells[0]}   {cells[1]}   {difference:+11.1f} ms")
    return lines


def _told(result: Measured) -> list[str]:
    lines = []
    for name, phase in (("answers", result.answering), ("hangs", result.hanging)):
        seen = phase.activity
        lines.append(
            f"provider {name}: sends {_counted(phase.sends)}; {phase.figures.logins} people got in"
        )
        lines.append(
            f"  idle in transaction: {seen.idle_in_transaction} of {seen.samples} samples, for "
            f"{seen.longest_idle * 1000:.1f} ms at most; without a page under way "
            f"{seen.quiet_idle_in_transaction} of {seen.quiet_samples}, "
            f"and {seen.quiet_connections} connections at most"
        )
    for name, stopped in result.stopped.items():
        lines.append(
            f"{name} ended a worker in {stopped.seconds:.2f} s with {stopped.sends} sends under "
            f"way: they read as {_counted(stopped.reads)}; {stopped.codes_that_opened} codes opened"
        )
    stopped = result.server_stopped
    lines.append(
        f"SIGTERM ended the server in {stopped.seconds:.2f} s with {stopped.sends} sends under way"
    )
    return lines


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    sys.exit(main())
