"""A person's address: a phone number or an app. A django-otp device."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from operator import attrgetter
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import get_language_bidi, gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from django_otp.models import (
    CooldownMixin,
    Device,
    ThrottlingMixin,
    TimestampMixin,
)

from .. import audit, channels, phones
from ..conf import conf
from ..exceptions import InvalidNumber, SendNotAllowed
from ..messages import Purpose, Status
from .admission import admit
from .challenges import Challenge, State, Verdict, send_to
from .commits import after, in_transaction, record
from .ledger import note_news
from .lockouts import Lock, Lockout
from .primary import PrimaryDeviceManager

LEFT_TO_RIGHT = "\u200e"


class ChannelDeviceManager(PrimaryDeviceManager["ChannelDevice"]):
    def for_login(self, user_id: Any) -> list[ChannelDevice]:
        """Return the user's confirmed devices, with what decides whether they may be used now.

        The one that they prefer comes first.
        """
        rows = _for_login().using(router.db_for_write(self.model)).filter(user_id=user_id)
        return sorted(rows, key=attrgetter("rank"))


def phone_in_words(name: str, digits: str) -> str:
    """Return what its owner knows a phone by: "My phone ending in 23"."""
    return gettext("%(name)s ending in %(digits)s") % {"name": name, "digits": digits}


@cache
def _for_login() -> models.QuerySet[ChannelDevice]:
    # Built once and only ever chained from, and ordered by the caller: Django takes longer to build
    # the query and to look for its order among so many columns than to read the few rows.
    rows = ChannelDevice.objects.filter(confirmed=True).select_related("user__otp_lockout")
    return rows.annotate(db_now=Now()).order_by()


class ChannelDevice(TimestampMixin, ThrottlingMixin, CooldownMixin, Device):
    """One user's phone number or app installation, and the way in which it is preferred to ring.

    The existence of a confirmed device is what makes an account ask for a code. A device that
    cannot be reached now (disabled, channel not configured, country not allowed) still counts: it
    never means that no second factor is needed.

    django-otp's verbs (:meth:`generate_challenge`, :meth:`verify_token`) issue and verify
    challenges of their own, which the login step does not accept, nor the other way round.
    """

    class Kind(models.TextChoices):
        PHONE = "phone", _("phone number")
        APP = "app", _("app")

    class Disabled(models.TextChoices):
        UNREGISTERED = "unregistered", _("This number or app is no longer in use.")
        STAFF = "staff", _("Switched off by staff.")

    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.PHONE)
    address = models.CharField(
        _("address"),
        max_length=512,
        help_text=_("A phone number in international form, or the app's push address."),
    )
    channel = models.CharField(
        _("preferred way"),
        max_length=16,
        blank=True,
        choices=[(name, channel.label) for name, channel in channels.CHANNELS.items()],
    )
    confirmed = models.BooleanField(
        _("confirmed"),
        default=False,
        help_text=_("Its owner has entered a code that was sent to it."),
    )
    # Taken over from elsewhere, unproven: a factor all the same, so that a password alone is not
    # enough meanwhile. Only ever true of a confirmed device.
    awaits_proof = models.BooleanField(
        _("to be proven at the next login"), default=False, editable=False
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    language = models.CharField(
        _("language"),
        max_length=16,
        blank=True,
        help_text=_("Language of the messages. Empty: that of the page that asks for one."),
    )
    disabled_reason = models.CharField(
        _("disabled"), max_length=16, blank=True, choices=Disabled, default=""
    )
    # The one that is asked first is the one that was preferred last.
    preferred_at = models.DateTimeField(_("preferred since"), null=True, editable=False)
    # A number that is changed is another device, and this one stays a factor until that is proven.
    replaces = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("in place of"),
    )
    # An app installation belongs to one device only; a phone may be shared (NIST SP 800-63B-4, 3).
    # A generated column, because not every database has partial unique indexes.
    app_address = models.GeneratedField(
        expression=Case(When(kind=Kind.APP, then=F("address"))),
        output_field=models.CharField(max_length=512, null=True),
        db_persist=True,
        unique=True,
    )

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        ordering = ["pk"]  # noqa: RUF012
        permissions = [  # noqa: RUF012
            ("reset_second_factor", "Can reset a person's second factor"),
        ]

    def __str__(self) -> str:
        named = self.name or str(self.get_kind_display())
        return f"{named} {self.masked_address}" if self.kind == self.Kind.PHONE else named

    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any, **kwargs: Any) -> Self:
        device = super().from_db(db, field_names, values, **kwargs)
        device._note_stored()
        return device

    def refresh_from_db(self, using: Any = None, fields: Any = None, **kwargs: Any) -> None:
        super().refresh_from_db(using=using, fields=fields, **kwargs)
        self._note_stored(fields)

    def save(self, **kwargs: Any) -> None:
        """Save what has changed. Another address is another factor: unproven, with a new version.

        Never more than that: a stale instance would bring back an old number, confirm a new one
        or lower a counter.
        """
        if self._state.adding or kwargs.get("force_insert"):
            super().save(**kwargs)
            self._note_stored()
            return
        changed = self._changed()
        asked = kwargs.get("update_fields")
        # A field that is asked for by name is written; the address only if it is another one.
        written = changed if asked is None else set(asked) - ({"address"} - changed)
        written.discard("version")
        if "address" in written:
            self.version = F("version") + 1
            self.confirmed = self.awaits_proof = False
            self.last_used_at = None  # of the old address
            written |= {"version", "confirmed", "awaits_proof", "last_used_at"}
        super().save(**{**kwargs, "update_fields": written})
        if "address" in written:
            self.refresh_from_db(fields=["version"])
        self._note_stored(written)

    def _note_stored(self, names: Any = None) -> None:
        """Note what the row holds, of all loaded fields or of those in ``names``."""
        stored = self.__dict__.setdefault("_stored", {})
        for field in self._meta.concrete_fields:
            if field.attname in self.__dict__ and (names is None or field.name in names):
                stored[field.name] = self.__dict__[field.attname]

    def _changed(self) -> set[str]:
        """Return the names of the fields whose value here is not that of the row."""
        stored = self.__dict__.get("_stored", {})
        return {
            field.name
            for field in self._meta.concrete_fields
            if field.attname in self.__dict__
            and not (field.generated or field.primary_key)
            and (field.name not in stored or stored[field.name] != self.__dict__[field.attname])
        }

    def clean(self) -> None:
        super().clean()
        # An old number that has become invalid must not keep its name from being changed.
        if self.kind == self.Kind.PHONE and "address" in self._changed():
            try:
                self.address = phones.parse(self.address).address
            except InvalidNumber as error:
                raise ValidationError({"address": str(error)}) from error

    objects = ChannelDeviceManager()

    db_now: datetime  # added by for_login()

    # -- what it can do ----------------------------------------------------------------------

    @property
    def masked_address(self) -> str:
        """The address as pages show it: the last two digits of a number, nothing of a token."""
        if self.kind != self.Kind.PHONE:
            return gettext("app")
        # In a sentence that is read from the right, the dots would jump behind the digits.
        mark = LEFT_TO_RIGHT if get_language_bidi() else ""
        return f"{mark}{phones.mask(self.address)}"

    @property
    def digits(self) -> str:
        """The last two digits of a phone's number, which a page may show."""
        return phones.last_digits(self.address) if self.kind == self.Kind.PHONE else ""

    @property
    def ending(self) -> str:
        """How the number ends: in words, since a screen reader reads each dot of a mask aloud."""
        return gettext("ending in %(digits)s") % {"digits": self.digits}

    @property
    def address_in_words(self) -> str:
        """The address for a sentence to a person: "the number ending in 23", "your app"."""
        if self.kind != self.Kind.PHONE:
            return gettext("your app")
        return gettext("the number ending in %(digits)s") % {"digits": self.digits}

    @property
    def in_words(self) -> str:
        """The device as its owner knows it: "My phone ending in 23"."""
        named = self.name or str(self.get_kind_display())
        return phone_in_words(named, self.digits) if self.digits else named

    @property
    def rank(self) -> tuple[float, int]:
        """Where it stands among its owner's devices: what was preferred last comes first."""
        return (-self.preferred_at.timestamp() if self.preferred_at else 0.0, self.pk)

    @property
    def channels(self) -> Sequence[str]:
        """The channels that can carry a message to it now, the preferred one first."""
        if self.disabled_reason:
            return []
        names = channels.reaching(self.kind, self.address)
        return sorted(names, key=lambda name: name != self.channel)

    @property
    def lock(self) -> Lock | None:
        """The lock in force on its owner's account, or None. Only on rows of ``for_login()``."""
        lockout: Lockout | None = getattr(self.user, "otp_lockout", None)
        return lockout.lock(self.db_now) if lockout is not None else None

    def disable(self, reason: str) -> None:
        """Stop sending to this address, unless it has changed meanwhile. It stays a factor."""
        row = self._row().filter(version=self.version, disabled_reason="")
        if row.update(disabled_reason=reason):
            self.record("device_changed", reason=reason)

    def confirm(self) -> None:
        """Note that its owner has entered a code that was sent to this very address."""
        self._row().filter(version=self.version).update(confirmed=True, awaits_proof=False)
        self.confirmed, self.awaits_proof = True, False

    def prove(self) -> None:
        """Note of a factor that was taken over unproven that a code has reached its owner.

        Others that wait for a proof are factors no more: beside a proven one each would be a second
        way in for whoever put it there. Their owner may prove them, as if just added.
        """
        row = self._row().filter(version=self.version, awaits_proof=True)
        if row.update(awaits_proof=False):
            self.record("device_changed", reason="proven")
            waiting = type(self).objects.filter(user_id=self.user_id, awaits_proof=True)
            for other in waiting:
                row = waiting.filter(pk=other.pk)
                if row.update(confirmed=False, awaits_proof=False, created_at=Now()):
                    other.record("device_changed", reason="unproven")
        self.awaits_proof = False

    def prefer(self, channel: str) -> None:
        """Ask this device first from now on, over ``channel``."""
        self._row().update(preferred_at=Now(), channel=channel)

    def record(self, event: str, **fields: Any) -> None:
        """Record a security event about this device, once the change that it tells of is certain.

        ``event`` and ``fields`` as in :data:`~..audit.EVENTS`.
        """
        record(type(self), event, user=self.user_id, device=self.persistent_id, **fields)

    def _row(self) -> models.QuerySet[Self]:
        return type(self).objects.filter(pk=self.pk)

    # -- django-otp's verbs ------------------------------------------------------------------

    def get_throttle_factor(self) -> int:
        return 1

    def get_cooldown_duration(self) -> int:
        return conf.SEND_COOLDOWNS[0]

    def generate_challenge(self) -> str:
        """Send a code for django-otp's own API and return a sentence that says so.

        The same code goes out again while it lives. Raises ``SendNotAllowed``, whose text is safe
        to show. A network send starts after the commit of a transaction around the call.
        """
        names = self.channels
        if not (self.confirmed and names):
            raise SendNotAllowed(_("This way is not available. Please choose another."))
        if Lockout.lock_of(self.user_id) is not None:
            raise SendNotAllowed(_("Codes are locked for a while after too many wrong ones."))
        challenge = self._stock_challenge()
        if not self._reserve_generation():
            raise SendNotAllowed(
                _("A code was sent a moment ago. Please wait before you ask for another.")
            )
        alone = not in_transaction(Challenge)
        send, known = send_to(self, names[0], Purpose.LOGIN, by_hand=True), challenge

        def reserve() -> Challenge:
            if known is None:
                return Challenge.issue(self, purpose=Purpose.LOGIN)
            if not known.reserve_again():
                raise SendNotAllowed(
                    _("A code was sent a moment ago. Please wait before you ask for another.")
                )
            return known

        challenge = admit(send, reserve, durable=alone)
        if known is None:
            challenge.record_asked(names[0])
        else:
            challenge.sends += 1
        lifetime = known.seconds_left if known else conf.TOKEN_LIFETIME
        challenge.send(names[0], lifetime=lifetime, wait=alone)
        return gettext("A code is on its way to %(address)s.") % {"address": self.masked_address}

    def send_test_code(self) -> str:
        """Send a code that opens nothing, and return the status of its delivery.

        Raises ``SendNotAllowed``. A network send starts after the commit of a transaction around
        the call, so its status is "sending" or empty.
        """
        names = self.channels
        if not names:
            raise SendNotAllowed(_("This way is not available. Please choose another."))
        if not self._reserve_generation():
            raise SendNotAllowed(
                _("A code was sent a moment ago. Please wait before you ask for another.")
            )
        alone = not in_transaction(Challenge)
        send = send_to(self, names[0], Purpose.TEST, by_hand=True)
        issue = partial(Challenge.issue, self, purpose=Purpose.TEST)
        challenge = admit(send, issue, durable=alone)
        challenge.record_asked(names[0])
        challenge.send(names[0], wait=alone)
        latest = challenge.deliveries.order_by("-pk").first()
        if latest is not None and latest.status == Status.FAILED:  # known not sent: no wait
            self._row().update(last_generated_timestamp=None)
        return latest.status if latest is not None else ""

    def verify_is_allowed(self) -> tuple[bool, dict[str, Any] | None]:
        if Lockout.lock_of(self.user_id) is not None:
            return False, {
                "error_message": gettext("Codes are locked for a while after too many wrong ones.")
            }
        allowed: tuple[bool, dict[str, Any] | None] = super().verify_is_allowed()
        return allowed

    @sensitive_variables()
    def verify_token(self, token: str) -> bool:
        """Verify a code that :meth:`generate_challenge` sent. It opens one door, once.

        An unconfirmed device verifies nothing. A success refunds no message: unlike other
        django-otp devices, the cooldown of :meth:`generate_challenge` goes on.
        """
        if not (self.confirmed and self.verify_is_allowed()[0]):
            return False
        challenge = self._stock_challenge()
        verdict = challenge.judge(str(token)) if challenge is not None else Verdict.DEAD
        facts = {"user": self.user_id, "device": self.persistent_id, "purpose": Purpose.LOGIN}
        if challenge is not None:
            facts = challenge.facts
        if verdict is Verdict.RIGHT:
            record(Challenge, "code_verified", **facts)
            self.set_last_used_timestamp(commit=False)
            self.throttle_reset(commit=False)
            self.save(
                update_fields=[
                    "last_used_at",
                    "throttling_failure_timestamp",
                    "throttling_failure_count",
                ]
            )
            return True
        self._record_throttle()
        # At once: even if a transaction around this is rolled back, the code was entered.
        audit.record("code_failed", reason=verdict.value, **facts)
        for event in Lockout.tell_of(self.user_id):
            after(Lockout, partial(note_news, event, self))
        return False

    def _stock_challenge(self) -> Challenge | None:
        return (
            Challenge.objects.filter(
                device_id=self.pk,
                device_version=self.version,
                user_id=self.user_id,
                purpose=Purpose.LOGIN,
                flow=None,
                state=State.OPEN,
                expires_at__gt=Now(),
            )
            .with_owner()
            .with_rivals()
            .order_by("-created_at")
            .first()
        )

    def _reserve_generation(self) -> bool:
        """Start the cooldown, exactly once however many ask at the same moment."""
        now = timezone.now()
        ready = Q(last_generated_timestamp=None) | Q(
            last_generated_timestamp__lte=now - timedelta(seconds=self.get_cooldown_duration())
        )
        reserved = bool(self._row().filter(ready).update(last_generated_timestamp=now))
        if reserved:
            self.last_generated_timestamp = now
        return reserved

    def _record_throttle(self) -> None:
        # Never the whole row: saving a stale instance would lower a counter raised elsewhere.
        now = timezone.now()
        self._row().update(
            throttling_failure_timestamp=now,
            throttling_failure_count=F("throttling_failure_count") + 1,
        )
        self.throttling_failure_timestamp = now
        self.throttling_failure_count += 1
