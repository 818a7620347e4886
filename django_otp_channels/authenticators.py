"""Authenticator apps: django-otp's TOTP devices, where the site has installed that plugin."""

from __future__ import annotations

from base64 import b32encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import segno
from django.apps import apps
from django.conf import settings
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_variables

from .models.commits import committed
from .models.lockouts import Lockout

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from django_otp.plugins.otp_totp.models import TOTPDevice

MAX_APPS = 5


def installed() -> bool:
    """Whether this site offers authenticator apps."""
    return apps.is_installed("django_otp.plugins.otp_totp")


def _model() -> type[TOTPDevice]:
    model: type[TOTPDevice] = apps.get_model("otp_totp", "TOTPDevice")
    return model


def owned(user: AbstractBaseUser, pk: int) -> TOTPDevice | None:
    """Return the app ``pk`` of this very user, proven or not."""
    return _model().objects.filter(pk=pk, user_id=user.pk).first() if installed() else None


def may_add(user: AbstractBaseUser) -> bool:
    return (
        installed() and _model().objects.filter(user_id=user.pk, confirmed=True).count() < MAX_APPS
    )


def start(user: AbstractBaseUser) -> TOTPDevice:
    """Make the key of a new app, which is no factor before it has shown a code."""

    def make() -> TOTPDevice:
        Lockout.hold(user.pk)
        waiting = _model().objects.filter(user_id=user.pk, confirmed=False)
        waiting.delete()  # its key was seen on a page that was left
        return _model().objects.create(
            user_id=user.pk, name=gettext("Authenticator app"), confirmed=False
        )

    return committed(_model(), make)


@sensitive_variables()
def prove(device: TOTPDevice, token: str) -> bool:
    """Say whether ``token`` shows that the app has the key. If so it is a factor from now on."""

    def judge() -> bool:
        # django-otp writes the whole row: as it was read it could undo a proof or a removal.
        Lockout.hold(device.user_id)
        row = _model().objects.filter(pk=device.pk, confirmed=False).first()
        if row is None:
            return False
        # Nothing is guarded yet, so nobody waits after a slip: its owner has just seen the key.
        row.throttling_failure_count = 0
        if not row.verify_token(token):
            return False
        return bool(_model().objects.filter(pk=row.pk).update(confirmed=True))

    return committed(_model(), judge)


@sensitive_variables()
def key_of(device: TOTPDevice) -> str:
    """Return the key for whoever types it: base 32, in groups of four."""
    key = b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))


@sensitive_variables()
def qr_code(device: TOTPDevice, *, username: str, site: str) -> str:
    """Return the key as a picture to be scanned: an SVG element with nothing inline to forbid."""
    issuer = getattr(settings, "OTP_TOTP_ISSUER", "") or site
    if callable(issuer):
        issuer = issuer(device)
    label = f"{quote(str(issuer))}:{quote(username)}"
    query: dict[str, Any] = {
        "secret": b32encode(device.bin_key).decode().rstrip("="),
        "issuer": issuer,
        "digits": device.digits,
        "period": device.step,
    }
    code = segno.make(f"otpauth://totp/{label}?{urlencode(query, quote_via=quote)}", error="m")
    return code.svg_inline(scale=4, border=4, light="#fff", dark="#000", omitsize=True)
