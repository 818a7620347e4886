"""Prove a new phone number: nobody's number becomes a factor before its owner entered a code."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.db import router
from django.db.models.functions import Now
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_otp import login as otp_login
from django_otp.models import Device

from . import history, login, notices, phones, sessions, trust
from .clients import client_of
from .conf import conf
from .exceptions import SendNotAllowed
from .messages import Purpose
from .models import Activity, Challenge, ChannelDevice, Lockout, RecoveryDevice
from .models.challenges import too_soon
from .models.commits import record, reserved
from .models.recovery import make_codes
from .others import has_other_factor, other_ways, remove_recovery

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

MAX_PHONES = 5


def start(
    request: HttpRequest,
    user: AbstractBaseUser,
    phone: phones.Phone,
    channel: str,
    replaces: ChannelDevice | None = None,
) -> ChannelDevice:
    """Note ``phone`` as an unproven device of ``user``, and send it a code if none is on its way.

    ``channel`` is how it is to be reached. It takes the place of ``replaces`` once it is proven;
    until then that one stays as it is. Raises ``SendNotAllowed`` with the reason. A parked login
    may enrol only while its user has no factor at all: the caller has made sure.
    """
    note = partial(_note_unproven, request, user, phone, channel, replaces)
    device = reserved(ChannelDevice, note)
    challenge = current(request)
    under_way = challenge is not None and challenge.device_id == device.pk and not challenge.over
    if challenge is None or not under_way or challenge.sends >= conf.MAX_SENDS:
        prove(request, device, channel)
    return device


def has_room(devices: Iterable[ChannelDevice]) -> bool:
    """Say whether who owns ``devices`` may have one more phone (of at most five, DEF-23)."""
    phones = [row for row in devices if row.confirmed and row.kind == row.Kind.PHONE]
    return len(phones) < MAX_PHONES


def prove(request: HttpRequest, device: ChannelDevice, channel: str = "") -> None:
    """Send a code that is to prove ``device``: the first one, or again, or another way.

    ``channel`` is the one used last, or the preferred one, unless it is named. Raises
    ``SendNotAllowed``.
    """
    lock = Lockout.lock_of(device.user_id)
    if lock is not None:
        raise SendNotAllowed(
            _("Codes are locked for a while after too many wrong ones."),
            retry_after=lock.seconds_left,
        )
    challenge = current(request)
    if not channel and challenge is not None and challenge.device_id == device.pk:
        channel = challenge.delivery_channel or ""
    about_it = challenge is not None and challenge.device_id == device.pk
    closed = challenge.closed_channels if challenge is not None and about_it else frozenset()
    names = [name for name in device.channels if channel in ("", name) and name not in closed]
    if not names:
        raise SendNotAllowed(_("This number cannot be reached. Please use another."))
    parked, client = login.parked_in(request.session), client_of(request)
    if challenge is not None and (parked or not _spent(challenge)):
        challenge.send_again(device, names[0], client=client)
        return
    _wait_for_cooldown(device)
    if not parked:
        Challenge.cancel(_flow(request))
    flow = parked.flow if parked else _keep_flow(request, anew=challenge is not None)
    Challenge.open_flow(device, names[0], purpose=Purpose.ENROL, flow=flow, client=client)


def _spent(challenge: Challenge) -> bool:
    """Whether no more messages can come of this enrolment, so that a person may begin anew."""
    return challenge.dead or challenge.sends >= conf.MAX_SENDS


def _flow(request: HttpRequest) -> str:
    """Return the flow of the enrolment under way: that of the parked login, or the session's.

    The first one of a session is derived from its key, so that parallel requests agree on it and
    the database lets one of them send.
    """
    parked = login.parked_in(request.session)
    if parked is not None:
        return parked.flow
    proof = sessions.ours(request.session).get("proof")
    key = request.session.session_key
    if proof or not key:
        return str(proof or "")
    return salted_hmac(__name__, key, algorithm="sha256").hexdigest()


def _keep_flow(request: HttpRequest, *, anew: bool) -> str:
    """Keep the flow of a person who is logged in where the session's key may change."""
    flow = (None if anew else _flow(request)) or secrets.token_urlsafe(32)
    sessions.keep(request.session, "proof", flow)
    return flow


def unproven_device(user: AbstractBaseUser, pk: str) -> ChannelDevice | None:
    """Return the device ``pk`` of this user, if it is one that is still to be proven."""
    if not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        return None
    return ChannelDevice.objects.filter(pk=int(pk), user_id=user.pk, confirmed=False).first()


def current(request: HttpRequest) -> Challenge | None:
    """Return the enrolment challenge of this session, parked or logged in, if there is one."""
    challenge = Challenge.current(_flow(request))
    return challenge if challenge is not None and challenge.purpose == Purpose.ENROL else None


def finish(request: HttpRequest, challenge: Challenge) -> str | None:
    """Confirm the device of ``challenge``, whose code was right.

    The session is verified from now on: its owner has just proven to hold the device. Returns
    where to go on to if a login was parked here, or led here by a reminder, else None. Raises
    ``SendNotAllowed`` with the reason if it may not become a factor any more.
    """
    device = cast("ChannelDevice", challenge.device)  # a code without its device is never right
    first = not cast("Any", request.user).is_verified()
    old = reserved(ChannelDevice, partial(_confirm, challenge.user, device, first=first))
    client = client_of(request)
    device.record("device_added", client=client, reason="proven")
    if old is None:
        history.note(request, challenge.user, Activity.Event.DEVICE_ADDED, device=device)
        notices.tell(request, challenge.user, "device_added", device=device)
    else:
        old.record("device_removed", client=client, reason="replaced")
        history.note(request, challenge.user, Activity.Event.DEVICE_CHANGED, device=device)
        notices.tell(request, challenge.user, "device_changed", device=device, also=[old])
    trust.end_all(challenge.user, reason="changed", client=client)
    return _go_on(request, challenge.user, challenge.delivery_channel or "", device)


def _go_on(
    request: HttpRequest, user: AbstractBaseUser, channel: str, device: Device
) -> str | None:
    parked = login.parked_in(request.session)
    if parked is not None:
        history.note_login(request, user, channel, device)
        return login.resume(request, parked, user, device)
    then = login.after_reminder(request.session)
    for name in ("proof", "free", "then"):
        sessions.keep(request.session, name, None)
    sessions.note_given(request.session, "code")
    request.session.cycle_key()
    rotate_token(request)
    otp_login(request, device)
    return then or None


def finish_authenticator(
    request: HttpRequest, user: AbstractBaseUser, device: Device
) -> str | None:
    """Go on after an authenticator app has shown its first code, as :func:`finish` does."""
    record(ChannelDevice, "device_added", **_facts(request, user, device), reason="proven")
    history.note(request, user, Activity.Event.DEVICE_ADDED, device=device)
    notices.tell(request, user, "app_added", device=device)
    trust.end_all(user, reason="changed", client=client_of(request))
    return _go_on(request, user, "", device)


def make_recovery_codes(request: HttpRequest, user: AbstractBaseUser) -> list[str]:
    """Return new recovery codes for ``user``, grouped to be read. Older ones are dead.

    Whoever came in by an older one stays in: they have yet to take the new ones along.
    """
    codes = make_codes(user)
    if isinstance(getattr(user, "otp_device", None), RecoveryDevice):
        otp_login(request, RecoveryDevice.objects.get(user_id=user.pk))
    record(ChannelDevice, "recovery_codes_made", user=user.pk, client=client_of(request))
    history.note(request, user, Activity.Event.CODES_MADE)
    notices.tell(request, user, "recovery_codes_made")
    return codes


def _facts(request: HttpRequest, user: AbstractBaseUser, device: Device) -> dict[str, Any]:
    return {"user": user.pk, "device": device.persistent_id, "client": client_of(request)}


def is_last_factor(user: AbstractBaseUser, device: Device) -> bool:
    """Say whether without this device the password alone would be left to sign in with.

    Recovery codes are there to replace a factor, and are none.
    """
    others = ChannelDevice.objects.filter(user_id=user.pk, confirmed=True).exclude(
        pk=device.pk if isinstance(device, ChannelDevice) else None
    )
    strangers = has_other_factor(user, but=device.persistent_id)
    return device.confirmed and not others.exists() and not strangers


def remove(request: HttpRequest, device: Device) -> None:
    """Remove a device at its owner's wish. Codes that are under way to it are dead at once.

    With the last factor go the recovery codes, which would be asked for alone. Raises
    ``SendNotAllowed`` if somebody who must have a factor has no other.
    """
    user: Any = request.user
    model = type(device)

    def delete() -> Any:
        # Of two removals at once the second one sees the first, and both a proof meanwhile.
        Lockout.hold(user.pk)
        rows = model._default_manager.using(router.db_for_write(model))
        row = rows.filter(pk=device.pk, user_id=user.pk).first()
        if row is None:
            return None
        if is_last_factor(user, row):
            if login.must_enrol(user, request):
                raise SendNotAllowed(
                    _("This is your only way to sign in. Add another one before you remove it.")
                )
            remove_recovery(user)
        kept = copy(row)
        row.delete()
        return kept

    removed = reserved(ChannelDevice, delete)
    if removed is not None:
        device = removed
        record(ChannelDevice, "device_removed", **_facts(request, user, device))
        if device.confirmed:
            history.note(request, user, Activity.Event.DEVICE_REMOVED, device=device)
            told = "device_removed" if isinstance(device, ChannelDevice) else "app_removed"
            notices.tell(request, user, told, device=device)
        trust.end_all(user, reason="changed", client=client_of(request))
    login.forget_decision(request.session)


def _confirm(user: AbstractBaseUser, device: ChannelDevice, *, first: bool) -> ChannelDevice | None:
    """Make ``device`` a factor. Return the one whose place it takes, which is gone then.

    All of it is judged anew under the lock, since the rows were read before the code was. ``first``
    says that it may only be the first factor: whoever has given no code adds none to others.
    """
    Lockout.hold(user.pk)
    owned = ChannelDevice.objects.filter(user_id=user.pk)
    row = owned.filter(pk=device.pk, version=device.version).first()
    if row is None:
        raise SendNotAllowed(_("This way is not available. Please choose another."))
    proven = list(owned.filter(confirmed=True).exclude(pk=device.pk))
    if first and (proven or other_ways(user)):
        raise SendNotAllowed(_("This sign-in has ended. Please start over."))
    old = owned.filter(pk=row.replaces_id).first()
    others = [each for each in proven if each != old]
    if not row.confirmed and row.kind == row.Kind.PHONE and not has_room(others):
        raise SendNotAllowed(_too_many())
    device.confirm()
    if old is None:
        return None
    kept = copy(old)
    asked_first = min(proven, key=lambda each: each.rank, default=None)
    # What was asked first is asked first under its new number too.
    since = Now() if asked_first == old else old.preferred_at
    ChannelDevice.objects.filter(pk=device.pk).update(
        name=old.name, preferred_at=since, replaces=None
    )
    old.delete()
    device.name = kept.name
    return kept


def _note_unproven(
    request: HttpRequest,
    user: AbstractBaseUser,
    phone: phones.Phone,
    channel: str,
    replaces: ChannelDevice | None,
) -> ChannelDevice:
    Lockout.hold(user.pk)  # a number that is typed in two tabs at once is one device
    devices = ChannelDevice.objects.filter(user_id=user.pk, kind=ChannelDevice.Kind.PHONE)
    same = devices.filter(address=phone.address).first()
    if same is not None:
        if same.confirmed:
            raise SendNotAllowed(_("You have added this number already."))
        # As good as new, so that the purge of old ones leaves it alone; or it has gone just now.
        anew = {"created_at": Now(), "channel": channel, "replaces": replaces}
        if devices.filter(pk=same.pk).update(**anew):
            return same
    waiting = devices.filter(confirmed=False)
    if not has_room(each for each in devices if each != replaces):
        raise SendNotAllowed(_too_many())
    # Mistyped numbers must not shut anybody out of a correct one: the latest few are kept, and the
    # one whose code is under way.
    kept = list(waiting.order_by("-pk").values_list("pk", flat=True)[: MAX_PHONES - 1])
    under_way = current(request)
    if under_way is not None and under_way.device_id is not None:
        kept.append(under_way.device_id)
    waiting.exclude(pk__in=kept).delete()
    return ChannelDevice.objects.create(
        user_id=user.pk,
        kind=ChannelDevice.Kind.PHONE,
        name=gettext("Phone"),
        address=phone.address,
        channel=channel,
        confirmed=False,
        replaces=replaces,
    )


def _too_many() -> Any:
    return _("You cannot add more phones. Remove one first.")


def _wait_for_cooldown(device: ChannelDevice) -> None:
    latest = (
        Challenge.objects.filter(user_id=device.user_id, purpose=Purpose.ENROL)
        .with_owner()
        .order_by("-created_at")
        .first()
    )
    if latest is not None and latest.seconds_to_send > 0:
        raise too_soon(latest.seconds_to_send)
