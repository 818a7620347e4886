"""A code that somebody has entered: judge it, and record what came of it.

The one way from a page to :meth:`~.models.Challenge.judge`, so that no page can forget to tell.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from django_otp import verify_token
from django_otp.models import Device

from . import audit, notices
from .clients import client_of
from .models import Challenge
from .models.challenges import Verdict
from .others import OtherWay


@sensitive_variables()
def enter(request: HttpRequest, challenge: Challenge, token: str) -> bool:
    """Spend a try of ``challenge``, a row of ``current()``, on ``token``: whether it was right.

    After a wrong one the caller reads the challenge again, for its page, and calls :func:`tell`.
    """
    verdict = challenge.judge(token)
    facts = {
        **challenge.facts,
        "channel": challenge.delivery_channel,
        "client": client_of(request),
    }
    if verdict is Verdict.RIGHT:
        audit.record("code_verified", **facts)
        return True
    audit.record("code_failed", reason=verdict.value, **facts)
    return False


def tell(request: HttpRequest, challenge: Challenge | None) -> None:
    """Record what wrong codes have led to, and tell the owner.

    ``challenge`` was read after the last of them.
    """
    lockout = getattr(challenge.user, "otp_lockout", None) if challenge is not None else None
    if challenge is not None and lockout is not None:
        for event in lockout.tell(challenge.db_now, client=client_of(request)):
            notices.tell(request, challenge.user, event, device=challenge.device)


@sensitive_variables()
def enter_other(
    request: HttpRequest, user: Any, way: OtherWay, token: str, purpose: str
) -> Device | None:
    """Let a device of another kind than ours judge ``token``; return it if it was right.

    Such a device counts its failures by itself.
    """
    persistent_id = way.persistent_id
    device: Device | None = verify_token(user, persistent_id, token)
    facts = {"user": user.pk, "device": persistent_id, "purpose": purpose}
    if device is not None:
        audit.record("code_verified", client=client_of(request), **facts)
        if way.recovers:
            notices.tell(request, user, "recovery_code_used", device=device)
    else:
        audit.record("code_failed", reason="wrong", client=client_of(request), **facts)
    return device
