"""Let time pass: by moving the rows, since the database's own clock is the one that counts."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F

from django_otp_channels.models import Budget, Challenge, ChannelDevice, Delivery, Lockout

_TIMES = {
    Challenge: ("created_at", "expires_at", "next_send_at"),
    Delivery: ("created_at",),
    Budget: ("ten_minutes_since", "hour_since", "day_since", "paused_until"),
    Lockout: ("day_started_at", "locked_until"),
    ChannelDevice: ("last_generated_timestamp", "throttling_failure_timestamp"),
}


def let_pass(seconds: int) -> None:
    """Let ``seconds`` pass for all that was ever asked for, sent, charged and locked."""
    step = timedelta(seconds=seconds)
    for model, names in _TIMES.items():
        for name in names:
            rows = model._default_manager.filter(**{f"{name}__isnull": False})
            rows.update(**{name: F(name) - step})
