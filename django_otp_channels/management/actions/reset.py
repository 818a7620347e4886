"""``reset <user>``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from ...factors import reset
from .base import UserAction


class Reset(UserAction):
    name = "reset"
    help = (
        "Remove all second factors of a user, and lift any lock: a fresh start. The owner is told."
    )

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--reason", default="", help="Why, for the log: no phone number and no code."
        )

    def run(self, **options: Any) -> None:
        user = self.find_user(options["user"])
        count = reset(user, by="command", reason=options["reason"])
        self.stdout.write(_("Removed %(count)d device(s) and lifted any lock.") % {"count": count})
