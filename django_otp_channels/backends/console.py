"""A backend for development: every message is printed on the terminal."""

from __future__ import annotations

import sys
from typing import ClassVar

from ..messages import Message, Receipt
from .development import DevelopmentBackend


class Console(DevelopmentBackend):
    """Print the message, its code included. For a developer's own terminal only."""

    provider: ClassVar[str] = "console"

    def deliver(self, message: Message) -> Receipt:
        rule = "-" * 60
        sys.stdout.write(f"{rule}\n{message.channel} to {message.to}\n{message.text}\n{rule}\n")
        sys.stdout.flush()
        return Receipt(provider=self.provider, message_id="console")


class SMS(Console):
    channels: ClassVar[frozenset[str]] = frozenset({"sms"})


class Voice(Console):
    channels: ClassVar[frozenset[str]] = frozenset({"voice"})


class Push(Console):
    channels: ClassVar[frozenset[str]] = frozenset({"push"})
