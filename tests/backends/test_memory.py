from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core import mail

from django_otp_channels.backends import memory
from django_otp_channels.backends.base import Backend
from django_otp_channels.exceptions import BackendMisconfigured
from django_otp_channels.messages import Message

from .contract import BackendContract


class MemoryContract(BackendContract):
    provider = "memory"

    @pytest.fixture(autouse=True)
    def _empty(self) -> Iterator[None]:
        memory.outbox.clear()
        yield
        memory.outbox.clear()

    @pytest.fixture
    def seen(self) -> Callable[[], list[str]]:
        return lambda: [message.text for message in memory.outbox]

    def test_keeps_the_message_itself(self, backend: Backend, message: Message) -> None:
        backend.send(message, timeout=5)
        assert memory.outbox == [message]

    def test_runs_inline(self, backend: Backend) -> None:
        assert backend.inline

    def test_refuses_to_run_in_production(
        self, backend: Backend, message: Message, settings: object,
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.delattr(mail, "outbox")
        error = self.failing(backend, message, BackendMisconfigured, caplog)
        assert "DEBUG=False" in error.detail
        assert memory.outbox == []

    def test_runs_where_a_developer_debugs(
        self, backend: Backend, message: Message, settings: object,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.delattr(mail, "outbox")
        settings.DEBUG = True  # type: ignore[attr-defined]
        assert backend.send(message, timeout=5).message_id


class TestSMS(MemoryContract):
    path = "django_otp_channels.backends.memory.SMS"
    channel = "sms"


class TestVoice(MemoryContract):
    path = "django_otp_channels.backends.memory.Voice"
    channel = "voice"


class TestPush(MemoryContract):
    path = "django_otp_channels.backends.memory.Push"
    channel = "push"
