"""What the backends without a provider share: they refuse to run in production."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core import mail

from ..exceptions import BackendMisconfigured
from ..messages import Message, Receipt
from .base import Backend


def allowed() -> bool:
    """Say whether this process is a developer's or a test's.

    ``mail.outbox`` exists only inside Django's test environment, which switches ``DEBUG`` off.
    """
    return settings.DEBUG or hasattr(mail, "outbox")


class DevelopmentBackend(Backend):
    """Base of backends that show the code to whoever can see this process."""

    channels: ClassVar[frozenset[str]] = frozenset({"sms", "voice", "push"})
    inline: ClassVar[bool] = True

    def send(self, message: Message, *, timeout: float) -> Receipt:
        if not allowed():
            raise BackendMisconfigured(
                f"The {self.provider} backend shows codes in the clear and refuses to run with "
                "DEBUG=False."
            )
        return self.deliver(message)

    def deliver(self, message: Message) -> Receipt:
        raise NotImplementedError
