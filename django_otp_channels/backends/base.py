"""What every backend is: it carries one message on one channel through one provider.

A backend knows no database, no request and no user. It takes a
:class:`~django_otp_channels.messages.Message` and returns a
:class:`~django_otp_channels.messages.Receipt`, or raises one of the errors of
:mod:`django_otp_channels.exceptions`. So a new provider is one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.core.checks import CheckMessage

from ..exceptions import ReceiptRefused
from ..messages import Answer, Callback, Message, Receipt


class Backend:
    """Base of all backends. Keyword arguments are the ``OPTIONS`` of its entry in the settings.

    ``provider``
        Short name of the company behind it; shown to staff, and the key of its thread pool.
    ``channels``
        The channels that it can carry.
    ``inline``
        True where ``send`` touches no network: it then runs in the request, at once.
    ``spoken_languages``
        For voice: the language codes that it can speak, None for any. A person whose language is
        missing hears English rather than a voice that mispronounces it.
    """

    provider: ClassVar[str]
    channels: ClassVar[frozenset[str]]
    inline: ClassVar[bool] = False
    spoken_languages: ClassVar[frozenset[str] | None] = None

    def send(self, message: Message, *, timeout: float) -> Receipt:
        """Hand ``message`` to the provider within ``timeout`` seconds and return its receipt.

        Raises ``DeliveryRefused``, ``DeliveryUnavailable``, ``DeliveryUnknown`` or
        ``BackendMisconfigured``. Must not send twice: whoever retries is the caller.
        """
        raise NotImplementedError

    @property
    def receives(self) -> bool:
        """Whether the provider may be told a callback URL: its receipts can be verified here."""
        return False

    def receive(self, callback: Callback) -> Receipt:
        """Return what the provider says of a message in this request.

        Raises ``ReceiptRefused`` unless it is certain that the provider made the request.
        """
        raise ReceiptRefused

    def answer(self, lines: Sequence[str], language: str) -> Answer:
        """Return the reply to a callback of a call: speak ``lines``, then hang up."""
        return Answer()

    def check(self) -> Sequence[CheckMessage]:
        """Return the system check messages of this backend as configured. Touches no network."""
        return []
