"""What became of each message."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from .. import phones
from ..backends.base import Backend
from ..conf import conf
from ..delivery import Attempt
from ..exceptions import InvalidNumber, Reason
from ..messages import Message, Receipt, Status, segments
from .budgets import prefix_digest
from .commits import committed
from .primary import PrimaryManager

if TYPE_CHECKING:
    from .challenges import Challenge

_OPAQUE_ID = re.compile(r"([0-9a-f]{32})-([0-9]{1,2})", re.ASCII)


def new_reference() -> str:
    """Return 128 random bits that tell one send from all others, and nothing about it."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class OpaqueId:
    """The id in a callback's URL: which send, and which backend of its channel's list."""

    reference: str
    position: int

    def __str__(self) -> str:
        return f"{self.reference}-{self.position}"

    @classmethod
    def parse(cls, text: str) -> OpaqueId | None:
        match = _OPAQUE_ID.fullmatch(text)
        return cls(match[1], int(match[2])) if match else None


def callback_urls(channel: str, reference: str, backends: Sequence[Backend]) -> list[str]:
    """Return for each backend the URL of its receipts; empty where none can be taken.

    From the configured base URL, never from a request's ``Host``.
    """
    return [
        conf.BASE_URL
        + reverse(
            "otp_channels:receipt",
            args=[channel, backend.provider, OpaqueId(reference, position)],
        )
        if conf.BASE_URL and backend.receives
        else ""
        for position, backend in enumerate(backends)
    ]


def with_outcome(rows: models.QuerySet[Delivery]) -> models.QuerySet[Delivery]:
    """Add ``outcome``: the status, in which a send that is overdue reads as unknown."""
    since = Now() - timedelta(seconds=conf.SEND_TIMEOUT)
    overdue = When(status=Status.SENDING, created_at__lt=since, then=Value(Status.UNKNOWN))
    return rows.annotate(outcome=Case(overdue, default=F("status")))  # type: ignore[no-redef]


class DeliveryManager(PrimaryManager["Delivery"]):
    def open(
        self, challenge: Challenge, message: Message, provider: str, reference: str
    ) -> Delivery:
        """Note that ``message`` is about to be handed to ``provider``, the first of its list."""
        return self.create(
            status=Status.SENDING,
            provider=provider,
            reference=reference,
            **_facts(challenge, message),
        )

    def note(
        self, challenge: Challenge, message: Message, attempt: Attempt, reference: str
    ) -> None:
        """Note an attempt that is over."""
        now = time.monotonic()  # once, or a short attempt could end before it began
        self.create(
            reference=reference,
            position=attempt.position,
            provider=attempt.provider,
            status=attempt.status,
            message_id=attempt.message_id,
            error_code=attempt.error_code,
            reason=attempt.reason,
            created_at=_moment(attempt.started, now),
            finished_at=_moment(attempt.ended, now),
            **_facts(challenge, message),
        )

    def note_once(
        self, challenge: Challenge, message: Message, attempt: Attempt, reference: str
    ) -> None:
        """Note an attempt whose row may be there: of the first one, or since a receipt came."""
        if self._forward(attempt, reference):
            return
        try:
            note = partial(self.note, challenge, message, attempt, reference)
            committed(self.model, note, durable=False)
        except IntegrityError:  # a receipt has made the row in this moment
            self._forward(attempt, reference)

    def _forward(self, attempt: Attempt, reference: str) -> int:
        """Bring the attempt's row forward, if there is one; never back from what a receipt told."""
        forward = Q(status__in=attempt.status.may_follow)
        facts: dict[str, Any] = {
            "error_code": Value(attempt.error_code),
            "reason": Value(attempt.reason),
            "finished_at": _moment(attempt.ended, time.monotonic()),
            # Last, since MySQL assigns from left to right, and the others depend on it.
            "status": Value(attempt.status),
        }
        changes: dict[str, Any] = {
            name: Case(When(forward, then=fact), default=F(name)) for name, fact in facts.items()
        }
        if attempt.message_id:
            changes["message_id"] = Value(attempt.message_id)
        return self.filter(reference=reference, position=attempt.position).update(**changes)

    def of(self, channel: str, provider: str, opaque_id: OpaqueId) -> Delivery | None:
        """Return the delivery that a callback is about.

        A provider further down the list may be heard before its attempt was noted: its row is made
        from that of the first one.
        """
        sends = self.filter(reference=opaque_id.reference, channel=channel)
        wanted = sends.filter(position=opaque_id.position, provider=provider)
        delivery = wanted.first()
        first = sends.filter(position=0).first() if delivery is None else None
        if first is None or opaque_id.position == 0:
            return delivery
        with suppress(IntegrityError):  # its attempt was noted in this moment
            make = partial(
                self.create,
                challenge_id=first.challenge_id,
                number=first.number,
                reference=first.reference,
                position=opaque_id.position,
                provider=provider,
                channel=channel,
                region=first.region,
                prefix=first.prefix,
                segments=first.segments,
                status=Status.SENDING,
            )
            committed(self.model, make, durable=False)
        return wanted.first()


def _moment(monotonic: float, now: float) -> Any:
    """Return the database's time of a moment; both are in this process's monotonic seconds."""
    return Now() - timedelta(seconds=max(0.0, now - monotonic))


def _facts(challenge: Challenge, message: Message) -> Mapping[str, Any]:
    try:
        region = phones.parse(message.to).region if message.to.startswith("+") else ""
    except InvalidNumber:
        region = ""
    return {
        "challenge": challenge,
        "number": challenge.sends,
        "channel": message.channel,
        "region": region,
        "prefix": prefix_digest(message.to),
        "segments": segments(message.text) if message.channel == "sms" else 0,
    }


class Delivery(models.Model):
    """One attempt to hand a challenge's code to one provider. Never the code, nor the address."""

    class Outcome(models.TextChoices):
        SENDING = Status.SENDING, _("sending")
        UNKNOWN = Status.UNKNOWN, _("unknown")
        SENT = Status.SENT, _("sent")
        ANSWERED = Status.ANSWERED, _("answered")
        DELIVERED = Status.DELIVERED, _("delivered")
        UNDELIVERED = Status.UNDELIVERED, _("undelivered")
        FAILED = Status.FAILED, _("failed")

    challenge = models.ForeignKey(
        "otp_channels.Challenge",
        on_delete=models.CASCADE,
        related_name="deliveries",
        verbose_name=_("challenge"),
    )
    # Which send of the challenge, and which backend of its channel's list.
    reference = models.CharField(max_length=32, default=new_reference, editable=False)
    position = models.PositiveSmallIntegerField(default=0, editable=False)
    # The how-manieth message of its flow it is, as the challenge counts them.
    number = models.PositiveSmallIntegerField(default=1, editable=False)
    channel = models.CharField(_("channel"), max_length=16)
    provider = models.CharField(_("provider"), max_length=32)
    message_id = models.CharField(_("message id"), max_length=255, blank=True)
    status = models.CharField(_("status"), max_length=16, choices=Outcome)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    reason = models.CharField(
        _("reason"),
        max_length=16,
        blank=True,
        choices=[
            (Reason.GONE, _("no longer in use")),
            (Reason.OPTED_OUT, _("has opted out")),
            (Reason.NO_TEXTS, _("takes no text messages")),
            (Reason.FENCED, _("destination closed at the provider")),
        ],
    )
    region = models.CharField(_("region"), max_length=3, blank=True)
    # Which range of numbers, without a digit of it: see the budgets.
    prefix = models.CharField(max_length=16, blank=True, editable=False)
    segments = models.PositiveSmallIntegerField(_("segments"), default=0)
    created_at = models.DateTimeField(_("started at"), db_default=Now())
    finished_at = models.DateTimeField(_("finished at"), null=True)

    objects = DeliveryManager()

    if TYPE_CHECKING:
        outcome: str  # added by with_outcome()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["reference", "position"], name="otp_delivery_attempt"),
        ]
        indexes = [  # noqa: RUF012
            models.Index(fields=["provider", "status", "created_at"], name="otp_delivery_provider"),
            models.Index(fields=["region", "created_at"], name="otp_delivery_region"),
            models.Index(fields=["prefix", "created_at"], name="otp_delivery_prefix"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.provider} {self.status}"

    def receive(self, receipt: Receipt) -> bool:
        """Note what the provider says of this message. Return whether that moved it forward.

        A receipt of another message than the one that this row stands for changes nothing.
        """
        if receipt.status is None:
            return False
        same_message = Q(message_id="") | Q(message_id=receipt.message_id)
        return bool(
            type(self)
            .objects.filter(same_message, pk=self.pk, status__in=receipt.status.may_follow)
            .update(
                status=receipt.status,
                message_id=receipt.message_id,
                error_code=receipt.error_code,
                reason=receipt.reason,
                finished_at=Now(),
            )
        )
