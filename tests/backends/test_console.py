from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core import mail

from django_otp_channels.backends.base import Backend
from django_otp_channels.exceptions import BackendMisconfigured
from django_otp_channels.messages import Message

from .contract import BackendContract


class ConsoleContract(BackendContract):
    provider = "console"

    @pytest.fixture
    def seen(self, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
        def seen() -> list[str]:
            printed = capsys.readouterr().out.split("-" * 60 + "\n")
            # Each message stands between two rules, under a line that says where it goes.
            return [part.partition("\n")[2].removesuffix("\n") for part in printed if part]

        return seen

    def test_says_where_the_message_goes(
        self, backend: Backend, message: Message, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend.send(message, timeout=5)
        assert f"{self.channel} to {message.to}\n" in capsys.readouterr().out

    def test_runs_inline(self, backend: Backend) -> None:
        assert backend.inline

    def test_refuses_to_run_in_production(
        self, backend: Backend, message: Message, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        monkeypatch.delattr(mail, "outbox")
        error = self.failing(backend, message, BackendMisconfigured, caplog)
        assert "DEBUG=False" in error.detail
        assert capsys.readouterr().out == ""


class TestSMS(ConsoleContract):
    path = "django_otp_channels.backends.console.SMS"
    channel = "sms"


class TestVoice(ConsoleContract):
    path = "django_otp_channels.backends.console.Voice"
    channel = "voice"


class TestPush(ConsoleContract):
    path = "django_otp_channels.backends.console.Push"
    channel = "push"
