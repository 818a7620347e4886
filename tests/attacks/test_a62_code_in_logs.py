"""A62: no logger, at whatever level, tells a code, a number or a push token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from django_otp_channels.models import Challenge
from tests.factories import AppFactory, PhoneFactory, UserFactory
from tests.hooks import sends_are_over
from tests.journey import ADD_PHONE
from tests.providers import twilio
from tests.providers.loopback import RESET, Reply

from .leaks import code_of, every_logger, found

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = "+12025550123"
TOKEN = "app-token-of-the-tests:APA91b"
SLIP = "typed-by-mistake"
MARK = "marked-by-the-provider"

PROVIDERS = {
    "sms": "django_otp_channels.backends.twilio.SMS",
    "voice": "django_otp_channels.backends.twilio.Voice",
    "push": "django_otp_channels.backends.fcm.Push",
}
FAULTS: dict[str, Reply | None] = {
    "good": None,
    "429": twilio.error(20429, status=429, message=f"{MARK} {NUMBER}"),
    "400": twilio.error(21211, message=f"The 'To' number {NUMBER} is {MARK}."),
    "500": Reply(500, f"<html>{MARK} {NUMBER}</html>"),
    "not JSON": Reply(200, f"{MARK} {NUMBER}"),
    "reset": RESET,
}


@pytest.fixture
def person(twilio_api, fcm_api, settings) -> Callable[[str], Any]:
    options = {"sms": twilio_api.options, "voice": twilio_api.options, "push": fcm_api.options}
    settings.OTP_CHANNELS = {
        channel: [{"BACKEND": path, "OPTIONS": dict(options[channel])}]
        for channel, path in PROVIDERS.items()
    }

    def make(channel: str) -> Any:
        user = UserFactory(username="alex")
        if channel == "push":
            AppFactory(user=user, address=TOKEN)
        else:
            PhoneFactory(user=user, address=NUMBER, channel=channel)
        return user

    return make


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("channel", PROVIDERS)
def test_a62_no_logger_tells_a_code_or_a_number(
    person, journey, twilio_api, fcm_api, channel, fault
):
    user = person(channel)
    endpoints = {"sms": twilio_api.messages, "voice": twilio_api.calls, "push": fcm_api.messages}
    if (reply := FAULTS[fault]) is not None:
        endpoints[channel].always(reply)

    with every_logger() as heard:
        journey.enter_password(user)
        sends_are_over()
        challenge = Challenge.objects.get()
        code = code_of(challenge)
        guess = f"{(int(code) + 13) % 10**6:06d}"
        for typed in (guess, SLIP):
            journey.enter_code(typed)
        Challenge.objects.update(next_send_at=F("next_send_at") - timedelta(minutes=9))
        journey.ask()
        sends_are_over()
        journey.enter_code(code)
        assert journey.is_in

    assert endpoints[channel].requests
    loggers = {name.partition(".")[0] for name, _line in heard.lines}
    assert {"django", "django_otp_channels"} <= loggers
    for secret in (code, guess, NUMBER):
        assert found(secret, heard.text) == []
    for secret in (SLIP, TOKEN, MARK, twilio.AUTH_TOKEN):
        assert secret not in heard.text


def test_a62_a_proof_tells_its_number_to_the_table_of_devices_only(journey, alex):
    with every_logger() as heard:
        journey.enter_password(alex)
        answer = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
        journey.client.post(answer.headers["Location"], {"token": journey.wrong_code})
        journey.client.post(answer.headers["Location"], {"token": journey.code})
        assert journey.is_in

    for secret in (journey.code, journey.wrong_code):
        assert found(secret, heard.text) == []
    told = [name for name, line in heard.lines if found(NUMBER, line)]
    assert set(told) <= {"django.db.backends"}  # the row of the device itself


def test_a62_no_url_has_a_secret_in_it(journey, alex):
    """What every access log of every proxy on the way keeps."""
    urls: list[Any] = []

    def note(answer: Any) -> Any:
        urls.extend((answer.request["PATH_INFO"], answer.request["QUERY_STRING"]))
        urls.append(answer.headers.get("Location", ""))
        return answer

    note(journey.enter_password(alex))
    confirm = note(journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})).headers[
        "Location"
    ]
    note(journey.client.post(confirm, {"token": journey.wrong_code}))
    note(journey.client.post(confirm, {"token": journey.code}))
    journey.client.post("/logout/")
    note(journey.enter_password(alex))
    note(journey.enter_code(journey.wrong_code))
    note(journey.ask(channel="voice"))
    note(journey.enter_code())
    assert journey.is_in

    told = " ".join(urls)
    assert journey.client.session.session_key not in told
    for secret in (journey.code, NUMBER):
        assert found(secret, told) == []
