"""Fixtures that most tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from django_otp_channels import breaker
from django_otp_channels.backends import memory
from django_otp_channels.messages import Message

from .factories import PASSWORD, PhoneFactory, UserFactory
from .hooks import TWILIO, Sent, sends_are_over
from .journey import Journey
from .providers.fixtures import _shared_network, aws_api, fcm_api, provider_network, twilio_api
from .providers.twilio import TwilioAPI

__all__ = ["_shared_network", "aws_api", "fcm_api", "provider_network", "twilio_api"]


@pytest.fixture(autouse=True)
def _closed_breakers() -> None:
    """No test meets a provider that an earlier one has left paused."""
    breaker.forget()


@pytest.fixture
def outbox() -> Iterator[list[Message]]:
    memory.outbox.clear()
    yield memory.outbox
    memory.outbox.clear()


@pytest.fixture
def alex(db: None) -> Any:
    """A person without a device."""
    return UserFactory(username="alex")


@pytest.fixture
def phone(alex: Any) -> Any:
    """Alex's confirmed phone, which prefers text messages."""
    return PhoneFactory(user=alex, address="+12025550123")


@pytest.fixture
def journey(client: Client, outbox: list[Message]) -> Journey:
    """A browser on its way through the login pages."""
    return Journey(client, outbox, PASSWORD)


@pytest.fixture
def over_twilio(
    twilio_api: TwilioAPI, settings: Any, client: Client, outbox: list[Message]
) -> Iterator[Callable[..., Sent]]:
    """Return a function that enters Alex's password and waits until Twilio has taken the message.

    ``over_twilio("voice")`` is a login whose phone rings; further arguments are ``OPTIONS``.
    """
    settings.OTP_CHANNELS = {
        channel: [{"BACKEND": path, "OPTIONS": dict(twilio_api.options)}]
        for channel, path in TWILIO.items()
    }

    def start(channel: str, **options: Any) -> Sent:
        if options:
            settings.OTP_CHANNELS = {
                name: [{"BACKEND": path, "OPTIONS": {**twilio_api.options, **options}}]
                for name, path in TWILIO.items()
            }
        device = PhoneFactory(
            user=UserFactory(username="alex"), address="+12025550123", channel=channel
        )
        walker = Journey(client, outbox, PASSWORD)
        walker.enter_password(device.user)
        sends_are_over()
        endpoint = twilio_api.calls if channel == "voice" else twilio_api.messages
        return Sent(walker, twilio_api, endpoint.requests[-1], twilio_api.sids[-1])

    yield start
    sends_are_over()
