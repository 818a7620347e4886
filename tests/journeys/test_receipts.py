"""What a person meets when a provider tells, early or late, that the message has not arrived."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import set_script_prefix

from django_otp_channels.models import Challenge, Delivery, Lockout
from tests.attacks.threads import at_once
from tests.catalogue import install
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.hooks import TWILIO, Sent, code_in, everything, sends_are_over, spoken_in
from tests.journey import CANCEL, STATUS, VERIFY, Journey
from tests.providers import twilio
from tests.providers.loopback import RESET

pytestmark = pytest.mark.django_db(transaction=True)


def no_wait() -> None:
    Challenge.objects.update(next_send_at=F("created_at"))


# ── Receipts that come before the send is over ──────────────────────────────────────────────────


def answered_after(endpoint, tell, reply=None) -> None:
    """Let Twilio make its callback first, and only then answer the request (or fail)."""
    real = endpoint.real

    def respond(request):
        answer = real(request)
        try:
            tell(request)
        finally:
            connections.close_all()
        return reply or answer

    endpoint.real = respond


@pytest.mark.parametrize("reply", [None, RESET], ids=["answered", "the answer is lost"])
@pytest.mark.parametrize("word", ["sent", "delivered", "undelivered"])
def test_a_receipt_that_comes_before_the_answer_is_kept(over_twilio, twilio_api, word, reply):
    heard = []

    def tell(request):
        sent = Sent(None, twilio_api, request, twilio_api.sids[-1])
        heard.append((sent.delivery.status, sent.tells(sent.status(word, "")).status_code))

    answered_after(twilio_api.messages, tell, reply)
    sent = over_twilio("sms")

    assert heard == [("sending", 200)]
    assert (sent.delivery.status, sent.delivery.message_id) == (word, sent.sid)
    assert sent.delivery.error_code == ""
    assert Delivery.objects.count() == 1
    assert sent.journey.client.get(STATUS).json()["delivery"] == word


@pytest.mark.parametrize("reply", [None, RESET], ids=["answered", "the answer is lost"])
def test_a_key_that_is_pressed_before_the_answer_is_heard(over_twilio, twilio_api, reply):
    heard = []

    def tell(request):
        sent = Sent(None, twilio_api, request, twilio_api.sids[-1])
        heard.append(spoken_in(sent.tells(sent.pressed())))

    answered_after(twilio_api.calls, tell, reply)
    sent = over_twilio("voice")

    assert (sent.delivery.status, sent.delivery.message_id) == ("answered", sent.sid)
    assert "We have read out a code" in sent.journey.client.get(VERIFY).text
    sent.journey.enter_code(code_in(heard[0]))
    assert sent.journey.is_in


def test_a_late_receipt_settles_what_nobody_knew(over_twilio, twilio_api):
    answered_after(twilio_api.messages, lambda request: None, RESET)
    sent = over_twilio("sms")
    assert sent.delivery.status == "unknown"

    sent.tells(sent.status("delivered"))

    assert (sent.delivery.status, sent.delivery.message_id) == ("delivered", sent.sid)
    assert "has arrived" in sent.journey.client.get(VERIFY).text


def two_of_twilio(settings, twilio_api, channel: str) -> None:
    entry = {"BACKEND": TWILIO[channel], "OPTIONS": dict(twilio_api.options)}
    settings.OTP_CHANNELS = {channel: [entry, entry]}


@pytest.mark.parametrize("word", ["delivered", "undelivered"])
def test_a_receipt_of_the_second_provider_may_come_before_its_attempt_is_noted(
    phone, journey, twilio_api, settings, word
):
    two_of_twilio(settings, twilio_api, "sms")
    real = twilio_api.messages.real
    told = []

    def respond(request):
        if request.form["StatusCallback"].endswith("-0/"):
            return twilio.error(20429, status=429)
        answer = real(request)
        sent = Sent(None, twilio_api, request, twilio_api.sids[-1])
        try:
            told.append(Delivery.objects.count())
            assert sent.tells(sent.status(word, "")).status_code == 200
        finally:
            connections.close_all()
        return answer

    twilio_api.messages.real = respond
    journey.enter_password(phone.user)
    sends_are_over()

    assert told == [1]  # only the first attempt had a row
    assert list(
        Delivery.objects.order_by("position").values_list(
            "position", "provider", "status", "message_id", "error_code"
        )
    ) == [(0, "twilio", "failed", "", "20429"), (1, "twilio", word, twilio_api.sids[0], "")]
    assert journey.client.get(STATUS).json()["delivery"] == word


def test_a_receipt_of_a_provider_that_was_not_asked_and_of_one_that_is_not_there(
    phone, journey, twilio_api, settings
):
    two_of_twilio(settings, twilio_api, "sms")
    journey.enter_password(phone.user)
    sends_are_over()
    sent = Sent(journey, twilio_api, twilio_api.messages.requests[-1], twilio_api.sids[-1])
    genuine = sent.status("delivered")
    url = f"{genuine.url[:-2]}2/"
    before = everything()

    beyond = replace(genuine, url=url, signature=twilio.sign(url, genuine.fields))
    assert sent.tells(beyond).status_code == 403
    assert everything() == before


# ── What the page says, and what goes out next ──────────────────────────────────────────────────


def test_a_lost_text_may_be_asked_for_again_at_once(over_twilio):
    sent = over_twilio("sms")
    assert sent.journey.client.get(VERIFY).context["page"].seconds_to_send > 0

    sent.tells(sent.status("undelivered", "30003"))

    page = sent.journey.client.get(VERIFY)
    assert "did not reach" in page.context["page"].sentence
    assert page.context["page"].seconds_to_send == 0
    assert len(sent.api.requests) == 1  # nothing by itself, where the site does not want that
    sent.journey.ask(channel="voice")
    sends_are_over()
    sent.journey.enter_code(code_in(sent.api.press(Client())))
    assert sent.journey.is_in


def test_a_lost_text_is_followed_by_one_call_where_the_site_wants_that(over_twilio, settings):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    sent = over_twilio("sms")
    text_code = sent.request.form["Body"][:6]

    for _ in range(3):
        sent.tells(sent.status("undelivered", "30003"))
        sends_are_over()

    assert len(sent.api.messages.requests) == 1
    assert len(sent.api.calls.requests) == 1
    assert code_in(sent.api.press(Client())) == text_code
    assert (Challenge.objects.get().sends, Delivery.objects.count()) == (2, 2)
    sent.journey.enter_code(text_code)
    assert sent.journey.is_in


def test_of_parallel_receipts_one_calls(over_twilio, settings):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    sent = over_twilio("sms")
    words = [sent.status(word) for word in ("undelivered", "failed") * 5]

    answers = at_once([partial(sent.tells, word) for word in words])
    sends_are_over()

    assert [answer.status_code for answer in answers] == [200] * 10
    assert len(sent.api.calls.requests) == 1


def test_who_has_written_stop_is_not_called_by_itself(over_twilio, settings):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    sent = over_twilio("sms")

    sent.tells(sent.status("undelivered", "21610"))
    sends_are_over()

    assert sent.api.calls.requests == []
    page = sent.journey.client.get(VERIFY).text
    assert "has opted out" in page
    assert "Call me instead" in page


def test_a_person_who_has_just_asked_for_a_call_gets_one_only(over_twilio, settings):
    """The message is reserved, and its delivery not noted yet, as the receipt comes in."""
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    sent = over_twilio("sms")
    Challenge.objects.update(sends=F("sends") + 1)

    sent.tells(sent.status("undelivered", "30003"))
    sends_are_over()

    assert sent.api.calls.requests == []
    assert Challenge.objects.get().next_send_at > Challenge.objects.get().created_at


def test_a_refused_fallback_is_not_asked_for_again_by_the_page(over_twilio, settings):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    sent = over_twilio("sms")
    settings.OTP_CHANNELS_LIMITS = {"login.number": {600: 0}}
    no_wait()
    assert "data-otp-fallback" in sent.journey.client.get(VERIFY).text

    sent.journey.ask(channel="voice")
    page = sent.journey.client.get(VERIFY).text

    assert "Too many codes have been sent." in page
    assert "data-otp-fallback" not in page


def newer_message(sent: Sent) -> None:
    no_wait()
    sent.journey.ask(channel="sms")
    sends_are_over()


def logged_in(sent: Sent) -> None:
    sent.journey.enter_code(sent.request.form["Body"][:6])
    assert sent.journey.is_in


def deactivated(sent: Sent) -> None:
    get_user_model().objects.update(is_active=False)


def locked(sent: Sent) -> None:
    user = sent.challenge.user
    for _ in range(10):
        Lockout.record_failure(user.pk, exists=Lockout.objects.filter(user=user).exists())


def failed(sent: Sent) -> None:
    for number in range(5):
        sent.journey.enter_code(f"{number}" * 6)


def no_message_left(sent: Sent) -> None:
    Challenge.objects.update(sends=4)


def cancelled(sent: Sent) -> None:
    sent.journey.client.post(CANCEL)


def delivered(sent: Sent) -> None:
    sent.tells(sent.status("delivered"))


def expired(sent: Sent) -> None:
    """Twilio tells of a message that was too old to send (30036) when its code is dead."""
    Challenge.objects.update(expires_at=F("created_at"))


@pytest.mark.parametrize(
    "happens",
    [
        newer_message, logged_in, locked, failed, no_message_left, cancelled, delivered, expired,
        deactivated,
    ],
)  # fmt: skip
def test_nothing_follows_by_itself_where_nobody_waits_for_it(over_twilio, settings, happens):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    sent = over_twilio("sms")
    happens(sent)
    before = Challenge.objects.count(), Delivery.objects.count()

    sent.tells(sent.status("undelivered", "30036"))
    sends_are_over()

    assert sent.api.calls.requests == []
    assert (Challenge.objects.count(), Delivery.objects.count()) == before


def test_nothing_follows_a_text_that_was_held_back_as_fraud(over_twilio, settings, caplog):
    """Who pumps text messages for money earns at calls too. Staff are told."""
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    sent = over_twilio("sms")
    waits = Challenge.objects.get().next_send_at
    caplog.clear()

    sent.tells(sent.status("undelivered", "30450"))
    sends_are_over()

    assert sent.api.calls.requests == []
    assert Challenge.objects.get().next_send_at == waits
    assert (sent.delivery.status, sent.delivery.error_code) == ("undelivered", "30450")
    [record] = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "django_otp_channels.receipts")
    assert "30450" in record.getMessage()


SPOKEN = "To hear it, press %(key)s."
WRITTEN = "%(token)s is your code to sign in to %(site)s."


def asked_in_german(client: Client, user) -> Journey:
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    walker = Journey(client, [], PASSWORD)
    walker.enter_password(user)
    sends_are_over()
    return walker


def test_the_call_speaks_the_language_of_whoever_asked(
    twilio_api, phone, client, settings, tmp_path
):
    install(settings, tmp_path, "de", {SPOKEN: "Drücken Sie %(key)s."})
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    settings.OTP_CHANNELS = {
        channel: [{"BACKEND": path, "OPTIONS": dict(twilio_api.options)}]
        for channel, path in TWILIO.items()
    }
    asked_in_german(client, phone.user)
    sent = Sent(None, twilio_api, twilio_api.messages.requests[-1], twilio_api.sids[-1])

    sent.tells(sent.status("undelivered", "30003"), **{"Accept-Language": "fr"})
    sends_are_over()

    twiml = twilio_api.calls.requests[0].form["Twiml"]
    assert 'language="de-DE"' in twiml
    assert "Drücken Sie" in twiml


@pytest.fixture
def push_then_text(twilio_api, fcm_api, settings) -> None:
    settings.OTP_CHANNELS_FALLBACK = {"push": "sms"}
    settings.OTP_CHANNELS = {
        "push": [
            {
                "BACKEND": "django_otp_channels.backends.fcm.Push",
                "OPTIONS": dict(fcm_api.options),
            }
        ],
        "sms": [{"BACKEND": TWILIO["sms"], "OPTIONS": dict(twilio_api.options)}],
    }


@pytest.mark.usefixtures("push_then_text")
def test_a_push_that_fails_is_followed_by_a_text_with_a_code_of_its_own(
    twilio_api, fcm_api, client, settings, tmp_path
):
    install(settings, tmp_path, "de", {WRITTEN: "%(token)s ist Ihr Code für %(site)s."})
    user = UserFactory()
    app = AppFactory(user=user, channel="push")
    number = PhoneFactory(user=user)
    fcm_api.messages.always(twilio.error(0, status=429))

    walker = asked_in_german(client, user)

    first, second = Challenge.objects.order_by("number")
    assert (first.device_id, first.state) == (app.pk, "superseded")
    assert (second.device_id, second.state, second.sends) == (number.pk, "open", 2)
    assert (first.language, second.language) == ("de", "de")
    [(to, text)] = twilio_api.texts
    assert to == number.address
    assert "ist Ihr Code" in text
    pushed = fcm_api.messages.requests[0].json["message"]["notification"]["body"]
    stale = "".join(filter(str.isdigit, pushed))
    walker.enter_code(stale)
    assert walker.is_nobody
    walker.enter_code(text[:6])
    assert walker.is_in


@pytest.mark.usefixtures("push_then_text")
def test_a_push_that_may_have_arrived_is_followed_by_nothing(twilio_api, fcm_api, client):
    user = UserFactory()
    AppFactory(user=user, channel="push")
    PhoneFactory(user=user)
    fcm_api.messages.always(RESET)
    Journey(client, [], PASSWORD).enter_password(user)
    sends_are_over()

    assert Delivery.objects.get().status == "unknown"
    assert twilio_api.requests == []


def test_a_text_that_is_refused_is_followed_by_a_call_at_once(
    over_twilio, settings, twilio_api, phone, journey
):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    twilio_api.messages.always(twilio.error(21614))
    journey.enter_password(phone.user)
    sends_are_over()

    assert [
        (each.channel, each.status, each.reason) for each in Delivery.objects.order_by("pk")
    ] == [("sms", "failed", "no-texts"), ("voice", "sent", "")]
    journey.enter_code(code_in(twilio_api.press(Client())))
    assert journey.is_in


def test_a_site_below_a_path_is_told_of_what_followed_by_itself(
    twilio_api, phone, journey, settings, over_twilio
):
    settings.OTP_CHANNELS_FALLBACK = {"sms": "voice"}
    twilio_api.messages.always(twilio.error(21614))
    set_script_prefix("/app/")
    try:
        journey.enter_password(phone.user)
    finally:
        set_script_prefix("/")
    sends_are_over()

    urls = [request.form["StatusCallback"] for request in twilio_api.requests]
    assert len(urls) == 2
    for url in urls:
        assert url.startswith("https://www.example.com/app/account/receipts/")


# ── Who makes the request ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("press", [False, True], ids=["receipt", "key press"])
def test_a_receipt_reads_no_session_and_sets_no_cookie(over_twilio, press):
    sent = over_twilio("voice")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(UserFactory(username="somebody"))
    callback = sent.pressed() if press else sent.status("no-answer")

    with CaptureQueriesContext(connection) as queries:
        answer = callback.to(browser)

    assert answer.status_code == 200
    assert not answer.cookies
    assert "cookie" not in answer.get("Vary", "").lower()
    assert not [query for query in queries if "session" in query["sql"]]
    assert "Location" not in answer.headers
