"""``purge``: let rows go that nobody needs any more."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...retention import Ages, chores
from .base import Action

_LABELS: Mapping[str, Any] = {
    "challenges": gettext_lazy("challenges with their deliveries"),
    "secrets": gettext_lazy("challenges whose secrets are blanked"),
    "refusals": gettext_lazy("refused messages"),
    "budgets": gettext_lazy("budgets that count nothing"),
    "browsers": gettext_lazy("browsers that are trusted no more"),
    "activity": gettext_lazy("lines of what happened lately"),
    "devices": gettext_lazy("devices that were never proven"),
}


class Purge(Action):
    name = "purge"
    help = "Delete what is old: run it every day. It is safe beside live traffic."

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        ages = Ages()
        parser.add_argument(
            "--dry-run", action="store_true", help="Only count what would be deleted."
        )
        parser.add_argument(
            "--trail-days",
            type=_positive,
            default=ages.trail // timedelta(days=1),
            help="Age of challenges, deliveries and refused messages (default: %(default)s).",
        )
        parser.add_argument(
            "--secrets-hours",
            type=_positive,
            default=ages.secrets // timedelta(hours=1),
            help="Age at which a challenge is emptied of its secrets (default: %(default)s).",
        )
        parser.add_argument(
            "--unproven-hours",
            type=_positive,
            default=ages.unproven // timedelta(hours=1),
            help="Age of devices that were never proven (default: %(default)s).",
        )
        parser.add_argument(
            "--activity-days",
            type=_positive,
            default=ages.activity // timedelta(days=1),
            help="Age of what people see of what happened lately (default: %(default)s).",
        )

    def run(self, **options: Any) -> None:
        ages = Ages(
            trail=timedelta(days=options["trail_days"]),
            secrets=timedelta(hours=options["secrets_hours"]),
            unproven=timedelta(hours=options["unproven_hours"]),
            activity=timedelta(days=options["activity_days"]),
        )
        for name, chore in chores(ages).items():
            count = chore.rows.count() if options["dry_run"] else chore.run()
            self.stdout.write(f"{count:>9,} {_LABELS[name]}")
        if options["dry_run"]:
            self.stdout.write(_("Nothing was deleted."))


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 100_000:
        raise ArgumentTypeError(_("Give a whole number from 1 on."))
    return number
