"""What this package keeps in a session, all of it under one key.

What the session holds under :data:`SESSION`::

    {"parked": {...}}   a login whose code is missing, see login.ParkedLogin
    {"free": {...}}     the remembered decision that this login needs no code, with the id of the
                        trusted browser that it is due to, if any
    {"given": {...}}    when this person's password and code were last given here
    {"step_up": {...}}  what a logged-in owner is asked to prove again, see stepup
    {"proof": "..."}    the flow in which a logged-in owner is proving a device, see enrolment
    {"then": "..."}     where to go on to after the reminder that a device must be added soon
    {"notice": "..."}   for the next page, why something was not done
    {"news": "..."}     for the next page, what was just done
"""

from __future__ import annotations

import math
import time
from collections.abc import MutableMapping
from typing import Any, TypedDict

from django.contrib.auth import SESSION_KEY

SESSION = "otp_channels"
# Hosts may disagree by a little about the time; a login from the future is not a login.
CLOCK_SKEW = 120

Session = MutableMapping[str, Any]


def ours(session: Session) -> dict[str, Any]:
    """Return what this package keeps in the session."""
    ours = session.get(SESSION)
    return ours if isinstance(ours, dict) else {}


def keep(session: Session, name: str, value: Any) -> None:
    """Keep ``value`` among what this package has in the session, under ``name``; None: no more."""
    kept = {key: old for key, old in ours(session).items() if key != name}
    if value is not None:
        kept[name] = value
    if kept:
        session[SESSION] = kept
    else:
        session.pop(SESSION, None)


def note_given(session: Session, what: str, at: int | None = None) -> None:
    """Note that the ``"password"`` or the ``"code"`` of who is logged in was given, now or ``at``.

    Any other way of logging in stands for the password.
    """
    user = session[SESSION_KEY]
    given = ours(session).get("given")
    known = given if isinstance(given, dict) and given.get("user") == user else {}
    now = int(time.time()) if at is None else at
    keep(session, "given", {**known, "user": user, what: now})


def given(session: Session, what: str) -> float:
    """Return the seconds since the ``"password"`` or ``"code"`` was given; infinite if it was not.

    That of somebody else who was logged in here does not count.
    """
    given = ours(session).get("given")
    if not isinstance(given, dict) or given.get("user") != session.get(SESSION_KEY):
        return math.inf
    at = given.get(what)
    age = time.time() - at if isinstance(at, int) else math.inf
    return age if age >= -CLOCK_SKEW else math.inf


def leave_notice(session: Session, sentence: str) -> None:
    """Keep for the next page why something was not done, which a redirect would lose."""
    keep(session, "notice", sentence)


def leave_news(session: Session, sentence: str) -> None:
    """Keep for the next page what was just done."""
    keep(session, "news", sentence)


class Notices(TypedDict):
    """What was left for a page; each may be empty."""

    notice: str
    news: str


def take_notices(session: Session) -> Notices:
    """Return what was left for this page, once."""
    return Notices(notice=_take(session, "notice"), news=_take(session, "news"))


def _take(session: Session, name: str) -> str:
    sentence = str(ours(session).get(name, ""))
    if sentence:
        keep(session, name, None)
    return sentence
