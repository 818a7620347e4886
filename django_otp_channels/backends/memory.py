"""A backend for tests: every message lands in :data:`outbox`."""

from __future__ import annotations

from typing import ClassVar

from ..messages import Message, Receipt
from .development import DevelopmentBackend

outbox: list[Message] = []


class Memory(DevelopmentBackend):
    """Keep the message in this process, where a test finds it."""

    provider: ClassVar[str] = "memory"

    def deliver(self, message: Message) -> Receipt:
        outbox.append(message)
        return Receipt(provider=self.provider, message_id=f"memory-{len(outbox)}")


class SMS(Memory):
    channels: ClassVar[frozenset[str]] = frozenset({"sms"})


class Voice(Memory):
    channels: ClassVar[frozenset[str]] = frozenset({"voice"})


class Push(Memory):
    channels: ClassVar[frozenset[str]] = frozenset({"push"})
