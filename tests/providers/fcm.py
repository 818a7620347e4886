"""A stand-in for FCM's HTTP v1 API and for Google's token endpoint."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .loopback import Endpoint, Reply, Request

HOST = "fcm.googleapis.com"
TOKEN_HOST = "oauth2.googleapis.com"
IAM_HOST = "iamcredentials.googleapis.com"
PROJECT = "the-project-of-the-tests"
EMAIL = f"sender@{PROJECT}.iam.gserviceaccount.com"

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_DURATION = re.compile(r"[0-9]+(\.[0-9]{1,9})?s", re.ASCII)
_FID = re.compile(r"[cdef][A-Za-z0-9_-]{21}", re.ASCII)
_TARGETS = ("token", "fid", "topic", "condition")
_FIELDS = {*_TARGETS, "name", "data", "notification", "android", "webpush", "apns", "fcm_options"}
_MAX_PAYLOAD = 4096
_FOUR_WEEKS = 28 * 24 * 3600


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def service_account() -> Mapping[str, str]:
    """Return the content of a service account's JSON file, with a key made for this run."""
    pem = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "0" * 40,
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "client_id": "1" * 21,
        "token_uri": f"https://{TOKEN_HOST}/token",
    }


def error(http: int, status: str, *, code: str = "", **headers: str) -> Reply:
    """Return an error of Google's API; ``code`` adds what FCM itself says (``FcmError``)."""
    details = [{"@type": _FCM_ERROR, "errorCode": code}] if code else []
    body = {"error": {"code": http, "message": "Not sent.", "status": status, "details": details}}
    return Reply(http, body, {name.replace("_", "-"): value for name, value in headers.items()})


def bad_request(*violations: str) -> Reply:
    """Return the error for a message whose form is wrong."""
    detail = {
        "@type": _BAD_REQUEST,
        "fieldViolations": [{"field": "message", "description": each} for each in violations],
    }
    body = {
        "code": 400,
        "message": "; ".join(violations),
        "status": "INVALID_ARGUMENT",
        "details": [detail],
    }
    return Reply(400, {"error": body})


class FCMAPI:
    """``messages`` and ``tokens`` (OAuth) are :class:`~.loopback.Endpoint`.

    ``notifications`` are the ``message`` objects that phones got, oldest first. ``options`` are the
    ``OPTIONS`` of a backend that may send. ``revoke()`` makes all access tokens worthless.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self.options: dict[str, Any] = {"credentials": service_account()}
        self.messages = Endpoint(self._message)
        self.tokens = Endpoint(self._token)
        self.notifications: list[dict[str, Any]] = []
        self._access: set[str] = set()

    @property
    def requests(self) -> list[Request]:
        return self.messages.requests

    def revoke(self) -> None:
        self._access.clear()

    def handle(self, request: Request) -> Reply:
        if (
            request.method != "POST"
            or re.fullmatch(r"/v1/projects/[^/]+/messages:send", request.path) is None
        ):
            self.problems.append(f"FCM has no {request.method} {request.path}")
            return Reply(404, "<html>404</html>")
        return self.messages.answer(request)

    def handle_token(self, request: Request) -> Reply:
        return self.tokens.answer(request)

    def handle_iam(self, request: Request) -> Reply:
        # google-auth asks for "allowed locations" in a background thread; accounts without such a
        # boundary have none.
        assert request.path.endswith("/allowedLocations"), request.path
        return error(404, "NOT_FOUND")

    def _token(self, request: Request) -> Reply:
        form = request.form
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return Reply(400, {"error": "unsupported_grant_type"})
        signed, _, signature = form["assertion"].rpartition(".")
        try:
            _key().public_key().verify(
                _decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return Reply(400, {"error": "invalid_grant", "error_description": "Bad signature"})
        claims = json.loads(_decoded(signed.partition(".")[2]))
        now = time.time()
        if (
            claims["iss"] != EMAIL
            or claims["aud"] != f"https://{TOKEN_HOST}/token"
            or not claims["iat"] - 300 <= now < claims["exp"]
            or "https://www.googleapis.com/auth/cloud-platform" not in claims["scope"]
        ):
            return Reply(400, {"error": "invalid_grant", "error_description": "Bad claims"})
        access = f"ya29.{secrets.token_urlsafe(24)}"
        self._access.add(access)
        return Reply(200, {"access_token": access, "expires_in": 3599, "token_type": "Bearer"})

    def _message(self, request: Request) -> Reply:
        scheme, _, access = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or access not in self._access:
            return error(401, "UNAUTHENTICATED")
        if request.path != f"/v1/projects/{PROJECT}/messages:send":
            return error(404, "NOT_FOUND")
        message = request.json.get("message", {})
        violations = list(_violations(message))
        if violations:
            return bad_request(*violations)
        self.notifications.append(message)
        return Reply(200, {"name": f"projects/{PROJECT}/messages/0:{secrets.token_hex(8)}"})


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _violations(message: dict[str, Any]) -> list[str]:
    android, apns = message.get("android", {}), message.get("apns", {})
    webpush, data = message.get("webpush", {}), message.get("data", {})
    ttl = android.get("ttl", "0s")
    apns_headers = apns.get("headers", {})
    headers = {**apns_headers, **webpush.get("headers", {})}
    payload = {name: message.get(name) for name in ("data", "notification")}
    rules = {
        "unknown field": not message.keys() - _FIELDS,
        "exactly one target": sum(target in message for target in _TARGETS) == 1,
        "fid": "fid" not in message or _FID.fullmatch(message["fid"]) is not None,
        "data: strings, no reserved key": all(
            isinstance(value, str)
            and name not in {"from", "message_type"}
            and not name.startswith(("google.", "gcm."))
            for name, value in data.items()
        ),
        "notification": message.get("notification", {}).keys() <= {"title", "body", "image"},
        "android.priority": android.get("priority", "normal").lower() in {"normal", "high"},
        "android.ttl": _DURATION.fullmatch(ttl) is not None and float(ttl[:-1]) <= _FOUR_WEEKS,
        "headers: strings": all(isinstance(value, str) for value in headers.values()),
        "apns-priority": apns_headers.get("apns-priority", "10") in {"1", "5", "10"},
        # A UNIX time; a mere number of seconds would be in 1970, and the push never shown.
        "apns-expiration": int(apns_headers.get("apns-expiration", 0)) == 0
        or int(apns_headers["apns-expiration"]) > 1_600_000_000,
        "apns-collapse-id": len(apns_headers.get("apns-collapse-id", "").encode()) <= 64,
        "apns.payload": not apns or "aps" in apns.get("payload", {}),
        "webpush TTL": webpush.get("headers", {}).get("TTL", "0").isdecimal(),
        "webpush Urgency": webpush.get("headers", {}).get("Urgency", "high")
        in {"very-low", "low", "normal", "high"},
        "4096 bytes": len(json.dumps(payload).encode()) <= _MAX_PAYLOAD,
    }
    return [rule for rule, kept in rules.items() if not kept]
