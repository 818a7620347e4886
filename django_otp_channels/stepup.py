"""Ask somebody who is logged in to prove it again, before an act that matters.

Both factors of the account are asked for (OWASP ASVS 7.5.1): its password, where it has one, and a
code, where it has a device. What was given a short while ago is not asked for again. What a session
keeps of it is in :mod:`.sessions`.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from django.contrib.auth import SESSION_KEY, authenticate
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables
from django_otp import login as otp_login
from django_otp.models import Device

from . import audit, login, sessions
from .clients import client_of
from .conf import conf
from .exceptions import TooManyTries
from .messages import Purpose
from .models import Budget, Challenge
from .models.commits import committed


@dataclass(kw_only=True)
class StepUp:
    """A proof that is being asked for. ``next`` is the page that wants it.

    ``user`` and ``flow`` are as in :class:`~.login.ParkedLogin`.
    """

    user: str
    next: str
    at: int
    flow: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    single: bool = False

    purpose = Purpose.STEP_UP

    @property
    def alive(self) -> bool:
        return -sessions.CLOCK_SKEW <= time.time() - self.at <= conf.LOGIN_TIMEOUT


def proven(request: HttpRequest) -> bool:
    """Say whether who is logged in has proven it within ``OTP_CHANNELS_REAUTH_AGE`` seconds."""
    return not (lacks_password(request) or lacks_code(request))


def lacks_password(request: HttpRequest) -> bool:
    """Say whether the password, or a login of another kind, was too long ago.

    An account that has no password to ask for proves itself by its code; one that has neither, by
    having logged in just now.
    """
    user: Any = request.user
    if sessions.given(request.session, "password") <= conf.REAUTH_AGE:
        return False
    return user.has_usable_password() or not login.has_factor(user, request)


def lacks_code(request: HttpRequest) -> bool:
    """Say whether a code is due, and the last one was entered too long ago."""
    user: Any = request.user
    if user.is_verified() and sessions.given(request.session, "code") <= conf.REAUTH_AGE:
        return False
    return login.has_factor(user, request)


def begin(request: HttpRequest, url: str) -> str:
    """Ask for what is missing, and then go on to ``url``, a path of this site.

    Returns the URL of the page that asks first. Nothing is sent yet.
    """
    current = step_in(request)
    step = StepUp(user=str(request.session[SESSION_KEY]), next=url, at=int(time.time()))
    if current is not None:  # its code may be on its way already
        step.flow, step.at = current.flow, current.at
    sessions.keep(request.session, "step_up", asdict(step))
    return reverse("otp_channels:reauth" if lacks_password(request) else "otp_channels:verify")


def step_in(request: HttpRequest) -> StepUp | None:
    """Return the proof that this session was asked for, if its time is not up."""
    record = sessions.ours(request.session).get("step_up")
    try:
        step = StepUp(**record) if isinstance(record, dict) else None
    except TypeError:  # written by another version of the package
        return None
    same = step is not None and step.user == request.session.get(SESSION_KEY)
    return step if same and step is not None and step.alive else None


@sensitive_variables("password")
def enter_password(request: HttpRequest, password: str) -> bool:
    """Say whether ``password`` is that of whoever is logged in.

    It goes through Django's ``authenticate()``, so that what guards the site's login form against
    guessing guards this one too. Raises ``TooManyTries`` beyond five in ten minutes.
    """
    user: Any = request.user
    facts = {"user": user.pk, "client": client_of(request)}
    if not committed(Budget, partial(Budget.charge_password, user.pk)):
        audit.record("password_failed", reason="limit", **facts)
        raise TooManyTries
    found = authenticate(
        request, **{user.USERNAME_FIELD: user.get_username(), "password": password}
    )
    if found is None or found.pk != user.pk:
        audit.record("password_failed", reason="wrong", **facts)
        return False
    sessions.note_given(request.session, "password")
    _renew(request)
    return True


def ask_for_code(request: HttpRequest, step: StepUp) -> str:
    """Send the code that ``step`` still lacks, if any. Return the URL to go on to."""
    if not lacks_code(request):
        return finish(request, step)
    if Challenge.current(step.flow) is None:
        user: Any = request.user
        login.send_first(request, step, user)
        sessions.keep(request.session, "step_up", asdict(step))
    return reverse("otp_channels:verify")


def enter_code(request: HttpRequest, step: StepUp, device: Device) -> str:
    """Note that a code of ``device`` was right. Return the URL to go on to."""
    Challenge.cancel(step.flow)
    sessions.note_given(request.session, "code")
    _renew(request)
    otp_login(request, device)
    return finish(request, step)


def _renew(request: HttpRequest) -> None:
    """Give the session a new key; the old one is dead on the server (ASVS 7.2.4)."""
    request.session.cycle_key()
    rotate_token(request)


def finish(request: HttpRequest, step: StepUp) -> str:
    """Forget ``step``, which has what it wanted. Return the URL to go on to."""
    if lacks_password(request):
        return reverse("otp_channels:reauth")
    drop(request)
    return step.next


def drop(request: HttpRequest) -> None:
    """Forget what was asked for. Codes that are under way for it are dead."""
    step = step_in(request)
    if step is not None:
        Challenge.cancel(step.flow)
    sessions.keep(request.session, "step_up", None)
