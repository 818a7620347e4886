"""What the phone simulator remembers."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

RINGS_FOR = timedelta(seconds=60)


class PhoneMessage(models.Model):
    """A text, a call or a notification that reached the simulated phone."""

    class Call(models.TextChoices):
        RINGING = "ringing"
        ANSWERED = "answered"
        SPEAKING = "speaking"
        ENDED = "ended"
        DECLINED = "declined"

    channel = models.CharField(max_length=16)
    to = models.CharField(max_length=512)
    title = models.CharField(max_length=100)
    text = models.TextField()
    language = models.CharField(max_length=16)
    call = models.CharField(max_length=16, choices=Call, blank=True)
    callback = models.CharField(max_length=500, blank=True)
    lost = models.BooleanField(default=False)
    arrived_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]  # noqa: RUF012

    def __str__(self) -> str:
        return f"{self.channel} to {self.to}"

    @property
    def rings(self) -> bool:
        return self.call == self.Call.RINGING and timezone.now() - self.arrived_at < RINGS_FOR

    @property
    def taken(self) -> bool:
        return self.call in (self.Call.ANSWERED, self.Call.SPEAKING)

    @property
    def asks_for_key(self) -> bool:
        return self.call == self.Call.ANSWERED and bool(self.callback)

    @property
    def missed(self) -> bool:
        return self.call == self.Call.DECLINED or (
            self.call == self.Call.RINGING and not self.rings
        )


class Trouble(models.Model):
    """A channel that fails for now, to see what the code page offers then."""

    class Kind(models.TextChoices):
        OUTAGE = "outage", "Does not take a message"
        LOSS = "loss", "Takes a message, and does not deliver it"

    kind = models.CharField(max_length=16, choices=Kind)
    channel = models.CharField(max_length=16)

    class Meta:
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["kind", "channel"], name="example_one_trouble"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.channel}"
