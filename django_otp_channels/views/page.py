"""What the code page shows, worked out before the template: sentences, ways, waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..channels import CHANNELS, backends
from ..conf import conf
from ..exceptions import Reason, SendNotAllowed
from ..messages import Purpose, Status
from ..models import Challenge, ChannelDevice
from ..models.lockouts import Lock
from ..others import OtherWay

# What became of the latest message, per channel; "" is the sentence of any other channel.
SENTENCES: Mapping[str, Mapping[str, str | Promise]] = {
    Status.SENDING: {
        "sms": _("We are sending a text message with a code to %(address)s …"),
        "voice": _("We are calling %(address)s …"),
        "": _("We are sending a notification with a code to your app …"),
    },
    Status.SENT: {
        "sms": _("We sent a text message with a code to %(address)s."),
        "voice": _("We are calling %(address)s and will read out a code."),
        "": _("We sent a notification with a code to your app."),
    },
    Status.ANSWERED: {
        "voice": _("We have read out a code on %(address)s."),
        "": _("We have read out a code on your phone."),
    },
    Status.DELIVERED: {
        "sms": _("A text message with a code has arrived at %(address)s."),
        "": _("A notification with a code has arrived at your app."),
    },
    Status.UNDELIVERED: {
        "sms": _("Our text message did not reach %(address)s."),
        "voice": _("Nobody has heard our call to %(address)s."),
        "": _("Our notification did not reach your app."),
    },
    Status.UNKNOWN: {
        "sms": _("A text message with a code may be on its way to %(address)s."),
        "voice": _("We may be calling %(address)s with a code."),
        "": _("A notification with a code may be on its way to your app."),
    },
    Status.FAILED: {
        "sms": _("We could not send a text message to %(address)s."),
        "voice": _("We could not call %(address)s."),
        "": _("We could not reach your app."),
    },
}


# Where a provider said what is wrong with the address itself.
REASONS: Mapping[str, str | Promise] = {
    Reason.GONE: _("We could not reach %(address)s: it seems to be no longer in use."),
    Reason.OPTED_OUT: _(
        "We could not send a text message to %(address)s: this number has opted out of them."
    ),
    Reason.NO_TEXTS: _("We could not send a text message to %(address)s: it takes no texts."),
}
LOST = frozenset({Status.FAILED, Status.UNDELIVERED})
SOON = 60  # seconds


@dataclass(frozen=True)
class Way:
    """One button: send the code to this device over this channel."""

    device: ChannelDevice
    channel: str
    again: bool
    expired: bool = False  # the code that was sent this way: it will be another one
    only: bool = False  # of a person who has got none yet
    instead: bool = False  # of a message that did not arrive

    @property
    def label(self) -> str | Promise:
        calls = self.channel == "voice"
        if self.instead and not self.again:
            return CHANNELS[self.channel].ask_instead
        if self.again and self.expired:
            return _("Call me with a new code") if calls else _("Send a new code")
        if self.again:
            return _("Call me again") if calls else _("Send the code again")
        if self.only and not calls:
            return _("Send me a code")
        return CHANNELS[self.channel].ask

    @property
    def name(self) -> str | Promise:
        """What the channel is called: "text message"."""
        return CHANNELS[self.channel].label

    @property
    def where(self) -> str:
        """The device in few words: how the number of a phone ends, the name of an app."""
        device = self.device
        return device.ending if device.kind == device.Kind.PHONE else device.name

    @property
    def where_in_words(self) -> str:
        """The same for a screen reader, which says it after the label."""
        device = self.device
        return device.address_in_words if device.kind == device.Kind.PHONE else device.name


@dataclass(frozen=True, kw_only=True)
class CodePage:
    """Everything that the code page tells a person. All waits are in whole seconds."""

    challenge: Challenge | None
    ways: Sequence[Way]
    other_ways: Sequence[OtherWay] = ()
    other: OtherWay | None = None
    lock: Lock | None = None
    notice: str = ""  # why something was not done
    news: str = ""  # what was just done
    signed_in: bool = False  # who proves something again, and does not log in
    has_devices: bool = False  # of this package, whether they can be reached or not

    @property
    def locked(self) -> bool:
        return self.lock is not None

    @property
    def stopped(self) -> bool:
        """Whether the account stays closed until staff open it."""
        return self.lock is not None and self.lock.stopped

    @property
    def seconds_locked(self) -> int:
        return self.lock.seconds_left if self.lock else 0

    @cached_property
    def delivery(self) -> str:
        return self.challenge.delivery if self.challenge else ""

    @property
    def sentence(self) -> str:
        """Where the code went and what became of it."""
        challenge = self.challenge
        if challenge is None or challenge.device is None or self.delivery not in SENTENCES:
            return ""
        sentences = SENTENCES[self.delivery]
        sentence = sentences.get(challenge.delivery_channel or "", sentences[""])
        if self.failed:
            sentence = REASONS.get(challenge.delivery_reason or "", sentence)
        return str(sentence) % {"address": challenge.device.address_in_words}

    @cached_property
    def over(self) -> bool:
        """Whether this login can only be started over (with this package's devices)."""
        return self.challenge is not None and not self.challenge.usable

    @property
    def expired(self) -> bool:
        return self.challenge is not None and self.challenge.expired

    @property
    def failed(self) -> bool:
        """Whether the latest message is known not to have arrived."""
        return self.delivery in LOST

    @property
    def awaits_receipt(self) -> bool:
        """Whether the provider may still say what became of the message."""
        challenge = self.challenge
        return (
            challenge is not None
            and bool(conf.BASE_URL)
            and any(backend.receives for backend in backends(challenge.delivery_channel or ""))
        )

    @property
    def fallback(self) -> Way | None:
        """The way that the page asks for by itself if no receipt comes, None if there is none."""
        challenge = self.challenge
        # Beside a refusal nothing is asked for by itself: the next one would be refused as well.
        if challenge is None or self.notice or not (self.asks_for_code and self.may_send):
            return None
        wanted = conf.FALLBACK.get(challenge.delivery_channel or "", "")
        return next((way for way in self.ways if way.channel == wanted), None)

    @property
    def seconds_to_fallback(self) -> int:
        challenge = self.challenge
        if challenge is None or challenge.delivery_at is None:
            return conf.FALLBACK_AFTER
        waited = (challenge.db_now - challenge.delivery_at).total_seconds()
        return max(self.seconds_to_send, conf.FALLBACK_AFTER - int(waited), 1)

    @property
    def asks_for_code(self) -> bool:
        """Whether there is a code that can be typed in now."""
        return (
            self.other is None
            and self.challenge is not None
            and not (self.over or self.expired or self.locked)
        )

    @property
    def begin_again(self) -> str | Promise:
        """What to do where nothing more can come of this code."""
        if not self.signed_in:
            return _("Please start over.")
        if self.challenge is not None and self.challenge.purpose == Purpose.ENROL:
            return _("Please enter the number again.")
        return _("Please go back and begin again.")

    @property
    def seconds_left(self) -> int:
        return self.challenge.seconds_left if self.challenge else 0

    @property
    def expires_soon(self) -> bool:
        """Whether the time that is left matters."""
        return self.asks_for_code and self.seconds_left <= SOON

    @property
    def is_under_way(self) -> bool:
        """Whether more may become known of the message."""
        awaited = self.awaits_receipt and self.delivery in (Status.SENT, Status.UNKNOWN)
        return awaited or self.delivery == Status.SENDING

    @property
    def ended(self) -> bool:
        """Whether the best that is left is to begin again."""
        spent = not self.may_send and (self.expired or (self.failed and bool(self.ways)))
        return not self.locked and (self.over or spent)

    @property
    def tries_left(self) -> int | None:
        """The tries that remain, once they are few."""
        left = self.challenge.tries_left if self.challenge else 0
        return left if self.asks_for_code and left <= 2 else None

    @property
    def may_send(self) -> bool:
        """Whether another message may go out, now or after the wait."""
        sends = self.challenge.sends if self.challenge else 0
        return bool(self.ways) and not (self.over or self.locked) and sends < conf.MAX_SENDS

    @property
    def seconds_to_send(self) -> int:
        return self.challenge.seconds_to_send if self.challenge else 0

    @property
    def minutes_to_send(self) -> int:
        """The whole minutes of :attr:`seconds_to_send`, rounded up."""
        return -(-self.seconds_to_send // 60)

    @property
    def minutes_locked(self) -> int:
        """The whole minutes until the lock ends, rounded up; 0 where that is not known."""
        return -(-self.seconds_locked // 60)

    @property
    def offered(self) -> Sequence[Way]:
        """The ways in the order of the buttons: after a failure the next best way comes first.

        That is the one that the site would take by itself, then the other ways to the same device.
        """
        if not self.failed:
            return self.ways
        first = self.fallback
        ways = sorted(self.ways, key=lambda way: (way != first, way.again))
        return [replace(way, instead=True) for way in ways]

    @property
    def helpless(self) -> bool:
        """Whether no channel of ours can reach this person now, and no code is on its way."""
        return not (self.ways or self.locked) and (self.challenge is None or self.failed)


def ways_of(devices: Sequence[ChannelDevice], challenge: Challenge | None) -> list[Way]:
    """Return the buttons for these devices: the way used last first, then its device's others.

    Not those of which a provider has said that the address takes no such message.
    """
    used = (challenge.device_id, challenge.delivery_channel) if challenge else (None, None)
    closed = challenge.closed_channels if challenge else frozenset()
    pairs = [
        (device, channel)
        for device in devices
        for channel in device.channels
        if not (device.pk == used[0] and channel in closed)
    ]
    ways = [
        Way(
            device,
            channel,
            again=(device.pk, channel) == used,
            expired=challenge is not None and challenge.expired,
            only=challenge is None and len(pairs) == 1,
        )
        for device, channel in pairs
    ]
    return sorted(ways, key=lambda way: (not way.again, way.device.pk != used[0]))


def find_way(
    devices: Sequence[ChannelDevice], challenge: Challenge | None, device_id: str, channel: str
) -> Way:
    """Return the way that a ``send`` asks for; without a wish, the one used last, else the first.

    ``device_id`` is a primary key or django-otp's persistent id. Raises ``SendNotAllowed`` for
    anything that is not one of this person's ways; without a wish also where the way used last is
    closed, since nobody has asked to be called instead.
    """
    ways = ways_of(devices, challenge)
    closed = challenge.closed_channels if challenge else frozenset()
    if not (device_id or channel) and challenge and challenge.delivery_channel in closed:
        ways = []
    for way in ways:
        ids = (str(way.device.pk), way.device.persistent_id)
        if (not device_id or device_id in ids) and (not channel or channel == way.channel):
            return way
    raise SendNotAllowed(_("This way is not available. Please choose another."))
