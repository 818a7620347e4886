"""A92: leave a secret out, and hope that everything is accepted."""

from __future__ import annotations

import hmac

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_otp_channels import codes
from django_otp_channels.conf import conf
from django_otp_channels.models import Challenge
from tests.hooks import everything

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("status", ["delivered", "undelivered"])
def test_a92_without_its_secret_no_receipt_is_believed(over_twilio, settings, status):
    sent = over_twilio("sms")
    for entries in settings.OTP_CHANNELS.values():
        entries[0]["OPTIONS"]["auth_token"] = ""
    before = everything()

    for token in ("", "None", "anything"):
        assert sent.tells(sent.status(status, token=token)).status_code == 403

    assert everything() == before


@pytest.mark.guard("django_otp_channels.codes._keys")
def test_a92_an_empty_fallback_derives_no_code(parked, settings):
    settings.SECRET_KEY_FALLBACKS = [""]
    of_nothing = codes._key_id(hmac.digest(b"", codes._KEY_PURPOSE, "sha256"))
    Challenge.objects.update(key_id=of_nothing)

    assert codes.derive(of_nothing, [b"known"], length=6) is None
    parked.enter_code()
    assert parked.is_nobody


@pytest.mark.parametrize("url", ["http://www.example.com", "//www.example.com", "https://", "x"])
def test_a92_no_receipt_goes_over_http(settings, url):
    settings.OTP_CHANNELS_BASE_URL = url

    with pytest.raises(ImproperlyConfigured):
        conf.BASE_URL  # noqa: B018


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("OTP_CHANNELS_COUNTRIES", []),
        ("OTP_CHANNELS", {}),
        ("OTP_CHANNELS_LIMITS", {"login.site": {86400: 0}}),
        ("OTP_CHANNELS_LIMITS", {"login.number": {}}),
        ("OTP_CHANNELS_COUNTRIES", None),
        ("OTP_CHANNELS_MAX_ATTEMPTS", 0),
        ("OTP_CHANNELS_TOKEN_LENGTH", 0),
    ],
)
def test_a92_what_is_not_set_sends_nothing_and_opens_nothing(
    journey, alex, phone, settings, setting, value
):
    journey.client.raise_request_exception = False
    with_setting = getattr(settings, setting, None)
    setattr(settings, setting, value)

    journey.enter_password(alex)

    assert journey.outbox == []
    setattr(settings, setting, with_setting) if with_setting else delattr(settings, setting)
    assert journey.is_nobody
