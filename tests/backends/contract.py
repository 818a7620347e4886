"""What every backend promises. A backend's test inherits one of these and says where it looks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from django.conf import LazySettings

from django_otp_channels import channels
from django_otp_channels.backends.base import Backend
from django_otp_channels.codes import Token
from django_otp_channels.exceptions import (
    BackendMisconfigured,
    DeliveryError,
    DeliveryUnavailable,
    DeliveryUnknown,
)
from django_otp_channels.messages import Message, Receipt, compose
from tests.providers.loopback import HANG, HTML, RESET, Endpoint, Network, Reply

NUMBER = "+12025550123"
TOKEN = Token("048213")
REFERENCE = "6f6bdb1c-45f0-4be2-9ea4-b5de0b87e6a9"
SPARE = 1.5  # seconds that a busy machine may add to a time limit


def message(
    channel: str, to: str = NUMBER, *, language: str = "en", lifetime: int = 300
) -> Message:
    return compose(
        channel,
        to=to,
        token=TOKEN,
        purpose="login",
        language=language,
        lifetime=lifetime,
        reference=REFERENCE,
    )


class BackendContract:
    """A subclass sets ``path``, ``channel``, ``provider`` and gives ``seen``."""

    path: ClassVar[str]
    channel: ClassVar[str]
    provider: ClassVar[str]
    to: ClassVar[str] = NUMBER

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        return {}

    @pytest.fixture
    def secrets(self) -> list[str]:
        """What must never be shown of the options."""
        return []

    @pytest.fixture
    def seen(self) -> Callable[[], list[str]]:
        """Return a function that returns the texts that people got, oldest first."""
        raise NotImplementedError

    @pytest.fixture
    def build(self, settings: LazySettings) -> Callable[..., Backend]:
        def build(**options: Any) -> Backend:
            settings.OTP_CHANNELS = {self.channel: [{"BACKEND": self.path, "OPTIONS": options}]}
            return channels.build(self.channel, 0)

        return build

    @pytest.fixture
    def backend(self, build: Callable[..., Backend], options: Mapping[str, Any]) -> Backend:
        return build(**options)

    @pytest.fixture
    def message(self) -> Message:
        return message(self.channel, self.to)

    def test_hands_the_message_over_and_returns_the_receipt(
        self, backend: Backend, message: Message, seen: Callable[[], list[str]]
    ) -> None:
        receipt = backend.send(message, timeout=5)
        assert isinstance(receipt, Receipt)
        assert receipt.provider == backend.provider == self.provider
        assert receipt.message_id
        assert seen() == [message.text]

    def test_two_messages_have_two_receipts(
        self, backend: Backend, message: Message, seen: Callable[[], list[str]]
    ) -> None:
        ids = {backend.send(message, timeout=5).message_id for _ in range(2)}
        assert len(ids) == (1 if self.provider == "console" else 2)
        assert seen() == [message.text] * 2

    def test_carries_its_channel(self, backend: Backend) -> None:
        assert backend.channels == {self.channel}

    def test_refuses_an_unknown_option(
        self, build: Callable[..., Backend], options: Mapping[str, Any]
    ) -> None:
        with pytest.raises(BackendMisconfigured) as caught:
            build(**options, colour="red")
        assert "colour" in caught.value.detail

    def test_repr_shows_no_secret(self, backend: Backend, secrets: list[str]) -> None:
        assert not [secret for secret in secrets if secret in repr(backend)]

    def test_has_nothing_to_complain_of_when_it_is_configured(self, backend: Backend) -> None:
        assert list(backend.check()) == []

    def test_logs_neither_the_code_nor_the_address(
        self, backend: Backend, message: Message, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            backend.send(message, timeout=5)
        self.harmless(caplog.text)

    def harmless(self, text: str) -> None:
        for telltale in (TOKEN, ", ".join(TOKEN), self.to, self.to.lstrip("+")):
            assert telltale not in text

    def failing(
        self,
        backend: Backend,
        message: Message,
        expected: type[Exception],
        caplog: pytest.LogCaptureFixture,
        *,
        timeout: float = 5,
    ) -> Any:
        """Return the error of a send that must fail as ``expected``, in time, telling nothing."""
        started = time.monotonic()
        with (
            caplog.at_level(logging.DEBUG),
            pytest.raises((DeliveryError, BackendMisconfigured)) as caught,
        ):
            backend.send(message, timeout=timeout)
        error: Any = caught.value
        assert time.monotonic() - started < timeout + SPARE
        assert type(error) is expected, f"{error!r}, code {error.code}"
        # A report of the error would print its context, in which the SDK quotes the number.
        assert error.__context__ is None
        assert error.__cause__ is None
        self.harmless(f"{error} {error!r} {error.args} {vars(error)} {caplog.text}")
        return error


# What arrives, what it means, and the time-out to try it with.
AFTER_THE_REQUEST_LEFT = {
    "silence": (HANG, DeliveryUnknown, 0.4),
    "reset": (RESET, DeliveryUnknown, 5),
    "half, then closed": (Reply(201, {"sid": "SM1", "name": "1"}, how="half"), DeliveryUnknown, 5),
    "half, then silence": (
        Reply(201, {"sid": "SM1", "name": "1"}, how="half-hang"), DeliveryUnknown, 0.4
    ),
    "a byte at a time": (Reply(201, " " * 999, how="trickle"), DeliveryUnknown, 0.4),
    "too long": (Reply(201, '{"sid": "SM1", "name": "1"}' + " " * 100_000), DeliveryUnknown, 5),
    "200 HTML": (Reply(200, HTML), DeliveryUnknown, 5),
    "200 empty": (Reply(200), DeliveryUnknown, 5),
    "200 {}": (Reply(200, {}), DeliveryUnknown, 5),
    "200 []": (Reply(200, []), DeliveryUnknown, 5),
    "200 without an id": (Reply(200, {"sid": None, "name": ""}), DeliveryUnknown, 5),
    "302": (
        Reply(302, HTML, {"Location": "https://elsewhere.example/"}), BackendMisconfigured, 5
    ),
    "307": (
        Reply(307, HTML, {"Location": "https://elsewhere.example/"}), BackendMisconfigured, 5
    ),
    "403 HTML": (Reply(403, HTML), BackendMisconfigured, 5),
    "408 empty": (Reply(408), DeliveryUnavailable, 5),
    "418 HTML": (Reply(418, HTML), DeliveryUnavailable, 5),
    "425 empty": (Reply(425), DeliveryUnavailable, 5),
    "429 with Retry-After": (Reply(429, HTML, {"Retry-After": "20"}), DeliveryUnavailable, 5),
    "500 empty": (Reply(500), DeliveryUnknown, 5),
    "502 HTML": (Reply(502, HTML), DeliveryUnknown, 5),
    "503 with Retry-After": (Reply(503, HTML, {"Retry-After": "20"}), DeliveryUnknown, 5),
    "500 JSON of nobody": (Reply(500, {"error": {}}), DeliveryUnknown, 5),
}  # fmt: skip


class NetworkContract(BackendContract):
    """For a backend with a provider behind it. A subclass also gives ``endpoint``.

    ``ca_variable`` names the variable in which its SDK looks for a CA bundle first.
    """

    ca_variable: ClassVar[str] = "REQUESTS_CA_BUNDLE"

    @pytest.fixture
    def endpoint(self) -> Endpoint:
        raise NotImplementedError

    @pytest.mark.parametrize(
        ("reply", "expected", "timeout"),
        AFTER_THE_REQUEST_LEFT.values(),
        ids=AFTER_THE_REQUEST_LEFT.keys(),
    )
    def test_sorts_what_comes_after_the_request_left(
        self, backend: Backend, message: Message, endpoint: Endpoint, reply: Reply,
        expected: type[Exception], timeout: float, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        backend.send(message, timeout=5)  # what an SDK does at first is slow, and not the point
        endpoint.always(reply)
        self.failing(backend, message, expected, caplog, timeout=timeout)
        assert len(endpoint.requests) == 2

    @pytest.mark.parametrize("way", ["no-tunnel", "hang", "no-tls", "impostor"])
    def test_says_unavailable_when_nothing_can_have_left(
        self, backend: Backend, message: Message, endpoint: Endpoint, way: str,
        provider_network: Network, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        provider_network.way = way
        self.failing(backend, message, DeliveryUnavailable, caplog, timeout=0.4)
        assert endpoint.requests == []

    def test_says_unavailable_when_the_connection_is_refused(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        self.failing(backend, message, DeliveryUnavailable, caplog)
        assert endpoint.requests == []

    def test_says_unavailable_when_there_is_no_time_left(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        self.failing(backend, message, DeliveryUnavailable, caplog, timeout=0)
        assert endpoint.requests == []

    def test_says_misconfigured_when_the_ca_bundle_is_missing(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.setenv(self.ca_variable, "/nowhere/ca.pem")
        self.failing(backend, message, BackendMisconfigured, caplog)

    def test_keeps_its_connections(
        self, backend: Backend, message: Message, endpoint: Endpoint, provider_network: Network
    ) -> None:
        backend.send(message, timeout=5)
        for _ in range(3):
            backend.send(message, timeout=5)
        assert len(endpoint.requests) == 4
        assert provider_network.connections[endpoint.requests[0].host] == 1

    def test_works_again_after_a_broken_answer(
        self, backend: Backend, message: Message, endpoint: Endpoint,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        endpoint.script(RESET)
        self.failing(backend, message, DeliveryUnknown, caplog)
        assert backend.send(message, timeout=5).message_id
