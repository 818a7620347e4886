"""A05: come from another address each time."""

from __future__ import annotations

import pytest

from tests.factories import PASSWORD, PhoneFactory
from tests.journey import LOGIN

pytestmark = pytest.mark.django_db

HEADERS = {
    "another each time": lambda n: {"X-Forwarded-For": f"198.18.0.{n}"},
    "more hops": lambda n: {"X-Forwarded-For": f"198.18.0.{n}, 198.18.1.{n}"},
    "other headers": lambda n: {
        "Forwarded": f"for=198.18.0.{n}",
        "X-Real-IP": f"198.18.0.{n}",
        "CF-Connecting-IP": f"198.18.0.{n}",
    },
    "no address": lambda n: {"X-Forwarded-For": "unknown" * n},
    "commas": lambda n: {"X-Forwarded-For": "," * n},
    "empty": lambda n: {"X-Forwarded-For": ""},
    "huge": lambda n: {"X-Forwarded-For": "9" * 10_000},
}


def messages_of_six_people(client, outbox, settings, headers=lambda n: {}, address="8.8.8.8"):
    """Return how many are sent a code as they enter their passwords, where two may be."""
    settings.OTP_CHANNELS_LIMITS = {"login.client": {3600: 2}}
    for n in range(1, 7):
        data = {"username": PhoneFactory().user.username, "password": PASSWORD}
        client.post(LOGIN, data, headers=headers(n), REMOTE_ADDR=address.format(n=n))
    return len(outbox)


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
@pytest.mark.guard("django_otp_channels.clients._address")
def test_a05_what_a_client_writes_of_its_address_counts_for_nothing(
    client, outbox, settings, headers
):
    assert messages_of_six_people(client, outbox, settings, headers) == 2


@pytest.mark.parametrize(
    "spoofed", ["", "198.18.0.{n}, ", "unknown, ", ",,,", "10.0.0.{n}, 198.18.{n}.1, "]
)
@pytest.mark.guard("django_otp_channels.clients._address")
def test_a05_behind_a_known_proxy_only_its_own_hop_counts(client, outbox, settings, spoofed):
    settings.OTP_CHANNELS_TRUSTED_PROXY_COUNT = 1

    sent = messages_of_six_people(
        client, outbox, settings,
        lambda n: {"X-Forwarded-For": spoofed.format(n=n) + "8.8.8.8"}, address="10.0.0.1",
    )  # fmt: skip

    assert sent == 2


@pytest.mark.parametrize("hop", ["unknown", "", "8.8.8.8:99999x", "9" * 10_000])
@pytest.mark.guard("django_otp_channels.clients.client_of")
def test_a05_what_is_no_address_is_counted_together(client, outbox, settings, hop):
    settings.OTP_CHANNELS_TRUSTED_PROXY_COUNT = 1

    sent = messages_of_six_people(
        client, outbox, settings, lambda n: {"X-Forwarded-For": hop}, address="10.0.0.1"
    )

    assert sent == 2


@pytest.mark.guard("django_otp_channels.clients.client_of")
def test_a05_one_network_of_ipv6_is_one_client(client, outbox, settings):
    assert messages_of_six_people(client, outbox, settings, address="2600:1f18:1:2::{n}") == 2
