"""The states that a page can be in, each with the way there over HTTP.

A state is reached on the tests' site, by Django's own client: no provider has to fail for it, and
nobody has to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.http import HttpResponse
from django.test import Client
from django_otp.plugins.otp_email.models import EmailDevice
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.models import Activity, Challenge, ChannelDevice, Delivery, Lockout
from django_otp_channels.views.page import LOST
from django_otp_channels.views.verify import LoginView
from tests.clock import let_pass
from tests.factories import AppFactory, PhoneFactory
from tests.journey import ADD_PHONE, DEVICES, LOGIN, REAUTH, SEND, VERIFY, Journey

ADD_AUTHENTICATOR = "/account/devices/add/authenticator/"
RECOVERY_CODES = "/account/recovery-codes/"
REMINDER = "/account/reminder/"
BROWSERS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
]
MOBILE, NEW, LANDLINE = "+12025550123", "+12025550188", "+442079460000"


@dataclass
class Stage:
    """Alex, with a browser in front of the site, and whatever has to be so beforehand."""

    journey: Journey
    alex: Any
    settings: Any
    monkeypatch: pytest.MonkeyPatch
    language: str = "en"

    def __post_init__(self) -> None:
        self.open_browser()

    def open_browser(self, **headers: str) -> None:
        """Let Alex go on in another browser, which is none's yet."""
        self.journey.client = Client(headers={"accept-language": self.language, **headers})

    @property
    def client(self) -> Client:
        return self.journey.client

    def look(self, url: str = VERIFY) -> HttpResponse:
        return self.client.get(url)

    def owns(self, channel: str = "sms", **fields: Any) -> ChannelDevice:
        if channel == "push":
            return AppFactory(user=self.alex, name="Example app", **fields)
        return PhoneFactory(user=self.alex, **{"address": MOBILE, "channel": channel, **fields})

    def give_password(self) -> HttpResponse:
        return self.journey.enter_password(self.alex)

    def park(self, channel: str = "sms", **fields: Any) -> ChannelDevice:
        """Let Alex have a phone, and be asked for the code that went there."""
        device = self.owns(channel, **fields)
        self.give_password()
        return device

    def sign_in(self, **fields: Any) -> ChannelDevice:
        device = self.park(**fields)
        self.journey.enter_code()
        return device

    def mistype(self, times: int = 1, url: str = VERIFY, **extra: Any) -> HttpResponse:
        for _ in range(times):
            answer = self.client.post(url, {"token": self.journey.wrong_code, **extra})
        return answer

    def hear(self, status: str, reason: str = "") -> None:
        """Let it be known what became of the message. Nobody waits after one that was lost."""
        Delivery.objects.update(status=status, reason=reason)
        if status in LOST:
            Challenge.objects.update(next_send_at=Now())

    def expire(self) -> None:
        Challenge.objects.update(expires_at=Now() - timedelta(seconds=1))

    def use_up_messages(self) -> None:
        Challenge.objects.update(sends=4)

    def step_up(self) -> HttpResponse:
        """Let Alex, who signed in a while ago, want to add a phone, and give the password again."""
        self.sign_in()
        self.journey.let_proof_age()
        self.look(ADD_PHONE)
        return self.journey.confirm_password()

    def want_everybody(self) -> None:
        self.settings.OTP_CHANNELS_POLICY = "everyone"

    def trust(self) -> None:
        self.settings.OTP_CHANNELS_TRUST_DAYS = 30
        self.settings.SESSION_COOKIE_SECURE = True

    def enrol(self, number: str = NEW) -> str:
        """Let a code go to a new number; return the URL of the page that asks for it."""
        answer = self.client.post(ADD_PHONE, {"number": number, "channel": "sms"})
        return str(answer.headers["Location"])


Way = Callable[[Stage], HttpResponse]


@dataclass(frozen=True)
class State:
    """``reach`` leads there; ``says`` are words that the page has in this state only."""

    reach: Way
    says: str


STATES: dict[str, State] = {}


def state(name: str, says: str) -> Callable[[Way], Way]:
    def note(reach: Way) -> Way:
        assert name not in STATES
        STATES[name] = State(reach, says)
        return reach

    return note


# -- the code page: what became of the message ---------------------------------------------------

MESSAGES = {
    "a text under way": ("sms", "sending", "", "We are sending a text message"),
    "a text sent": (
        "sms",
        "sent",
        "",
        "We sent a text message with a code to the number ending in 23.",
    ),
    "a text that has arrived": ("sms", "delivered", "", "has arrived at the number ending in 23"),
    "a text that was lost": ("sms", "undelivered", "", "did not reach the number ending in 23"),
    "a text that failed": ("sms", "failed", "", "We could not send a text message"),
    "a text that may be on its way": (
        "sms",
        "unknown",
        "",
        "may be on its way to the number ending in 23",
    ),
    "a text to who has opted out": ("sms", "failed", "opted-out", "has opted out of them"),
    "a text to who takes none": ("sms", "undelivered", "no-texts", "it takes no texts"),
    "a call under way": (
        "voice",
        "sent",
        "",
        "We are calling the number ending in 23 and will read out",
    ),
    "a call answered": (
        "voice",
        "answered",
        "",
        "We have read out a code on the number ending in 23",
    ),
    "a call that nobody heard": ("voice", "undelivered", "", "Nobody has heard our call"),
    "a call that failed": ("voice", "failed", "", "We could not call the number ending in 23"),
    "a call that may be": ("voice", "unknown", "", "We may be calling the number ending in 23"),
    "a notification sent": ("push", "sent", "", "We sent a notification with a code"),
    "a notification that failed": ("push", "failed", "", "We could not reach your app"),
}


def _message(channel: str, status: str, reason: str) -> Way:
    def reach(stage: Stage) -> HttpResponse:
        stage.park(channel)
        stage.hear(status, reason)
        return stage.look()

    return reach


for _name, (_channel, _status, _reason, _says) in MESSAGES.items():
    state(f"code page, {_name}", _says)(_message(_channel, _status, _reason))


@state("code page, a text to a number that is gone", "it seems to be no longer in use")
def _(stage: Stage) -> HttpResponse:
    stage.park().disable("unregistered")
    stage.hear("failed", "gone")
    return stage.look()


# -- the code page: tries, waits, ends -----------------------------------------------------------


@state("code page, the code may be asked for again", "No code yet?")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    let_pass(31)
    return stage.look()


@state("code page, the code expires soon", "This code expires in 4")  # 40 seconds or more
def _(stage: Stage) -> HttpResponse:
    stage.park()
    Challenge.objects.update(expires_at=Now() + timedelta(seconds=49))
    return stage.look()


@state("code page, a wait of minutes", "You can ask again in 2 minutes.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    Challenge.objects.update(sends=3, next_send_at=Now() + timedelta(seconds=120))
    return stage.look()


@state("code page, no more messages", "No more codes can be sent.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    stage.use_up_messages()
    return stage.look()


@state("code page, the last message has failed", "We could not send a text message")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    stage.use_up_messages()
    stage.hear("failed")
    return stage.look()


@state("code page, a wrong code", "This code is not right or no longer valid.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    return stage.mistype()


@state("code page, no code at all", "Enter the code.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    return stage.client.post(VERIFY, {"token": ""})


@state("code page, too few digits", "The code has 6 digits, 0 to 9.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    return stage.client.post(VERIFY, {"token": "12"})


@state("code page, a wrong code after a failure", "Have a code already?")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    stage.hear("failed")
    return stage.mistype()


@state("code page, two tries left", "You have 2 tries left.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    return stage.mistype(3)


@state("code page, one try left", "You have 1 try left.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    return stage.mistype(4)


@state("code page, over after five tries", "Too many wrong codes. Please start over.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    return stage.mistype(5)


@state("code page, over, with other ways", "Too many wrong codes. Please start over.")
def _(stage: Stage) -> HttpResponse:
    TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    stage.park()
    return stage.mistype(5)


@state("code page, locked for minutes", "You can try again in 15 minutes.")
def _(stage: Stage) -> HttpResponse:
    Lockout.objects.create(user=stage.alex, failures=9)
    stage.park()
    return stage.mistype()


@state("code page, locked, with other ways", "Meanwhile you can confirm in another way.")
def _(stage: Stage) -> HttpResponse:
    Lockout.objects.create(user=stage.alex, failures=9)
    TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    stage.park()
    return stage.mistype()


@state("code page, locked before a code was sent", "You can try again in 15 minutes.")
def _(stage: Stage) -> HttpResponse:
    until = Now() + timedelta(minutes=15)
    Lockout.objects.create(user=stage.alex, failures=10, locked_until=until)
    stage.park()
    return stage.look()


@state("code page, stopped until support unlocks", "ask the support of this site to unlock")
def _(stage: Stage) -> HttpResponse:
    Lockout.objects.create(user=stage.alex, failures=49)
    stage.park()
    return stage.mistype()


@state("code page, superseded", "This sign-in has ended. Please start over.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    Challenge.objects.update(state="superseded")
    return stage.look()


@state("code page, expired", "This code has expired. Send a new one.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    let_pass(301)
    return stage.look()


@state("code page, expired after a failure", "This code has expired. Send a new one.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    stage.hear("failed")
    let_pass(301)
    return stage.look()


@state("code page, expired and no more messages", "This code has expired. Please start over.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    stage.use_up_messages()
    let_pass(301)
    return stage.look()


@state("code page, expired, no more messages, other ways", "Other ways")
def _(stage: Stage) -> HttpResponse:
    TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    stage.park()
    stage.use_up_messages()
    let_pass(301)
    return stage.look()


# -- the code page: refusals -----------------------------------------------------------------------


@state("code page, asked again too soon", "You can ask for another in")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    stage.journey.ask()
    return stage.look()


@state("code page, a budget is used up", "Too many codes have been sent.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    let_pass(31)
    stage.settings.OTP_CHANNELS_LIMITS = {"login.number": {600: 0}}
    stage.journey.ask()
    return stage.look()


@state("code page, a budget was used up beforehand", "Too many codes have been sent.")
def _(stage: Stage) -> HttpResponse:
    stage.settings.OTP_CHANNELS_LIMITS = {"login.number": {600: 0}}
    stage.park()
    return stage.look()


@state("code page, a way that is none", "This way is not available. Please choose another.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    let_pass(31)
    stage.journey.ask(channel="push")
    return stage.look()


# -- the code page: which way ----------------------------------------------------------------------


@state("code page, one way to choose", "Get your code")
def _(stage: Stage) -> HttpResponse:
    stage.settings.OTP_CHANNELS = {
        name: backends for name, backends in stage.settings.OTP_CHANNELS.items() if name == "sms"
    }
    stage.owns()
    stage.client.force_login(stage.alex)
    return stage.look()


@state("code page, several devices to choose from", "How should we send your code?")
def _(stage: Stage) -> HttpResponse:
    _own_many(stage)
    stage.client.force_login(stage.alex)
    return stage.look()


def _own_many(stage: Stage) -> None:
    stage.owns()
    stage.owns("voice", name="Office", address=LANDLINE)
    stage.owns("push")
    TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    StaticDevice.objects.create(user=stage.alex, name="Printed codes")


@state("code page, many devices", "Printed codes")
def _(stage: Stage) -> HttpResponse:
    _own_many(stage)
    stage.give_password()
    let_pass(31)
    return stage.look()


@state("code page, many devices after a failure", "Call me instead")
def _(stage: Stage) -> HttpResponse:
    _own_many(stage)
    stage.give_password()
    stage.hear("failed")
    let_pass(31)
    return stage.look()


@state("code page, nobody can be reached", "none of your devices can be reached.")
def _(stage: Stage) -> HttpResponse:
    stage.settings.OTP_CHANNELS_COUNTRIES = ["DE"]
    stage.park()
    return stage.look()


@state("code page, nobody can be reached, with other ways", "Choose how to confirm")
def _(stage: Stage) -> HttpResponse:
    stage.settings.OTP_CHANNELS_COUNTRIES = ["DE"]
    TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    stage.park()
    return stage.look()


@state("code page, other ways only", "Choose how to confirm")
def _(stage: Stage) -> HttpResponse:
    TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    StaticDevice.objects.create(user=stage.alex, name="Printed codes")
    stage.give_password()
    return stage.look()


def _to_other(stage: Stage, device: Any) -> str:
    stage.give_password()
    return f"{VERIFY}?device={device.persistent_id}"


@state("code page, of an authenticator app", "Enter a code from “Authenticator”.")
def _(stage: Stage) -> HttpResponse:
    stage.owns()
    app = TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    return stage.look(_to_other(stage, app))


@state("code page, of an authenticator app, a wrong code", "This code is not right")
def _(stage: Stage) -> HttpResponse:
    stage.owns()
    app = TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    stage.give_password()
    return stage.client.post(VERIFY, {"device": app.persistent_id, "token": "000000"})


@state("code page, of a device that sends e-mail", "Send me a code")
def _(stage: Stage) -> HttpResponse:
    return stage.look(_to_other(stage, EmailDevice.objects.create(user=stage.alex, name="Mail")))


@state("code page, of a device that has sent e-mail", "A code is on its way.")
def _(stage: Stage) -> HttpResponse:
    device = EmailDevice.objects.create(user=stage.alex, name="Mail")
    url = _to_other(stage, device)
    stage.journey.ask(device=device.persistent_id)
    return stage.look(url)


@state("code page, of a device whose e-mail fails", "A code cannot be sent right now.")
def _(stage: Stage) -> HttpResponse:
    stage.settings.OTP_EMAIL_BODY_TEMPLATE_PATH = "nowhere.html"
    device = EmailDevice.objects.create(user=stage.alex, name="Mail")
    url = _to_other(stage, device)
    stage.journey.ask(device=device.persistent_id)
    return stage.look(url)


@state("code page, asked again while signed in", "Continue")
def _(stage: Stage) -> HttpResponse:
    stage.step_up()
    return stage.look()


@state("code page, asked again while signed in, locked", "change your password now.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    stage.journey.let_proof_age()
    Lockout.objects.update_or_create(user=stage.alex, defaults={"failures": 9})
    stage.look(ADD_PHONE)
    stage.journey.confirm_password()
    return stage.mistype()


@state("code page, asked again while signed in, no more messages", "Has none come? Please go back")
def _(stage: Stage) -> HttpResponse:
    stage.step_up()
    stage.use_up_messages()
    return stage.look()


@state("code page, asked again while signed in, expired", "This code has expired.")
def _(stage: Stage) -> HttpResponse:
    stage.step_up()
    let_pass(301)
    return stage.look()


@state("code page, asked again while signed in, over", "Too many wrong codes. Please go back")
def _(stage: Stage) -> HttpResponse:
    stage.step_up()
    return stage.mistype(5)


@state("code page, a browser may be trusted", "Do not ask on this browser for 30 days")
def _(stage: Stage) -> HttpResponse:
    stage.trust()
    stage.park()
    return stage.look()


@state("code page, to be trusted, but a wrong code", "Do not ask on this browser for 30 days")
def _(stage: Stage) -> HttpResponse:
    stage.trust()
    stage.park()
    return stage.mistype(trust="on")


# -- enrolment -------------------------------------------------------------------------------------


@state("add a phone, as a newcomer", "asks everyone to sign in with a password and a code")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    stage.give_password()
    return stage.look(ADD_PHONE)


@state("add a phone, as an owner", "We send a code to this number")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(ADD_PHONE)


@state("add a phone, of one country", "With the country code, for example")
def _(stage: Stage) -> HttpResponse:
    stage.settings.OTP_CHANNELS_COUNTRIES = ["US"]
    stage.sign_in()
    return stage.look(ADD_PHONE)


@state("add a phone, no number", "Enter your phone number.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(ADD_PHONE, {"number": ""})


@state("add a phone, what is no number", "Enter the number with its country code")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(ADD_PHONE, {"country": "US", "number": "hello"})


@state(
    "add a phone, of a country that is not allowed", "Numbers of this country cannot be used here."
)
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(ADD_PHONE, {"country": "", "number": "+33 6 12 34 56 78"})


@state("add a phone, one too many", "You cannot add more phones. Remove one first.")
def _(stage: Stage) -> HttpResponse:
    for digit in range(4):
        stage.owns(address=f"+1202555014{digit}")
    stage.sign_in()
    return stage.client.post(ADD_PHONE, {"number": NEW, "channel": "sms"})


@state("add a phone, one after another", "You can ask for another in")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    stage.enrol()
    return stage.client.post(ADD_PHONE, {"number": "+12025550124", "channel": "sms"})


@state("add a phone, a mobile number read back", "+1 202-555-0188")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(ADD_PHONE, {"country": "US", "number": "(202) 555-0188"})


@state("add a phone, a landline read back", "A landline: we call it and read out a code.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(ADD_PHONE, {"number": LANDLINE})


@state("add a phone, read back to a newcomer", "Is this your number?")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    stage.give_password()
    return stage.client.post(ADD_PHONE, {"number": NEW})


@state("add a phone, to be corrected", "Phone number")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(ADD_PHONE, {"country": "US", "number": NEW, "change": "1"})


def _unproven(stage: Stage) -> str:
    """Return the URL of the page of a number that staff have entered."""
    stage.sign_in()
    device = stage.owns(address=NEW, confirmed=False)
    return f"/account/devices/{device.pk}/confirm/"


@state("confirm a phone, nothing sent", "not confirmed yet, and no code is on its way.")
def _(stage: Stage) -> HttpResponse:
    return stage.look(_unproven(stage))


@state("confirm a phone, nothing can be sent", "not confirmed yet, and no code can be sent there.")
def _(stage: Stage) -> HttpResponse:
    url = _unproven(stage)
    stage.settings.OTP_CHANNELS_COUNTRIES = ["DE"]
    return stage.look(url)


@state(
    "confirm a phone, a text sent", "We sent a text message with a code to the number ending in 88."
)
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(stage.enrol())


@state("confirm a phone, as a newcomer", "Use another number")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    stage.give_password()
    return stage.look(stage.enrol())


@state(
    "confirm a phone, a text that failed",
    "We could not send a text message to the number ending in 88.",
)
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    url = stage.enrol()
    stage.hear("failed")
    return stage.look(url)


@state("confirm a phone, a wrong code", "This code is not right or no longer valid.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.mistype(url=stage.enrol())


@state("confirm a phone, one try left", "You have 1 try left.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.mistype(4, stage.enrol())


@state("confirm a phone, over", "This code is no longer good.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.mistype(5, stage.enrol())


@state("confirm a phone, over, as a newcomer", "This code is no longer good.")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    stage.give_password()
    return stage.mistype(5, stage.enrol())


@state("confirm a phone, expired", "This code has expired. Send a new one.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    url = stage.enrol()
    let_pass(301)
    return stage.look(url)


@state("confirm a phone, expired and no more messages", "This code has expired.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    url = stage.enrol()
    stage.use_up_messages()
    let_pass(301)
    return stage.look(url)


@state("confirm a phone, locked", "You can try again in 15 minutes.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    Lockout.objects.update_or_create(user=stage.alex, defaults={"failures": 9})
    return stage.mistype(url=stage.enrol())


@state("confirm a phone, asked for another too soon", "ask for another in")
def _(stage: Stage) -> HttpResponse:
    url = _unproven(stage)
    stage.enrol("+12025550124")
    stage.client.post(SEND, {"device": url.split("/")[3]})
    return stage.look(url)


@state("add an authenticator app", "shows a new code every half minute")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(ADD_AUTHENTICATOR)


@state("add an authenticator app, as a newcomer", "Use a phone number instead")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    stage.give_password()
    return stage.look(ADD_AUTHENTICATOR)


@state("add an authenticator app, one too many", "You cannot add more apps. Remove one first.")
def _(stage: Stage) -> HttpResponse:
    for number in range(5):
        TOTPDevice.objects.create(user=stage.alex, name=f"App {number}")
    stage.sign_in()
    return stage.look(ADD_AUTHENTICATOR)


def _to_key(stage: Stage) -> str:
    return str(stage.client.post(ADD_AUTHENTICATOR).headers["Location"])


@state("confirm an authenticator app", "Scan this picture with the app.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(_to_key(stage))


@state("confirm an authenticator app, a wrong code", "Wait for the app to show the next one.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(_to_key(stage), {"token": "000000"})


@state("recovery codes, too early", "Add a phone or an authenticator app first.")
def _(stage: Stage) -> HttpResponse:
    stage.give_password()
    return stage.look(RECOVERY_CODES)


@state("recovery codes, none yet", "You get ten of them")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(RECOVERY_CODES)


@state("recovery codes, some left", "You have 10 codes left. They no longer work")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    stage.client.post(RECOVERY_CODES)
    return stage.look(RECOVERY_CODES)


@state("recovery codes, shown", "Each one signs you in once.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.client.post(RECOVERY_CODES)


@state("reminder, until a day", "on you need a code from your phone to sign in.")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    stage.settings.OTP_CHANNELS_GRACE = date.today() + timedelta(days=9)  # noqa: DTZ011
    stage.give_password()
    return stage.look(REMINDER)


@state("reminder, until an hour", "on you need a code from your phone to sign in.")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    stage.settings.OTP_CHANNELS_GRACE = datetime.now(UTC) + timedelta(days=9)
    stage.give_password()
    return stage.look(REMINDER)


# -- the security page and what it leads to --------------------------------------------------------


@state("security page, empty", "Once you have added a phone or an app,")
def _(stage: Stage) -> HttpResponse:
    stage.give_password()
    return stage.look(DEVICES)


@state("security page, one phone", "If you lose your phone, you get in with one of these.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(DEVICES)


@state("security page, everything", "In these browsers your password alone signs you in.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    stage.client.post(RECOVERY_CODES)
    stage.owns("voice", name="Office", address=LANDLINE)
    stage.owns(name="Taken over", address="+12025550124", awaits_proof=True)
    stage.owns(name="Elsewhere", address="+33612345678")
    stage.owns(address=NEW, confirmed=False)
    stage.owns("push", disabled_reason="unregistered")
    TOTPDevice.objects.create(user=stage.alex, name="Authenticator", last_used_at=Now())
    TOTPDevice.objects.create(user=stage.alex, name="Password manager")
    EmailDevice.objects.create(user=stage.alex, name="Mail")
    for event in Activity.Event.values[1:4]:
        Activity.objects.create(user=stage.alex, event=event, device="Phone", digits="88")
    stage.trust()
    for agent in BROWSERS:  # the last one stays
        stage.open_browser(**{"user-agent": agent})
        let_pass(3601)
        stage.give_password()
        stage.journey.enter_code(trust="on")
    return stage.look(DEVICES)


@state("security page, as many phones as one may have", "You cannot add more phones.")
def _(stage: Stage) -> HttpResponse:
    for last in range(4):
        stage.owns(address=f"+1202555019{last}")
    stage.sign_in()
    return stage.look(DEVICES)


@state("security page, with news", "The name is saved.")
def _(stage: Stage) -> HttpResponse:
    device = stage.sign_in()
    stage.client.post(_page_of(device, "rename/"), {"name": "Work"})
    return stage.look(DEVICES)


@state("security page, recovery codes used up", "All of them are used up.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    stage.client.post(RECOVERY_CODES)
    stage.alex.recoverydevice_set.get().codes.all().delete()
    return stage.look(DEVICES)


@state("security page, a refusal", "You cannot add more phones. Remove one first.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    url = stage.enrol()
    for digit in range(5):
        stage.owns(address=f"+1202555014{digit}")
    stage.client.post(url, {"token": stage.journey.code})
    return stage.look(DEVICES)


def _page_of(device: ChannelDevice, act: str = "") -> str:
    return f"/account/devices/{device.pk}/{act}"


@state("device page, of the only one", "Where your codes go first")
def _(stage: Stage) -> HttpResponse:
    return stage.look(_page_of(stage.sign_in()))


@state("device page, of one of several", "Call this phone first")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(_page_of(stage.owns(address=NEW)))


@state("device page, of an app", "Notify this app first")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(_page_of(stage.owns("push")))


@state("device page, of one that cannot be reached", "is no longer in use.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    return stage.look(_page_of(stage.owns("push", disabled_reason="unregistered")))


@state("device page, no name", "Enter a name.")
def _(stage: Stage) -> HttpResponse:
    return stage.client.post(_page_of(stage.sign_in(), "rename/"), {"name": ""})


@state("remove a phone", "No codes will be sent there any more.")
def _(stage: Stage) -> HttpResponse:
    device = stage.sign_in()
    stage.owns("push")
    return stage.look(_page_of(device, "remove/"))


@state("remove a phone, the last one", "Then your password alone signs you in.")
def _(stage: Stage) -> HttpResponse:
    return stage.look(_page_of(stage.sign_in(), "remove/"))


@state("remove a phone, refused", "This is your only way to sign in.")
def _(stage: Stage) -> HttpResponse:
    stage.want_everybody()
    return stage.client.post(_page_of(stage.sign_in(), "remove/"))


@state("remove an authenticator app", "Its codes will no longer sign you in.")
def _(stage: Stage) -> HttpResponse:
    stage.sign_in()
    app = TOTPDevice.objects.create(user=stage.alex, name="Authenticator")
    return stage.look(f"/account/authenticators/{app.pk}/remove/")


@state("change a number", "Your codes go on to the number ending in 23 until")
def _(stage: Stage) -> HttpResponse:
    return stage.look(_page_of(stage.sign_in(), "change/"))


@state("change a number, read back", "Is this your number?")
def _(stage: Stage) -> HttpResponse:
    return stage.client.post(_page_of(stage.sign_in(), "change/"), {"number": NEW})


# -- the password ----------------------------------------------------------------------------------


@state("login page", "Sign in")
def _(stage: Stage) -> HttpResponse:
    return stage.look(LOGIN)


@state("login page, a wrong password", "Please enter a correct username and password.")
def _(stage: Stage) -> HttpResponse:
    return stage.client.post(LOGIN, {"username": "alex", "password": "wrong"})


@state("login page, nothing entered", "This field is required.")
def _(stage: Stage) -> HttpResponse:
    return stage.client.post(LOGIN, {})


@state("login page, with a notice", "This sign-in has ended. Please sign in again.")
def _(stage: Stage) -> HttpResponse:
    stage.park()
    stage.alex.set_password("another")
    stage.alex.save()
    stage.look()
    return stage.look(LOGIN)


def _stale(stage: Stage) -> None:
    stage.sign_in()
    stage.journey.let_proof_age()
    stage.look(ADD_PHONE)


@state("password again", "please enter your password again.")
def _(stage: Stage) -> HttpResponse:
    _stale(stage)
    return stage.look(REAUTH)


@state("password again, a wrong one", "This password is not right.")
def _(stage: Stage) -> HttpResponse:
    _stale(stage)
    return stage.journey.confirm_password("wrong")


@state("password again, too many tries", "Too many tries. Please sign out, and sign in again.")
def _(stage: Stage) -> HttpResponse:
    _stale(stage)
    for _ in range(6):
        answer = stage.journey.confirm_password("wrong")
    return answer


@state("login page, signed out to sign in again", "You are signed out.")
def _(stage: Stage) -> HttpResponse:
    _stale(stage)
    stage.client.post(REAUTH, {"sign_out": "1"})
    return stage.look(LOGIN)


@state("password again, of who has none", "please sign out and sign in again.")
def _(stage: Stage) -> HttpResponse:
    stage.alex.set_unusable_password()
    stage.alex.save()
    stage.client.force_login(stage.alex)
    stage.look(ADD_PHONE)
    stage.journey.let_proof_age()
    stage.look(ADD_PHONE)
    return stage.look(REAUTH)


@state("unavailable", "The site is too busy right now.")
def _(stage: Stage) -> HttpResponse:
    def break_down(*_: Any) -> None:
        raise OperationalError

    stage.monkeypatch.setattr(LoginView, "turn_away", break_down)
    return stage.look(LOGIN)
