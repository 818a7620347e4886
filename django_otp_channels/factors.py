"""What an account has as second factors, for the staff who help its owner; and a fresh start.

Staff may see which factors there are and take all of them away. They can read none, and choose
none: whoever was reset proves a new one by themselves (ASVS 6.4.4, 6.4.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_otp import device_classes, devices_for_user
from django_otp.models import Device

from . import notices, trust
from .clients import client_of
from .messages import Purpose
from .models import Challenge, ChannelDevice, Lockout, RecoveryDevice, TrustedBrowser
from .models.challenges import State, last_verified
from .models.commits import record
from .models.lockouts import Lock

LAST_SIGN_INS = 5


@dataclass(frozen=True)
class OwnDevice:
    """A phone or an app, with its own state in words. ``last_used`` is the last right code."""

    device: ChannelDevice
    state: str
    last_used: datetime | None


@dataclass(frozen=True)
class OtherFactor:
    """Any other device of django-otp. ``codes_left``: of recovery codes, else None."""

    device: Device
    kind: str
    codes_left: int | None

    @property
    def name(self) -> str:
        """The device's name, without what could move the cursor of a terminal."""
        return "".join(char if char.isprintable() else "�" for char in self.device.name)


@dataclass(frozen=True)
class SignIn:
    """A sign-in that a code of ours has finished. ``address`` is masked, or empty if gone."""

    at: datetime
    address: str


@dataclass(frozen=True)
class Overview:
    """All that staff see of a person's second factor. No whole number and no code is in it."""

    user: Any
    devices: Sequence[OwnDevice]
    others: Sequence[OtherFactor]
    lock: Lock | None
    locked_until: datetime | None
    failures: int
    sign_ins: Sequence[SignIn]
    browsers: Sequence[TrustedBrowser]

    @property
    def has_factor(self) -> bool:
        """Whether a confirmed device exists, of this package or another plugin.

        Our recovery codes are none of their own: see :class:`.models.RecoveryDevice`.
        """
        return any(own.device.confirmed for own in self.devices) or any(
            other.device.confirmed
            for other in self.others
            if not isinstance(other.device, RecoveryDevice)
        )

    @property
    def lock_in_words(self) -> str:
        if self.lock is None:
            return _("none")
        if self.lock.stopped:
            return _("stopped after too many wrong codes, until staff unlock it")
        return _("locked for a while")


def overview_of(user: Any) -> Overview:
    """Return what there is to know of the second factor of ``user``."""
    lockout: Any = Lockout.objects.filter(user_id=user.pk).annotate(db_now=Now()).first()
    lock = lockout.lock(lockout.db_now) if lockout is not None else None
    owned = ChannelDevice.objects.filter(user_id=user.pk)
    devices: Any = owned.annotate(last_verified=last_verified())
    return Overview(
        user=user,
        devices=[
            OwnDevice(device, own_state_of(device), device.last_verified) for device in devices
        ],
        others=[_other(device) for device in _other_devices(user)],
        lock=lock,
        locked_until=lockout.locked_until if lock is not None and not lock.stopped else None,
        failures=lockout.failures if lockout is not None else 0,
        sign_ins=_sign_ins(user),
        # All whose time is not up, even one that a change of the account has made worthless.
        browsers=list(TrustedBrowser.objects.filter(user_id=user.pk, expires_at__gt=Now())),
    )


def _other_devices(user: Any) -> Sequence[Device]:
    devices = devices_for_user(user, confirmed=None)
    return [device for device in devices if not isinstance(device, ChannelDevice)]


def _other(device: Device) -> OtherFactor:
    codes: Any = getattr(device, "token_set", None)  # of django-otp's recovery codes
    left = codes.count() if codes is not None else None
    if isinstance(device, RecoveryDevice):
        left = device.left
    return OtherFactor(device, kind=str(device._meta.verbose_name), codes_left=left)


def _sign_ins(user: Any) -> Sequence[SignIn]:
    right = Challenge.objects.filter(
        user_id=user.pk, purpose=Purpose.LOGIN, state=State.VERIFIED, closed_at__isnull=False
    )
    return [
        SignIn(challenge.closed_at, challenge.device.masked_address if challenge.device else "")
        for challenge in right.select_related("device").order_by("-closed_at")[:LAST_SIGN_INS]
        if challenge.closed_at is not None
    ]


def state_of(device: ChannelDevice) -> str:
    """Return in words whether codes get through to ``device``, a row with ``db_now``.

    The account's lock and its wrong codes come into it.
    """
    lockout, lock = getattr(device.user, "otp_lockout", None), device.lock
    if lock is not None and not device.disabled_reason:
        return (
            _("account: stopped after too many wrong codes")
            if lock.stopped
            else _("account: locked for a while")
        )
    failures = lockout.failures if lockout else 0
    if failures and not _trouble_of(device):
        return ngettext(
            "account: %(count)d wrong code in a row",
            "account: %(count)d wrong codes in a row",
            failures,
        ) % {"count": failures}
    return own_state_of(device)


def own_state_of(device: ChannelDevice) -> str:
    """Return in words whether codes get through to ``device``, its account apart."""
    return _trouble_of(device) or _("ready")


def _trouble_of(device: ChannelDevice) -> str:
    if device.disabled_reason:
        return device.get_disabled_reason_display()
    if not device.channels:
        return _("cannot be reached by any configured channel")
    if device.awaits_proof:
        return _("to be proven at its owner's next login")
    return "" if device.confirmed else _("waits for its owner's code")


def factor_exists(owner: str = "pk") -> Q:
    """Return the condition that a confirmed device of any django-otp plugin exists.

    ``owner`` is the field of the outer query that holds the user's primary key.
    """
    found = Q()
    for model in device_classes():
        if issubclass(model, RecoveryDevice):
            continue
        found |= Q(Exists(model._default_manager.filter(user_id=OuterRef(owner), confirmed=True)))
    return found


def lock_exists(owner: str = "pk") -> Q:
    """Return the condition that a lock is in force. ``owner`` as in :func:`factor_exists`."""
    return Q(Exists(Lockout.objects.filter(Lockout.closed(), user_id=OuterRef(owner))))


def reset(user: Any, *, by: Any, reason: str = "", request: HttpRequest | None = None) -> int:
    """Remove all factors of ``user`` and lift any lock. Return how many devices are gone.

    ``by`` is the primary key of the member of staff, or ``"command"``; ``reason`` is in their own
    words. Codes under way are dead at once. The owner is told, at the removed addresses as well.
    """
    with transaction.atomic(using=router.db_for_write(ChannelDevice)):
        Lockout.hold(user.pk)  # a device that is being added comes before or after, not between
        devices = list(devices_for_user(user, confirmed=None))
        gone = [device for device in devices if isinstance(device, ChannelDevice)]
        for device in devices:
            device.delete()
        Lockout.lift([user.pk])
    client = client_of(request) if request is not None else ""
    record(Lockout, "factors_reset", user=user.pk, by=by, client=client, reason=reason)
    trust.end_all(user, by=by, client=client, reason="changed")
    notices.tell(request, user, "factors_reset", also=gone, by=by)
    return len(devices)


def end_trust(user: Any, *, by: Any, request: HttpRequest) -> int:
    """End the trust in all browsers of ``user``. Return how many there were."""
    return trust.end_all(user, by=by, client=client_of(request))


def unlock(user: Any, *, by: Any, request: HttpRequest | None = None) -> bool:
    """Lift the lock and the count of ``user``. Return whether there was anything to lift."""
    lifted = bool(Lockout.lift([user.pk]))
    client = client_of(request) if request is not None else ""
    record(Lockout, "account_unlocked", user=user.pk, by=by, client=client)
    return lifted
