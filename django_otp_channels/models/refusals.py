"""Which messages were refused, and by which limit: what staff read when somebody gets no code."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .primary import PrimaryManager

if TYPE_CHECKING:
    from .budgets import Send

# Refusals of one kind within this time are one row with a count: a flood must not fill the table.
TOGETHER = timedelta(hours=1)


class RefusalManager(PrimaryManager["Refusal"]):
    def note(self, send: Send, limit: str, *, enforced: bool) -> None:
        """Note that ``limit`` refused ``send``; or would have, where it is not enforced."""
        kind = {
            "user_id": send.user_id,
            "channel": send.channel,
            "region": send.region,
            "limit": limit,
            "enforced": enforced,
        }
        recent = self.filter(**kind, first_at__gt=Now() - TOGETHER)
        if not recent.update(count=F("count") + 1, last_at=Now()):
            self.create(**kind)


class Refusal(models.Model):
    """Messages of one user that were not sent for the same reason. Never an address."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="otp_refusals",
        verbose_name=_("user"),
    )
    channel = models.CharField(_("channel"), max_length=16)
    region = models.CharField(_("region"), max_length=3, blank=True)
    limit = models.CharField(_("limit"), max_length=24)
    enforced = models.BooleanField(_("enforced"), default=True)
    count = models.PositiveIntegerField(_("messages"), default=1)
    first_at = models.DateTimeField(_("first at"), db_default=Now())
    last_at = models.DateTimeField(_("last at"), db_default=Now())

    objects = RefusalManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("refused message")
        verbose_name_plural = _("refused messages")
        indexes = [  # noqa: RUF012
            models.Index(fields=["user", "first_at"], name="otp_refusal_user"),
            models.Index(fields=["first_at"], name="otp_refusal_first"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.limit}"
