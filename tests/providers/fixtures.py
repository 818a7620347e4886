"""Fixtures that put the stand-ins in the place of the real providers.

``twilio_api``, ``aws_api`` and ``fcm_api`` may be used together. Each leads the process's HTTPS to
the loopback for the test, and fails it afterwards if anything else was asked for, or anything was
sent that the real API would not have understood.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from . import aws, fcm, twilio
from .certificates import Authority
from .loopback import Network

HOSTS = (
    twilio.HOST, twilio.LOOKUP_HOST, fcm.HOST, fcm.TOKEN_HOST, fcm.IAM_HOST,
    aws.MESSAGING_HOST, aws.SNS_HOST, aws.STS_HOST,
)  # fmt: skip


@pytest.fixture(scope="session")
def _shared_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    network = Network(Authority(folder / "ca", HOSTS), Authority(folder / "impostor", HOSTS))
    yield network
    network.close()


@pytest.fixture
def provider_network(
    _shared_network: Network, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Network]:
    """The way to the providers: see :class:`~tests.providers.loopback.Network`."""
    network = _shared_network
    network.reset()
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET",
                 "TWILIO_EDGE", "TWILIO_REGION", "GOOGLE_APPLICATION_CREDENTIALS",
                 "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "FIREBASE_CONFIG",
                 *(name for name in os.environ if name.startswith("AWS_"))):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    # Neither the machine's own files nor its metadata server have credentials for a test.
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in network.environment().items():
        monkeypatch.setenv(name, value)
    before = set(threading.enumerate())
    yield network
    network.let_go.set()
    # An SDK's background thread must end while the way still leads here.
    for thread in set(threading.enumerate()) - before:
        # A dummy stands for a thread that Python did not start: the test runner's own.
        foreign = isinstance(thread, threading._DummyThread)
        if not (foreign or thread.name.startswith("loopback")):
            thread.join(5)
            assert not thread.is_alive(), f"{thread.name} is still at work."
    network.hosts.clear()
    assert network.strangers == [], f"Asked for, and not to be reached: {network.strangers}"
    assert network.problems == [], f"Not as the real API would have it: {network.problems}"


@pytest.fixture
def twilio_api(provider_network: Network) -> twilio.TwilioAPI:
    """Twilio, until the end of the test."""
    api = twilio.TwilioAPI(provider_network.problems)
    provider_network.hosts[twilio.HOST] = api.handle
    provider_network.hosts[twilio.LOOKUP_HOST] = api.handle_lookups
    return api


@pytest.fixture
def aws_api(provider_network: Network) -> aws.AWSAPI:
    """AWS: End User Messaging, SNS and STS, until the end of the test."""
    api = aws.AWSAPI(provider_network.problems)
    provider_network.hosts[aws.MESSAGING_HOST] = api.handle_messaging
    provider_network.hosts[aws.SNS_HOST] = api.handle_sns
    provider_network.hosts[aws.STS_HOST] = api.handle_sts
    return api


@pytest.fixture
def fcm_api(provider_network: Network) -> fcm.FCMAPI:
    """FCM with Google's token endpoint, until the end of the test."""
    api = fcm.FCMAPI(provider_network.problems)
    provider_network.hosts[fcm.HOST] = api.handle
    provider_network.hosts[fcm.TOKEN_HOST] = api.handle_token
    provider_network.hosts[fcm.IAM_HOST] = api.handle_iam
    return api
