"""What follows from what a provider says of a message, once it is certain that it is the provider.

A receipt only ever moves one delivery forward. It authenticates nobody, spends no try and shows no
code to whoever asks, but for one: the listener of a call who has pressed the announced key, once,
while the code lives.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from django.views.decorators.debug import sensitive_variables

from .messages import Receipt, Status
from .models import Challenge, Delivery
from .models.challenges import CLOSED

logger = logging.getLogger("django_otp_channels.receipts")

WRONG_KEY = "wrong-key"
_LOST = frozenset({Status.UNDELIVERED, Status.FAILED})


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the listener of a call is to hear. Nothing at all where ``lines`` is empty."""

    lines: Sequence[str] = field(default=(), repr=False)
    language: str = "en"


def take(delivery: Delivery, receipt: Receipt) -> Words:
    """Note ``receipt``, do what follows from it, and return what the provider is to speak."""
    if receipt.pressed is not None:
        return _press(delivery, receipt)
    if delivery.receive(receipt) and receipt.status in _LOST:
        if receipt.fraud:
            # Whoever pumps messages for money earns at calls too: no other way, and no sooner.
            logger.error(
                "%s held a message back as fraud (code %s).", receipt.provider, receipt.error_code
            )
        else:
            _lost(delivery, by_itself=receipt.reason not in CLOSED)
    return Words()


@sensitive_variables()
def _press(delivery: Delivery, receipt: Receipt) -> Words:
    """Let the listener hear the code: the right key, the first time, while it is good."""
    challenge = _challenge_of(delivery)
    key = challenge.key_to_press(delivery.reference) if challenge is not None else ""
    if challenge is None or not key:
        return Words()
    if receipt.pressed != key:
        # One try: the tone in a voicemail's greeting must not come round to the right key.
        delivery.receive(replace(receipt, status=Status.UNDELIVERED, error_code=WRONG_KEY))
        return Words()
    if (
        challenge.over
        or not challenge.usable
        or challenge.lock is not None
        # A replayed request finds the call answered: a signature has no time, and holds for ever.
        or not delivery.receive(receipt)
    ):
        return Words()
    message = challenge.message(delivery.channel, lifetime=challenge.seconds_left)
    if message is None:
        return Words()
    return Words(lines=message.text.splitlines(), language=message.language)


def _lost(delivery: Delivery, *, by_itself: bool) -> None:
    """Let the person try another way at once, or take it for them where the site wants that."""
    challenge = _challenge_of(delivery)
    if challenge is None or challenge.sends != delivery.number:
        return  # a newer message is under way
    challenge.send_at_once()
    # Read again: whether it may be sent now depends on what has just changed.
    current = _challenge_of(delivery)
    if by_itself and current is not None and current.sends == delivery.number:
        current.fall_back(delivery.channel)


def _challenge_of(delivery: Delivery) -> Challenge | None:
    return Challenge.objects.filter(pk=delivery.challenge_id).with_owner().first()
