"""Every setting of the package: its name, type, default, bounds and one sentence.

Read a setting as an attribute of :data:`conf`, e.g. ``conf.TOKEN_LIFETIME``. Values are read from
``django.conf.settings`` at each access, so ``override_settings`` works. A value out of bounds is
reported by the system checks and raises ``ImproperlyConfigured`` where it is used: a wrong limit
must never quietly become no limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar, overload

import phonenumbers
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

PREFIX = "OTP_CHANNELS"


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One setting. ``accept`` returns the clean value or raises ``ValueError`` with the reason."""

    name: str
    default: T
    accept: Callable[[Any], T]
    help: str

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Setting[T] | T:
        return self if instance is None else self.read()

    def read(self) -> T:
        """Return the value in force. Raises ``ImproperlyConfigured`` if it is out of bounds."""
        value = getattr(settings, self.name, self.default)
        try:
            return self.accept(value)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"{self.name}: {error}") from error


def _whole_number(low: int, high: int) -> Callable[[Any], int]:
    def accept(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}.")
        return value

    return accept


def _seconds(low: float, high: float) -> Callable[[Any], float]:
    def accept(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be a number of seconds.")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high} seconds.")
        return float(value)

    return accept


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string.")
    return value


# Letters of any script, since a host may be an internationalised one: no user, path or query.
_HTTPS_ORIGIN = re.compile(r"https://[\w-]+(\.[\w-]+)*(:[0-9]{1,5})?/?", re.IGNORECASE)


def _https_origin(value: Any) -> str:
    if _text(value) and not _HTTPS_ORIGIN.fullmatch(value):
        raise ValueError("must be an https origin such as https://www.example.com, without a path.")
    return value.rstrip("/")


def _country_codes(value: Any) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Sequence | set | frozenset):
        raise ValueError("must be a list of ISO 3166 country codes.")
    codes = frozenset(value)
    # "UK" for "GB" would quietly admit nobody.
    if wrong := sorted(map(repr, codes - phonenumbers.SUPPORTED_REGIONS)):
        raise ValueError(
            f"{', '.join(wrong)}: no ISO 3166 code of a country with phone numbers, such as 'GB'."
        )
    return codes


def _cooldowns(value: Any) -> tuple[int, ...]:
    accept = _whole_number(1, 3600)
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError("must be a list of whole seconds.")
    return tuple(accept(seconds) for seconds in value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False.")
    return value


def _moment(value: Any) -> datetime | date | None:
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    # A naive one would mean another moment on each server.
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError("must be None, a date, or a datetime with a time zone.")
    return value


def _app_hash(value: Any) -> str:
    if _text(value) and not re.fullmatch(r"[A-Za-z0-9+/]{11}", value):
        raise ValueError("must be the 11 characters of the app's hash.")
    return str(value)


def _fallback(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a dictionary from channel to channel.")
    for channel, other in value.items():
        if not (isinstance(channel, str) and isinstance(other, str)) or channel == other:
            raise ValueError(f"[{channel!r}] must be the name of another channel.")
    return value


_BUCKETS = frozenset(
    f"{part}.{bucket}"
    for part in ("login", "enrol", "notice")
    for bucket in ("number", "user", "client", "prefix", "country", "site")
)
_WINDOWS = frozenset({600, 3600, 86400})


def _limits(value: Any) -> Mapping[str, Mapping[int, int]]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a dictionary from bucket to its limits.")
    accept = _whole_number(0, 10_000_000)
    for bucket, limits in value.items():
        if bucket not in _BUCKETS:
            raise ValueError(f"[{bucket!r}]: no such bucket. Buckets are {sorted(_BUCKETS)}.")
        if not isinstance(limits, Mapping) or not limits or set(limits) - _WINDOWS:
            raise ValueError(f"[{bucket!r}] must map 600, 3600 or 86400 seconds to a number.")
        for seconds, limit in limits.items():
            try:
                accept(limit)
            except ValueError as error:
                raise ValueError(f"[{bucket!r}][{seconds}] {error}") from None
    return value


WAYS = ("email", "sms", "push")
NOTICES = (
    "device_added",
    "device_changed",
    "device_removed",
    "app_added",
    "app_removed",
    "recovery_codes_made",
    "recovery_code_used",
    "browser_trusted",
    "browser_stolen",
    "third_failure",
    "account_locked",
    "factors_reset",
)


def _notices(value: Any) -> Mapping[str, Sequence[str]]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a dictionary from notice to the ways that it takes.")
    for notice, ways in value.items():
        if notice not in NOTICES:
            raise ValueError(f"[{notice!r}]: no such notice. Notices are {sorted(NOTICES)}.")
        if isinstance(ways, str) or not isinstance(ways, Sequence | set | frozenset):
            raise ValueError(f"[{notice!r}] must be a list of ways. Ways are {list(WAYS)}.")
        if unknown := [way for way in ways if way not in WAYS]:
            raise ValueError(f"[{notice!r}]: no such way: {unknown}. Ways are {list(WAYS)}.")
    return value


def _channels(value: Any) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a dictionary from channel to a list of backends.")
    for channel, entries in value.items():
        if isinstance(entries, str) or not isinstance(entries, Sequence):
            raise ValueError(f"[{channel!r}] must be a list of backends.")
        for entry in entries:
            if not isinstance(entry, Mapping) or not isinstance(entry.get("BACKEND"), str):
                raise ValueError(f"[{channel!r}]: each entry needs a 'BACKEND' (a dotted path).")
            unknown = set(entry) - {"BACKEND", "OPTIONS"}
            if unknown:
                raise ValueError(f"[{channel!r}]: unknown keys {sorted(unknown)}.")
            if not isinstance(entry.get("OPTIONS", {}), Mapping):
                raise ValueError(f"[{channel!r}]: 'OPTIONS' must be a dictionary.")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def accept(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(map(repr, words))}.")
        return str(value)

    return accept


def _words(value: Any) -> frozenset[str]:
    if isinstance(value, str) or not all(isinstance(word, str) for word in value):
        raise ValueError("must be a list of strings.")
    return frozenset(value)


# What OTP_CHANNELS_LOOKUP may hold: the default, and what it accepts.
_LOOKUP: Mapping[str, tuple[Any, Callable[[Any], Any]]] = {
    "account_sid": ("", _text),
    "auth_token": ("", _text),
    "api_key": ("", _text),
    "api_secret": ("", _text),
    # No device of one person (NIST SP 800-63B-4, 3.1.3.1), or paid for by whoever calls.
    "refuse_lines": (
        ("nonFixedVoip", "premium", "sharedCost", "uan", "voicemail", "pager", "tollFree"),
        _words,
    ),
    "sim_swap_hours": (0, _whole_number(0, 8760)),
    "timeout": (2.0, _seconds(0.5, 10)),
    "remember_line": (86_400, _whole_number(0, 2_592_000)),
    "remember_sim": (300, _whole_number(0, 86_400)),
    "when_unknown": ("send", _one_of("send", "refuse")),
}


def _lookup(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a dictionary.")
    if strangers := sorted(map(repr, value.keys() - _LOOKUP.keys())):
        raise ValueError(f"[{', '.join(strangers)}]: it may hold {', '.join(_LOOKUP)}.")
    found = {}
    for name, (default, accept) in _LOOKUP.items():
        try:
            found[name] = accept(value.get(name, default))
        except (TypeError, ValueError) as error:
            raise ValueError(f"[{name!r}] {error}") from None
    return found


class Conf:
    """The settings by their names without the prefix."""

    CHANNELS = Setting[Mapping[str, Sequence[Mapping[str, Any]]]](
        PREFIX,
        {},
        _channels,
        "For each channel (`sms`, `voice`, `push`) the backends that carry it, in failover order.",
    )
    POLICY = Setting[str](
        f"{PREFIX}_POLICY",
        "enrolled",
        _text,
        "Who must enter a code: `enrolled` (people with a confirmed device), `staff`, `everyone`, "
        "or a dotted path to a callable `(user, request) -> bool`.",
    )
    GRACE = Setting[datetime | date | None](
        f"{PREFIX}_GRACE",
        None,
        _moment,
        "The day (a `date`, from its first minute on) or moment (a `datetime` with a time zone) "
        "from which on a person without a device must add one, if the policy says so. Until then "
        "each login reminds them and goes on. None: from the first login on.",
    )
    SITE_NAME = Setting[str](
        f"{PREFIX}_SITE_NAME",
        "",
        _text,
        "The name that messages and pages show. Empty: the current site of "
        "`django.contrib.sites`, else the host of the base URL.",
    )
    BASE_URL = Setting[str](
        f"{PREFIX}_BASE_URL",
        "",
        _https_origin,
        "The https origin of the site as people and providers see it. Its host goes into the last "
        "line of each SMS, so that phones fill in the code on this site only, and providers send "
        "their receipts there. Empty: neither.",
    )
    FALLBACK = Setting[Mapping[str, str]](
        f"{PREFIX}_FALLBACK",
        {},
        _fallback,
        "The way that a code takes by itself when it did not arrive, for example "
        "`{'sms': 'voice', 'push': 'sms'}`. Empty: the person chooses.",
    )
    FALLBACK_AFTER = Setting[int](
        f"{PREFIX}_FALLBACK_AFTER",
        60,
        _whole_number(15, 600),
        "Seconds without a receipt after which an open code page asks for the fallback by itself.",
    )
    ANDROID_APP_HASH = Setting[str](
        f"{PREFIX}_ANDROID_APP_HASH",
        "",
        _app_hash,
        "The 11 characters by which Android's SMS Retriever finds your app. They become the last "
        "line of each SMS, in place of the site's host.",
    )
    PUSH_SHOWS_CODE = Setting[bool](
        f"{PREFIX}_PUSH_SHOWS_CODE",
        True,  # noqa: FBT003
        _yes_or_no,
        "Whether a notification shows the code. If not, it tells only that somebody signs in, and "
        "the code has to come another way.",
    )
    COUNTRIES = Setting[frozenset[str]](
        f"{PREFIX}_COUNTRIES",
        frozenset(),
        _country_codes,
        "ISO 3166 codes of the countries that SMS and calls may go to. Empty: none leaves.",
    )
    TOKEN_LENGTH = Setting[int](
        f"{PREFIX}_TOKEN_LENGTH",
        6,
        _whole_number(6, 10),
        "Digits of a code (6 to 10).",
    )
    TOKEN_LIFETIME = Setting[int](
        f"{PREFIX}_TOKEN_LIFETIME",
        300,
        _whole_number(60, 600),
        "Seconds that a code is good for (60 to 600).",
    )
    MAX_ATTEMPTS = Setting[int](
        f"{PREFIX}_MAX_ATTEMPTS",
        5,
        _whole_number(1, 10),
        "Tries at one code before it is dead (1 to 10).",
    )
    MAX_SENDS = Setting[int](
        f"{PREFIX}_MAX_SENDS",
        4,
        _whole_number(1, 5),
        "Messages that one login may send, over all channels (1 to 5).",
    )
    SEND_COOLDOWNS = Setting[tuple[int, ...]](
        f"{PREFIX}_SEND_COOLDOWNS",
        (30, 60, 120, 300),
        _cooldowns,
        "Seconds to wait after the first, second, … message before the next one.",
    )
    LOGIN_TIMEOUT = Setting[int](
        f"{PREFIX}_LOGIN_TIMEOUT",
        600,
        _whole_number(60, 600),
        "Seconds between the password and the code before the login starts over (60 to 600).",
    )
    REAUTH_AGE = Setting[int](
        f"{PREFIX}_REAUTH_AGE",
        300,
        _whole_number(60, 900),
        "Seconds for which a password and a code are good enough to change a second factor; after "
        "that both are asked for again (60 to 900).",
    )
    SEND_TIMEOUT = Setting[float](
        f"{PREFIX}_SEND_TIMEOUT",
        10.0,
        _seconds(1, 60),
        "Seconds that one send may take over all providers of its channel (1 to 60).",
    )
    SEND_WAIT = Setting[float](
        f"{PREFIX}_SEND_WAIT",
        0.0,
        _seconds(0, 60),
        "Seconds that a request waits for its send. Keep 0, except where a process is frozen as "
        "soon as it has answered (serverless).",
    )
    SEND_THREADS = Setting[int](
        f"{PREFIX}_SEND_THREADS",
        8,
        _whole_number(1, 64),
        "Sends that one process may have under way at one provider (1 to 64).",
    )

    LIMITS = Setting[Mapping[str, Mapping[int, int]]](
        f"{PREFIX}_LIMITS",
        {},
        _limits,
        "Messages that may go out in 600, 3600 and 86400 seconds, for each bucket that differs "
        "from the defaults below, for example `{'login.number': {600: 3, 3600: 5}}`.",
    )
    LIMITS_ENFORCED = Setting[bool](
        f"{PREFIX}_LIMITS_ENFORCED",
        True,  # noqa: FBT003
        _yes_or_no,
        "Whether a full bucket refuses a message. If not, what would be refused is only recorded.",
    )
    BEFORE_SEND = Setting[str](
        f"{PREFIX}_BEFORE_SEND",
        "",
        _text,
        "Dotted path to a callable that is asked before each message, and raises `SendNotAllowed` "
        "to refuse it: a captcha, a risk score, a look-up of the number.",
    )
    NOTICES = Setting[Mapping[str, Sequence[str]]](
        f"{PREFIX}_NOTICES",
        {},
        _notices,
        "The ways (`email`, `sms`, `push`) that a notice takes, for each one that differs from the "
        "default, which is all of them, for example `{'browser_trusted': ['email']}`. An empty "
        "list switches it off.",
    )
    TRUST_DAYS = Setting[int](
        f"{PREFIX}_TRUST_DAYS",
        0,
        _whole_number(0, 30),
        "Days for which a person may have a browser trusted, so that logins there need no code "
        "(0 to 30). 0: never.",
    )
    TRUST_ALLOWED = Setting[str](
        f"{PREFIX}_TRUST_ALLOWED",
        "",
        _text,
        "Dotted path to a callable `(user, request) -> bool`: whether this account may have "
        "browsers trusted. Empty: every account but those of staff.",
    )
    LOOKUP = Setting[Mapping[str, Any]](
        f"{PREFIX}_LOOKUP",
        _lookup({}),
        _lookup,
        "What the ready-made hook `django_otp_channels.lookup.before_send` asks of Twilio's "
        "Lookup, and what it refuses: [see below](#ask-twilio-about-a-number).",
    )
    TRUSTED_PROXY_COUNT = Setting[int](
        f"{PREFIX}_TRUSTED_PROXY_COUNT",
        0,
        _whole_number(0, 10),
        "How many proxies of your own add to `X-Forwarded-For` in front of Django.",
    )

    def all(self) -> Iterator[Setting[Any]]:
        """Yield every setting, in the order in which the documentation lists them."""
        for value in vars(type(self)).values():
            if isinstance(value, Setting):
                yield value


conf = Conf()
