"""A stand-in for Twilio's REST API (2010-04-01): Messages and Calls, judged as Twilio judges."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from xml.etree import ElementTree as ET

from .loopback import Endpoint, Reply, Request

HOST = "api.twilio.com"
LOOKUP_HOST = "lookups.twilio.com"
ACCOUNT = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "the-auth-token-of-the-tests"
API_KEY = "SK" + "fedcba9876543210" * 2
API_SECRET = "the-api-secret-of-the-tests"
SENDER = "+15005550006"
SERVICE = "MG" + "0123456789abcdef" * 2
OPTIONS = {"account_sid": ACCOUNT, "auth_token": AUTH_TOKEN, "sender": SENDER}

_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_SENDER_ID = re.compile(r"[A-Za-z0-9 ]{1,11}", re.ASCII)
# Parameters of the official specification (twilio-oai, api v2010), as far as this package could
# have a use for them.
_MESSAGE_PARAMETERS = {
    "To", "From", "MessagingServiceSid", "Body", "ValidityPeriod", "StatusCallback", "RiskCheck",
    "ContentRetention", "AddressRetention", "SmartEncoded", "MessageIntent", "Attempt",
}  # fmt: skip
_CALL_PARAMETERS = {
    "To", "From", "Twiml", "Url", "Timeout", "TimeLimit", "StatusCallback", "StatusCallbackEvent",
    "StatusCallbackMethod", "MachineDetection", "SendDigits",
}  # fmt: skip
_VERBS = {"Say", "Pause", "Hangup", "Gather", "Play", "Redirect"}


def error(code: int, *, status: int = 400, message: str = "", **headers: str) -> Reply:
    """Return an error as Twilio words it. The real ones quote the number, and so do these."""
    return Reply(
        status,
        {
            "code": code,
            "message": message or f"Error {code} with the number +12025550123",
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        },
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


def problem(code: int, *, status: int = 400) -> Reply:
    """Return an error in the newer form (RFC 9457)."""
    return Reply(
        status,
        {
            "type": f"https://www.twilio.com/docs/api/errors/{code}",
            "title": "Refused",
            "status": status,
            "code": code,
            "detail": "Not possible for +12025550123",
        },
        {"Content-Type": "application/problem+json"},
    )


def sign(url: str, fields: Mapping[str, str], token: str = AUTH_TOKEN) -> str:
    """Return Twilio's signature: HMAC-SHA1 of the URL and the sorted fields."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


@dataclass(frozen=True)
class Callback:
    """A request of Twilio to this site."""

    url: str
    fields: Mapping[str, str]
    signature: str

    def to(self, client: Any, **extra: Any) -> Any:
        """Let it reach the site of the test client, through whatever proxy stands before it."""
        parts = urlsplit(self.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return client.post(
            path,
            urlencode(self.fields),
            content_type="application/x-www-form-urlencoded",
            headers={"X-Twilio-Signature": self.signature, **extra},
        )


class TwilioAPI:
    """``messages``, ``calls`` and ``lookups`` are :class:`~.loopback.Endpoint`.

    ``texts`` and ``spoken`` are what people got to read and to hear, by number, oldest first.
    ``options`` are the ``OPTIONS`` of a backend that may send. ``lines`` and ``swaps`` are what a
    look-up tells of a number: its line type, and its ``last_sim_swap``.
    """

    options: Mapping[str, str] = OPTIONS

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self.messages = Endpoint(self._message)
        self.calls = Endpoint(self._call)
        self.lookups = Endpoint(self._lookup)
        self.lines: dict[str, str] = {}
        self.swaps: dict[str, Mapping[str, Any]] = {}
        self.texts: list[tuple[str, str]] = []
        self.spoken: list[tuple[str, list[str]]] = []
        self.sids: list[str] = []
        self._lock = threading.Lock()

    @property
    def requests(self) -> list[Request]:
        return [*self.messages.requests, *self.calls.requests]

    def handle(self, request: Request) -> Reply:
        endpoints = {"Messages.json": self.messages, "Calls.json": self.calls}
        match = re.fullmatch(r"/2010-04-01/Accounts/(\w+)/(\w+\.json)", request.path)
        if match is None or match[2] not in endpoints or request.method != "POST":
            self.problems.append(f"Twilio has no {request.method} {request.path}")
            return error(20404, status=404)
        if (refused := self._identify(request, account=match[1])) is not None:
            # Asked of every request, so a test sees it in the endpoint's record too.
            endpoints[match[2]].requests.append(request)
            return refused
        return endpoints[match[2]].answer(request)

    def handle_lookups(self, request: Request) -> Reply:
        """Answer as ``lookups.twilio.com`` (v2) does: with nulls for what was not asked."""
        path = unquote(urlsplit(request.path).path)
        if request.method != "GET" or not path.startswith("/v2/PhoneNumbers/+"):
            self.problems.append(f"Lookup has no {request.method} {path}")
            return error(20404, status=404)
        if (refused := self._identify(request, account=ACCOUNT)) is not None:
            self.lookups.requests.append(request)
            return refused
        return self.lookups.answer(request)

    def _lookup(self, request: Request) -> Reply:
        url = urlsplit(request.path)
        number = unquote(url.path).rpartition("/")[2]
        asked = dict(parse_qsl(url.query)).get("Fields", "").split(",")
        if strangers := set(asked) - {"line_type_intelligence", "sim_swap"}:
            self.problems.append(f"Lookup knows no {strangers}")
        carrier = {"carrier_name": "Example", "mobile_country_code": "310",
                   "mobile_network_code": "010", "error_code": None}  # fmt: skip
        line = {**carrier, "type": self.lines.get(number, "mobile")}
        kept = {"last_sim_swap_date": None, "swapped_period": "PT24H", "swapped_in_period": False}
        return Reply(
            200,
            {
                "calling_country_code": "1",
                "country_code": "US",
                "phone_number": number,
                "national_format": number,
                "valid": True,
                "validation_errors": None,
                "line_type_intelligence": line if "line_type_intelligence" in asked else None,
                "sim_swap": {**carrier, "last_sim_swap": self.swaps.get(number, kept)}
                if "sim_swap" in asked
                else None,
                "url": f"https://{LOOKUP_HOST}/v2/PhoneNumbers/{number}",
            },
        )

    def _identify(self, request: Request, *, account: str) -> Reply | None:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        name, _, secret = base64.b64decode(credentials).decode().partition(":")
        if scheme != "Basic" or {ACCOUNT: AUTH_TOKEN, API_KEY: API_SECRET}.get(name) != secret:
            return error(20003, status=401, message="Authenticate")
        return None if account == ACCOUNT else error(20404, status=404)

    def _message(self, request: Request) -> Reply:
        form = request.form
        self._known(form, _MESSAGE_PARAMETERS)
        period = form.get("ValidityPeriod", "36000")
        sender = form.get("From", "")
        for wrong, code in (
            (not form.get("To"), 21604),
            (not _E164.fullmatch(form.get("To", "")), 21211),
            (not (sender or form.get("MessagingServiceSid")), 21603),
            (sender and not (_E164.fullmatch(sender) or _SENDER_ID.fullmatch(sender)), 21212),
            (not form.get("Body"), 21602),
            (len(form.get("Body", "")) > 1600, 21617),
            (not (period.isdecimal() and 1 <= int(period) <= 36000), 21624),
        ):
            if wrong:
                return error(code)
        with self._lock:
            self.texts.append((form["To"], form["Body"]))
        return self._created("SM", form, status="queued")

    def _call(self, request: Request) -> Reply:
        form = request.form
        self._known(form, _CALL_PARAMETERS)
        for wrong, code in (
            (not form.get("To"), 21201),
            (not _E164.fullmatch(form.get("To", "")), 21211),
            (not _E164.fullmatch(form.get("From", "")), 21212),
            (not (form.get("Twiml") or form.get("Url")), 21205),
            (len(form.get("Twiml", "")) > 4000, 32018),
        ):
            if wrong:
                return error(code)
        for name, low, high in (("Timeout", 5, 600), ("TimeLimit", 1, 14400)):
            if not low <= int(form.get(name, low)) <= high:
                self.problems.append(f"{name} is out of range: {form[name]}")
        with self._lock:
            self.spoken.append((form["To"], self._listen(form.get("Twiml", "<Response/>"))))
        return self._created("CA", form, status="queued")

    def _listen(self, twiml: str) -> list[str]:
        response = ET.fromstring(twiml)  # noqa: S314 (made by the code under test)
        if response.tag != "Response" or {verb.tag for verb in response} - _VERBS:
            self.problems.append(f"not TwiML: {twiml}")
        return ["".join(say.itertext()) for say in response.iter("Say")]

    def callback(self, request: Request, token: str = AUTH_TOKEN, **fields: str) -> Callback:
        """Return the callback that Twilio makes about the message or call of ``request``."""
        twiml = request.form.get("Twiml", "")
        action = ET.fromstring(twiml).find("Gather") if twiml else None  # noqa: S314
        pressed = "Digits" in fields and action is not None
        url = action.get("action", "") if pressed else request.form["StatusCallback"]
        fields = {
            "AccountSid": ACCOUNT,
            "ApiVersion": "2010-04-01",
            "To": request.form["To"],
            **fields,
        }
        return Callback(url, fields, sign(url, fields, token))

    def press(self, client: Any, digits: str = "", *, call: str = "") -> list[str]:
        """Press a key in the latest call, by default the announced one; return what is heard.

        ``call`` is its SID, by default the one that was answered.
        """
        request = self.calls.requests[-1]
        announced = re.search(r"press ([1-9])", request.form["Twiml"])
        assert announced, "No key was announced."
        sid = call or self.sids[-1]
        callback = self.callback(request, CallSid=sid, Digits=digits or announced[1])
        answer = callback.to(client)
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/xml")
        return self._listen(answer.text)

    def _known(self, form: Mapping[str, str], parameters: set[str]) -> None:
        # Twilio ignores these; a misspelt one would be without effect for ever.
        self.problems.extend(
            f"Twilio knows no parameter {name}" for name in form.keys() - parameters
        )

    def _created(self, prefix: str, form: Mapping[str, str], **fields: Any) -> Reply:
        sid = prefix + secrets.token_hex(16)
        self.sids.append(sid)
        body = {
            "account_sid": ACCOUNT,
            "api_version": "2010-04-01",
            "sid": sid,
            "to": form["To"],
            "from": form.get("From"),
            "error_code": None,
            "uri": f"/2010-04-01/Accounts/{ACCOUNT}/{sid}.json",
            **fields,
        }
        return Reply(201, body)
