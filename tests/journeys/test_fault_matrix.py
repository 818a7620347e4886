"""Every way in which a provider can fail, on every channel: one row of a table each.

The real SDKs speak HTTPS to stand-ins that fail as told. For each row: what the person reads, what
is recorded, who is asked next, and that it is over in time. Another provider joins the table with
one more :class:`Line` in ``LINES``.
"""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from django_otp_channels import channels
from django_otp_channels.backends import fcm as fcm_backend
from django_otp_channels.backends import memory, transport
from django_otp_channels.backends import twilio as twilio_backend
from django_otp_channels.codes import Token
from django_otp_channels.messages import compose
from django_otp_channels.models import ChannelDevice, Delivery
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.hooks import sends_are_over
from tests.journey import STATUS, VERIFY, Journey
from tests.providers import aws, fcm, twilio
from tests.providers.loopback import HANG, HTML, RESET, Endpoint, Network, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.provider]

BUDGET = 5  # seconds for a send over all providers
SHORTEST_BUDGET = 1  # where a row takes all of it
CONNECTING = 0.25  # seconds of it for what hangs before the message, so that some are left
SPARE = 1.5  # seconds that a busy machine may add
PROMPTLY = 4  # seconds for four pages of a busy machine


# ── What the rows are made of ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Ending:
    """What is known of the message after a fault, and so what may be done next."""

    status: str
    next_asked: bool


NOT_SENT = Ending("failed", next_asked=True)
REFUSED = Ending("failed", next_asked=False)  # the address itself: no other provider may try
MAYBE_SENT = Ending("unknown", next_asked=False)


@dataclass(frozen=True)
class Way:
    """A fault on the way there: no byte of the message can have left."""

    name: str

    def arrange(self, scene: Scene) -> None:
        if self.name in {"hang", "no-tls"}:
            scene.monkeypatch.setattr(transport, "CONNECT_TIMEOUT", CONNECTING)
        if self.name in {"refused", "no-dns"}:
            proxy = "http://127.0.0.1:9" if self.name == "refused" else ""
            for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                scene.monkeypatch.setenv(variable, proxy)
            scene.monkeypatch.setattr(socket, "getaddrinfo", _knows_no_name)
        else:
            scene.network.way = self.name


_look_up = socket.getaddrinfo


def _knows_no_name(host: Any, *args: Any, **kwargs: Any) -> Any:
    if host == "127.0.0.1":
        return _look_up(host, *args, **kwargs)
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@dataclass(frozen=True)
class Says:
    """An answer to the message, or none. ``at`` is the endpoint, by default the line's own."""

    reply: Reply
    at: str = ""

    def arrange(self, scene: Scene) -> None:
        getattr(scene.api, self.at or scene.line.endpoint).always(self.reply)
        if self.at and self.reply.how == "hang":
            scene.monkeypatch.setattr(transport, "READ_TIMEOUT", CONNECTING)

    @property
    def takes_all_the_time(self) -> bool:
        return not self.at and self.reply.how in {"hang", "drip-head", "half-hang", "trickle"}


@dataclass(frozen=True)
class Fault:
    """One row: what happens, what it comes to, and the code that staff will find."""

    what: Way | Says
    ending: Ending
    code: str
    reason: str = ""
    # More than one only where the SDK asks again by itself, after an answer that said "not sent".
    requests: int = 1


@dataclass(frozen=True, kw_only=True)
class Line:
    """One provider on one channel: how to set it up, to make it fail, and to read the code."""

    channel: str
    provider: str
    backend: str
    api: str  # the fixture with its stand-in
    endpoint: str  # its attribute that takes the messages
    device: type[PhoneFactory]  # the factory of a device that it can reach
    # The code as it went to the provider: the person may have got it, whatever was answered.
    code: Callable[[Any, Client], str]
    faults: Mapping[str, Fault] = field(repr=False)


def digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def sent_by_text(api: twilio.TwilioAPI, browser: Client) -> str:
    return api.messages.requests[-1].form["Body"][:6]


def read_out(api: twilio.TwilioAPI, browser: Client) -> str:
    return digits(api.press(browser, call="CA" + "5" * 32)[1])


def pushed(api: fcm.FCMAPI, browser: Client) -> str:
    return digits(api.messages.requests[-1].json["message"]["notification"]["body"])


# What 429 may say of when to come back. Nobody here waits for it: the person is at the page.
RETRY_AFTER = {
    "an hour": {"Retry-After": "3600"},
    "a date": {"Retry-After": "Fri, 31 Dec 2049 23:59:59 GMT"},
    "nonsense": {"Retry-After": "soon"},
    "less than nothing": {"Retry-After": "-1"},
    "nothing": {},
}


def unreachable(other: str, **codes: str) -> Mapping[str, Fault]:
    """The rows before the request, by the name of the :class:`Way`: nothing was sent."""
    names = {
        "the connection is refused": "refused",
        "the name cannot be looked up": "no-dns",
        "the certificate is an impostor's": "impostor",
        "the far end never answers the TLS greeting": "no-tls",
        "the proxy refuses": "no-tunnel",
        "the proxy never answers": "hang",
    }
    return {
        text: Fault(Way(way), NOT_SENT, codes.get(way.replace("-", "_"), other))
        for text, way in names.items()
    }


def broken(taken: Reply, other: str, **codes: str) -> Mapping[str, Fault]:
    """The rows after the request, which may have been acted upon: ``taken`` says that it was."""
    replies = {
        "hang": ("silence after the request", HANG),
        "slow_head": ("a header that drips in", replace(taken, how="drip-head")),
        "half_hang": ("silence in the middle of the body", replace(taken, how="half-hang")),
        "half": ("half a body", replace(taken, how="half")),
        "drip": ("a body that drips in", replace(taken, body=" " * 999, how="trickle")),
        "reset": ("a connection reset after the request", RESET),
        "html": ("HTML with status 200", Reply(200, HTML)),
        "empty": ("nothing with status 200", Reply(200)),
        "status_500": ("HTML with status 500", Reply(500, HTML)),
        "status_503": ("HTML with status 503", Reply(503, HTML, {"Retry-After": "3600"})),
    }
    return {
        text: Fault(Says(reply), MAYBE_SENT, codes.get(name, other))
        for name, (text, reply) in replies.items()
    }


# Where our own transport tells what went wrong, an SDK between or not.
UNREACHABLE_BY_REQUESTS = unreachable(
    "ProxyError",
    no_dns="ConnectionError",
    impostor="SSLError",
    no_tls="ReadTimeout",
    hang="ReadTimeout",
)

# ── Twilio ──────────────────────────────────────────────────────────────────────────────────────

# Every code that Twilio's dictionary has for a refused request, by what is to be done about it.
GONE = {21211, 21217}
OPTED_OUT = {21610}
NO_TEXTS = {21265, 21614, 21635}
NOT_HERE = {21214}
FENCED = {13227, 21215, 21216, 21408}
OURS = {
    20003, 20404, 21201, 21212, 21219, 21602, 21603, 21604, 21606, 21608, 21609, 21617, 21624,
    21626, 21659, 21660, 21661, 21703, 21705, 32018,
}  # fmt: skip
LATER = {14107, 20429, 21611, 21612, 30022, 30023, 60728, 63017, 63038}
THEIRS = {20500, 20503}
# Of these, the codes that only a call or only a message has. The others are the account's.
OF_CALLS = {13227, 21201, 21214, 21215, 21216, 21217, 21219, 32018}
OF_BOTH = {20003, 20404, 20429, 20500, 20503, 21211, 21212, 21609, 21626}
ENDINGS = {
    **dict.fromkeys(GONE | OPTED_OUT | NO_TEXTS | NOT_HERE | FENCED, REFUSED),
    **dict.fromkeys(OURS | LATER, NOT_SENT),
    **dict.fromkeys(THEIRS, MAYBE_SENT),
}
REASONS = {
    **dict.fromkeys(GONE, "gone"),
    **dict.fromkeys(OPTED_OUT, "opted-out"),
    **dict.fromkeys(NO_TEXTS, "no-texts"),
    **dict.fromkeys(FENCED, "fenced"),
}
HTTP = {20003: 401, 20404: 404, 20429: 429, 20500: 500, 20503: 503}
CALL_CODES = OF_CALLS | OF_BOTH
TEXT_CODES = ENDINGS.keys() - OF_CALLS


def twilio_faults(codes: AbstractSet[int]) -> Mapping[str, Fault]:
    def answered(reply: Reply, ending: Ending, code: int, reason: str = "") -> Fault:
        return Fault(Says(reply), ending, str(code), reason)

    return {
        **UNREACHABLE_BY_REQUESTS,
        **broken(
            Reply(201, {"sid": "SM" + "0" * 32}),
            "ConnectionError",
            hang="ReadTimeout",
            slow_head="ReadTimeout",
            reset="ProxyError",
            html="JSONDecodeError",
            empty="no-sid",
            status_500="500",
            status_503="503",
        ),
        **{
            f"code {code}": answered(
                twilio.error(code, status=HTTP.get(code, 400)),
                ENDINGS[code],
                code,
                REASONS.get(code, ""),
            )
            for code in sorted(codes)
        },
        "a code in the newer form": answered(twilio.problem(20404, status=404), NOT_SENT, 20404),
        "status 400, code unheard of": answered(twilio.error(99999), NOT_SENT, 99999),
        "status 401": answered(Reply(401, HTML), NOT_SENT, 401),
        "status 403": answered(Reply(403, HTML), NOT_SENT, 403),
        "status 500, code unheard of": answered(twilio.error(99999, status=500), MAYBE_SENT, 99999),
        "status 503, code unheard of": answered(twilio.error(99999, status=503), MAYBE_SENT, 99999),
        **{
            f"status 429, Retry-After: {text}": answered(
                replace(twilio.error(20429, status=429), headers=headers), NOT_SENT, 20429
            )
            for text, headers in RETRY_AFTER.items()
        },
    }


# ── FCM ─────────────────────────────────────────────────────────────────────────────────────────


def _fcm(
    http: int, status: str, code: str, ending: Ending, reason: str = "", requests: int = 1
) -> Fault:
    reply = fcm.error(http, status, code=code, Retry_After="3600")
    return Fault(Says(reply), ending, code or status, reason, requests)


FCM_FAULTS = {
    **unreachable("TransportError"),
    **broken(
        Reply(200, {"name": "projects/x/messages/1"}),
        "UnavailableError",
        hang="DeadlineExceededError",
        slow_head="DeadlineExceededError",
        html="UnknownError",
        empty="UnknownError",
        status_500="500",
        status_503="503",
    ),
    # What FCM says of the message.
    "UNREGISTERED": _fcm(404, "NOT_FOUND", "UNREGISTERED", REFUSED, "gone"),
    "SENDER_ID_MISMATCH": _fcm(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", REFUSED, "gone"),
    "INVALID_ARGUMENT": _fcm(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", REFUSED, "gone"),
    "UNAVAILABLE": _fcm(503, "UNAVAILABLE", "UNAVAILABLE", NOT_SENT),
    "INTERNAL": _fcm(500, "INTERNAL", "INTERNAL", NOT_SENT),
    "THIRD_PARTY_AUTH_ERROR": _fcm(
        401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", NOT_SENT, requests=3
    ),
    "APNS_AUTH_ERROR": _fcm(401, "UNAUTHENTICATED", "APNS_AUTH_ERROR", NOT_SENT, requests=3),
    "UNSPECIFIED_ERROR": _fcm(500, "UNKNOWN", "UNSPECIFIED_ERROR", MAYBE_SENT),
    **{
        f"QUOTA_EXCEEDED, Retry-After: {text}": Fault(
            Says(
                replace(fcm.error(429, "RESOURCE_EXHAUSTED", code="QUOTA_EXCEEDED"), headers=wait)
            ),
            NOT_SENT,
            "QUOTA_EXCEEDED",
        )
        for text, wait in RETRY_AFTER.items()
    },
    # What Google's front end says where FCM says nothing.
    "our message is wrong": Fault(Says(fcm.bad_request("data")), REFUSED, "INVALID_ARGUMENT"),
    "status UNAUTHENTICATED": _fcm(401, "UNAUTHENTICATED", "", NOT_SENT, requests=3),
    "status PERMISSION_DENIED": _fcm(403, "PERMISSION_DENIED", "", NOT_SENT),
    "status NOT_FOUND": _fcm(404, "NOT_FOUND", "", NOT_SENT),
    "status RESOURCE_EXHAUSTED": _fcm(429, "RESOURCE_EXHAUSTED", "", NOT_SENT),
    "status UNAVAILABLE": _fcm(503, "UNAVAILABLE", "", NOT_SENT),
    "status INTERNAL": _fcm(500, "INTERNAL", "", NOT_SENT),
    "status 400, code unheard of": Fault(
        Says(fcm.error(400, "FAILED_PRECONDITION", code="NEW")), NOT_SENT, "400"
    ),
    "status 500, code unheard of": Fault(
        Says(fcm.error(500, "DATA_LOSS", code="NEW")), MAYBE_SENT, "500"
    ),
    # No access token, no message.
    "the credentials are revoked": Fault(
        Says(Reply(400, {"error": "invalid_grant"}), at="tokens"),
        NOT_SENT,
        "RefreshError",
        requests=0,
    ),
    "no token comes": Fault(Says(HANG, at="tokens"), NOT_SENT, "TransportError", requests=0),
    "a token that is none": Fault(
        Says(Reply(200, HTML), at="tokens"), NOT_SENT, "TypeError", requests=0
    ),
}

# ── AWS ─────────────────────────────────────────────────────────────────────────────────────────


def texted_by_aws(api: aws.AWSAPI, browser: Client) -> str:
    return api.texts.requests[-1].json["MessageBody"][:6]


def published_by_aws(api: aws.AWSAPI, browser: Client) -> str:
    return api.publish.requests[-1].form["Message"][:6]


def spoken_by_aws(api: aws.AWSAPI, browser: Client) -> str:
    return digits(api.calls.requests[-1].json["MessageBody"].split("<break")[1].partition(">")[2])


def aws_broken(taken: Reply, html: str, empty: str) -> Mapping[str, Fault]:
    return broken(
        taken,
        "ConnectionError",
        hang="ReadTimeout",
        slow_head="ReadTimeout",
        reset="ProxyError",
        html=html,
        empty=empty,
        status_500="500",
        status_503="503",
    )


def _aws(
    status: int, code: str, ending: Ending, detail: str = "", reason: str = "", **fields: Any
) -> Fault:
    """One error of a kind; all of them are in the tests of the backend."""
    reply = aws.error(code, status=status, reason=detail, **fields)
    return Fault(Says(reply), ending, detail or code, reason)


AWS_FAULTS = {
    **UNREACHABLE_BY_REQUESTS,
    **aws_broken(Reply(200, {"MessageId": "1"}), html="no-id", empty="no-id"),
    "opted out": _aws(
        400, "ConflictException", REFUSED, "DESTINATION_PHONE_NUMBER_OPTED_OUT", "opted-out"
    ),
    "a country that is closed": _aws(
        400, "ValidationException", REFUSED, "COUNTRY_NOT_ENABLED", "fenced"
    ),
    "status 400": _aws(400, "ValidationException", NOT_SENT),
    "status 400, code unheard of": _aws(400, "NewException", NOT_SENT),
    "status 401": Fault(Says(Reply(401, HTML)), NOT_SENT, "401"),
    "status 403": _aws(403, "AccessDeniedException", NOT_SENT),
    "wrong credentials": _aws(400, "UnrecognizedClientException", NOT_SENT),
    "the budget is spent": _aws(
        402, "ServiceQuotaExceededException", NOT_SENT, "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"
    ),
    "status 500": _aws(500, "InternalServerException", MAYBE_SENT),
    "status 503, code unheard of": _aws(503, "NewException", MAYBE_SENT),
    **{
        f"status 429, Retry-After: {text}": Fault(
            Says(replace(aws.error("ThrottlingException", status=429), headers=headers)),
            NOT_SENT,
            "ThrottlingException",
        )
        for text, headers in RETRY_AFTER.items()
    },
}
SNS_FAULTS = {
    **UNREACHABLE_BY_REQUESTS,
    **aws_broken(Reply(200, "<PublishResponse/>"), html="KeyError", empty="ResponseParserError"),
    "wrong credentials": Fault(
        Says(aws.xml_error("InvalidClientTokenId", status=403)), NOT_SENT, "InvalidClientTokenId"
    ),
    "status 429": Fault(Says(aws.xml_error("Throttled", status=429)), NOT_SENT, "Throttled"),
    "status 500": Fault(
        Says(aws.xml_error("InternalError", status=500)), MAYBE_SENT, "InternalError"
    ),
    "nobody says whether the number has opted out": Fault(
        Says(HANG, at="opt_outs"), NOT_SENT, "ReadTimeout", requests=0
    ),
}

# ── The table ───────────────────────────────────────────────────────────────────────────────────

LINES = {
    "twilio sms": Line(
        channel="sms",
        provider="twilio",
        backend="django_otp_channels.backends.twilio.SMS",
        api="twilio_api",
        endpoint="messages",
        device=PhoneFactory,
        code=sent_by_text,
        faults=twilio_faults(TEXT_CODES),
    ),
    "twilio voice": Line(
        channel="voice",
        provider="twilio",
        backend="django_otp_channels.backends.twilio.Voice",
        api="twilio_api",
        endpoint="calls",
        device=PhoneFactory,
        code=read_out,
        faults=twilio_faults(CALL_CODES),
    ),
    "aws sms": Line(
        channel="sms",
        provider="aws",
        backend="django_otp_channels.backends.aws.SMS",
        api="aws_api",
        endpoint="texts",
        device=PhoneFactory,
        code=texted_by_aws,
        faults=AWS_FAULTS,
    ),
    "aws voice": Line(
        channel="voice",
        provider="aws",
        backend="django_otp_channels.backends.aws.Voice",
        api="aws_api",
        endpoint="calls",
        device=PhoneFactory,
        code=spoken_by_aws,
        faults=AWS_FAULTS,
    ),
    "aws sns": Line(
        channel="sms",
        provider="aws",
        backend="django_otp_channels.backends.aws.SNS",
        api="aws_api",
        endpoint="publish",
        device=PhoneFactory,
        code=published_by_aws,
        faults=SNS_FAULTS,
    ),
    "fcm push": Line(
        channel="push",
        provider="fcm",
        backend="django_otp_channels.backends.fcm.Push",
        api="fcm_api",
        endpoint="messages",
        device=AppFactory,
        code=pushed,
        faults=FCM_FAULTS,
    ),
}


def rows(*endings: Ending) -> pytest.MarkDecorator:
    """Run a test for every row that ends so."""
    chosen = {
        f"{name}: {text}": (line, fault)
        for name, line in LINES.items()
        for text, fault in line.faults.items()
        if fault.ending in endings
    }
    return pytest.mark.parametrize(("line", "fault"), chosen.values(), ids=chosen.keys())


SENTENCES = {
    ("sms", "failed"): "We could not send a text message to {}.",
    ("voice", "failed"): "We could not call {}.",
    ("push", "failed"): "We could not reach your app.",
    ("sms", "unknown"): "A text message with a code may be on its way to {}.",
    ("voice", "unknown"): "We may be calling {} with a code.",
    ("push", "unknown"): "A notification with a code may be on its way to your app.",
}
REASON_SENTENCES = {
    "gone": "We could not reach {}: it seems to be no longer in use.",
    "opted-out": "We could not send a text message to {}: this number has opted out of them.",
    "no-texts": "We could not send a text message to {}: it takes no texts.",
}


@dataclass(frozen=True)
class Scene:
    """One line, on which something is going to fail, and the people who log in over it."""

    line: Line
    api: Any
    network: Network
    settings: Any
    monkeypatch: pytest.MonkeyPatch

    @property
    def endpoint(self) -> Endpoint:
        endpoint: Endpoint = getattr(self.api, self.line.endpoint)
        return endpoint

    def providers(self, *, spare: bool) -> None:
        """Let the line's provider be the only one of its channel, or the first of two."""
        first = {"BACKEND": self.line.backend, "OPTIONS": dict(self.api.options)}
        second = {"BACKEND": f"tests.providers.spare.{SPARES[self.line.channel]}"}
        self.settings.OTP_CHANNELS = {self.line.channel: [first, second] if spare else [first]}

    def connect(self) -> None:
        """Let the first provider stand by with an open connection, however busy the machine is."""
        token = Token("048213")
        message = compose(
            self.line.channel,
            to=self.line.device.build().address,
            token=token,
            purpose="login",
            language="en",
            lifetime=300,
            reference="0" * 32,
        )
        channels.backends(self.line.channel)[0].send(message, timeout=30)
        self.endpoint.requests.clear()

    def at_the_code_page(self) -> Journey:
        journey = Journey(Client(), memory.outbox, PASSWORD)
        device = self.line.device(user=UserFactory(), channel=self.line.channel)
        assert journey.enter_password(device.user).headers["Location"] == VERIFY
        return journey

    def sees(self, journey: Journey, fault: Fault) -> None:
        """Check what the person reads: one sentence of ours, nothing of the provider's."""
        device = ChannelDevice.objects.latest("pk")
        sentence = REASON_SENTENCES.get(fault.reason)
        sentence = sentence or SENTENCES[self.line.channel, fault.ending.status]
        sentence = sentence.format(device.address_in_words)
        page = journey.client.get(VERIFY)
        status = journey.client.get(STATUS).json()
        assert page.context["page"].sentence == sentence
        assert (status["delivery"], status["sentence"]) == (fault.ending.status, sentence)
        told = page.text + str(status)
        for marker in ("Bad gateway", "Not sent", "Error", self.line.provider, fault.code):
            assert marker not in told
        assert journey.is_nobody


SPARES = {"sms": "SMS", "voice": "Voice", "push": "Push"}


def recorded(budget: float) -> list[tuple[str, str, str, str]]:
    """What staff find: a row a try. Each says when it was, and all ended inside the budget."""
    deliveries = list(Delivery.objects.order_by("pk"))
    for delivery in deliveries:
        assert delivery.finished_at is not None
        assert delivery.created_at <= delivery.finished_at
        taken = delivery.finished_at - deliveries[0].created_at
        assert taken < timedelta(seconds=budget + SPARE)
    return [(each.provider, each.status, each.error_code, each.reason) for each in deliveries]


@pytest.fixture(scope="module", autouse=True)
def _sdks_are_loaded() -> None:
    """Import what a first send would import: seconds, and not the point here."""
    for name in ("twilio.rest", "twilio.twiml.voice_response", "firebase_admin.messaging", "boto3"):
        importlib.import_module(name)
    fcm.service_account()


@pytest.fixture
def scene(line, request, provider_network, settings, monkeypatch, outbox) -> Iterator[Scene]:
    settings.OTP_CHANNELS_SEND_TIMEOUT = BUDGET
    api = request.getfixturevalue(line.api)
    yield Scene(line, api, provider_network, settings, monkeypatch)
    provider_network.let_go.set()
    sends_are_over()


@rows(NOT_SENT)
def test_what_was_not_sent_goes_through_the_next_provider(scene, line, fault, outbox):
    fault.what.arrange(scene)
    row = (line.provider, "failed", fault.code, fault.reason)

    scene.providers(spare=False)
    journey = scene.at_the_code_page()
    sends_are_over()
    assert recorded(BUDGET) == [row]
    assert len(scene.endpoint.requests) == (0 if isinstance(fault.what, Way) else fault.requests)
    scene.sees(journey, fault)

    Delivery.objects.all().delete()
    scene.providers(spare=True)
    journey = scene.at_the_code_page()
    sends_are_over()
    assert recorded(BUDGET) == [row, ("spare", "sent", "", "")]
    assert len(outbox) == 1
    journey.enter_code()
    assert journey.is_in


@rows(MAYBE_SENT)
def test_what_may_have_been_sent_is_sent_by_nobody_else_and_its_code_is_good(
    scene, line, fault, outbox
):
    budget = SHORTEST_BUDGET if fault.what.takes_all_the_time else BUDGET
    scene.settings.OTP_CHANNELS_SEND_TIMEOUT = budget
    scene.providers(spare=True)
    if fault.what.takes_all_the_time:
        scene.connect()
    fault.what.arrange(scene)

    journey = scene.at_the_code_page()
    sends_are_over()

    assert recorded(budget) == [(line.provider, "unknown", fault.code, "")]
    assert len(scene.endpoint.requests) == 1
    assert outbox == []
    scene.sees(journey, fault)
    journey.enter_code(line.code(scene.api, journey.client))
    assert journey.is_in
    assert len(scene.endpoint.requests) == 1
    assert outbox == []


@rows(REFUSED)
def test_an_address_that_is_refused_is_refused_by_all(scene, line, fault, outbox):
    fault.what.arrange(scene)
    scene.providers(spare=True)

    journey = scene.at_the_code_page()
    sends_are_over()

    assert recorded(BUDGET) == [(line.provider, "failed", fault.code, fault.reason)]
    assert len(scene.endpoint.requests) == 1
    assert outbox == []
    scene.sees(journey, fault)
    device = ChannelDevice.objects.get()
    assert device.confirmed
    assert device.disabled_reason == ("unregistered" if fault.reason == "gone" else "")


SLOW = {
    "the proxy never answers": Way("hang"),
    "no answer to the TLS greeting": Way("no-tls"),
    "silence after the request": Says(HANG),
    "a header that drips in": Says(Reply(200, how="drip-head")),
    "silence in the middle of the body": Says(Reply(200, HTML, how="half-hang")),
    "a body that drips in": Says(Reply(200, HTML, how="trickle")),
}


@pytest.mark.parametrize("what", SLOW.values(), ids=SLOW.keys())
@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_no_page_waits_for_a_provider_that_does_not_answer(scene, line, what):
    """The provider holds on until the pages have been read: whoever waited would wait for ever."""
    scene.settings.OTP_CHANNELS_SEND_TIMEOUT = 60
    what.arrange(scene)
    scene.monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 60)
    scene.monkeypatch.setattr(transport, "READ_TIMEOUT", 60)
    scene.providers(spare=False)
    started = time.monotonic()

    journey = scene.at_the_code_page()

    assert journey.client.get(VERIFY).context["page"].sentence.endswith(" …")
    assert journey.client.get(STATUS).json()["delivery"] == "sending"
    assert journey.client.get("/").status_code == 200
    assert time.monotonic() - started < PROMPTLY
    assert Delivery.objects.get().status == "sending"
    scene.network.let_go.set()
    sends_are_over()
    assert Delivery.objects.get().status == ("failed" if isinstance(what, Way) else "unknown")


def test_the_table_has_every_documented_code():
    assert twilio_backend.CODES.keys() == TEXT_CODES | CALL_CODES
    said = {fault.code for fault in FCM_FAULTS.values()}
    assert said >= fcm_backend.CODES.keys() | fcm_backend.STATUSES.keys()
