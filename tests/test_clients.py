"""Whose request it is: only what the site's own proxies have written counts."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from django_otp_channels import clients
from django_otp_channels.clients import client_of

PEER = "203.0.113.9"


def client(settings, proxies: int, forwarded: str | None, peer: str = PEER, **meta: str) -> str:
    settings.OTP_CHANNELS_TRUSTED_PROXY_COUNT = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_of(RequestFactory(headers=headers, REMOTE_ADDR=peer, **meta).get("/"))


@pytest.mark.parametrize(
    "forwarded", ["8.8.4.4", "8.8.4.4, 1.2.3.4", "unknown", ",,,", "", "x" * 10_000, None]
)
def test_without_a_proxy_no_header_counts(settings, forwarded):
    spoofed = {"HTTP_FORWARDED": "for=8.8.4.4", "HTTP_X_REAL_IP": "8.8.4.4"}

    assert client(settings, 0, forwarded, peer="8.8.8.8", **spoofed) == "8.8.8.8"


@pytest.mark.parametrize(
    ("proxies", "forwarded"),
    [
        (1, "8.8.8.8"),
        (1, "1.1.1.1, 8.8.8.8"),
        (1, "1.1.1.1, 2.2.2.2,8.8.8.8"),
        (1, "unknown, 8.8.8.8"),
        (1, "1.1.1.1:1, 8.8.8.8:443"),
        (1, "1.1.1.1, ::ffff:8.8.8.8"),
        (1, "1.1.1.1, [::ffff:8.8.8.8]:443"),
        (1, "1.1.1.1, [::ffff:8.8.8.8]"),
        (2, "8.8.8.8, 10.0.0.1"),
        (2, "1.1.1.1, 8.8.8.8, 10.0.0.1"),
    ],
)
def test_the_hop_that_the_own_proxies_have_added_counts(settings, proxies, forwarded):
    assert client(settings, proxies, forwarded) == "8.8.8.8"


@pytest.mark.parametrize(
    ("proxies", "forwarded"),
    [
        (1, None),
        (1, ""),
        (1, "unknown"),
        (1, ",,,"),
        (2, "8.8.8.8"),
        (1, "x" * 10_000),
        (3, ""),
        (1, "8.8.8.8:"),
        (1, "8.8.8.8:http"),
        (1, "[8.8.8.8"),
        (1, "8.8.8.8:443:1"),
        (1, "[]:1"),
    ],
)
def test_what_cannot_be_read_falls_into_the_one_strict_bucket(settings, proxies, forwarded):
    assert client(settings, proxies, forwarded) == "unknown"


@pytest.mark.parametrize(
    "peer", ["10.0.0.7", "192.168.1.4", "127.0.0.1", "100.64.0.3", "::1", "fd00::1", ""]
)
def test_an_address_inside_is_nobodys(settings, peer):
    assert client(settings, 0, None, peer=peer) == ""


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("2600:1f18:1:2:3:4:5:6", "2600:1f18:1:2::/64"),
        ("2600:1f18:1:2:ffff:ffff:ffff:ffff", "2600:1f18:1:2::/64"),
        ("2600:1f18:1:3::1", "2600:1f18:1:3::/64"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
    ],
)
def test_an_address_of_ipv6_counts_by_its_network(settings, peer, network):
    assert client(settings, 0, None, peer=peer) == network


# -- hops that are not what the site says ------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch):
    monkeypatch.setattr(clients, "_told", set())


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_a_proxy_that_is_not_trusted_is_told_once(settings, caplog, header):
    for n in range(3):
        request = RequestFactory(headers={header: f"8.8.8.{n}"}, REMOTE_ADDR="10.0.0.1").get("/")
        assert client_of(request) == ""

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("django_otp_channels.clients", "WARNING")
    assert "OTP_CHANNELS_TRUSTED_PROXY_COUNT is 0" in record.message
    assert "8.8.8" not in record.message


def test_too_few_hops_are_told_once(settings, caplog):
    assert [client(settings, 2, "8.8.8.8") for _ in range(3)] == ["unknown"] * 3

    (record,) = caplog.records
    assert "fewer proxies than OTP_CHANNELS_TRUSTED_PROXY_COUNT" in record.message


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer"),
    [
        (0, None, "10.0.0.1"),
        (0, "8.8.8.8", "8.8.8.8"),  # the web server has read the header
        (0, "1.1.1.1, 8.8.8.8", "8.8.8.8"),
        (1, "8.8.8.8", "10.0.0.1"),
        (1, "1.1.1.1, 8.8.8.8", ""),
    ],
)
def test_a_sound_site_hears_nothing(settings, caplog, proxies, forwarded, peer):
    client(settings, proxies, forwarded, peer=peer)

    assert caplog.records == []
