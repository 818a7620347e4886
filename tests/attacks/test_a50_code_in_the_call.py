"""A50: the code is in nothing that a call is made of, and its URLs are of the configured origin."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
from django.db.models import F

from django_otp_channels.models import Challenge, Delivery
from tests.hooks import code_in, everything, sends_are_over, spoken_in

pytestmark = pytest.mark.django_db(transaction=True)

POISON = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "99",
    "X-Forwarded-Proto": "http",
    "Forwarded": "host=evil.example",
    "X-Original-Url": "https://evil.example/",
    "X-Rewrite-Url": "https://evil.example/",
}
CALLBACK = re.compile(
    r"https://www\.example\.com/account/receipts/(sms|voice)/twilio/[0-9a-f]{32}-0/", re.ASCII
)


@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_a50_no_header_chooses_where_the_receipts_go(over_twilio, channel, settings, client):
    settings.ALLOWED_HOSTS = ["*"]
    settings.USE_X_FORWARDED_HOST = settings.USE_X_FORWARDED_PORT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client.defaults |= {f"HTTP_{name.upper().replace('-', '_')}": POISON[name] for name in POISON}
    sent = over_twilio(channel)
    Challenge.objects.update(next_send_at=F("created_at"))
    sent.journey.ask(channel="sms")
    Challenge.objects.update(next_send_at=F("created_at"))
    sends_are_over()
    sent.journey.ask(channel="voice")
    sends_are_over()

    requests = sent.api.requests
    assert len(requests) == 3
    urls = [request.form["StatusCallback"] for request in requests]
    for request in requests:
        assert b"evil" not in request.body
        if twiml := request.form.get("Twiml"):
            [gather] = ET.fromstring(twiml).iter("Gather")  # noqa: S314 (our own)
            assert gather.get("action") == request.form["StatusCallback"]
    assert all(CALLBACK.fullmatch(url) for url in urls)
    assert len(set(urls)) == 3  # 128 random bits each


def test_a50_the_code_is_only_in_the_answer_to_the_key_press(over_twilio, caplog):
    caplog.set_level(logging.DEBUG)
    sent = over_twilio("voice")
    request = sent.request
    press = sent.pressed()
    log_before = caplog.text
    rows_before = str(everything())

    code = code_in(spoken_in(sent.tells(press)))

    told = "\n".join(
        [
            *request.form.values(),
            request.path,
            log_before,
            caplog.text,
            rows_before,
            str(everything()),
            str(press.fields),
            press.url,
            *(str(vars(each)) for each in Delivery.objects.all()),
        ]
    )
    for spelling in (code, ", ".join(code), " ".join(code)):
        assert spelling not in told
    for url in (press.url, request.form["StatusCallback"]):
        assert "2025550123" not in url
        assert urlsplit(url).query == ""
    sent.journey.enter_code(code)
    assert sent.journey.is_in


def test_a50_a_leading_zero_is_read_out(over_twilio, monkeypatch):
    from django_otp_channels import codes

    monkeypatch.setattr(codes, "derive", zeros_in_front(codes.derive))
    sent = over_twilio("voice")

    code = code_in(spoken_in(sent.tells(sent.pressed())))

    assert code.startswith("00")
    sent.journey.enter_code(code)
    assert sent.journey.is_in


def zeros_in_front(derive):
    def changed(*args, **kwargs):
        code = derive(*args, **kwargs)
        return type(code)("00" + code[2:])

    return changed


def test_a50_without_a_base_url_there_is_no_callback_and_all_else_works(over_twilio, settings):
    settings.OTP_CHANNELS_BASE_URL = ""
    text = over_twilio("sms")
    assert "StatusCallback" not in text.request.form
    assert text.journey.client.get("/account/verify/").status_code == 200
    Challenge.objects.update(next_send_at=F("created_at"))
    text.journey.ask(channel="voice")
    sends_are_over()

    call = text.api.calls.requests[-1].form
    assert not {"StatusCallback", "StatusCallbackEvent"} & call.keys()
    assert "<Gather" not in call["Twiml"]
    [(_, lines)] = text.api.spoken
    text.journey.enter_code(code_in(lines))  # spoken at once, since no key press could be told
    assert text.journey.is_in
