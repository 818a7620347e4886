"""The values that travel: what goes out, what comes back, and the words that a person reads.

No text that a user controls (a name, a device's label) is ever part of a message: it could carry a
fake code line or a phone number to call.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext, ngettext, override
from django.views.decorators.debug import sensitive_variables

from .codes import Token
from .conf import conf
from .phones import split_extension

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("^{}\\[~]|€\f")
_MAX_SITE_NAME = 30
_JOINERS = frozenset("\u200c\u200d")  # Persian spelling and some emoji need them


class Purpose(enum.StrEnum):
    """What a code is for. A code of one purpose never verifies for another."""

    LOGIN = "login"
    STEP_UP = "step-up"
    ENROL = "enrol"
    TEST = "test"


class Status(enum.StrEnum):
    """What became of a message. It only moves forward, from top to bottom.

    ``ANSWERED``: a call whose listener pressed the key and heard the code.
    """

    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    ANSWERED = "answered"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"

    @property
    def may_follow(self) -> frozenset[Status]:
        """The statuses that this one replaces; what has ended stays as it ended."""
        order = (Status.SENDING, Status.UNKNOWN, Status.SENT)
        return frozenset(order[: order.index(self)] if self in order else order)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message to one address. ``repr()`` shows neither the code nor the full address.

    ``to`` is a number in E.164, or an FCM registration token or installation id. ``lifetime`` is
    the rest of the code's life in seconds. ``reference`` is an opaque id of the challenge: messages
    with the same reference replace each other where a provider can do that.

    ``token`` is empty in a notice, which tells what has happened and carries no code.

    ``callback`` is the https URL for the provider's receipts, empty where the site has none. A call
    with one says ``prompt`` first, and gets to speak ``text`` only when its listener has pressed
    ``key``: so no code lands on a voicemail.
    """

    channel: str
    to: str = field(repr=False)
    token: Token = field(repr=False)
    text: str = field(repr=False)
    title: str
    language: str
    lifetime: int
    reference: str = ""
    extension: str = field(default="", repr=False)
    callback: str = field(default="", repr=False)
    prompt: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a provider says of a message: at once, that it took it; later, what became of it.

    ``message_id`` is the provider's own id of it. ``status`` is None where it tells nothing new.
    ``error_code`` and ``reason`` are as in :class:`~django_otp_channels.exceptions.DeliveryError`.
    ``pressed`` is what the listener of a call has typed, None unless that is what it is about.
    ``fraud`` says that the provider has held the message back as part of one.
    """

    provider: str
    message_id: str
    status: Status | None = Status.SENT
    error_code: str = ""
    reason: str = ""
    pressed: str | None = None
    fraud: bool = False


@dataclass(frozen=True, kw_only=True)
class Callback:
    """A request that claims to come from a provider. ``url`` is the one that it was given.

    ``headers`` is indifferent to case; ``fields`` are those of the form.
    """

    url: str
    headers: Mapping[str, str]
    fields: MultiValueDict[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a provider is told in reply to a callback."""

    content_type: str = "text/plain"
    body: str = field(default="", repr=False)


def site_name(fallback: str = "") -> str:
    """Return the name that messages and pages show for this site.

    ``fallback`` stands in where the settings give no name: pages pass the host that they are on.
    """
    return conf.SITE_NAME or _current_site() or site_host() or fallback or gettext("this site")


def _current_site() -> str:
    if not apps.is_installed("django.contrib.sites"):
        return ""
    site: Any = apps.get_model("sites", "Site")  # type: ignore[misc]
    try:
        return str(site.objects.get_current().name)
    except (ImproperlyConfigured, site.DoesNotExist):  # no SITE_ID, or no row of that id
        return ""


def site_host() -> str:
    """Return the host of the configured base URL, without a port, or an empty string."""
    return urlsplit(conf.BASE_URL).hostname or ""


def plain_site_name() -> str:
    """Return the site's name as it may stand in a message: one short line of visible text.

    The ``sites`` framework lets staff edit it, and neither a line of its own (which phones read a
    code from) nor characters that turn the reading direction belong in a message.
    """
    words = " ".join(site_name().split())
    visible = (
        char
        for char in words
        if char in _JOINERS or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}
    )
    return "".join(visible)[:_MAX_SITE_NAME].strip()


@sensitive_variables()
def compose(
    channel: str, *, to: str, token: Token, purpose: str, language: str, lifetime: int,
    reference: str = "", key: str = "",
) -> Message:  # fmt: skip
    """Return the message that carries ``token`` in ``language``. ``lifetime`` in seconds.

    ``to`` may be a number with an extension (RFC 3966). ``key`` is the digit that the listener of a
    call presses to hear the code, where the provider can tell us of it.
    """
    number, extension = split_extension(to)
    with override(language):
        site = plain_site_name()
        words = _Words(token, site, purpose, minutes=max(1, lifetime // 60))
        text = {"sms": words.sms, "voice": words.voice, "push": words.push}[channel]()
        return Message(
            channel=channel,
            to=number,
            token=token,
            text=text,
            title=site,
            language=language,
            lifetime=lifetime,
            reference=reference,
            extension=extension,
            prompt=words.prompt(key) if key else "",
            key=key,
        )


# Seconds that a notice is worth delivering: a phone may be off for a night.
NOTICE_LIFETIME = 86400


def compose_notice(channel: str, *, to: str, title: str, advice: str, language: str) -> Message:
    """Return the message that tells ``title``, a sentence without its stop, and what to do then.

    Neither holds a code, an address of a page, or anything that somebody has typed. Without a
    link, because nobody should learn to follow those of a text message.
    """
    number, extension = split_extension(to)
    with override(language):
        site = plain_site_name()
        pattern = gettext("%(site)s: %(title)s. %(advice)s")
        if channel == "push":
            pattern = gettext("%(title)s. %(advice)s")
        return Message(
            channel=channel,
            to=number,
            token=Token(""),
            text=pattern % {"site": site, "title": title, "advice": advice},
            title=site,
            language=language,
            lifetime=NOTICE_LIFETIME,
            extension=extension,
        )


@dataclass(frozen=True, repr=False)
class _Words:
    """What a message says, per channel, in the active language."""

    token: str
    site: str
    purpose: str
    minutes: int

    @sensitive_variables()
    def sms(self) -> str:
        if self.purpose == Purpose.ENROL:
            first = gettext("%(token)s is your code to add this number to %(site)s.")
        elif self.purpose == Purpose.STEP_UP:
            first = gettext("%(token)s is your code to confirm that it is you, at %(site)s.")
        elif self.purpose == Purpose.TEST:
            first = gettext("%(token)s is a test code from %(site)s. It signs nobody in.")
        else:
            first = gettext("%(token)s is your code to sign in to %(site)s.")
        valid = ngettext(
            "Valid for %(minutes)d minute. Never share it.",
            "Valid for %(minutes)d minutes. Never share it.",
            self.minutes,
        )
        lines = [
            first % {"token": self.token, "site": self.site},
            valid % {"minutes": self.minutes},
        ]
        if app_hash := conf.ANDROID_APP_HASH:
            # The SMS Retriever of Android hands the message to the app of this hash only.
            lines.append(f"\n{app_hash}")
        elif host := site_host():
            # The origin-bound form (WICG, sms-one-time-codes): phones fill it in on this host only.
            lines.append(f"\n@{host} #{self.token}")
        return "\n".join(lines)

    def prompt(self, key: str) -> str:
        """What a call says before the code: a line each, the last one names the key."""
        return "\n".join(
            [
                gettext("Hello. This is %(site)s, with your code.") % {"site": self.site},
                gettext("To hear it, press %(key)s.") % {"key": key},
            ]
        )

    @sensitive_variables()
    def voice(self) -> str:
        # One sentence a line: a backend pauses between them. Commas make each digit its own word.
        digits = ", ".join(self.token) + "."
        return "\n".join(
            [
                gettext("Hello. Here is your code for %(site)s.") % {"site": self.site},
                digits,
                gettext("Once more."),
                digits,
                gettext("Never share this code. Goodbye."),
            ]
        )

    @sensitive_variables()
    def push(self) -> str:
        if not conf.PUSH_SHOWS_CODE:
            return gettext("Open the app to sign in.")
        return gettext("Your code is %(token)s. Never share it.") % {"token": self.token}


def segments(text: str) -> int:
    """Return how many SMS parts ``text`` takes (3GPP TS 23.038: GSM-7, else UCS-2)."""
    if all(char in _GSM7 or char in _GSM7_EXTENSION for char in text):
        sizes = [2 if char in _GSM7_EXTENSION else 1 for char in text]
        return _parts(sizes, single=160, part=153)
    sizes = [2 if ord(char) > 0xFFFF else 1 for char in text]
    return _parts(sizes, single=70, part=67)


def _parts(sizes: list[int], *, single: int, part: int) -> int:
    if sum(sizes) <= single:
        return 1
    count, used = 1, 0
    for size in sizes:  # a character of two units is never split over two parts
        if used + size > part:
            count, used = count + 1, 0
        used += size
    return count
