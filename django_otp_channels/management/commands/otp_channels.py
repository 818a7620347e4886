"""``manage.py otp_channels``: what staff need at the terminal."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, DjangoHelpFormatter

from ..actions import ACTIONS


class Command(BaseCommand):
    """One command with a verb: see :mod:`..actions`."""

    help = "Look after the second factor: people and providers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for action in ACTIONS:
            action.add_arguments(
                actions.add_parser(
                    action.name,
                    parents=[_base_options()],
                    formatter_class=DjangoHelpFormatter,
                    help=action.help,
                    description=action.help,
                )
            )

    def execute(self, *args: Any, **options: Any) -> str | None:
        if not self._action(options).needs_sound_settings:
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *_args: Any, **options: Any) -> None:
        self._action(options)(self.stdout, self.style).run(**options)

    def _action(self, options: dict[str, Any]) -> Any:
        return next(action for action in ACTIONS if action.name == options["action"])


def _base_options() -> ArgumentParser:
    """Return Django's own options, so that they may follow the action as well as precede it."""
    parser = BaseCommand().create_parser("", "", add_help=False)
    for action in parser._actions:
        action.default = SUPPRESS  # a default would undo what stands before the action
    return parser
