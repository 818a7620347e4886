"""Security events: each one line in the log and one signal, with a name and fields that stay.

The inventory is :data:`EVENTS`, of :data:`FIELDS` (ASVS 16.1.1). No field ever holds a code, a
whole number or a session key; whoever is meant is a primary key (ASVS 16.2.5).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from .signals import security_event

logger = logging.getLogger("django_otp_channels.audit")

FIELDS: Mapping[str, str] = {
    "event": "The name of the event, one of those below.",
    "at": "When, in UTC, to the millisecond.",
    "user": "Primary key of the account that it is about.",
    "by": "Primary key of the member of staff who did it. `command`: with `manage.py`.",
    "client": "Where the request came from: an IPv4 address or an IPv6 /64. Missing where no "
    "request did it, and for a private address.",
    "challenge": "Id of the challenge, as the admin shows it.",
    "device": "django-otp's persistent id of the device: its model and primary key.",
    "browser": "Id of the trusted browser.",
    "purpose": "What the code is for: `login`, `step-up` (to be sure before an act that matters), "
    "`enrol` or `test`.",
    "channel": "How the code goes: `sms`, `voice` or `push`.",
    "provider": "The provider that was asked, or the one that a receipt is said to be from.",
    "error_code": "The provider's own code for its error.",
    "bucket": "The limit: a bucket of `OTP_CHANNELS_LIMITS`, `hook` or `database`.",
    "region": "ISO 3166 code of the number's country.",
    "enforced": "False where a limit is only recorded.",
    "window": "For how many seconds the limit holds.",
    "percent": "How much of the limit is used up.",
    "reason": "Why, in a word: see the event.",
    "until": "When a lock ends. Missing where staff have to lift it.",
}


@dataclass(frozen=True)
class Event:
    """``level`` of the log line, the sentence that explains it, and the fields that it may have."""

    level: int
    help: str
    fields: tuple[str, ...]


_ABOUT_CODE = ("user", "device", "challenge", "purpose", "channel", "client")

EVENTS: Mapping[str, Event] = {
    "code_asked": Event(
        logging.INFO,
        "A code is wanted: for a login whose password was right, or to prove a device.",
        _ABOUT_CODE,
    ),
    "code_sent": Event(
        logging.INFO,
        "A message with the code was handed to the channel's providers.",
        _ABOUT_CODE,
    ),
    "send_failed": Event(
        logging.WARNING,
        "No provider took the message; the last one's error is named.",
        ("user", "device", "challenge", "channel", "provider", "error_code", "reason"),
    ),
    "send_refused": Event(
        logging.WARNING,
        "A limit refused a message, or would have.",
        ("user", "channel", "bucket", "region", "enforced", "client"),
    ),
    "budget_running_out": Event(
        logging.WARNING,
        "Half of what the site or a country may spend is used up, or four fifths: once each in "
        "every window.",
        ("bucket", "region", "window", "percent"),
    ),
    "sends_paused": Event(
        logging.ERROR,
        "Hardly anybody enters a code there: the bucket is closed for a day.",
        ("bucket", "region"),
    ),
    "code_failed": Event(
        logging.WARNING,
        "A code was entered that opens nothing. `wrong`: it was compared; `dead`: there was "
        "nothing to compare it with any more.",
        (*_ABOUT_CODE, "reason"),
    ),
    "third_failure": Event(
        logging.WARNING,
        "An account has had three wrong codes in a row: whoever enters them knows the password.",
        ("user", "client"),
    ),
    "account_locked": Event(
        logging.WARNING,
        "Too many wrong codes closed the account's channels. `consecutive`, `daily`, or `stopped` "
        "until staff unlock it.",
        ("user", "client", "reason", "until"),
    ),
    "account_unlocked": Event(
        logging.WARNING, "Staff lifted an account's lock and its count.", ("user", "by", "client")
    ),
    "code_verified": Event(
        logging.INFO,
        "A code was right: the login goes on, or the device is proven.",
        _ABOUT_CODE,
    ),
    "device_added": Event(
        logging.WARNING,
        "A device is a factor from now on. `proven` by a code, `vouched` for by staff, or "
        "`imported` from elsewhere.",
        ("user", "device", "by", "client", "reason"),
    ),
    "device_changed": Event(
        logging.WARNING,
        "A device was `disabled`, `enabled`, or `edited` by staff; `unregistered`: a provider says "
        "that its address is no longer in use; `proven`: taken over unproven, and now it is not. "
        "`unproven`: taken over unproven, and a factor no more since another one is proven.",
        ("user", "device", "by", "client", "reason"),
    ),
    "device_removed": Event(
        logging.WARNING,
        "A device was removed, by its owner or by staff; `replaced`: another one took its place.",
        ("user", "device", "by", "client", "reason"),
    ),
    "recovery_codes_made": Event(
        logging.WARNING,
        "The owner made new recovery codes; the older ones are dead.",
        ("user", "client"),
    ),
    "factors_reset": Event(
        logging.WARNING,
        "Staff removed all devices of an account and lifted its lock. `reason`: in their words.",
        ("user", "by", "client", "reason"),
    ),
    "login_cancelled": Event(
        logging.INFO,
        "A parked login was given up. By the `person`; it was `overdue`; its account has changed "
        "(`ended`); a `logout`; or another login in its place (`replaced`).",
        ("user", "client", "reason"),
    ),
    "password_failed": Event(
        logging.WARNING,
        "Who is logged in was asked for the password again, before an act that matters. It was "
        "`wrong`, or not compared any more, since too many were (`limit`).",
        ("user", "client", "reason"),
    ),
    "browser_trusted": Event(
        logging.WARNING,
        "A person had a browser trusted: for some days its logins need no code.",
        ("user", "browser", "client"),
    ),
    "browser_used": Event(
        logging.INFO,
        "A login needed no code, since its browser is trusted.",
        ("user", "browser", "client"),
    ),
    "browser_ended": Event(
        logging.WARNING,
        "A browser is trusted no more. Its owner or staff wanted so (`revoked`), or the password "
        "or a device has changed (`changed`).",
        ("user", "browser", "by", "client", "reason"),
    ),
    "browser_stolen": Event(
        logging.ERROR,
        "A trusted browser's secret was shown that had been replaced long ago, so two browsers "
        "have it: all browsers of the account are trusted no more. Who showed it knows the "
        "password.",
        ("user", "browser", "client"),
    ),
    "foreign_device": Event(
        logging.WARNING,
        "A page was asked for a device that is not this person's.",
        ("user", "client"),
    ),
    "receipt_refused": Event(
        logging.WARNING,
        "What claimed to come from a provider does not: no such address, or no valid signature.",
        ("channel", "provider", "client"),
    ),
}


def record(event: str, **fields: Any) -> None:
    """Write the log line of ``event`` and send its signal. Fields without a value are left out.

    Raises ``KeyError`` for an event or a field that the inventory does not know. A receiver that
    fails changes nothing for the person whose request it is.
    """
    known = EVENTS[event]
    if strangers := fields.keys() - set(known.fields):
        raise KeyError(*sorted(strangers))
    line = {
        "event": event,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **{name: value for name, value in fields.items() if value not in ("", None)},
    }
    # JSON escapes whatever could begin a line of its own (ASVS 16.4.1).
    logger.log(known.level, "%s", json.dumps(line, default=str))
    # A failing receiver is in Django's own log; the same mapping goes to all of them.
    security_event.send_robust(sender=None, event=event, fields=MappingProxyType(line))
