"""The latest that happened to an account, for its owner to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django_otp.models import Device

from .clients import browser_of
from .models import Activity, ChannelDevice

SHOWN = 10


def note(
    request: HttpRequest, user: Any, event: str, *, way: str = "", device: Device | None = None
) -> None:
    """Note ``event``, one of ``Activity.Event``, as done by the browser of ``request``.

    ``way`` is how a code came, see :func:`note_login`.
    """
    ours = device if isinstance(device, ChannelDevice) else None
    kind = ours.get_kind_display() if ours else device._meta.verbose_name if device else ""
    name = (device.name if device else "") or str(kind)
    browser, system = browser_of(request)
    Activity.objects.create(
        user_id=user.pk,
        event=event,
        way=way,
        device=name[: Activity._meta.get_field("device").max_length],
        digits=ours.digits if ours else "",
        browser=browser,
        system=system,
    )


def note_login(request: HttpRequest, user: Any, channel: str, device: Device) -> None:
    """Note that ``user`` has signed in with a code that came over ``channel``, or from ``device``.

    ``channel`` is empty for a device of another kind than ours.
    """
    ours = isinstance(device, ChannelDevice)
    way = channel if ours else device.model_label()
    note(request, user, Activity.Event.SIGNED_IN, way=way, device=device if ours else None)


def latest(user: Any) -> Sequence[Activity]:
    """Return the latest events of ``user``, the last one first."""
    return list(Activity.objects.filter(user_id=user.pk).order_by("-at", "-pk")[:SHOWN])
