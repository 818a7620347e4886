"""How somebody got their code last time in this browser, to be asked the same way again.

A wish and no more: whatever the cookie says, only ways that the account has are taken.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

COOKIE = "otp_channels_way"
_SALT = "django_otp_channels.choice"
_AGE = timedelta(days=365)


def remembered(request: HttpRequest) -> tuple[str, str]:
    """Return django-otp's persistent id of the device and the channel; empty where none is known.

    The channel is also empty for a device of another kind than ours.
    """
    cookie = request.COOKIES.get(COOKIE, "")
    try:
        device, channel = signing.loads(cookie, salt=_SALT, max_age=_AGE)
    except (signing.BadSignature, TypeError, ValueError):
        return "", ""
    return str(device), str(channel)


def remember(request: HttpRequest, response: HttpResponseBase, device: str, channel: str) -> None:
    """Have the browser keep the way that a right code has come."""
    if remembered(request) == (device, channel):
        return
    response.set_cookie(
        COOKIE,
        signing.dumps((device, channel), salt=_SALT),
        max_age=_AGE,
        secure=request.is_secure() or bool(settings.SESSION_COOKIE_SECURE),
        httponly=True,
        samesite="Lax",
    )
