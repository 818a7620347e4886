"""Which numbers of which user were taken over from elsewhere, so that none comes a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from .budgets import keyed_digest
from .primary import PrimaryManager

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


class TakenOver(models.Model):
    """A number that an import has met once. Whoever removes that phone does not get it back.

    Never the number itself: it may be of somebody who has removed it for a reason.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64)

    objects = PrimaryManager["TakenOver"]()

    class Meta:
        base_manager_name = "objects"
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["user", "digest"], name="otp_taken_over_once"),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @classmethod
    def knows(cls, user: AbstractBaseUser, number: str) -> bool:
        return cls.objects.filter(user_id=user.pk, digest=_digest(user.pk, number)).exists()

    @classmethod
    def note(cls, user: AbstractBaseUser, number: str) -> None:
        cls.objects.get_or_create(user_id=user.pk, digest=_digest(user.pk, number))


def _digest(user_id: Any, number: str) -> str:
    return keyed_digest(__name__, f"{user_id}:{number}")
