"""Backends that hand each message to the world of the state machine, which says what becomes of it.

Receipts are verified as Twilio's are, by its own backend and with its SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from django_otp_channels.backends import twilio
from django_otp_channels.messages import Message, Receipt


@dataclass
class Line:
    """Where messages go. ``inline`` as in :class:`~django_otp_channels.backends.base.Backend`."""

    inline: bool = True
    hand_over: Callable[[Message], Receipt] | None = None


line = Line()


class _Carrier(twilio._Twilio):
    @property
    def inline(self) -> bool:  # type: ignore[override]
        return line.inline

    def send(self, message: Message, *, timeout: float) -> Receipt:
        assert line.hand_over is not None
        return line.hand_over(message)


class SMS(_Carrier, twilio.SMS):
    channels: ClassVar[frozenset[str]] = frozenset({"sms"})


class Voice(_Carrier, twilio.Voice):
    channels: ClassVar[frozenset[str]] = frozenset({"voice"})
