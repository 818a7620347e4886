"""Whole logins over the real SDKs, with stand-ins of Twilio and FCM at the far end."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.cache.backends.base import BaseCache
from django.db import connection, transaction
from django.test import Client

from django_otp_channels.backends.base import Backend
from django_otp_channels.messages import Message, Receipt
from django_otp_channels.models import ChannelDevice, Delivery
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.hooks import sends_are_over
from tests.journey import STATUS, VERIFY, Journey
from tests.providers import fcm, twilio
from tests.providers.loopback import HANG, RESET, Reply

pytestmark = pytest.mark.django_db(transaction=True)

TWILIO_SMS = "django_otp_channels.backends.twilio.SMS"
TWILIO_VOICE = "django_otp_channels.backends.twilio.Voice"
FCM_PUSH = "django_otp_channels.backends.fcm.Push"


@pytest.fixture
def providers(twilio_api, fcm_api, settings) -> Iterator[None]:
    settings.OTP_CHANNELS = {
        "sms": [{"BACKEND": TWILIO_SMS, "OPTIONS": dict(twilio_api.options)}],
        "voice": [{"BACKEND": TWILIO_VOICE, "OPTIONS": dict(twilio_api.options)}],
        "push": [{"BACKEND": FCM_PUSH, "OPTIONS": dict(fcm_api.options)}],
    }
    yield
    sends_are_over()


@pytest.fixture
def user() -> Any:
    return UserFactory(username="alex")


@pytest.fixture
def phone(user) -> ChannelDevice:
    return PhoneFactory(user=user, address="+12025550123")


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


@pytest.mark.usefixtures("providers")
@pytest.mark.parametrize("channel", ["sms", "voice", "push"])
def test_a_person_logs_in_with_a_code_over_the_real_sdk(
    journey, user, channel, twilio_api, fcm_api
):
    factory = AppFactory if channel == "push" else PhoneFactory
    device = factory(user=user, channel=channel)

    assert journey.enter_password(user).headers["Location"] == VERIFY
    sends_are_over()

    assert journey.client.get(STATUS).json()["delivery"] == "sent"
    if channel == "sms":
        [(to, text)] = twilio_api.texts
        code = text[:6]
        assert text.endswith(f"@www.example.com #{code}")
    elif channel == "voice":
        [(to, prompt)] = twilio_api.spoken
        assert len(digits("".join(prompt))) == 2  # the key to press, said twice
        lines = twilio_api.press(journey.client)
        code = digits(lines[1])
        assert digits(lines[3]) == code
    else:
        [notification] = fcm_api.notifications
        to = notification["token"]
        code = digits(notification["notification"]["body"])
    assert to == device.address
    journey.enter_code(code)
    assert journey.is_in
    delivery = Delivery.objects.get()
    status = "answered" if channel == "voice" else "sent"
    assert (delivery.status, delivery.channel) == (status, channel)
    assert delivery.message_id


TROUBLE = {
    "the number is refused": (twilio.error(21614), "failed", "could not send"),
    "our credentials are wrong": (twilio.error(20003, status=401), "failed", "could not send"),
    "too many requests": (twilio.error(20429, status=429), "failed", "could not send"),
    "their server is broken": (Reply(500, "<html>marker</html>"), "unknown", "may be on its way"),
    "an answer that is none": (Reply(200, "<html>marker</html>"), "unknown", "may be on its way"),
    "the line breaks after the request": (RESET, "unknown", "may be on its way"),
}


@pytest.mark.usefixtures("providers")
@pytest.mark.parametrize(("reply", "delivery", "words"), TROUBLE.values(), ids=TROUBLE.keys())
def test_a_person_is_told_what_became_of_the_message_and_calls_instead(
    journey, user, phone, twilio_api, reply, delivery, words
):
    twilio_api.messages.always(reply)

    assert journey.enter_password(user).headers["Location"] == VERIFY
    sends_are_over()

    page = journey.client.get(VERIFY)
    assert page.status_code == 200
    assert words in page.context["page"].sentence
    assert words in page.text
    assert "Call me" in page.text
    for marker in ("marker", "Error 2", "twilio", "AC0123"):
        assert marker not in page.text
    assert journey.client.get(STATUS).json()["delivery"] == delivery
    assert Delivery.objects.get().status == delivery
    assert len(twilio_api.messages.requests) == 1
    assert journey.is_nobody
    if delivery == "failed":  # known not sent: no wait
        journey.ask(channel="voice")
        sends_are_over()
        journey.enter_code(digits(twilio_api.press(journey.client)[1]))
        assert journey.is_in


@pytest.mark.usefixtures("providers")
@pytest.mark.parametrize(
    ("code", "calls"),
    [
        pytest.param(21614, 1, id="a landline"),
        pytest.param(20429, 1, id="too many requests"),
        # What the site has closed to texts, against toll fraud, is not called by itself either.
        pytest.param(21408, 0, id="a country closed at the provider"),
    ],
)
def test_a_text_that_is_not_sent_is_followed_by_a_call_where_the_site_wants_that(
    journey, user, phone, twilio_api, settings, code, calls
):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    twilio_api.messages.always(twilio.error(code, status=429 if code == 20429 else 400))

    journey.enter_password(user)
    sends_are_over()

    assert len(twilio_api.calls.requests) == calls
    if calls:
        journey.enter_code(digits(twilio_api.press(journey.client)[1]))
        assert journey.is_in


@pytest.mark.usefixtures("providers")
def test_a_provider_that_hangs_holds_no_page(journey, user, phone, twilio_api, settings):
    settings.OTP_CHANNELS_SEND_TIMEOUT = 1
    twilio_api.messages.always(HANG)
    started = time.monotonic()

    answer = journey.enter_password(user)
    page = journey.client.get(VERIFY)

    assert time.monotonic() - started < 0.9
    assert answer.headers["Location"] == VERIFY
    assert "We are sending" in page.context["page"].sentence
    assert journey.client.get(STATUS).json()["delivery"] == "sending"
    sends_are_over()
    assert journey.client.get(STATUS).json()["delivery"] == "unknown"
    assert journey.is_nobody


@pytest.mark.usefixtures("providers")
def test_a_send_whose_worker_was_stopped_reads_as_unknown(journey, user, phone, settings):
    journey.enter_password(user)
    sends_are_over()
    Delivery.objects.update(status="sending", finished_at=None)
    assert journey.client.get(STATUS).json()["delivery"] == "sending"

    settings.OTP_CHANNELS_SEND_TIMEOUT = 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE otp_channels_delivery SET created_at = '2026-01-01 00:00:00'")

    assert journey.client.get(STATUS).json()["delivery"] == "unknown"


@pytest.mark.usefixtures("providers")
def test_a_push_that_hangs_starves_no_text_message(user, phone, fcm_api, twilio_api, settings):
    settings.OTP_CHANNELS_SEND_TIMEOUT = 2
    settings.OTP_CHANNELS_SEND_THREADS = 2
    fcm_api.messages.always(HANG)
    people = [UserFactory() for _ in range(3)]
    for somebody in people:
        AppFactory(user=somebody)
        Journey(Client(), [], PASSWORD).enter_password(somebody)

    third = Delivery.objects.get(challenge__user=people[2])
    assert (third.status, third.error_code) == ("failed", "busy")
    journey = Journey(Client(), [], PASSWORD)
    journey.enter_password(user)
    for thread in threading.enumerate():
        if thread.name == "otp-channels-twilio":
            thread.join(2)
    journey.enter_code(twilio_api.texts[0][1][:6])
    assert journey.is_in
    assert Delivery.objects.filter(status="sending").count() == 2


@pytest.mark.usefixtures("providers")
def test_the_second_provider_of_a_channel_is_tried_with_the_same_code(
    journey, user, phone, twilio_api, settings
):
    entry = settings.OTP_CHANNELS["sms"][0]
    settings.OTP_CHANNELS = {"sms": [entry, entry]}
    twilio_api.messages.script(twilio.error(20429, status=429))

    journey.enter_password(user)
    sends_are_over()

    assert [d.status for d in Delivery.objects.order_by("pk")] == ["failed", "sent"]
    journey.enter_code(twilio_api.texts[0][1][:6])
    assert journey.is_in


class Pigeon(Backend):
    """A second provider, over a network of its own."""

    provider = "pigeon"
    channels = frozenset({"sms"})
    texts: list[str] = []  # noqa: RUF012

    def send(self, message: Message, *, timeout: float) -> Receipt:
        self.texts.append(message.text)
        return Receipt(provider=self.provider, message_id=f"pigeon-{len(self.texts)}")


@pytest.fixture
def pigeon(providers, settings) -> Iterator[list[str]]:
    """Text messages go by pigeon where Twilio does not take them."""
    second = {"BACKEND": f"{__name__}.Pigeon"}
    settings.OTP_CHANNELS = {
        **settings.OTP_CHANNELS,
        "sms": [*settings.OTP_CHANNELS["sms"], second],
    }
    Pigeon.texts.clear()
    yield Pigeon.texts
    sends_are_over()


def walk_in(texts: list[Any]) -> Journey:
    """Let somebody else sign in, up to the code page and through it."""
    somebody = PhoneFactory().user
    journey = Journey(Client(), [], PASSWORD)
    journey.enter_password(somebody)
    sends_are_over()
    latest = texts[-1]
    journey.enter_code((latest if isinstance(latest, str) else latest[1])[:6])
    assert journey.is_in
    return journey


def test_a_provider_that_fails_again_and_again_is_skipped_until_it_works_again(twilio_api, pigeon):
    twilio_api.messages.always(twilio.error(20429, status=429))
    with time_machine.travel(time.time(), tick=False) as clock:
        for _ in range(7):
            walk_in(pigeon)
        assert len(twilio_api.messages.requests) == 5
        codes = list(Delivery.objects.filter(provider="twilio").order_by("pk"))
        assert [each.error_code for each in codes] == ["20429"] * 5 + ["paused"] * 2

        clock.shift(30)  # still down: one person's message finds that out, and is sent all the same
        walk_in(pigeon)
        walk_in(pigeon)
        assert len(twilio_api.messages.requests) == 6

        twilio_api.messages.always(None)
        clock.shift(60)
        walk_in(twilio_api.texts)
        walk_in(twilio_api.texts)
    assert len(pigeon) == 9


@pytest.mark.usefixtures("providers")
def test_where_every_provider_is_skipped_the_person_is_called_instead(user, phone, twilio_api):
    twilio_api.messages.always(twilio.error(20429, status=429))
    for _ in range(5):
        Journey(Client(), [], PASSWORD).enter_password(PhoneFactory().user)
        sends_are_over()

    journey = Journey(Client(), [], PASSWORD)
    assert journey.enter_password(user).headers["Location"] == VERIFY
    sends_are_over()

    page = journey.client.get(VERIFY)
    assert "could not send" in page.context["page"].sentence
    assert "paused" not in page.text
    assert Delivery.objects.latest("pk").error_code == "paused"
    assert len(twilio_api.messages.requests) == 5
    journey.ask(channel="voice")  # at once: nothing was sent
    sends_are_over()
    journey.enter_code(digits(twilio_api.press(journey.client)[1]))
    assert journey.is_in


@pytest.mark.usefixtures("providers")
def test_a_cache_that_hangs_holds_up_neither_a_page_nor_a_send(
    journey, user, phone, twilio_api, settings, monkeypatch
):
    monkeypatch.setattr(Hanging, "let_go", threading.Event())
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.Hanging"}}
    started = time.monotonic()

    journey.enter_password(user)
    assert journey.client.get(VERIFY).status_code == 200
    on_the_page = time.monotonic() - started
    for thread in threading.enumerate():
        if thread.name == "otp-channels-twilio":
            thread.join(5)

    journey.enter_code(twilio_api.texts[0][1][:6])
    assert journey.is_in
    assert on_the_page < 2
    assert time.monotonic() - started < 5
    Hanging.let_go.set()


class Hanging(BaseCache):
    """A cache whose server is gone, without a time-out."""

    let_go = threading.Event()

    def __init__(self, _location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, *args: Any, **kwargs: Any) -> None:
        assert self.let_go.wait(15)


@pytest.mark.usefixtures("providers")
def test_an_app_that_is_gone_is_disabled_and_the_login_stays_closed(
    journey, user, phone, fcm_api, twilio_api
):
    app = AppFactory(user=user)
    ChannelDevice.objects.filter(pk=phone.pk).update(confirmed=False)
    fcm_api.messages.always(fcm.error(404, "NOT_FOUND", code="UNREGISTERED"))

    journey.enter_password(user)
    sends_are_over()

    app.refresh_from_db()
    assert (app.disabled_reason, app.confirmed) == ("unregistered", True)
    assert journey.is_nobody
    again = Journey(Client(), [], PASSWORD)
    again.enter_password(user)
    assert again.is_nobody
    assert again.client.get(VERIFY).context["page"].helpless
    ChannelDevice.objects.filter(pk=phone.pk).update(confirmed=True)
    last = Journey(Client(), [], PASSWORD)
    last.enter_password(user)
    sends_are_over()
    assert len(twilio_api.texts) == 1


@pytest.mark.usefixtures("providers")
def test_a_request_waits_for_its_send_where_it_is_told_to(
    journey, user, phone, twilio_api, settings
):
    settings.OTP_CHANNELS_SEND_WAIT = 10

    journey.enter_password(user)

    assert Delivery.objects.get().status == "sent"


@pytest.mark.usefixtures("providers")
def test_a_stock_challenge_is_sent_after_the_commit(user, phone, twilio_api):
    with transaction.atomic():
        phone.generate_challenge()
        assert twilio_api.messages.requests == []
    sends_are_over()

    assert len(twilio_api.texts) == 1
    assert phone.verify_token(twilio_api.texts[0][1][:6]) is True


@pytest.mark.usefixtures("providers")
def test_a_stock_challenge_that_is_rolled_back_is_not_sent(user, phone, twilio_api):
    with transaction.atomic():
        phone.generate_challenge()
        transaction.set_rollback(True)

    sends_are_over()
    assert twilio_api.messages.requests == []
    assert get_user_model().objects.count() == 1


@pytest.mark.usefixtures("providers")
def test_nothing_is_open_in_the_database_while_a_send_is_under_way(
    journey, user, phone, twilio_api, settings
):
    """I18. The provider looks, while it is being asked, whether the row is already committed."""
    seen: list[int] = []
    real = twilio_api.messages.real

    def look(request: Any) -> Reply:
        try:
            seen.append(Delivery.objects.filter(status="sending").count())
        finally:
            connection.close()
        return real(request)

    twilio_api.messages.real = look
    journey.enter_password(user)
    sends_are_over()

    assert seen == [1]
