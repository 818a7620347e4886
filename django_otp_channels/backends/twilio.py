"""Twilio: SMS and spoken calls, through its own SDK (``django-otp-channels[twilio]``).

The codes and their meanings: https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.core import checks
from django.utils.dateparse import parse_datetime
from django.views.decorators.debug import sensitive_variables

from .. import phones
from ..conf import conf
from ..exceptions import (
    BackendMisconfigured,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
    Reason,
    ReceiptRefused,
)
from ..messages import Answer, Callback, Message, Receipt, Status
from .base import Backend
from .outcomes import Outcome, fenced, gone, no_texts, not_so, not_this_one, opted_out

# What each code of a refused request means for us. Twilio adds codes and splits them: one that is
# not here is judged by its HTTP status.
CODES: Mapping[int, Outcome] = {
    # This number will never work, for any channel.
    21211: gone,  # not a valid number
    21217: gone,  # the same, for a call
    # This number will not work for this channel, whoever is asked.
    21214: DeliveryRefused,  # cannot be reached by a call
    21265: no_texts,  # a short code
    21610: opted_out,  # wrote STOP: another provider must honour that too
    21614: no_texts,  # not a mobile number
    21635: no_texts,  # a landline
    # A country that the site closed to Twilio on purpose. Another provider must not open it again.
    13227: fenced,
    21215: fenced,
    21216: fenced,
    21408: fenced,
    # Our account.
    20003: BackendMisconfigured,  # credentials wrong, or the account suspended
    20404: BackendMisconfigured,  # no such account
    21705: BackendMisconfigured,  # no such messaging service
    # Our sender, or our account as to this number.
    21212: not_so,  # sender not valid
    21219: not_so,  # a trial account calls verified numbers only
    21603: not_so,  # no sender
    21606: not_so,  # sender not ours, or not able to send SMS there
    21608: not_so,  # a trial account texts verified numbers only
    21659: not_so,  # sender is not a Twilio number, or a short code of another country
    21660: not_so,  # sender belongs to another account
    21661: not_so,  # sender not able to send SMS
    21703: not_so,  # the service has no sender for this number
    # A request that this package should not have made.
    21201: not_so,  # no recipient
    21602: not_so,  # no text
    21604: not_so,  # no recipient
    21609: not_so,  # callback URL not valid
    21617: not_so,  # over 1,600 characters
    21624: not_so,  # validity period out of range
    21626: not_so,  # callback event not valid
    32018: not_so,  # over 4,000 characters of TwiML
    # Not now.
    20429: DeliveryUnavailable,  # too many requests; never processed
    60728: DeliveryUnavailable,  # hourly cap of the account
    63017: DeliveryUnavailable,  # rate of the account
    63038: DeliveryUnavailable,  # daily cap of the account
    # Not now from this sender, to this carrier, or to this number.
    21611: not_this_one,  # the sender's queue is full
    14107: not_this_one,  # too many messages from one sender to one number
    21612: not_this_one,  # this sender cannot reach this number
    30022: not_this_one,  # a carrier's rate, or too many messages to one number
    30023: not_this_one,  # a carrier's daily cap
    # Twilio's own fault: it may have been processed.
    20500: DeliveryUnknown,
    20503: DeliveryUnknown,
}

# Django's language code → a locale of <Say>. A language that Twilio does not speak is not here.
LOCALES: Mapping[str, str] = {
    "af": "af-ZA",
    "ar": "arb",
    "bg": "bg-BG",
    "bn": "bn-IN",
    "ca": "ca-ES",
    "cs": "cs-CZ",
    "cy": "cy-GB",
    "da": "da-DK",
    "de": "de-DE",
    "el": "el-GR",
    "en": "en-US",
    "en-au": "en-AU",
    "en-gb": "en-GB",
    "es": "es-ES",
    "es-mx": "es-MX",
    "fi": "fi-FI",
    "fr": "fr-FR",
    "fr-ca": "fr-CA",
    "he": "he-IL",
    "hi": "hi-IN",
    "hu": "hu-HU",
    "id": "id-ID",
    "is": "is-IS",
    "it": "it-IT",
    "ja": "ja-JP",
    "kn": "kn-IN",
    "ko": "ko-KR",
    "lv": "lv-LV",
    "ml": "ml-IN",
    "mr": "mr-IN",
    "ms": "ms-MY",
    "nb": "nb-NO",
    "nl": "nl-NL",
    "no": "nb-NO",
    "pa": "pa-IN",
    "pl": "pl-PL",
    "pt": "pt-PT",
    "pt-br": "pt-BR",
    "ro": "ro-RO",
    "ru": "ru-RU",
    "sk": "sk-SK",
    "sr": "sr-RS",
    "sv": "sv-SE",
    "ta": "ta-IN",
    "te": "te-IN",
    "th": "th-TH",
    "tr": "tr-TR",
    "uk": "uk-UA",
    "vi": "vi-VN",
    "zh": "cmn-CN",
    "zh-hant": "cmn-TW",
}

MAX_VALIDITY = 14400  # seconds; the longest that every Twilio region takes
RING_SECONDS = 20  # short of most voicemails
CALL_SECONDS = 60
KEY_SECONDS = 5

# What Twilio's status callbacks say. What is not here tells nothing new.
TEXT_STATUSES: Mapping[str, Status] = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "partially_delivered": Status.DELIVERED,
    "undelivered": Status.UNDELIVERED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}
# "completed" is the end of every call that was taken: the code was read only where the key was
# pressed, which has been told before.
CALL_STATUSES: Mapping[str, Status] = {
    "completed": Status.UNDELIVERED,
    "busy": Status.UNDELIVERED,
    "no-answer": Status.UNDELIVERED,
    "failed": Status.UNDELIVERED,
    "canceled": Status.UNDELIVERED,
}
# Why a message that Twilio had taken did not arrive, where the person should know. None of these
# disables a device, as 21211 does before anything is sent: that is Twilio's own word on a number,
# this is a carrier's on one message, and a phone that is off may be "unknown" to it for an hour.
LATE_REASONS: Mapping[str, Reason] = {
    "21610": Reason.OPTED_OUT,
    "30005": Reason.GONE,  # unknown or no longer in use
    "30006": Reason.NO_TEXTS,  # a landline
}
# Held back as part of a wave of messages that somebody earns money with (SMS pumping).
FRAUD = "30450"
_CODE = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_SID = re.compile(r"(?:SM|MM|CA)[0-9a-f]{32}", re.ASCII)
INSTALL = 'Install it with: pip install "django-otp-channels[twilio]"'


class _Account:
    """An account at Twilio, named by arguments or the environment, and the SDK's client of it."""

    def __init__(
        self,
        *,
        account_sid: str = "",
        auth_token: str = "",
        api_key: str = "",
        api_secret: str = "",
    ) -> None:
        self.account_sid = account_sid or os.environ.get("TWILIO_ACCOUNT_SID", "")
        if not (auth_token or api_key or api_secret):
            auth_token = os.environ.get("TWILIO_AUTH_TOKEN", "")
            api_key = os.environ.get("TWILIO_API_KEY", "")
            api_secret = os.environ.get("TWILIO_API_SECRET", "")
        self._auth_token = auth_token
        # Twilio's advice: an API key where there is one, since it can be revoked alone.
        self._login = (api_key, api_secret) if api_key else (self.account_sid, auth_token)

    @cached_property
    def _client(self) -> Any:
        from twilio.rest import Client

        username, password = self._login
        return Client(username, password, self.account_sid, http_client=_http_client())

    def hindrances(self) -> list[checks.CheckMessage]:
        """Return what keeps the account from being used: no SDK (E101), no credentials (W102)."""
        if importlib.util.find_spec("twilio") is None:
            return [
                checks.Error(
                    "The Twilio SDK is not installed.", hint=INSTALL, id="otp_channels.E101"
                )
            ]
        if self.account_sid and all(self._login):
            return []
        # No error: where the secrets are not (CI, the build of an image) commands must run.
        return [
            checks.Warning(
                "Twilio's credentials are missing.",
                hint="Set 'account_sid' with 'auth_token', or with 'api_key' and 'api_secret', "
                "in OPTIONS, or TWILIO_ACCOUNT_SID and so on in the environment.",
                id="otp_channels.W102",
            )
        ]


class _Twilio(_Account, Backend):
    provider: ClassVar[str] = "twilio"

    def __init__(
        self,
        *,
        account_sid: str = "",
        auth_token: str = "",
        api_key: str = "",
        api_secret: str = "",
        secondary_auth_token: str = "",
        sender: str = "",
        senders: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            account_sid=account_sid, auth_token=auth_token, api_key=api_key, api_secret=api_secret
        )
        # Receipts are signed with the auth token, even where an API key sends. During a rotation
        # Twilio signs with the old one until the new one is promoted.
        self._signers = [token for token in (self._auth_token, secondary_auth_token) if token]
        self.sender = sender
        self.senders = dict(senders or {})
        if wrong := sorted(map(str, self.senders.keys() - phones.REGIONS)):
            raise ValueError(f"'senders': {', '.join(wrong)}: no country code such as 'GB'.")

    @sensitive_variables()
    def send(self, message: Message, *, timeout: float) -> Receipt:
        """Send through Twilio, within ``timeout`` seconds but for the look-up of its name."""
        if problems := self._hindrances():
            raise BackendMisconfigured(str(problems[0].msg), code=str(problems[0].id))
        from .transport import bounded

        failure: DeliveryError | BackendMisconfigured
        with bounded(timeout) as wire:
            try:
                client = self._client
                wire.sent = True
                message_id = self._create(client, message).sid
            except Exception as error:  # noqa: BLE001 (not all that the SDK lets out is its own)
                failure = _outcome(error, sent=wire.sent)
            else:
                if message_id:
                    return Receipt(provider=self.provider, message_id=str(message_id))
                failure = DeliveryUnknown(code="no-sid")
        # Raised here, so that Twilio's error, which quotes the number, is not its context.
        raise failure

    def _create(self, client: Any, message: Message) -> Any:
        raise NotImplementedError

    def check(self) -> Sequence[checks.CheckMessage]:
        """Report a missing SDK (E101), sender (E103), credentials (W102) or auth token (I104)."""
        problems = self._hindrances()
        if not problems and conf.BASE_URL and not self._signers:
            problems.append(
                checks.Info(
                    "Twilio's receipts cannot be verified, so none are asked for, and calls speak "
                    "their code without waiting for a key.",
                    hint="Add 'auth_token' to OPTIONS: it signs the receipts even where an API key "
                    "sends.",
                    id="otp_channels.I104",
                )
            )
        return problems

    def _hindrances(self) -> list[checks.CheckMessage]:
        """Return what keeps it from sending."""
        problems = self.hindrances()
        if not any(problem.is_serious() for problem in problems) and not self._has_sender():
            problems.append(
                checks.Error(
                    "Twilio has no sender to send from.",
                    hint=self._sender_hint,
                    id="otp_channels.E103",
                )
            )
        return problems

    _sender_hint: ClassVar[str]

    def _has_sender(self) -> bool:
        return bool(self.sender)

    def _sender_for(self, number: str) -> str:
        """Return the sender for the country of ``number``: some refuse a foreign one."""
        if not self.senders:
            return self.sender
        return self.senders.get(phones.parse(number).region, self.sender)

    # -- receipts ----------------------------------------------------------------------------

    @property
    def receives(self) -> bool:
        return bool(self._signers) and importlib.util.find_spec("twilio") is not None

    @sensitive_variables()
    def receive(self, callback: Callback) -> Receipt:
        """Read a status callback, or the key that a listener has pressed."""
        self._verify(callback)
        fields = {name: str(value) for name, value in callback.fields.items()}
        if fields.get("AccountSid") != self.account_sid:
            raise ReceiptRefused
        receipt = self._read(fields)
        if not _SID.fullmatch(receipt.message_id):
            raise ReceiptRefused
        return receipt

    def _verify(self, callback: Callback) -> None:
        from twilio.request_validator import RequestValidator

        signature = callback.headers.get("X-Twilio-Signature")
        # The header that names another algorithm is not read: nobody may choose how he is checked.
        if not signature or "," in signature:  # WSGI joins two headers of one name
            raise ReceiptRefused
        for token in self._signers:
            try:
                genuine = RequestValidator(token).validate(callback.url, callback.fields, signature)
            except (TypeError, ValueError):
                raise ReceiptRefused from None
            if genuine:
                return
        raise ReceiptRefused

    def _read(self, fields: Mapping[str, str]) -> Receipt:
        raise NotImplementedError


class SMS(_Twilio):
    """A text message. Options: credentials, and ``sender`` or ``messaging_service_sid``.

    ``senders`` maps countries (ISO 3166) to the sender that is used there.
    """

    channels: ClassVar[frozenset[str]] = frozenset({"sms"})
    _sender_hint = "Set 'sender' (a number or sender id) or 'messaging_service_sid' in OPTIONS."

    def __init__(
        self,
        *,
        account_sid: str = "",
        auth_token: str = "",
        api_key: str = "",
        api_secret: str = "",
        secondary_auth_token: str = "",
        sender: str = "",
        senders: Mapping[str, str] | None = None,
        messaging_service_sid: str = "",
    ) -> None:
        super().__init__(
            account_sid=account_sid,
            auth_token=auth_token,
            api_key=api_key,
            api_secret=api_secret,
            secondary_auth_token=secondary_auth_token,
            sender=sender,
            senders=senders,
        )
        self.messaging_service_sid = messaging_service_sid

    def _has_sender(self) -> bool:
        return bool(self.sender or self.messaging_service_sid)

    @sensitive_variables()
    def _create(self, client: Any, message: Message) -> Any:
        optional = {
            "from_": self._sender_for(message.to),
            "messaging_service_sid": self.messaging_service_sid,
            "status_callback": message.callback,
        }
        return client.messages.create(
            to=message.to,
            body=message.text,
            # Twilio drops a message that waited longer: nobody needs a code that is dead.
            validity_period=max(1, min(message.lifetime, MAX_VALIDITY)),
            **{name: value for name, value in optional.items() if value},
        )

    def _read(self, fields: Mapping[str, str]) -> Receipt:
        code = _short(fields.get("ErrorCode", ""))
        return Receipt(
            provider=self.provider,
            message_id=fields.get("MessageSid", ""),
            status=TEXT_STATUSES.get(fields.get("MessageStatus", "")),
            error_code=code,
            reason=LATE_REASONS.get(code, ""),
            fraud=code == FRAUD,
        )


class Voice(_Twilio):
    """A call that speaks the code, a line at a time. Options: credentials, ``sender``, ``senders``.

    Where receipts can be taken, the listener presses a key first: a voicemail, which presses none,
    gets no code, and the call ends.
    """

    channels: ClassVar[frozenset[str]] = frozenset({"voice"})
    spoken_languages: ClassVar[frozenset[str] | None] = frozenset(
        language.partition("-")[0] for language in LOCALES
    )
    _sender_hint = "Set 'sender' (a number that can call) in OPTIONS."

    @sensitive_variables()
    def _create(self, client: Any, message: Message) -> Any:
        by_key = bool(message.callback and message.key)
        optional: dict[str, Any] = {}
        if message.callback:
            optional |= {
                "status_callback": message.callback,
                "status_callback_event": ["completed"],
            }
        if message.extension:
            # Each "w" waits half a second for the exchange to answer.
            optional["send_digits"] = f"wwww{message.extension}"
        return client.calls.create(
            to=message.to,
            from_=self._sender_for(message.to),
            # Inline, so that the code is in no URL and, without receipts, Twilio need not reach us.
            twiml=_ask_for_key(message) if by_key else _speak(message.text, message.language),
            timeout=RING_SECONDS,
            time_limit=CALL_SECONDS,
            **optional,
        )

    def _read(self, fields: Mapping[str, str]) -> Receipt:
        call = fields.get("CallSid", "")
        if "Digits" in fields and "CallbackSource" not in fields:
            by_machine = fields.get("AnsweredBy", "").startswith(("machine", "fax"))
            return Receipt(
                provider=self.provider,
                message_id=call,
                status=Status.ANSWERED,
                pressed="" if by_machine else fields["Digits"],
            )
        return Receipt(
            provider=self.provider,
            message_id=call,
            # A call that is over: where the key was pressed it stays answered.
            status=CALL_STATUSES.get(fields.get("CallStatus", "")),
            error_code=_short(fields.get("CallStatus", "")),
        )

    @sensitive_variables()
    def answer(self, lines: Sequence[str], language: str) -> Answer:
        return Answer(content_type="text/xml", body=_speak("\n".join(lines), language))


@dataclass(frozen=True)
class Line:
    """What Twilio knows of a number.

    ``type`` is one of :data:`LINE_TYPES`, empty if it is not known. ``swapped_at`` is when its SIM
    was last changed. Some carriers tell only whether that was within a period that Twilio and its
    customer have agreed on: then ``swapped`` says so, which is None where nothing is known.
    """

    type: str = ""
    swapped: bool | None = None
    swapped_at: datetime | None = None


# https://www.twilio.com/docs/lookup/v2-api/line-type-intelligence
LINE_TYPES = frozenset(
    {
        "mobile", "landline", "fixedVoip", "nonFixedVoip", "personal", "tollFree", "premium",
        "sharedCost", "uan", "voicemail", "pager",
    }
)  # fmt: skip


NOT_FOUND = "20404"  # of a look-up: no such number, which says nothing of the account


class Lookup(_Account):
    """Twilio's Lookup v2, which knows numbers: https://www.twilio.com/docs/lookup/v2-api."""

    @sensitive_variables()
    def fetch(self, number: str, *, line: bool, sim: bool, timeout: float) -> Line:
        """Return what is known of ``number`` (E.164): its ``line``, its ``sim``, or both.

        Twilio charges for each. Raises ``DeliveryError`` or ``BackendMisconfigured``, within
        ``timeout`` seconds but for the look-up of Twilio's own name.
        """
        if problems := self.hindrances():
            raise BackendMisconfigured(str(problems[0].msg), code=str(problems[0].id))
        from .transport import bounded, silence

        silence("urllib3")  # which logs the URL, and here the number is part of it
        fields = ["line_type_intelligence"] * line + ["sim_swap"] * sim
        failure: DeliveryError | BackendMisconfigured
        with bounded(timeout) as wire:
            try:
                wire.sent = True
                numbers = self._client.lookups.v2.phone_numbers
                return _line(numbers(number).fetch(fields=",".join(fields)))
            except Exception as error:  # noqa: BLE001 (not all that the SDK lets out is its own)
                failure = _outcome(error, sent=wire.sent)
        if failure.code == NOT_FOUND:
            failure = DeliveryRefused(code=failure.code)
        raise failure  # without Twilio's own error, which quotes the number


def _line(answer: Any) -> Line:
    line, sim = answer.line_type_intelligence or {}, answer.sim_swap or {}
    swap = sim.get("last_sim_swap") or {}
    kind, at, swapped = (
        line.get("type"),
        swap.get("last_sim_swap_date"),
        swap.get("swapped_in_period"),
    )
    return Line(
        type=kind if kind in LINE_TYPES else "",
        swapped=swapped if isinstance(swapped, bool) else None,
        swapped_at=parse_datetime(at) if isinstance(at, str) else None,
    )


def _short(code: str) -> str:
    """Return a code of Twilio's as we record it; nothing of what cannot be one."""
    return code if _CODE.fullmatch(code) else ""


def _locale(language: str) -> str:
    language = language.lower()
    return LOCALES.get(language) or LOCALES.get(language.partition("-")[0], "en-US")


@sensitive_variables()
def _speak(text: str, language: str) -> str:
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    _say(response, text, language)
    response.hangup()
    return str(response)


def _ask_for_key(message: Message) -> str:
    """Return the words before the code, and the wait for a key. Without one, the call ends."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    gather = response.gather(
        num_digits=1, timeout=KEY_SECONDS, action=message.callback, method="POST"
    )
    for number in range(2):
        if number:
            gather.pause(length=1)
        _say(gather, message.prompt, message.language)
    response.hangup()
    return str(response)


@sensitive_variables()
def _say(parent: Any, text: str, language: str) -> None:
    for number, line in enumerate(text.splitlines()):
        if number:
            parent.pause(length=1)
        parent.say(line, language=_locale(language))


def _http_client() -> Any:
    """Return a client for Twilio's SDK over our own transport.

    The SDK's own has no time-out and keeps the last request, with the code in it, as an attribute.
    """
    from requests import TooManyRedirects
    from twilio.http import HttpClient
    from twilio.http.response import Response

    from .transport import new_session

    session = new_session()

    class Client(HttpClient):
        def __init__(self) -> None:
            self.is_async = False

        @sensitive_variables()
        def request(
            self,
            method: str,
            uri: str,
            params: Any = None,
            data: Any = None,
            headers: Any = None,
            auth: Any = None,
            timeout: float | None = None,
            allow_redirects: bool = False,  # noqa: FBT001, FBT002 (never)
        ) -> Any:
            try:
                answer = session.request(
                    method, uri, params=params, data=data, headers=headers, auth=auth
                )
            except TooManyRedirects as error:
                if error.response is None:
                    raise
                answer = error.response
            text = answer.content.decode("utf-8", "replace")
            return Response(answer.status_code, text, answer.headers)

    return Client()


def _outcome(error: Exception, *, sent: bool) -> DeliveryError | BackendMisconfigured:
    from twilio.base.exceptions import TwilioException

    from .transport import by_status

    if isinstance(error, BackendMisconfigured):
        return BackendMisconfigured(  # anew, without a context
            error.detail, code=error.code, provider_wide=error.provider_wide
        )
    # Twilio has two kinds of answered errors, unrelated but for their base.
    status = getattr(error, "status", None)
    if isinstance(error, TwilioException) and isinstance(status, int):
        code = getattr(error, "code", None)
        if not isinstance(code, int):
            code = status
        return CODES.get(code, by_status(status))(code=str(code))
    if not sent:
        return DeliveryUnavailable(code=type(error).__name__)
    return DeliveryUnknown(code=type(error).__name__)
