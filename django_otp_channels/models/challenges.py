"""One request to prove possession, and the attempts to deliver its code."""

from __future__ import annotations

import enum
import hashlib
import logging
import math
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import (
    IntegrityError,
    close_old_connections,
    connections,
    models,
    router,
    transaction,
)
from django.db.models import Case, Exists, F, Max, OuterRef, Subquery, Sum, When
from django.db.models.functions import Now
from django.urls import get_script_prefix, set_script_prefix
from django.utils.translation import get_language, ngettext, override
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import audit, channels, codes, phones
from ..conf import conf
from ..delivery import Attempt, Outcome, carry
from ..exceptions import Reason, SendNotAllowed
from ..messages import Message, Purpose, Status, compose
from .admission import admit
from .budgets import Send, part_of
from .commits import committed, record
from .deliveries import Delivery, callback_urls, new_reference
from .ledger import note, note_news
from .lockouts import CONSECUTIVE_LIMIT, Lock, Lockout, failures_since_lock
from .primary import PrimaryManager

if TYPE_CHECKING:
    from .devices import ChannelDevice

logger = logging.getLogger("django_otp_channels.challenges")


class State(models.TextChoices):
    """Where a challenge stands. Expiry is read from ``expires_at``, not stored."""

    OPEN = "open", _("open")
    VERIFIED = "verified", _("verified")
    FAILED = "failed", _("failed")
    SUPERSEDED = "superseded", _("superseded")
    CANCELLED = "cancelled", _("cancelled")


class Verdict(enum.StrEnum):
    """What became of a code that was entered.

    ``WRONG``: it was compared, and was another one. ``DEAD``: nothing was left to compare it with.
    """

    RIGHT = "right"
    WRONG = "wrong"
    DEAD = "dead"


# What is closed to a message on purpose, by the site or by whoever wrote STOP, is not called by
# itself either. The person may still ask for it.
CLOSED = frozenset({Reason.FENCED, Reason.OPTED_OUT})
# Reasons for which no other message over this channel would arrive either.
UNREACHABLE = frozenset({Reason.GONE, Reason.OPTED_OUT, Reason.NO_TEXTS})

# A device that staff have switched off opens nothing, whatever is under way to it.
STAFF = "staff"


def flow_digest(flow: str) -> str | None:
    """Return what a challenge keeps of the random value in the session that asked for it."""
    return hashlib.sha256(flow.encode()).hexdigest() if flow else None


def send_to(
    device: ChannelDevice, channel: str, purpose: str, client: str = "", *, by_hand: bool
) -> Send:
    """Return the message to ``device`` as the limits see it."""
    number, _extension = phones.split_extension(device.address)
    return Send(
        part=part_of(purpose),
        channel=channel,
        user_id=device.user_id,
        address=device.address,
        number=number if device.kind == device.Kind.PHONE else "",
        client=client,
        by_hand=by_hand,
        proof=partial(last_proof, device),
    )


def last_proof(device: ChannelDevice) -> datetime | None:
    """Return when a code that went to this very address of ``device`` was last entered, if ever.

    Read from its challenges, so that no login has to write it down; the purge notes it on the
    device before they go.
    """
    latest = Challenge.objects.filter(
        device_id=device.pk, device_version=device.version, state=State.VERIFIED
    ).aggregate(at=Max("closed_at"))["at"]
    return max((at for at in (device.last_used_at, latest) if at is not None), default=None)


def _cooldown(sends: int) -> timedelta:
    """Return how long to wait after message number ``sends`` (from 1)."""
    cooldowns = conf.SEND_COOLDOWNS
    return timedelta(seconds=cooldowns[min(sends, len(cooldowns)) - 1])


def too_soon(seconds: int) -> SendNotAllowed:
    """Return the refusal of a message that may go out in ``seconds``."""
    sentence = ngettext(
        "A code was sent a moment ago. You can ask for another in %(seconds)d second.",
        "A code was sent a moment ago. You can ask for another in %(seconds)d seconds.",
        seconds,
    )
    return SendNotAllowed(sentence % {"seconds": seconds}, retry_after=seconds)


def last_verified() -> Subquery:
    """Return, for a query of devices, when a code for the address of now was last right."""
    right = Challenge.objects.filter(
        device=OuterRef("pk"), device_version=OuterRef("version"), state=State.VERIFIED
    )
    return Subquery(right.order_by("-closed_at").values("closed_at")[:1])


class ChallengeQuerySet(models.QuerySet["Challenge"]):
    """Reads for the login step, each with no more than it needs."""

    def with_owner(self) -> ChallengeQuerySet:
        """Add device, user and lockout, and the database's time."""
        rows = self.select_related("device", "user__otp_lockout")
        return rows.annotate(db_now=Now())  # type: ignore[no-redef]

    def with_rivals(self) -> ChallengeQuerySet:
        """Add the tries, granted and spent, of the user's newer challenges of this purpose."""
        newer = (
            self.model._default_manager.filter(
                user_id=OuterRef("user_id"),
                purpose=OuterRef("purpose"),
                state__in=[State.OPEN, State.FAILED],
                expires_at__gt=Now(),
                created_at__gt=OuterRef("created_at"),
            )
            .order_by()
            .values("user_id")
        )
        return self.annotate(  # type: ignore[no-redef]
            newer_granted=Subquery(newer.annotate(sum=Sum("granted")).values("sum")),
            newer_attempts=Subquery(newer.annotate(sum=Sum("attempts")).values("sum")),
        )

    def with_delivery(self) -> ChallengeQuerySet:
        """Add a delivery: a row for each one, or one row without any."""
        return self.annotate(  # type: ignore[no-redef]
            delivery_pk=F("deliveries__pk"),
            delivery_channel=F("deliveries__channel"),
            delivery_status=F("deliveries__status"),
            delivery_reason=F("deliveries__reason"),
            delivery_at=F("deliveries__created_at"),
        )


class Challenge(models.Model):
    """One code, one purpose, one flow, few tries, short life.

    The code itself is nowhere: it is derived from ``nonce`` and everything that it is bound to.
    Every change of state is one conditional UPDATE whose row count is the answer, and every time
    is written and compared by the database's clock.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="otp_challenges",
        verbose_name=_("user"),
    )
    device = models.ForeignKey(
        "otp_channels.ChannelDevice",
        on_delete=models.SET_NULL,
        null=True,
        related_name="challenges",
        verbose_name=_("device"),
    )
    device_version = models.PositiveIntegerField()
    purpose = models.CharField(
        _("purpose"),
        max_length=16,
        choices=[
            (Purpose.LOGIN, _("sign in")),
            (Purpose.STEP_UP, _("confirm again")),
            (Purpose.ENROL, _("prove a device")),
            (Purpose.TEST, _("test")),
        ],
    )
    nonce = models.BinaryField(max_length=codes.NONCE_BYTES)
    key_id = models.CharField(max_length=16)
    # Which session asked, and the how-manieth challenge of that session this is. None and 1 for
    # the challenges of django-otp's own verbs.
    flow = models.CharField(max_length=64, null=True)  # noqa: DJ001
    number = models.PositiveSmallIntegerField(default=1)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    granted = models.PositiveSmallIntegerField(_("tries granted"))
    failures_before = models.PositiveSmallIntegerField()
    sends = models.PositiveSmallIntegerField(_("messages"), default=1)
    # Of whoever asked: what is sent later, after a receipt say, is sent in no page's language.
    language = models.CharField(_("language"), max_length=16)
    next_send_at = models.DateTimeField(_("next message at"))
    created_at = models.DateTimeField(_("asked at"), db_default=Now())
    expires_at = models.DateTimeField(_("expires at"))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.OPEN)
    closed_at = models.DateTimeField(_("closed at"), null=True)

    objects = PrimaryManager.from_queryset(ChallengeQuerySet)()

    if TYPE_CHECKING:  # added by the querysets above
        db_now: datetime
        newer_granted: int | None
        newer_attempts: int | None
        delivery_pk: int | None
        delivery_channel: str | None
        delivery_status: str | None
        delivery_reason: str | None
        delivery_at: datetime | None

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("challenge")
        verbose_name_plural = _("challenges")
        # However many requests of one session ask for its first code at once, one gets it.
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["flow", "number"], name="otp_challenge_flow_number"),
        ]
        indexes = [  # noqa: RUF012
            models.Index(fields=["user", "state", "created_at"], name="otp_challenge_user"),
            models.Index(fields=["created_at"], name="otp_challenge_created"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {str(self.pk)[:8]}"

    @classmethod
    def current(cls, flow: str) -> Challenge | None:
        """Return the current challenge of the session that holds ``flow``, with all it can tell."""
        if not flow:
            return None
        rows = _told().using(router.db_for_write(cls)).filter(flow=flow_digest(flow))
        # Few rows, so the last one is found here: the query has many columns, and Django would
        # look for its order among all of them.
        return max(rows, key=lambda row: (row.number, row.delivery_pk or 0), default=None)

    # -- asking for a code -------------------------------------------------------------------

    @classmethod
    def issue(
        cls, device: ChannelDevice, *, purpose: str, flow: str | None = None, number: int = 1,
        sends: int = 1,
    ) -> Challenge:  # fmt: skip
        """Create a challenge for this device with its ``sends``-th message reserved.

        ``flow`` is the digest of the random value kept in the session that asks; None for
        django-otp's own verbs. ``number`` and ``sends`` count the challenges and the messages of
        the whole flow.
        """
        failures = failures_since_lock(getattr(device.user, "otp_lockout", None))
        return cls.objects.create(
            user=device.user,
            device=device,
            device_version=device.version,
            purpose=purpose,
            nonce=codes.new_nonce(),
            key_id=codes.current_key_id(),
            flow=flow,
            number=number,
            granted=min(conf.MAX_ATTEMPTS, CONSECUTIVE_LIMIT - failures),
            failures_before=failures,
            sends=sends,
            language=device.language or get_language() or settings.LANGUAGE_CODE,
            next_send_at=Now() + _cooldown(sends),
            expires_at=Now() + timedelta(seconds=conf.TOKEN_LIFETIME),
        )

    @classmethod
    def open_flow(
        cls, device: ChannelDevice, channel: str, *, purpose: str, flow: str, client: str = "",
        by_hand: bool = False,
    ) -> Challenge:  # fmt: skip
        """Issue the first challenge of ``flow``, send it over ``channel``, and return it.

        ``client`` and ``by_hand`` are as in :class:`~.budgets.Send`. Raises ``SendNotAllowed``
        where the flow has one already, whoever asked for it, and where a limit is reached.
        """
        if channel not in device.channels:
            raise SendNotAllowed(_("This way is not available. Please choose another."))
        try:
            issue = partial(cls.issue, device, purpose=purpose, flow=flow_digest(flow))
            challenge = admit(send_to(device, channel, purpose, client, by_hand=by_hand), issue)
        except IntegrityError:
            raise SendNotAllowed(
                _("A code was sent a moment ago. Please wait before you ask for another.")
            ) from None
        challenge.record_asked(channel, client=client)
        challenge.send(channel, client=client)
        return challenge

    def send_again(
        self, device: ChannelDevice, channel: str, *, client: str = "", by_hand: bool = True
    ) -> Challenge:
        """Reserve one more message of this flow, send it, and return the challenge that it carries.

        The same code goes out again while it lives; for another device, or after expiry, a new
        challenge supersedes this one. ``client`` and ``by_hand`` are as in
        :class:`~.budgets.Send`. Raises ``SendNotAllowed``.
        """
        self.check_sendable(device, channel)
        renew = device.pk != self.device_id or self.expired

        def reserve() -> Challenge:
            if not self._reserve_send(close=renew):
                raise SendNotAllowed(
                    _("A code was sent a moment ago. Please wait before you ask for another.")
                )
            if not renew:
                return self
            return self.issue(
                device,
                purpose=self.purpose,
                flow=self.flow,
                number=self.number + 1,
                sends=self.sends + 1,
            )

        send = send_to(device, channel, self.purpose, client, by_hand=by_hand)
        challenge = admit(send, reserve)
        if renew:
            challenge.record_asked(channel, client=client)
        else:
            self.sends += 1
        lifetime = None if renew else self.seconds_left
        challenge.send(channel, lifetime=lifetime, client=client)
        return challenge

    def reserve_again(self) -> bool:
        """Charge one more message with the same code; say whether there is one left by now."""
        return self._reserve_send(close=False)

    def _reserve_send(self, *, close: bool) -> bool:
        """Charge one message, exactly once however many ask at the same moment."""
        changes: dict[str, Any] = (
            {"state": State.SUPERSEDED, "closed_at": Now()}
            if close
            else {"sends": self.sends + 1, "next_send_at": Now() + _cooldown(self.sends + 1)}
        )
        return bool(
            self._row()
            .filter(
                state=State.OPEN,
                sends=self.sends,
                sends__lt=conf.MAX_SENDS,
                next_send_at__lte=Now(),
            )
            .update(**changes)
        )

    def check_sendable(self, device: ChannelDevice, channel: str) -> None:
        """Raise ``SendNotAllowed`` with the reason if no message may go out for this challenge."""
        if not self.usable:
            raise SendNotAllowed(_("This sign-in has ended. Please start over."))
        if (lock := self.lock) is not None:
            raise SendNotAllowed(
                _("Codes are locked for a while after too many wrong ones."),
                retry_after=lock.seconds_left,
            )
        if self.sends >= conf.MAX_SENDS:
            raise SendNotAllowed(_("No more codes can be sent. Please start over."))
        if self.seconds_to_send > 0:
            raise too_soon(self.seconds_to_send)
        if channel not in device.channels:
            raise SendNotAllowed(_("This way is not available. Please choose another."))

    # -- sending -----------------------------------------------------------------------------

    @sensitive_variables()
    def send(
        self, channel: str, *, lifetime: int | None = None, wait: bool = True, client: str = ""
    ) -> None:
        """Carry the code over ``channel`` and record what comes of it. The send is reserved.

        Never raises for a provider's sake. ``lifetime`` is the rest of the code's life in seconds,
        a full one by default. With ``wait=False`` a network send starts after the commit of the
        transaction that the caller is in. ``client`` is as in :class:`~.budgets.Send`.
        """
        backends = channels.backends(channel)
        reference = new_reference()
        callbacks = callback_urls(channel, reference, backends)
        message = self.message(
            channel,
            lifetime=conf.TOKEN_LIFETIME if lifetime is None else lifetime,
            key=self.key_to_press(reference) if channel == "voice" and any(callbacks) else "",
        )
        if message is None:
            return
        journey = _Journey(self, message, reference, callbacks, client)
        if all(backend.inline for backend in backends):
            journey.walk_inline()
            return
        Delivery.objects.open(self, message, backends[0].provider, reference)
        if wait:
            journey.walk_network()
        else:
            transaction.on_commit(journey.walk_network, using=router.db_for_write(type(self)))

    @sensitive_variables()
    def message(self, channel: str, *, lifetime: int, key: str = "") -> Message | None:
        """Return the message that carries the code over ``channel``. None if it is dead.

        ``lifetime`` in seconds, and ``key``, are as in :func:`~..messages.compose`.
        """
        device, token = self.device, self._token()
        if device is None or token is None:
            return None
        return compose(
            channel,
            to=device.address,
            token=token,
            purpose=self.purpose,
            language=channels.language_for(channel, self.language),
            lifetime=lifetime,
            reference=self.pk.hex,
            key=key,
        )

    def key_to_press(self, reference: str) -> str:
        """Return the digit that lets the listener of the call ``reference`` hear the code."""
        return codes.key_to_press(self.key_id, reference)

    def send_at_once(self) -> None:
        """Let the person ask for another message without a wait: the last one is known to be lost.

        The lost one stays charged, since a refund could be farmed.
        """
        self._row().filter(state=State.OPEN, sends=self.sends).update(next_send_at=Now())

    def fall_back(self, channel: str) -> None:
        """Send the code another way, if the site wants that after ``channel`` has failed.

        To the same device or, for a login, to another one of its user. Only as far as the person
        could ask for it too, and in the language of whoever asked. For rows of ``with_owner()``.
        """
        wanted = conf.FALLBACK.get(channel, "")
        # What a provider tells after the code has expired finds nobody who still waits for one.
        if not (wanted and self.flow and self.device is not None) or self.over:
            return
        if not getattr(self.user, "is_active", True):
            return
        devices = [self.device]
        if self.purpose in (Purpose.LOGIN, Purpose.STEP_UP):
            devices += self._other_devices()
        for device in devices:
            if wanted in device.channels:
                with suppress(SendNotAllowed), override(self.language):
                    self.send_again(device, wanted, by_hand=False)
                return

    def _other_devices(self) -> list[ChannelDevice]:
        devices: Any = type(self)._meta.get_field("device").related_model._default_manager
        return [other for other in devices.for_login(self.user_id) if other.pk != self.device_id]

    # -- telling -----------------------------------------------------------------------------

    def record_asked(self, channel: str, *, client: str = "") -> None:
        """Record that this challenge was issued, to be sent over ``channel`` first."""
        record(type(self), "code_asked", channel=channel, client=client, **self.facts)

    @property
    def facts(self) -> dict[str, Any]:
        """What a security event tells of this challenge."""
        return {
            "user": self.user_id,
            "device": self.device.persistent_id if self.device is not None else "",
            "challenge": self.pk,
            "purpose": self.purpose,
        }

    # -- entering a code ---------------------------------------------------------------------

    @sensitive_variables()
    def verify(self, token: str) -> bool:
        """Spend one try on ``token`` and say whether it opened this challenge, which it does once.

        The try is charged and committed before the code is compared, so neither a rollback nor a
        crash nor 40 parallel guesses win one back.
        """
        return self.judge(token) is Verdict.RIGHT

    @sensitive_variables()
    def judge(self, token: str) -> Verdict:
        """Like :meth:`verify`, and say of a code that opened nothing whether it was compared."""
        if not self._charge():
            return Verdict.DEAD
        expected = self._token()
        if expected is None or not codes.matches(expected, token):
            Lockout.record_failure(self.user_id, exists=self._has_lockout)
            return Verdict.WRONG
        if not self._close_verified():
            return Verdict.DEAD
        if self._has_lockout and self.user.otp_lockout.failures:
            Lockout.record_success(self.user_id)
        if self.device is not None and self.device.awaits_proof:
            self.device.prove()
        return Verdict.RIGHT

    def _charge(self) -> bool:
        if not self.usable:
            return False
        spend = partial(
            self._row(_chargeable()).update,
            state=Case(
                When(attempts=F("granted") - 1, then=models.Value(State.FAILED)),
                default=F("state"),
            ),
            attempts=F("attempts") + 1,
        )
        # A challenge of ours has a flow and is verified outside any transaction, where the charge
        # commits at once. django-otp's own API always runs inside one: see the ledger.
        charged = committed(type(self), spend, durable=bool(self.flow))
        if charged and not self.flow:
            note(partial(self._charge_again, self.attempts + 1))
        return bool(charged)

    def _charge_again(self, attempts: int) -> None:
        """Repeat a charge that a rollback took back; as a failure, whatever it was."""
        if self._row().filter(attempts__lt=attempts).update(attempts=attempts):
            exists = Lockout.objects.filter(user_id=self.user_id).exists()
            Lockout.record_failure(self.user_id, exists=exists)
            for event in Lockout.tell_of(self.user_id):
                note_news(event, self.device)

    def _close_verified(self) -> bool:
        # The last try has set the state to failed already, before its comparison.
        return bool(self._row(_verifiable()).update(state=State.VERIFIED, closed_at=Now()))

    @classmethod
    def cancel(cls, flow: str) -> None:
        """Close every open challenge of this flow: its codes are dead."""
        if flow:
            cls.objects.filter(
                flow=flow_digest(flow),
                state__in=[State.OPEN, State.FAILED],
                closed_at__isnull=True,
            ).update(
                # What has failed stays on record as failed.
                state=Case(
                    When(state=State.OPEN, then=models.Value(State.CANCELLED)), default=F("state")
                ),
                closed_at=Now(),
            )

    @sensitive_variables()
    def _token(self) -> codes.Token | None:
        """Derive the code. None if its key is gone: then the challenge is dead."""
        bound_to = (
            bytes(self.nonce),
            self.pk.bytes,
            str(self.user_id).encode(),
            str(self.device_id).encode(),
            str(self.device_version).encode(),
            self.purpose.encode(),
            (self.flow or "").encode(),
        )
        return codes.derive(self.key_id, bound_to, length=conf.TOKEN_LENGTH)

    def _row(self, among: ChallengeQuerySet | None = None) -> ChallengeQuerySet:
        """Return the row of this challenge, if it is ``among`` these, to be changed."""
        rows = type(self).objects.all() if among is None else among
        return rows.using(router.db_for_write(type(self))).filter(pk=self.pk)

    # -- where it stands, by the database's clock (rows of the querysets above) --------------

    @property
    def dead(self) -> bool:
        """Whether this challenge can take no code any more, nor be asked for again."""
        device = self.device
        return (
            self.state != State.OPEN
            or device is None
            or device.version != self.device_version
            or device.disabled_reason == STAFF
        )

    @property
    def usable(self) -> bool:
        """Whether it can still take a code or send one (expiry apart)."""
        return not self.dead and self._within_allowance()

    def _within_allowance(self) -> bool:
        """Whether the account can afford this challenge beside the newer ones.

        Failures are counted after the comparison. So that a burst of guesses over many sessions
        cannot run ahead of the count, all tries that live challenges were *granted* must fit into
        what is left until the account locks; the oldest challenges die where they do not.
        """
        if not hasattr(self, "newer_granted"):
            row = self._row().with_rivals().get()
            self.newer_granted, self.newer_attempts = row.newer_granted, row.newer_attempts
        granted = self.granted + (self.newer_granted or 0)
        attempts = self.attempts + (self.newer_attempts or 0)
        now = failures_since_lock(self.user.otp_lockout if self._has_lockout else None)
        elsewhere = max(self.failures_before, now - attempts)
        return elsewhere + granted <= CONSECUTIVE_LIMIT

    @property
    def expired(self) -> bool:
        return self.expires_at <= self.db_now

    @property
    def over(self) -> bool:
        """Whether no code can be entered for it any more."""
        return self.dead or self.expired

    @property
    def seconds_left(self) -> int:
        return max(0, int((self.expires_at - self.db_now).total_seconds()))

    @property
    def seconds_to_send(self) -> int:
        """Whole seconds until another message may go out, rounded up."""
        return max(0, math.ceil((self.next_send_at - self.db_now).total_seconds()))

    @cached_property
    def closed_channels(self) -> frozenset[str]:
        """The channels of which a provider has said that this address takes no such message.

        Costs a statement where more than one message was sent.
        """
        latest = self.delivery_channel if self.delivery_reason in UNREACHABLE else None
        known = {latest} if latest else set()
        if self.sends > 1:
            refused = Delivery.objects.filter(
                challenge__flow=self.flow,
                challenge__device_id=self.device_id,
                challenge__device_version=self.device_version,
                reason__in=UNREACHABLE,
            )
            known.update(refused.values_list("channel", flat=True))
        return frozenset(known)

    @property
    def tries_left(self) -> int:
        return max(0, self.granted - self.attempts)

    @property
    def lock(self) -> Lock | None:
        """The lock on this account that is in force, or None."""
        return self.user.otp_lockout.lock(self.db_now) if self._has_lockout else None

    @property
    def delivery(self) -> str:
        """The status of the latest delivery; a send that is overdue reads as unknown."""
        overdue = timedelta(seconds=conf.SEND_TIMEOUT)
        if (
            self.delivery_status == Status.SENDING
            and self.delivery_at is not None
            and self.db_now - self.delivery_at > overdue
        ):
            return Status.UNKNOWN
        return self.delivery_status or ""

    @property
    def _has_lockout(self) -> bool:
        return hasattr(self.user, "otp_lockout")


@dataclass(frozen=True)
class _Journey:
    """One message on its way, and the rows that tell what became of it."""

    challenge: Challenge
    message: Message
    reference: str
    callbacks: Sequence[str]
    client: str = ""
    # Where the site stands below its origin (SCRIPT_NAME), which a sending thread does not know.
    prefix: str = field(default_factory=get_script_prefix)

    def walk_inline(self) -> None:
        attempts = self._carry().claim(lambda _late: None) or ()
        for attempt in attempts:
            Delivery.objects.note(self.challenge, self.message, attempt, self.reference)
        self._conclude(attempts)

    def walk_network(self) -> None:
        attempts = self._carry().claim(self._record_late, wait=conf.SEND_WAIT)
        if attempts is not None:
            self._record(attempts)

    def _carry(self) -> Outcome:
        # Before it goes, so that what the provider says of it comes later in the log as well.
        channel = self.message.channel
        audit.record("code_sent", channel=channel, client=self.client, **self.challenge.facts)
        backends = channels.backends(self.message.channel)
        return carry(self.message, backends, self.callbacks)

    def _record_late(self, attempts: Sequence[Attempt]) -> None:
        """Record from the sending thread, which has a database connection of its own."""
        close_old_connections()
        set_script_prefix(self.prefix)  # of this thread, which ends with this
        try:
            self._record(attempts)
        except Exception as error:  # noqa: BLE001
            # The row still says "sending", and reads as unknown from now on: nothing is lost.
            logger.error("An outcome could not be recorded (%s).", type(error).__name__)  # noqa: TRY400
        finally:
            connections[router.db_for_write(Challenge)].close()

    def _record(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            Delivery.objects.note_once(self.challenge, self.message, attempt, self.reference)
        self._conclude(attempts)

    def _conclude(self, attempts: Sequence[Attempt]) -> None:
        device = self.challenge.device
        if device is not None and any(attempt.reason == Reason.GONE for attempt in attempts):
            device.disable(device.Disabled.UNREGISTERED)
        if attempts and all(attempt.status == Status.FAILED for attempt in attempts):
            self._record_failed(attempts[-1])
            self.challenge.send_at_once()
            closed = any(attempt.reason in CLOSED for attempt in attempts)
            if self.message.channel in conf.FALLBACK and not closed:
                current = Challenge.objects.filter(pk=self.challenge.pk).with_owner().first()
                if current is not None and current.sends == self.challenge.sends:
                    current.fall_back(self.message.channel)

    def _record_failed(self, last: Attempt) -> None:
        facts = {name: value for name, value in self.challenge.facts.items() if name != "purpose"}
        audit.record(
            "send_failed",
            channel=self.message.channel,
            provider=last.provider,
            error_code=last.error_code,
            reason=last.reason,
            **facts,
        )


# Querysets that every login needs, built once and only ever chained from: Django takes as long to
# build one as to read its row.


@cache
def _told() -> ChallengeQuerySet:
    """All, with what a page tells of them."""
    return Challenge.objects.with_owner().with_rivals().with_delivery()


@cache
def _chargeable() -> ChallengeQuerySet:
    """Those that can be charged a try."""
    locked = Lockout.objects.filter(Lockout.closed(), user_id=OuterRef("user_id"))
    return Challenge.objects.filter(
        ~Exists(locked), state=State.OPEN, attempts__lt=F("granted"), expires_at__gt=Now()
    )


@cache
def _verifiable() -> ChallengeQuerySet:
    """Those whose code, if it is right, still opens something."""
    devices = Challenge._meta.get_field("device").related_model._default_manager
    unchanged = devices.filter(pk=OuterRef("device_id"), version=OuterRef("device_version"))
    return Challenge.objects.filter(
        Exists(unchanged.exclude(disabled_reason=STAFF)),
        state__in=[State.OPEN, State.FAILED],
        closed_at__isnull=True,
    )
