"""Backends that carry messages to the phone simulator of this demo.

Each implements the methods of :class:`django_otp_channels.backends.base.Backend`. A backend for a
real provider has the same shape, with a request to that provider in place of a database row, and
without ``inline``. (A real backend knows no model. Here the database *is* the phone.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from django_otp_channels.backends.base import Backend
from django_otp_channels.exceptions import DeliveryUnavailable, ReceiptRefused
from django_otp_channels.messages import Answer, Callback, Message, Receipt, Status

from . import carrier
from .models import PhoneMessage, Trouble


class Phone(Backend):
    """Put the message on the simulated phone."""

    inline: ClassVar[bool] = True  # no network: the message is there before the page is

    def send(self, message: Message, *, timeout: float) -> Receipt:
        trouble = set(
            Trouble.objects.filter(channel=message.channel).values_list("kind", flat=True)
        )
        if Trouble.Kind.OUTAGE in trouble:
            raise DeliveryUnavailable(code="no-signal")
        lost = Trouble.Kind.LOSS in trouble
        row = PhoneMessage.objects.create(
            channel=message.channel,
            to=message.to,
            title=message.title,
            text=message.prompt or message.text,
            language=message.language,
            call=PhoneMessage.Call.RINGING if message.channel == "voice" else "",
            callback=message.callback,
            lost=lost,
        )
        if lost:
            carrier.report_later(row, status=Status.UNDELIVERED)
        return Receipt(provider=self.provider, message_id=carrier.message_id(row))

    @property
    def receives(self) -> bool:
        return True

    def receive(self, callback: Callback) -> Receipt:
        fields = {name: str(value) for name, value in callback.fields.items()}
        if not carrier.signed(callback.url, fields, callback.headers.get(carrier.HEADER, "")):
            raise ReceiptRefused
        return Receipt(
            provider=self.provider,
            message_id=fields["id"],
            status=Status(fields["status"]),
            pressed=fields.get("pressed"),
        )

    def answer(self, lines: Sequence[str], language: str) -> Answer:
        return Answer(content_type="application/json", body=json.dumps(list(lines)))


class SMS(Phone):
    provider: ClassVar[str] = "demo-sms"
    channels: ClassVar[frozenset[str]] = frozenset({"sms"})


class Voice(Phone):
    provider: ClassVar[str] = "demo-voice"
    channels: ClassVar[frozenset[str]] = frozenset({"voice"})


class Push(Phone):
    provider: ClassVar[str] = "demo-push"
    channels: ClassVar[frozenset[str]] = frozenset({"push"})
