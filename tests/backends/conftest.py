from __future__ import annotations

import pytest

from tests.providers.fixtures import (
    _shared_network,
    aws_api,
    fcm_api,
    provider_network,
    twilio_api,
)

__all__ = ["_shared_network", "aws_api", "fcm_api", "provider_network", "twilio_api"]


@pytest.fixture(autouse=True)
def _only_loopback(provider_network: object) -> None:
    """Lead even a test that asks for no provider to the stand-ins, which fail it for that."""
