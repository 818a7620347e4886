"""What a person is shown of the latest that happened to their account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .primary import PrimaryManager


class Activity(models.Model):
    """One event, in words that any language has: never an address, a code or a full number."""

    class Event(models.TextChoices):
        SIGNED_IN = "signed_in", _("Signed in")
        DEVICE_ADDED = "device_added", _("A device was added")
        DEVICE_CHANGED = "device_changed", _("A number was changed")
        DEVICE_REMOVED = "device_removed", _("A device was removed")
        CODES_MADE = "codes_made", _("New recovery codes were made")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("user")
    )
    event = models.CharField(_("event"), max_length=16, choices=Event)
    # A channel's name, or django-otp's label of the kind of device that the code was from.
    way = models.CharField(_("way"), max_length=64, blank=True)
    device = models.CharField(_("device"), max_length=64, blank=True)
    digits = models.CharField(max_length=2, blank=True)  # the last ones of a phone's number
    browser = models.CharField(_("browser"), max_length=32, blank=True)
    system = models.CharField(_("system"), max_length=32, blank=True)
    at = models.DateTimeField(_("at"), db_default=Now())

    objects = PrimaryManager["Activity"]()

    if TYPE_CHECKING:
        id: Any

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("activity")
        verbose_name_plural = _("activities")
        indexes = [  # noqa: RUF012
            models.Index(fields=["user", "-at"], name="otp_activity_user"),
            models.Index(fields=["at"], name="otp_activity_at"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"
