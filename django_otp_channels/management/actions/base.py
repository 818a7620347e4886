"""What every action is."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, OutputWrapper
from django.core.management.color import Style
from django.utils.translation import gettext as _


class Action:
    """One verb of the command. ``run`` raises ``CommandError`` for what has gone wrong.

    ``needs_sound_settings``: whether Django's system checks must pass before it runs.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    needs_sound_settings: ClassVar[bool] = True

    def __init__(self, stdout: OutputWrapper, style: Style) -> None:
        self.stdout = stdout
        self.style = style

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Declare the arguments that ``run`` gets."""

    def run(self, **options: Any) -> None:
        raise NotImplementedError


class UserAction(Action):
    """One that is done to a user, its first argument."""

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="The username (or whatever your user model logs in by).")

    def find_user(self, name: str) -> Any:
        model = get_user_model()
        try:
            return model._default_manager.get_by_natural_key(name)
        except model.DoesNotExist:
            raise CommandError(_("There is no user %(name)s.") % {"name": name}) from None
