from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from firebase_admin import messaging
from google.auth.exceptions import RefreshError

from django_otp_channels.backends import fcm as backends
from django_otp_channels.backends.base import Backend
from django_otp_channels.exceptions import (
    BackendMisconfigured,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
    Reason,
)
from django_otp_channels.messages import Message
from tests.providers import fcm as stand_in
from tests.providers.fcm import FCMAPI, error
from tests.providers.loopback import HANG, HTML, RESET, Endpoint, Network, Reply

from .contract import REFERENCE, TOKEN, NetworkContract, message

pytestmark = pytest.mark.provider

PAYLOAD = {
    "our time to live": ["message.android.ttl"],
    "our payload beside the token": ["message.token", "message.data"],
}
FID = "cJZsHDjYT0KXEhQ8r2vN3q"
OUTCOMES = {
    "gone": (error(404, "NOT_FOUND", code="UNREGISTERED"), DeliveryRefused, True),
    "other project": (
        error(403, "PERMISSION_DENIED", code="SENDER_ID_MISMATCH"), DeliveryRefused, True
    ),
    "no address": (
        error(400, "INVALID_ARGUMENT", code="INVALID_ARGUMENT"), DeliveryRefused, True
    ),
    "our bug": (stand_in.bad_request("data"), DeliveryRefused, False),
    "quota": (
        error(429, "RESOURCE_EXHAUSTED", code="QUOTA_EXCEEDED", Retry_After="20"),
        DeliveryUnavailable, False,
    ),
    "exhausted": (error(429, "RESOURCE_EXHAUSTED"), DeliveryUnavailable, False),
    "unavailable": (
        error(503, "UNAVAILABLE", code="UNAVAILABLE", Retry_After="20"), DeliveryUnavailable, False
    ),
    "internal": (error(500, "INTERNAL", code="INTERNAL"), DeliveryUnavailable, False),
    "no such project": (error(404, "NOT_FOUND"), BackendMisconfigured, False),
    "may not": (error(403, "PERMISSION_DENIED"), BackendMisconfigured, False),
    "unheard of": (error(400, "FAILED_PRECONDITION", code="NEW"), DeliveryUnavailable, False),
    "unheard of, 500": (error(500, "DATA_LOSS", code="NEW"), DeliveryUnknown, False),
    "malformed code": (
        # The SDK stumbles over it, and what was answered is lost.
        Reply(400, {"error": {"status": ["x"], "details": [{"errorCode": {}}]}}),
        DeliveryUnknown, False,
    ),
}  # fmt: skip
# Of these the next message would fare no better, whoever it is for.
PROVIDER_WIDE = {
    "exhausted", "unavailable", "internal", "may not", "unheard of, 500", "malformed code",
}  # fmt: skip


class TestPush(NetworkContract):
    path = "django_otp_channels.backends.fcm.Push"
    channel = "push"
    provider = "fcm"
    to = "fMyRegistrationToken:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx" * 2

    @pytest.fixture
    def options(self, fcm_api: FCMAPI) -> Mapping[str, Any]:
        return fcm_api.options

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [stand_in.service_account()["private_key"][100:140], stand_in.EMAIL]

    @pytest.fixture
    def endpoint(self, fcm_api: FCMAPI) -> Endpoint:
        return fcm_api.messages

    @pytest.fixture
    def seen(self, fcm_api: FCMAPI) -> Callable[[], list[str]]:
        return lambda: [each["notification"]["body"] for each in fcm_api.notifications]

    @pytest.mark.parametrize("fields", PAYLOAD.values(), ids=PAYLOAD.keys())
    def test_a_payload_that_fcm_does_not_take_is_no_fault_of_the_device(
        self, backend: Backend, message: Message, endpoint: Endpoint, fields: list[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        reply: Any = error(400, "INVALID_ARGUMENT", code="INVALID_ARGUMENT")
        violations = [{"field": field, "description": "wrong"} for field in fields]
        reply.body["error"]["details"].append({"fieldViolations": violations})
        endpoint.always(reply)

        found = self.failing(backend, message, BackendMisconfigured, caplog)

        assert (found.code, found.provider_wide) == ("INVALID_ARGUMENT", False)

    def test_a_backend_goes_where_an_event_loop_runs(
        self, build: Callable[..., Backend], message: Message, fcm_api: FCMAPI
    ) -> None:
        import firebase_admin

        backend: Any = build(**fcm_api.options)
        backend.send(message, timeout=5)
        name = backend._app.name
        assert name in firebase_admin._apps

        async def forget(_backends: list[Backend]) -> None:
            _backends.clear()
            gc.collect()

        holder = [backend]
        del backend
        asyncio.run(forget(holder))
        for thread in threading.enumerate():
            if thread.name == "otp-channels-fcm-delete":
                thread.join(5)
        assert name not in firebase_admin._apps

    def test_sends_the_notification_of_each_platform(
        self, backend: Backend, message: Message, fcm_api: FCMAPI
    ) -> None:
        before = int(time.time())
        backend.send(message, timeout=5)
        (sent,) = fcm_api.notifications
        expires = int(sent["apns"]["headers"].pop("apns-expiration"))
        assert before + 300 <= expires <= time.time() + 300
        assert sent == {
            "token": self.to,
            "notification": {"title": "Example", "body": message.text},
            "data": {"kind": "otp"},
            "android": {
                "priority": "high",
                "ttl": "300s",
                "collapse_key": REFERENCE,
                "notification": {"tag": REFERENCE, "channel_id": "otp"},
            },
            "apns": {
                "headers": {"apns-priority": "10", "apns-collapse-id": REFERENCE},
                "payload": {"aps": {"sound": "default", "interruption-level": "time-sensitive"}},
            },
            "webpush": {"headers": {"TTL": "300", "Urgency": "high", "Topic": REFERENCE[:32]}},
        }

    def test_shows_the_code_only_in_the_visible_text(
        self, backend: Backend, message: Message, fcm_api: FCMAPI
    ) -> None:
        backend.send(message, timeout=5)
        assert json.dumps(fcm_api.notifications).count(TOKEN) == 1
        assert TOKEN in fcm_api.notifications[0]["notification"]["body"]

    @pytest.mark.parametrize(
        ("address", "target"),
        [(FID, "fid"), ("b" + FID[1:], "token"), (FID + "x", "token"), (FID + "\n", "token")],
    )
    def test_tells_an_installation_id_from_a_registration_token(
        self, backend: Backend, fcm_api: FCMAPI, address: str, target: str
    ) -> None:
        backend.send(message("push", address), timeout=5)
        assert fcm_api.notifications[0][target] == address

    def test_cuts_a_long_reference_for_apple(self, backend: Backend, fcm_api: FCMAPI) -> None:
        long = message("push", self.to)
        object.__setattr__(long, "reference", "é" * 40)
        backend.send(long, timeout=5)
        assert fcm_api.notifications[0]["apns"]["headers"]["apns-collapse-id"] == "é" * 32

    def test_needs_no_reference(self, backend: Backend, fcm_api: FCMAPI) -> None:
        bare = message("push", self.to, lifetime=-5)
        object.__setattr__(bare, "reference", "")
        backend.send(bare, timeout=5)
        assert fcm_api.notifications[0]["android"]["ttl"] == "0s"

    @pytest.mark.parametrize("name", OUTCOMES)
    def test_sorts_each_error(
        self, backend: Backend, message: Message, endpoint: Endpoint, name: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        reply, expected, dead = OUTCOMES[name]
        endpoint.always(reply)
        found = self.failing(backend, message, expected, caplog)
        assert (getattr(found, "reason", "") == Reason.GONE) is dead
        assert found.provider_wide is (name in PROVIDER_WIDE)
        assert len(endpoint.requests) == 1

    @pytest.mark.parametrize("code", ["THIRD_PARTY_AUTH_ERROR", "APNS_AUTH_ERROR"])
    def test_a_bad_key_for_apple_is_our_fault(
        self, backend: Backend, message: Message, endpoint: Endpoint, code: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        # Also a 401, so that the SDK fetches a new access token and asks again.
        endpoint.always(error(401, "UNAUTHENTICATED", code=code))
        found = self.failing(backend, message, BackendMisconfigured, caplog)
        assert found.code == code
        assert not found.provider_wide  # Android's notifications do arrive

    def test_what_the_sdk_itself_refuses_is_about_this_message(
        self, backend: Backend, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        backend.send(message("push", self.to), timeout=5)
        found = self.failing(backend, message("push", ""), DeliveryUnknown, caplog)
        assert (found.code, found.provider_wide) == ("ValueError", False)
        assert len(endpoint.requests) == 1

    @pytest.mark.parametrize("body", ["text", {"error": "text"}, {"error": {"details": 5}}])
    def test_survives_a_malformed_error(
        self, backend: Backend, message: Message, endpoint: Endpoint, body: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.always(Reply(500, body))
        self.failing(backend, message, DeliveryUnknown, caplog)

    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            (Reply(400, {"error": "invalid_grant"}), BackendMisconfigured),
            (Reply(401, {"error": "invalid_client"}), BackendMisconfigured),
            (RESET, DeliveryUnavailable),
            (HANG, DeliveryUnavailable),
            (Reply(200, HTML), DeliveryUnavailable),
            (Reply(503, HTML), DeliveryUnavailable),  # google-auth waits, and asks again
            (Reply(302, HTML, {"Location": "https://elsewhere.example/"}), DeliveryUnavailable),
        ],
        ids=["invalid grant", "invalid client", "reset", "silence", "200 HTML", "503", "302"],
    )
    def test_sends_nothing_without_an_access_token(
        self, backend: Backend, message: Message, fcm_api: FCMAPI, reply: Reply,
        expected: type[Exception], caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        fcm_api.tokens.always(reply)
        self.failing(backend, message, expected, caplog, timeout=0.5)
        assert fcm_api.requests == []

    def test_fetches_one_access_token_for_many_sends(
        self, backend: Backend, message: Message, fcm_api: FCMAPI
    ) -> None:
        for _ in range(3):
            backend.send(message, timeout=5)
        assert len(fcm_api.tokens.requests) == 1

    def test_renews_an_access_token_that_was_revoked(
        self, backend: Backend, message: Message, fcm_api: FCMAPI
    ) -> None:
        backend.send(message, timeout=5)
        fcm_api.revoke()
        backend.send(message, timeout=5)
        assert len(fcm_api.notifications) == 2
        assert len(fcm_api.tokens.requests) == 2

    @pytest.mark.parametrize("reply", [RESET, HANG], ids=["reset", "silence"])
    def test_a_renewal_that_fails_sends_nothing(
        self, backend: Backend, message: Message, fcm_api: FCMAPI, reply: Reply,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend.send(message, timeout=5)
        fcm_api.revoke()
        fcm_api.tokens.always(reply)
        self.failing(backend, message, DeliveryUnavailable, caplog, timeout=0.5)
        assert len(fcm_api.notifications) == 1
        assert len(fcm_api.tokens.requests) == 2

    @pytest.mark.parametrize("way", ["no-tunnel", "hang", "no-tls", "impostor"])
    def test_a_later_connection_that_fails_sends_nothing(
        self, backend: Backend, message: Message, fcm_api: FCMAPI, way: str,
        provider_network: Network, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend.send(message, timeout=5)
        fcm_api.messages.script(Reply(200, {"name": "2"}, {"Connection": "close"}))
        backend.send(message, timeout=5)
        provider_network.way = way
        self.failing(backend, message, DeliveryUnavailable, caplog, timeout=0.5)
        assert len(fcm_api.requests) == 2

    def test_says_so_when_the_sdk_cannot_be_kept_from_repeating(
        self, build: Callable[..., Backend], options: Mapping[str, Any], message: Message,
        endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.delattr(messaging, "_get_messaging_service")
        # Without that name the SDK cannot send either; the outcome of which is not the point.
        with caplog.at_level(logging.WARNING):
            self.failing(build(**options), message, DeliveryUnknown, caplog)
        assert "repeats a failed send" in caplog.text
        assert endpoint.requests == []

    def test_reads_the_credentials_from_a_file(
        self, build: Callable[..., Backend], message: Message, fcm_api: FCMAPI, tmp_path: Path
    ) -> None:
        path = tmp_path / "account.json"
        path.write_text(json.dumps(stand_in.service_account()))
        assert build(credentials=str(path)).send(message, timeout=5).message_id
        assert len(fcm_api.notifications) == 1

    def test_reads_the_credentials_from_the_environment(
        self, build: Callable[..., Backend], message: Message, fcm_api: FCMAPI, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        path = tmp_path / "account.json"
        path.write_text(json.dumps(stand_in.service_account()))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        assert build().send(message, timeout=5).message_id
        assert len(fcm_api.notifications) == 1

    def test_takes_the_project_from_the_options(
        self, build: Callable[..., Backend], message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(credentials=stand_in.service_account(), project_id="another")
        self.failing(backend, message, BackendMisconfigured, caplog)
        assert endpoint.requests[0].path == "/v1/projects/another/messages:send"

    @pytest.mark.parametrize(
        "content", ["", "{}", '{"type": "authorized_user"}', '{"type": "service_account"}']
    )
    def test_useless_credentials_are_our_fault(
        self, build: Callable[..., Backend], message: Message, fcm_api: FCMAPI, tmp_path: Path,
        content: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        path = tmp_path / "account.json"
        path.write_text(content)
        backend = build(credentials=str(path))
        assert self.failing(backend, message, BackendMisconfigured, caplog).code == "credentials"
        assert fcm_api.requests == []

    def test_reports_a_missing_project(
        self, build: Callable[..., Backend], message: Message, fcm_api: FCMAPI,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend = build(credentials={**stand_in.service_account(), "project_id": ""})
        assert self.failing(backend, message, BackendMisconfigured, caplog).code == "project-id"
        assert fcm_api.requests == []

    def test_reports_a_file_that_is_missing(
        self, build: Callable[..., Backend], message: Message, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        path = str(tmp_path / "none.json")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
        for backend in (build(credentials=path), build()):
            (found,) = backend.check()
            assert found.id == "otp_channels.W112"
            assert not found.is_serious()
            assert found.hint
            self.failing(backend, message, BackendMisconfigured, caplog)

    def test_reports_a_missing_sdk(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.setitem(sys.modules, "firebase_admin", None)  # type: ignore[arg-type]
        (found,) = backend.check()
        assert found.id == "otp_channels.E111"
        assert "django-otp-channels[fcm]" in str(found.hint)
        self.failing(backend, message, BackendMisconfigured, caplog)

    def test_an_app_goes_with_its_backend_wherever_the_garbage_is_collected(
        self, build: Callable[..., Backend], options: Mapping[str, Any], message: Message,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """An import would fail there: the interpreter may be ending, or the SDK be hidden."""
        import firebase_admin

        backend: Any = build(**options)
        backend.send(message, timeout=5)
        name = backend._app.name
        assert name in firebase_admin._apps
        apps = firebase_admin._apps
        monkeypatch.setitem(sys.modules, "firebase_admin", None)  # type: ignore[arg-type]

        del backend
        gc.collect()

        assert name not in apps

    def test_two_backends_do_not_share_an_app(
        self, build: Callable[..., Backend], options: Mapping[str, Any], message: Message
    ) -> None:
        first, second = build(**options), build(**options)
        assert first.send(message, timeout=5) != second.send(message, timeout=5)


def test_a_token_endpoint_that_is_down_is_not_our_fault() -> None:
    # By HTTP it takes google-auth seconds to come to this.
    outcome = backends._outcome(RefreshError("503", retryable=True), sent=False)
    assert type(outcome) is DeliveryUnavailable


def test_the_table_has_every_code_of_the_sdk() -> None:
    known = messaging._MessagingService.FCM_ERROR_TYPES
    assert known.keys() <= backends.CODES.keys()
