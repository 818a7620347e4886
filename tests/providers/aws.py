"""A stand-in for AWS: End User Messaging, SNS and STS, judged by the model that the SDK ships."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from .loopback import Endpoint, Reply, Request

REGION = "eu-west-1"
MESSAGING_HOST = f"sms-voice.{REGION}.amazonaws.com"
SNS_HOST = f"sns.{REGION}.amazonaws.com"
STS_HOST = f"sts.{REGION}.amazonaws.com"
ACCESS_KEY_ID = "AKIA" + "0123456789ABCDEF"
SECRET_ACCESS_KEY = "the-secret-access-key-of-the-tests"
SENDER = "+12025550199"
OPTIONS = {
    "region": REGION,
    "sender": SENDER,
    "access_key_id": ACCESS_KEY_ID,
    "secret_access_key": SECRET_ACCESS_KEY,
}
MESSAGING, SNS, STS = "pinpoint-sms-voice-v2", "sns", "sts"

_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/"
    r"(?P<service>[a-z-]+)/aws4_request, SignedHeaders=(?P<signed>[a-z0-9;-]+), "
    r"Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
_SMS_ATTRIBUTES = {
    "AWS.SNS.SMS.SMSType", "AWS.SNS.SMS.SenderID", "AWS.SNS.SMS.MaxPrice",
    "AWS.MM.SMS.OriginationNumber", "AWS.MM.SMS.EntityId", "AWS.MM.SMS.TemplateId",
}  # fmt: skip


@cache
def model(service: str) -> Any:
    """Return the SDK's own description of ``service``."""
    from botocore.session import get_session

    return get_session().get_service_model(service)


def error(code: str, *, status: int = 400, reason: str = "", **fields: Any) -> Reply:
    """Return an error as End User Messaging words it. The real ones quote the number, too."""
    body = {
        "__type": f"com.amazonaws.smsvoice#{code}",
        "Message": f"Not possible for +12025550123 ({reason})",
        **({"Reason": reason} if reason else {}),
        **fields,
    }
    return Reply(status, body, {"Content-Type": "application/x-amz-json-1.0"})


def xml_error(code: str, *, status: int = 400, message: str = "") -> Reply:
    """Return an error as SNS and STS word it."""
    words = escape(message or f"Not possible for +12025550123 ({code})")
    return _xml(
        "ErrorResponse",
        f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>",
        status=status,
    )


def _xml(root: str, content: str, *, status: int = 200) -> Reply:
    text = (
        f'<{root} xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{content}'
        f"<RequestId>{secrets.token_hex(16)}</RequestId></{root}>"
    )
    return Reply(status, text, {"Content-Type": "text/xml"})


class AWSAPI:
    """``texts``, ``calls``, ``publish``, ``opt_outs`` and ``tokens`` are :class:`Endpoint`.

    ``sent`` and ``spoken`` are what people got to read and to hear, by number, oldest first.
    ``opted_out`` are the numbers that wrote STOP. ``keys`` are those that may sign, with the secret
    and the session token of each: those of ``options``, and what STS gave out.
    """

    options: Mapping[str, str] = OPTIONS

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self.texts = Endpoint(self._text)
        self.calls = Endpoint(self._call)
        self.publish = Endpoint(self._publish)
        self.opt_outs = Endpoint(self._opt_out)
        self.tokens = Endpoint(self._token)
        self.sent: list[tuple[str, str]] = []
        self.spoken: list[tuple[str, list[str]]] = []
        self.opted_out: set[str] = set()
        self.keys = {ACCESS_KEY_ID: (SECRET_ACCESS_KEY, "")}
        self._lock = threading.Lock()

    @property
    def requests(self) -> list[Request]:
        return [*self.texts.requests, *self.calls.requests, *self.publish.requests]

    def handle_messaging(self, request: Request) -> Reply:
        prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        endpoints = {"SendTextMessage": self.texts, "SendVoiceMessage": self.calls}
        endpoint = endpoints.get(operation)
        if (request.method, request.path, prefix) != ("POST", "/", "PinpointSMSVoiceV2") or (
            endpoint is None
        ):
            self.problems.append(f"End User Messaging has no {request.method} {operation}")
            return error("UnknownOperationException")
        if (code := self._identify(request, "sms-voice")) is not None:
            endpoint.requests.append(request)  # so that a test sees it there too
            return error(code)
        return endpoint.answer(request)

    def handle_sns(self, request: Request) -> Reply:
        operation = request.form.get("Action", "")
        endpoints = {
            "Publish": self.publish,
            "CheckIfPhoneNumberIsOptedOut": self.opt_outs,
        }
        endpoint = endpoints.get(operation)
        if (request.method, request.path) != ("POST", "/") or endpoint is None:
            self.problems.append(f"SNS has no {request.method} {operation}")
            return xml_error("InvalidAction")
        if (code := self._identify(request, "sns")) is not None:
            endpoint.requests.append(request)
            names = {"UnrecognizedClientException": "InvalidClientTokenId"}
            return xml_error(names.get(code, "SignatureDoesNotMatch"), status=403)
        return endpoint.answer(request)

    def handle_sts(self, request: Request) -> Reply:
        return self.tokens.answer(request)

    def _identify(self, request: Request, service: str) -> str | None:
        """Return the code of the error if the signature (version 4) is not right."""
        match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if match is None:
            self.problems.append("no signature, or not of the form that it has")
            return "MissingAuthenticationTokenException"
        token = request.headers.get("X-Amz-Security-Token", "")
        if match["key"] not in self.keys or self.keys[match["key"]][1] != token:
            return "UnrecognizedClientException"
        secret = self.keys[match["key"]][0]
        scope = f"{match['day']}/{REGION}/{service}/aws4_request"
        signed = match["signed"].split(";")
        canonical = "\n".join(
            [
                request.method,
                request.path,
                "",
                *(f"{name}:{' '.join(request.headers[name].split())}" for name in signed),
                "",
                match["signed"],
                hashlib.sha256(request.body).hexdigest(),
            ]
        )
        to_sign = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                request.headers["X-Amz-Date"],
                scope,
                hashlib.sha256(canonical.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        expected = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        if not {"host", "x-amz-date"} <= set(signed) or expected != match["signature"]:
            return "InvalidSignatureException"
        return None

    def _judged(self, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        shape = model(service).operation_model(operation).input_shape
        self.problems.extend(_violations(shape, parameters, operation))

    def _text(self, request: Request) -> Reply:
        parameters = request.json
        self._judged(MESSAGING, "SendTextMessage", parameters)
        with self._lock:
            self.sent.append((parameters["DestinationPhoneNumber"], parameters["MessageBody"]))
        return _taken()

    def _call(self, request: Request) -> Reply:
        parameters = request.json
        self._judged(MESSAGING, "SendVoiceMessage", parameters)
        with self._lock:
            self.spoken.append((parameters["DestinationPhoneNumber"], self._listen(parameters)))
        return _taken()

    def _listen(self, parameters: Mapping[str, Any]) -> list[str]:
        if parameters.get("MessageBodyTextType") != "SSML":
            return str(parameters["MessageBody"]).splitlines()
        speech = ET.fromstring(parameters["MessageBody"])  # noqa: S314 (made by the code under test)
        if speech.tag != "speak" or {tag.tag for tag in speech} - {"break"}:
            self.problems.append(f"not SSML: {parameters['MessageBody']}")
        return [speech.text or "", *(pause.tail or "" for pause in speech)]

    def _opt_out(self, request: Request) -> Reply:
        parameters = dict(_members(request.form))
        self._judged(SNS, "CheckIfPhoneNumberIsOptedOut", parameters)
        opted_out = "true" if parameters["phoneNumber"] in self.opted_out else "false"
        name = "CheckIfPhoneNumberIsOptedOut"
        return _xml(
            f"{name}Response",
            f"<{name}Result><isOptedOut>{opted_out}</isOptedOut></{name}Result>",
        )

    def _publish(self, request: Request) -> Reply:
        parameters = dict(_members(request.form))
        attributes = dict(_attributes(request.form))
        self._judged(SNS, "Publish", {**parameters, "MessageAttributes": attributes})
        self.problems.extend(
            f"SNS knows no attribute {name}" for name in attributes.keys() - _SMS_ATTRIBUTES
        )
        number, text = parameters.get("PhoneNumber", ""), parameters.get("Message", "")
        if not _E164.fullmatch(number):
            return xml_error(
                "InvalidParameter",
                message=f"Invalid parameter: PhoneNumber Reason: {number} is not valid",
            )
        if not 0 < len(text.encode()) <= 1600:
            return xml_error("InvalidParameter", message="Invalid parameter: Message")
        with self._lock:
            self.sent.append((number, text))
        return _xml(
            "PublishResponse",
            f"<PublishResult><MessageId>{secrets.token_hex(16)}</MessageId></PublishResult>",
        )

    def _token(self, request: Request) -> Reply:
        """Give out keys for a web identity, as a cluster's workload has one."""
        parameters = dict(_members(request.form))
        self._judged(STS, "AssumeRoleWithWebIdentity", parameters)
        key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(), "t" * 40
        self.keys[key] = (secret, token)
        name = "AssumeRoleWithWebIdentity"
        return _xml(
            f"{name}Response",
            f"<{name}Result><Credentials><AccessKeyId>{key}</AccessKeyId>"
            f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
            "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>{parameters['RoleArn']}</Arn><AssumedRoleId>x</AssumedRoleId>"
            f"</AssumedRoleUser></{name}Result>",
        )


def _taken() -> Reply:
    body = {"MessageId": secrets.token_hex(16)}
    return Reply(200, body, {"Content-Type": "application/x-amz-json-1.0"})


def _members(form: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The plain parameters of a request in the "query" protocol."""
    for name, value in form.items():
        if name not in {"Action", "Version"} and not name.startswith("MessageAttributes."):
            yield name, value


def _attributes(form: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    number = 1
    while (entry := f"MessageAttributes.entry.{number}") + ".Name" in form:
        start = f"{entry}.Value."
        yield (
            form[f"{entry}.Name"],
            {name[len(start) :]: value for name, value in form.items() if name.startswith(start)},
        )
        number += 1


def _violations(shape: Any, value: Any, where: str) -> Iterator[str]:
    """What is not as ``shape`` of the model wants it. The SDK itself looks at half of this only."""
    if shape.type_name == "structure":
        yield from (f"{where}: unknown {name}" for name in value.keys() - shape.members.keys())
        yield from (f"{where}: no {name}" for name in set(shape.required_members) - value.keys())
        for name in value.keys() & shape.members.keys():
            yield from _violations(shape.members[name], value[name], f"{where}.{name}")
    elif shape.type_name == "map":
        for name, member in value.items():
            yield from _violations(shape.value, member, f"{where}[{name}]")
    elif not _keeps(shape, value):
        yield f"{where}: {value!r} is no {shape.type_name} of {shape.metadata}"


def _keeps(shape: Any, value: Any) -> bool:
    limits = shape.metadata
    low, high = limits.get("min", 0), limits.get("max", float("inf"))
    if shape.type_name == "integer":
        return isinstance(value, int) and low <= value <= high
    return (
        shape.type_name == "string"
        and isinstance(value, str)
        and low <= len(value) <= high
        and (not shape.enum or value in shape.enum)
        and re.fullmatch(limits.get("pattern", ".*"), value, re.DOTALL) is not None
    )
