"""A login whose message went out over Twilio's stand-in, and what Twilio tells the site of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client

from django_otp_channels.models import Challenge, ChannelDevice, Delivery, Lockout
from tests.journey import Journey
from tests.providers.loopback import Request
from tests.providers.twilio import AUTH_TOKEN, Callback, TwilioAPI

TWILIO: Mapping[str, str] = {
    "sms": "django_otp_channels.backends.twilio.SMS",
    "voice": "django_otp_channels.backends.twilio.Voice",
}
SILENCE = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup /></Response>'


def sends_are_over() -> None:
    """Wait until every sending thread has recorded what came of its send."""
    while threads := [
        thread for thread in threading.enumerate() if thread.name.startswith("otp-channels-")
    ]:
        threads[0].join(15)
        assert not threads[0].is_alive()


def everything() -> Mapping[str, Any]:
    """Return every row that a receipt could change, to compare."""
    models = (Delivery, Challenge, Lockout, ChannelDevice, Session)
    return {each.__name__: list(each._default_manager.order_by("pk").values()) for each in models}


@dataclass(frozen=True)
class Sent:
    """One message or call that Twilio has taken, and the person who waits for it."""

    journey: Journey
    api: TwilioAPI
    request: Request
    sid: str

    @property
    def delivery(self) -> Delivery:
        url = self.request.form["StatusCallback"]
        reference, _, position = url.rstrip("/").rpartition("/")[2].partition("-")
        return Delivery.objects.get(reference=reference, position=position)

    @property
    def challenge(self) -> Challenge:
        return self.delivery.challenge

    @property
    def key(self) -> str:
        """The digit that the call has announced."""
        prompt = "".join(ET.fromstring(self.request.form["Twiml"]).itertext())  # noqa: S314
        return prompt.rpartition("press ")[2][0]

    def status(self, status: str, code: str = "", *, token: str = AUTH_TOKEN) -> Callback:
        """What Twilio says when the message or call has got that far."""
        if "Body" in self.request.form:
            fields = {
                "MessageSid": self.sid,
                "SmsSid": self.sid,
                "MessageStatus": status,
                "SmsStatus": status,
            }
        else:
            fields = {
                "CallSid": self.sid,
                "CallStatus": status,
                "CallbackSource": "call-progress-events",
                "SequenceNumber": "0",
            }
        if code:
            fields["ErrorCode"] = code
        return self.api.callback(self.request, token, **fields)

    def pressed(self, digits: str | None = None, **fields: str) -> Callback:
        """What Twilio says when the listener has pressed ``digits``, by default the right key."""
        fields = {
            "CallSid": self.sid,
            "CallStatus": "in-progress",
            "Digits": self.key if digits is None else digits,
            "FinishedOnKey": "",
            "msg": "Gather End",
            **fields,
        }
        return self.api.callback(self.request, **fields)

    def tells(self, callback: Callback, **headers: str) -> HttpResponse:
        """Let Twilio make the request; it comes from no browser."""
        answer: HttpResponse = callback.to(Client(enforce_csrf_checks=True), **headers)
        return answer


def spoken_in(answer: HttpResponse) -> list[str]:
    """Return what the listener hears of an answer; each ends with the end of the call."""
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/xml")
    response = ET.fromstring(answer.text)  # noqa: S314 (made by the code under test)
    assert response.tag == "Response"
    assert response[-1].tag == "Hangup"
    return ["".join(say.itertext()) for say in response.iter("Say")]


def code_in(lines: list[str]) -> str:
    """Return the code, which is read out twice."""
    first, second = ("".join(filter(str.isdigit, line)) for line in (lines[1], lines[3]))
    assert first == second
    assert len(first) == 6
    return first
