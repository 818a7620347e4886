"""The tree of errors. ``str()`` of each is a translated sentence that is safe to show to anybody.

::

    OTPChannelsError
    ├── InvalidNumber            a phone number that cannot be used, with the reason
    ├── SendNotAllowed           nothing was sent, and why
    ├── TooManyTries             nothing was compared, since too much has been tried
    ├── DeliveryError            a provider did not take the message
    │   ├── DeliveryRefused      this address will never work: stop
    │   ├── DeliveryUnavailable  certainly not sent: the next provider may try
    │   └── DeliveryUnknown      it may be out: never sent a second time by itself
    ├── BackendMisconfigured     our own settings are wrong; outside DeliveryError on purpose,
    │                            so that "catch and offer another way" cannot hide a missing key
    └── ReceiptRefused           a request that claims to come from a provider, and does not

A provider's own text never becomes part of an error: it may hold the number, the account or the
code. Only the provider's short error code travels, for the log and for the staff.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Reason(enum.StrEnum):
    """What is wrong with an address, where a provider said so. The person is told."""

    GONE = "gone"  # the number or the app does not exist any more
    OPTED_OUT = "opted-out"  # its owner wrote STOP
    NO_TEXTS = "no-texts"  # a landline, say
    FENCED = "fenced"  # the site has closed this destination at the provider, against toll fraud


class OTPChannelsError(Exception):
    """Base of all errors of this package. Do not raise directly."""

    sentence: ClassVar[str | Promise] = _("Something went wrong. Please try again.")

    def __init__(self, sentence: str | Promise | None = None) -> None:
        self.words = self.sentence if sentence is None else sentence
        super().__init__(self.words)

    def __str__(self) -> str:
        return str(self.words)


class InvalidNumber(OTPChannelsError, ValueError):
    """The text is not a phone number that a code can be sent to."""

    sentence = _("This is not a valid phone number.")


class SendNotAllowed(OTPChannelsError):
    """Nothing was sent: a cooldown, a limit, a lock or a missing way.

    ``retry_after`` is the number of seconds until it is worth asking again, where that is known.
    """

    sentence = _("A code cannot be sent right now.")

    def __init__(
        self, sentence: str | Promise | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class TooManyTries(OTPChannelsError):
    """Somebody who is logged in has entered too many passwords. None is compared any more."""

    sentence = _("Too many tries. Please sign out, and sign in again.")


class DeliveryError(OTPChannelsError):
    """A provider did not take the message. ``code`` is the provider's own short error code.

    ``reason`` is a :class:`Reason`, or empty. ``provider_wide`` says whether the next message would
    probably fare no better, whoever it is for: the circuit breaker counts those only. What may be
    about one number must say False, or its owner could take the channel from everybody.
    """

    sentence = _("The message could not be sent.")
    provider_wide = True

    def __init__(
        self, *, code: str = "", reason: str = "", provider_wide: bool | None = None
    ) -> None:
        super().__init__()
        self.code = code
        self.reason = reason
        if provider_wide is not None:
            self.provider_wide = provider_wide


class DeliveryRefused(DeliveryError):
    """This address will not work, whoever is asked."""

    sentence = _("The message could not be sent to this address.")
    provider_wide = False


class DeliveryUnavailable(DeliveryError):
    """Certainly not sent; the next provider may try."""


class DeliveryUnknown(DeliveryError):
    """It may have been sent. It counts as sent, the code stays good, nothing is sent again."""

    sentence = _("The message may be on its way.")


class BackendMisconfigured(OTPChannelsError):
    """The settings or credentials of a backend are wrong. ``code`` as in :class:`DeliveryError`.

    ``detail`` is for developers (system checks, the log) and never shown to a visitor.
    """

    sentence = _("The message could not be sent.")

    def __init__(self, detail: str = "", *, code: str = "", provider_wide: bool = True) -> None:
        super().__init__()
        self.detail = detail
        self.code = code
        self.provider_wide = provider_wide


class ReceiptRefused(OTPChannelsError):
    """A request to the receipts' URL is not, or not verifiably, the provider's."""

    sentence = _("This request cannot be verified.")
