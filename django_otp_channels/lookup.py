"""A ready-made hook for ``OTP_CHANNELS_BEFORE_SEND``: ask Twilio's Lookup about the number.

Before a number is proven, what kind of line it is: one that belongs to no device proves nothing
(NIST SP 800-63B-4, 3.1.3.1), and one that costs extra is how fraudsters earn. Before the code of a
login goes out, whether the SIM has just been changed (3.1.3.3): whoever has talked a carrier into a
new SIM would get it. Not the other way round: a new SIM is a good reason to prove a number anew,
and a line that was good enough for its proof must not lock its owner out.

Twilio charges for each question, so an answer is kept for a while, under a keyed digest of the
number. What happens where there is none is the site's choice, ``when_unknown``: by default the
message goes out, since this is one safeguard more, and not the second factor itself.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .backends.twilio import Line, Lookup
from .conf import conf
from .exceptions import BackendMisconfigured, DeliveryError, SendNotAllowed
from .models import Challenge
from .models.budgets import Send
from .models.commits import in_transaction

logger = logging.getLogger("django_otp_channels.lookup")

REST = 30.0  # seconds in which a process asks nothing, once Twilio has not answered


@sensitive_variables()
def before_send(send: Send) -> None:
    """Refuse the message where ``OTP_CHANNELS_LOOKUP`` says so. Raises ``SendNotAllowed``.

    A site's own hook may call this, before or after its own question. It asks Twilio at most once,
    for ``timeout`` seconds at most, and never while a transaction is open.
    """
    if not send.number:
        return
    line = send.part == "enrol" and bool(conf.LOOKUP["refuse_lines"])
    sim = send.part == "login" and bool(conf.LOOKUP["sim_swap_hours"])
    if not (line or sim):
        return
    known = _Answer(send.number, "line" if line else "sim")
    found = known.read() or _ask(known)
    why = _why_not(found, line=line) if found is not None else "unreachable"
    if why in _UNKNOWN and conf.LOOKUP["when_unknown"] == "send":
        return
    if why:
        logger.warning("A number was refused: %s.", why)
        raise SendNotAllowed(_SENTENCES.get(why, None if why in _UNKNOWN else _OTHER_LINE))


def account() -> Lookup:
    """Return Twilio's account, as ``OTP_CHANNELS_LOOKUP`` or the environment names it."""
    names = ("account_sid", "auth_token", "api_key", "api_secret")
    return Lookup(**{name: conf.LOOKUP[name] for name in names})


_UNKNOWN = frozenset({"unreachable", "nothing is known"})
_OTHER_LINE = _("A number of this kind cannot be used. Please use that of a mobile phone.")
_SENTENCES = {
    "its SIM was changed": _(
        "The SIM card of this number was changed a short while ago, so no code is sent to it. "
        "Please use another way."
    ),
}


def _why_not(found: Line, *, line: bool) -> str:
    """Say why no message may go to such a number, empty if one may."""
    if line:
        if not found.type:
            return "nothing is known"
        return found.type if found.type in conf.LOOKUP["refuse_lines"] else ""
    if found.swapped_at is not None:
        age = timezone.now() - found.swapped_at
        young = age < timedelta(hours=conf.LOOKUP["sim_swap_hours"])
        return "its SIM was changed" if young else ""
    if found.swapped is None:
        return "nothing is known"
    return "its SIM was changed" if found.swapped else ""


@sensitive_variables()
def _ask(known: _Answer) -> Line | None:
    """Ask Twilio and keep the answer. None if there is none."""
    if _pause.now or in_transaction(Challenge):
        return None
    line = known.question == "line"
    try:
        found = account().fetch(
            known.number, line=line, sim=not line, timeout=conf.LOOKUP["timeout"]
        )
    except (DeliveryError, BackendMisconfigured) as error:
        logger.warning("Twilio's Lookup did not answer (%s).", error.code or type(error).__name__)
        if error.provider_wide:
            _pause.begin()
        return None
    known.keep(found)
    return found


class _Pause:
    """What keeps a Lookup that hangs from holding up one page after the other."""

    def __init__(self) -> None:
        self.until = 0.0

    @property
    def now(self) -> bool:
        return time.monotonic() < self.until

    def begin(self) -> None:
        self.until = time.monotonic() + REST


_pause = _Pause()


@dataclass(frozen=True)
class _Answer:
    """Twilio's answer about ``number`` to one ``question`` (line, sim), in Django's default cache.

    A cache that fails has forgotten.
    """

    number: str
    question: str

    @property
    def key(self) -> str:
        digest = salted_hmac("django_otp_channels.lookup", self.number, algorithm="sha256")
        return f"otp_channels:lookup:{self.question}:{digest.hexdigest()}"

    def read(self) -> Line | None:
        kept: Any = None
        try:
            kept = cache.get(self.key)
        except Exception as error:  # noqa: BLE001 (a cache may raise any)
            logger.warning("The cache could not be read (%s).", type(error).__name__)
        return Line(*kept) if isinstance(kept, tuple) and len(kept) == 3 else None

    def keep(self, found: Line) -> None:
        seconds = conf.LOOKUP["remember_line" if self.question == "line" else "remember_sim"]
        try:
            cache.set(self.key, (found.type, found.swapped, found.swapped_at), seconds)
        except Exception as error:  # noqa: BLE001
            logger.warning("The cache could not be written (%s).", type(error).__name__)
