"""A40: put everybody behind one address."""

from __future__ import annotations

import pytest
from django.test import Client

from django_otp_channels import clients
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, LOGIN

pytestmark = pytest.mark.django_db

LIMITS = {"login.client": {3600: 2}}


def logins(client, people=8, *, address, **headers):
    for n in range(people):
        data = {"username": PhoneFactory().user.username, "password": PASSWORD}
        forwarded = {name.replace("_", "-"): value.format(n=n) for name, value in headers.items()}
        client.post(LOGIN, data, headers=forwarded, REMOTE_ADDR=address)


@pytest.mark.parametrize(
    "proxy", ["10.0.0.1", "172.20.0.1", "192.168.0.1", "127.0.0.1", "100.64.0.1", "::1"]
)
@pytest.mark.guard("django_otp_channels.clients._is_inside")
def test_a40_a_proxy_that_nobody_has_told_of_shuts_nobody_out(client, outbox, settings, proxy):
    settings.OTP_CHANNELS_LIMITS = LIMITS

    logins(client, address=proxy, X_Forwarded_For="198.18.0.{n}")

    assert len(outbox) == 8


@pytest.mark.guard("django_otp_channels.clients._address")
def test_a40_behind_a_known_proxy_each_has_an_address_of_their_own(client, outbox, settings):
    settings.OTP_CHANNELS_LIMITS = LIMITS
    settings.OTP_CHANNELS_TRUSTED_PROXY_COUNT = 1

    logins(client, address="10.0.0.1", X_Forwarded_For="8.8.8.8, 198.18.0.{n}")

    assert len(outbox) == 8


def test_a40_a_proxy_on_a_unix_socket_shuts_no_newcomer_out(client, outbox, settings):
    settings.OTP_CHANNELS_LIMITS = {"enrol.client": {3600: 2}}
    settings.OTP_CHANNELS_POLICY = "everyone"

    for n in range(4):
        newcomer = Client(REMOTE_ADDR="", headers={"X-Forwarded-For": f"198.18.0.{n}"})
        newcomer.post(LOGIN, {"username": UserFactory().username, "password": PASSWORD})
        newcomer.post(ADD_PHONE, {"number": f"+1202555010{n}", "channel": "sms"})

    assert len(outbox) == 4


@pytest.mark.guard("django_otp_channels.clients.hops_problem")
def test_a40_a_header_that_nobody_trusts_is_told_to_whoever_runs_the_site(
    client, outbox, caplog, monkeypatch
):
    monkeypatch.setattr(clients, "_told", set())

    logins(client, address="10.0.0.1", X_Forwarded_For="198.18.0.{n}")

    told = [record.message for record in caplog.records if record.name == clients.__name__]
    assert len(told) == 1
    assert "OTP_CHANNELS_TRUSTED_PROXY_COUNT" in told[0]
