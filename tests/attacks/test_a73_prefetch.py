"""A73: let a link, a preview or a prefetching browser do something; read the URLs."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge, ChannelDevice, Lockout
from tests.clock import let_pass
from tests.factories import PASSWORD
from tests.journey import ADD_PHONE, CANCEL, DEVICES, LOGIN, SEND, STATUS, VERIFY

pytestmark = pytest.mark.django_db

AHEAD = {"Sec-Purpose": "prefetch;prerender", "Purpose": "prefetch"}


def rows():
    models = (Challenge, ChannelDevice, Lockout)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


@pytest.mark.parametrize("method", ["get", "head", "options", "trace"])
@pytest.mark.parametrize("headers", [{}, AHEAD], ids=["", "ahead"])
def test_a73_safe_methods_send_consume_and_count_nothing(journey, alex, phone, method, headers):
    for logged_in in (False, True):
        journey.enter_password(alex)
        if logged_in:
            journey.enter_code()
        let_pass(31)
        before, sent = rows(), len(journey.outbox)

        for url in (
            VERIFY, SEND, STATUS, CANCEL, LOGIN, DEVICES, ADD_PHONE,
            f"/account/devices/{phone.pk}/remove/", f"/account/devices/{phone.pk}/confirm/",
        ):  # fmt: skip
            query = {"token": journey.code, "device": phone.pk, "number": "+12025550188"}
            getattr(journey.client, method)(url, query, headers=headers)

        assert rows() == before
        assert len(journey.outbox) == sent
        assert journey.is_in is logged_in


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.guard("django_otp_channels.middleware._Step._may_send")
def test_a73_a_login_by_link_that_a_browser_follows_ahead_rings_no_phone(
    journey, alex, phone, method
):
    data = {"username": "alex", "password": PASSWORD}

    getattr(journey.client, method)("/any-login/", data, headers=AHEAD)

    assert journey.outbox == []
    assert journey.is_nobody


def test_a73_no_url_holds_a_code_a_number_or_a_key(journey, alex, phone):
    urls = [
        journey.enter_password(alex).headers["Location"],
        journey.ask().headers["Location"],
        journey.enter_code().headers["Location"],
        journey.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"}).headers[
            "Location"
        ],
    ]
    session = journey.client.session

    for secret in (journey.code, "2025550123", "2025550188", session.session_key):
        assert not any(secret in url for url in urls)


@pytest.mark.guard("django_otp_channels.headers.private")
def test_a73_no_other_site_is_told_of_the_pages(settings, journey, alex, phone):
    settings.SECURE_REFERRER_POLICY = "unsafe-url"
    journey.enter_password(alex)

    for url in (VERIFY, LOGIN, STATUS):
        assert journey.client.get(url).headers["Referrer-Policy"] == "same-origin"
