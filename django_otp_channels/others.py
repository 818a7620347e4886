"""The devices of other kinds than ours: authenticator apps, recovery codes, other plugins' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.apps import apps
from django.db.models import CharField, DateTimeField, F, Value
from django.db.models.functions import Cast, Concat
from django_otp import device_classes
from django_otp.models import Device, TimestampMixin

from .models import ChannelDevice

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OtherWay:
    """A confirmed device of another kind than ours: an authenticator app, recovery codes, …"""

    persistent_id: str
    name: str
    used_at: datetime | None = None

    @property
    def model(self) -> type[Device]:
        return apps.get_model(self.persistent_id.split("/")[0])

    @property
    def pk(self) -> str:
        return self.persistent_id.split("/")[1]

    @property
    def recovers(self) -> bool:
        """Whether it is for the day on which everything else is gone."""
        return self.persistent_id.startswith(("otp_static.", "otp_channels."))

    @property
    def has_digits(self) -> bool:
        """Whether its codes are digits only; recovery codes have letters."""
        return not self.recovers

    @property
    def sends(self) -> bool:
        """Whether it has to be asked for its code first (an e-mail device, say)."""
        return not hasattr(self.model.generate_challenge, "stub")

    @property
    def is_typed(self) -> bool:
        """Whether it has a code that can be typed; a passkey has none."""
        return self.model.verify_token is not Device.verify_token


def other_ways(user: AbstractBaseUser) -> Sequence[OtherWay]:
    """Return the user's confirmed devices of other kinds than ours, in one statement.

    What was used last comes first, and recovery codes last: each of them works only once.
    """
    tables = [
        model.objects.devices_for_user(user, confirmed=True)
        .order_by()
        .annotate(
            way=Concat(
                Value(f"{model.model_label()}/"), Cast("pk", CharField()), output_field=CharField()
            ),
            used=F("last_used_at")
            if issubclass(model, TimestampMixin)
            else Cast(Value(None), DateTimeField(null=True)),
        )
        .values_list("way", "name", "used")
        for model in device_classes()
        if not issubclass(model, ChannelDevice)
    ]
    if not tables:
        return []
    first, *rest = tables
    ways = [OtherWay(*row) for row in (first.union(*rest, all=True) if rest else first)]
    return sorted(ways, key=lambda way: (way.recovers, -(way.used_at or _NEVER).timestamp()))


def has_other_factor(user: AbstractBaseUser, *, but: str = "") -> bool:
    """Say whether ``user`` has one that is a factor of its own; recovery codes stand in for one.

    ``but`` is the persistent id of one that does not count.
    """
    return any(not (way.recovers or way.persistent_id == but) for way in other_ways(user))


def remove_recovery(user: AbstractBaseUser) -> None:
    """Remove what was to replace a factor, of somebody who has none any more."""
    for way in other_ways(user):
        if way.recovers:
            way.model._default_manager.filter(pk=way.pk).delete()
