"""A71: let somebody's browser make the request."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from django_otp_channels.models import Challenge, ChannelDevice
from tests.clock import let_pass
from tests.factories import PASSWORD, PhoneFactory
from tests.journey import ADD_PHONE, CANCEL, LOGIN, SEND, VERIFY

pytestmark = pytest.mark.django_db

FORMS = [
    {"content_type": "application/x-www-form-urlencoded", "data": "token=1&number=%2B12025550188"},
    {"content_type": "text/plain", "data": json.dumps({"token": "123456"})},
    {"content_type": "application/json", "data": json.dumps({"token": "123456"})},
]  # fmt: skip
HEADERS = [
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "https://evil.example/"},
    {"Sec-Fetch-Site": "cross-site"},
]


def forged(client):
    """The same browser, made to ask from another site."""
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies.copy()
    return strict


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["content_type"])
@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_a71_half_a_login_does_nothing_that_another_site_wants(parked, form, headers):
    let_pass(31)

    for url in (VERIFY, SEND, CANCEL, LOGIN):
        assert forged(parked.client).post(url, **form, headers=headers).status_code == 403

    challenge = Challenge.objects.get()
    assert (challenge.attempts, challenge.sends, challenge.state) == (0, 1, "open")
    assert len(parked.outbox) == 1
    parked.enter_code()
    assert parked.is_in


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["content_type"])
def test_a71_nor_does_a_whole_one(journey, alex, phone, form):
    waiting = PhoneFactory(user=alex, address="+12025550188", confirmed=False)
    journey.log_in(alex)
    before = list(ChannelDevice.objects.values())

    for url in (
        ADD_PHONE,
        SEND,
        f"/account/devices/{waiting.pk}/confirm/",
        f"/account/devices/{phone.pk}/remove/",
    ):
        assert forged(journey.client).post(url, **form).status_code == 403

    assert list(ChannelDevice.objects.values()) == before
    assert len(journey.outbox) == 1


def test_a71_nobody_is_logged_in_to_the_attackers_half_a_login(db, outbox):
    device = PhoneFactory()
    data = {"username": device.user.username, "password": PASSWORD}

    answer = Client(enforce_csrf_checks=True).post(LOGIN, data)

    assert answer.status_code == 403
    assert outbox == []


def test_a71_another_site_learns_nothing_of_how_the_login_stands(parked):
    answer = parked.client.get("/account/status/", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
