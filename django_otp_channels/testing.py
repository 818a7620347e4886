"""For the tests of a site that uses this package.

The messages of the ``memory`` backends are in ``django_otp_channels.backends.memory.outbox``; empty
it before each test.
"""

from __future__ import annotations

from typing import Any

from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.models import Device

from . import sessions
from .models import ChannelDevice


def login_verified(client: Client, user: Any, device: Device | None = None) -> Device:
    """Log ``user`` in as if a code had been entered, and return the device that counts for it.

    ``device`` is one of the user's confirmed devices; by default the first one of this package,
    which is made where there is none.
    """
    if device is None:
        device = ChannelDevice.objects.filter(user=user, confirmed=True).first()
    if device is None:
        device = ChannelDevice.objects.create(
            user=user, name="Phone", address="+12025550199", channel="sms", confirmed=True
        )
    user.otp_device = device
    try:
        client.force_login(user)
    finally:
        del user.otp_device
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.pop(sessions.SESSION, None)
    sessions.note_given(session, "password")
    sessions.note_given(session, "code")
    session.save()
    return device
