"""Nobody who can sign in takes a channel from everybody by numbers that a provider refuses."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_otp_channels.models import Delivery
from tests.factories import PASSWORD, AppFactory, PhoneFactory
from tests.journey import Journey
from tests.journeys.test_senders import FCM_PUSH, TWILIO_SMS, sends_are_over
from tests.providers import fcm, twilio

pytestmark = pytest.mark.django_db(transaction=True)

LOGINS = 6  # with one message each: one more than a breaker takes


def sign_in(user: Any) -> None:
    Journey(Client(), [], PASSWORD).enter_password(user)
    sends_are_over()


@pytest.mark.parametrize(
    "reply",
    [
        twilio.error(21610),  # has written STOP
        twilio.error(21614),  # a landline
        twilio.error(21612),  # not to be reached from this sender
        twilio.error(21408),  # a country that is switched off
        twilio.error(21606),  # the sender of one country is wrong
        twilio.error(21608),  # a trial account, and not the number that it was tried with
        twilio.error(21703),  # no sender for this country
        twilio.error(30022),  # too many messages to one number
        twilio.error(99999),  # unheard of
        twilio.error(99999, status=404),
    ],
    ids=lambda reply: f"{reply.status} {reply.body['code']}",
)
def test_a_number_that_twilio_refuses_pauses_nobody_elses_messages(twilio_api, settings, reply):
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": TWILIO_SMS, "OPTIONS": twilio_api.options}]}
    alex = PhoneFactory(address="+12025550123").user
    twilio_api.messages.always(reply)
    for _ in range(LOGINS):  # of somebody with a few numbers, since each has its own limit
        sign_in(PhoneFactory().user)
    assert len(twilio_api.messages.requests) == LOGINS

    twilio_api.messages.always(None)
    sign_in(alex)

    assert [to for to, _text in twilio_api.texts] == ["+12025550123"]


@pytest.mark.parametrize(
    "reply",
    [
        fcm.error(429, "RESOURCE_EXHAUSTED", code="QUOTA_EXCEEDED"),  # of one device
        fcm.error(401, "UNAUTHENTICATED", code="APNS_AUTH_ERROR"),  # an iPhone
        fcm.error(404, "NOT_FOUND"),
        fcm.error(400, "FAILED_PRECONDITION", code="NEW"),
    ],
    ids=lambda reply: str(reply.body["error"]["status"]),
)
def test_an_app_that_fcm_refuses_pauses_nobody_elses_notifications(fcm_api, settings, reply):
    settings.OTP_CHANNELS = {"push": [{"BACKEND": FCM_PUSH, "OPTIONS": fcm_api.options}]}
    alex = AppFactory(address="app-token-alex:APA91b").user
    fcm_api.messages.always(reply)
    for _ in range(LOGINS):
        sign_in(AppFactory().user)
    assert len(fcm_api.messages.requests) >= LOGINS  # the SDK asks twice after a 401

    fcm_api.messages.always(None)
    sign_in(alex)

    assert [each["token"] for each in fcm_api.notifications] == ["app-token-alex:APA91b"]
    assert not Delivery.objects.filter(error_code="paused").exists()
