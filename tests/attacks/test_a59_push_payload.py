"""A59: read the notification: on its way, or on a locked screen."""

from __future__ import annotations

import json

import pytest

from tests.factories import AppFactory
from tests.hooks import sends_are_over

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pushed(journey, alex, settings, fcm_api):
    """Enter Alex's password, and return what Google was asked to show."""
    settings.OTP_CHANNELS = {
        "push": [
            {"BACKEND": "django_otp_channels.backends.fcm.Push", "OPTIONS": dict(fcm_api.options)}
        ]
    }
    AppFactory(user=alex)

    def push():
        journey.enter_password(alex)
        sends_are_over()
        return fcm_api.messages.requests[-1].json["message"]

    yield push
    sends_are_over()


def test_a59_a_notification_says_nothing_of_who_and_where(pushed, alex):
    alex.first_name, alex.last_name = "Alexandra", "Examples"
    alex.save()

    text = json.dumps(pushed())

    for secret in ("alex", "Alexandra", "Examples", "127.0.0.1", "sessionid"):
        assert secret.lower() not in text.lower().replace("example.com", "")


def test_a59_it_dies_with_its_code_and_replaces_the_one_before(pushed):
    message = pushed()

    assert 0 < float(message["android"]["ttl"].rstrip("s")) <= 300
    assert message["android"]["priority"] == "high"
    assert message["android"]["collapse_key"]
    assert message["apns"]["headers"]["apns-expiration"]


def test_a59_where_the_code_is_to_stay_hidden_it_is_nowhere(pushed, settings):
    settings.OTP_CHANNELS_PUSH_SHOWS_CODE = False

    message = pushed()

    for part in ("notification", "data"):
        assert not any(ch.isdigit() for ch in json.dumps(message.get(part, {}).get("body", "")))
    assert not any(char.isdigit() for char in message["notification"]["body"])
