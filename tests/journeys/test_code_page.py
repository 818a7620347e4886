"""Between the password and the code: tries, waits, other ways, and the way out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_email.models import EmailDevice
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.models import Challenge, ChannelDevice, Delivery, Lockout
from tests.factories import AppFactory, PhoneFactory, UserFactory
from tests.journey import CANCEL, LOGIN, SEND, STATUS, VERIFY, Journey

pytestmark = pytest.mark.django_db


def age(seconds: int) -> None:
    """Let time pass for every challenge, by the database's clock."""
    step = timedelta(seconds=seconds)
    Challenge.objects.update(
        created_at=F("created_at") - step,
        expires_at=F("expires_at") - step,
        next_send_at=F("next_send_at") - step,
    )
    Lockout.objects.exclude(locked_until=None).update(locked_until=F("locked_until") - step)


@pytest.fixture
def parked(journey, alex, phone):
    """Alex has entered the password and is asked for the code."""
    journey.enter_password(alex)
    return journey


# -- tries -------------------------------------------------------------------------------------


def test_a_wrong_code_is_refused_beside_the_field_and_the_right_one_still_works(parked):
    answer = parked.enter_code(parked.wrong_code)

    assert answer.status_code == 200
    assert "not right" in answer.text
    assert answer.context["form"].errors["token"]
    assert parked.is_nobody
    parked.enter_code()
    assert parked.is_in


def test_five_wrong_codes_kill_the_code(parked):
    for _ in range(5):
        parked.enter_code(parked.wrong_code)

    answer = parked.enter_code()

    assert answer.status_code == 200
    assert parked.is_nobody
    challenge = Challenge.objects.get()
    assert (challenge.attempts, challenge.state) == (5, "failed")
    assert Lockout.objects.get().failures == 5
    parked.ask()
    assert len(parked.outbox) == 1


def test_the_last_try_counts_when_it_is_right(parked):
    for _ in range(4):
        parked.enter_code(parked.wrong_code)

    parked.enter_code()

    assert parked.is_in
    assert Challenge.objects.get().state == "verified"
    assert Lockout.objects.get().failures == 0


def test_a_code_opens_one_door_once(parked):
    other = Journey(type(parked.client)(), parked.outbox, parked.password)
    other.client.cookies = parked.client.cookies.copy()
    code = parked.code
    parked.enter_code(code)

    other.enter_code(code)

    assert parked.is_in
    assert not other.is_in


def test_a_code_works_only_in_the_session_that_asked_for_it(parked, alex):
    elsewhere = Journey(type(parked.client)(), parked.outbox, parked.password)
    first_code = parked.code
    elsewhere.enter_password(alex)
    second_code = elsewhere.code

    assert elsewhere.enter_code(first_code).status_code == 200
    assert elsewhere.is_nobody

    parked.enter_code(first_code)
    elsewhere.enter_code(second_code)
    assert parked.is_in
    assert elsewhere.is_in


@pytest.mark.parametrize("spelling", ["{a} {b}", "{a}-{b}", " {a}{b} ", "{a}{b}\n"])
def test_a_pasted_code_may_have_separators(parked, spelling):
    code = parked.code

    parked.enter_code(spelling.format(a=code[:3], b=code[3:]))

    assert parked.is_in


@pytest.mark.parametrize(
    "typed",
    [
        "12345",
        "1234567",
        "abcdef",
        "１２３４５６",
        "٣٤٥٦٧٨",
        "²²²²²²",
        "1\x0023456",
        "1" * 100_000,
        "💥",
    ],
    ids=["short", "long", "letters", "full-width", "arabic", "superscript", "nul", "huge", "emoji"],
)
def test_what_cannot_be_a_code_is_refused_and_costs_a_try(parked, typed):
    answer = parked.enter_code(typed)

    assert answer.status_code == 200
    assert answer.context["form"].errors["token"]
    assert Challenge.objects.get().attempts == 1
    assert parked.is_nobody


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "   "}])
def test_an_empty_field_costs_nothing_and_moves_nothing(parked, data):
    answer = parked.client.post(VERIFY, data)

    assert answer.status_code == 200
    assert answer.context["form"].errors["token"]
    assert Challenge.objects.get().attempts == 0
    assert parked.is_nobody


def test_two_codes_in_one_request_are_no_code(parked):
    answer = parked.client.post(VERIFY, {"token": [parked.code, parked.code]})

    assert answer.status_code == 200
    assert Challenge.objects.get().attempts == 1
    assert parked.is_nobody


def test_an_expired_code_is_refused_and_a_new_one_can_be_asked_for(parked):
    old = parked.code
    age(301)

    assert parked.enter_code(old).status_code == 200
    assert parked.is_nobody
    parked.ask()

    assert parked.code != old
    parked.enter_code()
    assert parked.is_in


@pytest.mark.parametrize(("seconds", "said"), [(200, False), (250, True)])
def test_the_time_that_is_left_is_told_once_it_matters(parked, seconds, said):
    age(seconds)

    page = parked.client.get(VERIFY)

    assert page.context["page"].seconds_left == pytest.approx(300 - seconds, abs=3)
    assert ("This code expires in" in page.text.split("data-otp-gone")[1]) is said


def test_a_code_is_good_for_its_whole_life(parked):
    age(295)

    parked.enter_code()

    assert parked.is_in


def test_a_lost_key_kills_the_code_and_a_fallback_keeps_it(parked, settings):
    old, code = settings.SECRET_KEY, parked.code
    settings.SECRET_KEY = "a new key"
    settings.SECRET_KEY_FALLBACKS = [old]

    parked.enter_code(code)

    assert parked.is_in


# -- locks -------------------------------------------------------------------------------------


def fail(journey: Journey, user, tries: int) -> None:
    for _ in range(tries):
        journey.enter_code(journey.wrong_code)


def test_ten_wrong_codes_over_several_logins_lock_the_channels_for_a_while(parked, alex):
    fail(parked, alex, 5)
    parked.enter_password(alex)
    fail(parked, alex, 5)
    sent = len(parked.outbox)

    parked.enter_password(alex)

    assert len(parked.outbox) == sent
    page = parked.client.get(VERIFY)
    assert page.context["page"].locked
    assert "ask the support of this site" in page.text
    assert "somebody knows your password" in page.text
    assert parked.is_nobody
    assert Lockout.objects.get().failures == 10
    assert 14 * 60 < Lockout.lock_of(alex.pk).seconds_left <= 15 * 60

    age(16 * 60)
    parked.enter_password(alex)
    parked.enter_code()
    assert parked.is_in


def test_twenty_wrong_codes_within_a_day_lock_until_the_day_is_over(parked, alex):
    Lockout.objects.create(user=alex, failures=19, daily_failures=19)
    parked.enter_password(alex)

    fail(parked, alex, 1)

    assert Lockout.lock_of(alex.pk).seconds_left > 23 * 3600


def test_tries_during_a_lock_neither_count_nor_open(parked, alex):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))

    parked.enter_code()

    assert parked.is_nobody
    assert Lockout.objects.get().failures == 10
    assert Challenge.objects.get().attempts == 0


def test_a_locked_account_gets_in_by_another_factor(parked, alex):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    recovery = StaticDevice.objects.create(user=alex, name="Recovery codes")
    recovery.token_set.create(token="abcd2345")
    page = parked.client.get(VERIFY).text
    assert "Meanwhile you can confirm in another way." in page
    assert "ask the support" not in page

    parked.enter_code("abcd2345", device=recovery.persistent_id)

    assert parked.is_in


def test_fifty_failures_in_a_row_close_the_account_until_staff_open_it(journey, alex, phone):
    Lockout.objects.create(user=alex, failures=49)
    parked = journey
    parked.enter_password(alex)
    fail(parked, alex, 1)

    parked.enter_password(alex)

    assert Lockout.objects.get().stopped_at is not None
    assert parked.client.get(VERIFY).context["page"].stopped
    assert len(parked.outbox) == 1
    Lockout.lift([alex.pk])
    parked.enter_password(alex)
    parked.enter_code()
    assert parked.is_in


def test_success_between_failures_does_not_lift_the_daily_limit(parked, alex):
    Lockout.objects.create(user=alex, failures=1, daily_failures=19)

    fail(parked, alex, 1)

    assert parked.client.get(VERIFY).context["page"].locked
    assert parked.enter_code().status_code == 200
    assert parked.is_nobody


# -- again, or another way -----------------------------------------------------------------------


def test_asking_again_sends_the_same_code_after_the_wait(parked):
    parked.ask()
    assert len(parked.outbox) == 1

    age(31)
    answer = parked.ask()

    assert (answer.status_code, answer.headers["Location"]) == (302, VERIFY)
    first, second = parked.outbox
    assert (second.token, second.channel) == (first.token, "sms")
    parked.enter_code()
    assert parked.is_in


def test_the_wait_grows_and_the_messages_of_a_login_are_counted(parked):
    for sends, wait in enumerate((30, 60, 120), start=1):
        age(wait - 5)
        parked.ask()
        assert len(parked.outbox) == sends
        age(6)
        parked.ask(channel="voice" if sends == 3 else "sms")  # a number takes three texts
        assert len(parked.outbox) == sends + 1

    age(600)
    parked.ask()
    assert len(parked.outbox) == 4


def test_a_call_instead_reads_out_the_same_code(parked):
    age(31)
    parked.ask(channel="voice")

    assert [message.channel for message in parked.outbox] == ["sms", "voice"]
    assert parked.outbox[0].token == parked.outbox[1].token


def test_another_device_gets_a_new_code_and_the_old_one_is_dead(parked, alex):
    app = AppFactory(user=alex)
    old = parked.code
    age(31)

    parked.ask(device=app.pk, channel="push")

    assert parked.outbox[-1].to == app.address
    assert parked.code != old
    assert parked.enter_code(old).status_code == 200
    parked.enter_code()
    assert parked.is_in


def test_a_new_code_does_not_reset_the_count_of_messages(parked, alex):
    AppFactory(user=alex)
    for _ in range(6):
        age(301)
        parked.ask(channel="push")
        age(301)
        parked.ask(channel="sms")

    assert len(parked.outbox) == 4


@pytest.mark.parametrize("channel", ["fax", "push", "sms'; DROP TABLE", ""])
def test_nothing_goes_to_a_device_that_is_not_the_persons(parked, channel):
    strangers = PhoneFactory(user=UserFactory(), address="+12025550177")
    age(31)

    answer = parked.ask(device=strangers.pk, channel=channel)

    assert answer.headers["Location"] == VERIFY
    assert len(parked.outbox) == 1


def test_looking_sends_and_counts_nothing(parked):
    age(31)
    for url in (VERIFY, STATUS, f"{VERIFY}?device=x"):
        for method in (parked.client.get, parked.client.head, parked.client.options):
            method(url)
    assert parked.client.get(SEND).status_code == 405

    assert len(parked.outbox) == 1
    challenge = Challenge.objects.get()
    assert (challenge.attempts, challenge.sends) == (0, 1)


def test_an_authenticator_app_will_do_on_the_code_page(parked, alex):
    app = TOTPDevice.objects.create(user=alex, name="Authenticator")
    page = parked.client.get(VERIFY, {"device": app.persistent_id})
    assert page.context["page"].other.name == "Authenticator"

    parked.enter_code(f"{totp(app.bin_key):06d}", device=app.persistent_id)

    assert parked.is_in
    assert Challenge.objects.get().state == "cancelled"


@pytest.mark.parametrize("confirmed", [True, False])
def test_another_persons_or_an_unproven_authenticator_opens_nothing(parked, alex, confirmed):
    owner = UserFactory() if confirmed else alex
    app = TOTPDevice.objects.create(user=owner, name="Authenticator", confirmed=confirmed)

    parked.enter_code(f"{totp(app.bin_key):06d}", device=app.persistent_id)

    assert parked.is_nobody


def test_somebody_with_an_authenticator_only_is_asked_for_it(journey, alex):
    app = TOTPDevice.objects.create(user=alex, name="Authenticator")

    journey.enter_password(alex)

    assert journey.is_nobody
    assert "Authenticator" in journey.client.get(VERIFY).text
    journey.enter_code(f"{totp(app.bin_key):06d}", device=app.persistent_id)
    assert journey.is_in


@pytest.mark.filterwarnings("ignore")  # django-otp's own, about how it sends mail
def test_an_email_device_sends_its_code_when_it_is_asked_to(journey, alex, mailoutbox):
    device = EmailDevice.objects.create(user=alex, name="Mail")
    journey.enter_password(alex)
    assert journey.is_nobody
    page = journey.client.get(VERIFY, {"device": device.persistent_id})
    assert SEND in page.text
    assert mailoutbox == []

    answer = journey.ask(device=device.persistent_id)

    assert answer.headers["Location"].startswith(f"{VERIFY}?device=")
    page = journey.client.get(answer.headers["Location"])
    assert "on its way" in page.context["page"].news
    device.refresh_from_db()
    journey.enter_code(device.token, device=device.persistent_id)
    assert journey.is_in


def test_an_email_device_that_fails_is_told_in_our_words(journey, alex, settings):
    settings.OTP_EMAIL_BODY_TEMPLATE_PATH = "nowhere/marker.html"
    device = EmailDevice.objects.create(user=alex, name="Mail")
    journey.enter_password(alex)

    page = journey.client.get(journey.ask(device=device.persistent_id).headers["Location"])

    assert "cannot be sent" in page.text
    assert "marker" not in page.text


def test_somebody_who_cannot_be_reached_stays_outside_and_is_told_whom_to_ask(
    journey, alex, phone, settings
):
    settings.OTP_CHANNELS_COUNTRIES = ["DE"]

    journey.enter_password(alex)

    page = journey.client.get(VERIFY)
    assert page.context["page"].helpless
    assert journey.outbox == []
    assert journey.is_nobody


def test_whose_only_number_is_gone_is_told_whom_to_ask(parked, phone):
    Delivery.objects.update(status="failed", reason="gone")
    ChannelDevice.objects.update(disabled_reason="gone")

    page = parked.client.get(VERIFY)

    assert page.context["page"].helpless
    assert "Please ask the support of this site." in page.text


@pytest.mark.parametrize("reason", ["opted-out", "no-texts"])
def test_a_number_that_takes_no_texts_is_offered_a_call_alone(parked, phone, reason):
    Delivery.objects.update(status="failed", reason=reason)
    age(31)

    page = parked.client.get(VERIFY)
    assert [str(way.label) for way in page.context["page"].offered] == ["Call me instead"]
    parked.ask(device=str(phone.pk), channel="sms")

    assert "not available" in parked.client.get(VERIFY).context["page"].notice
    assert len(parked.outbox) == 1


# -- the way out, and the end of a parked login --------------------------------------------------


def test_start_over_kills_the_code_and_the_session(parked):
    code = parked.code
    old = parked.client.cookies.copy()

    answer = parked.client.post(CANCEL)

    assert answer.headers["Location"] == LOGIN  # where it began
    parked.client.cookies = old
    assert parked.enter_code(code).headers["Location"] == "/login/"
    assert Challenge.objects.get().state == "cancelled"


def test_logging_out_while_parked_ends_it(parked):
    parked.client.post("/logout/")

    assert parked.enter_code().headers["Location"] == "/login/"
    assert parked.is_nobody


def test_a_parked_login_ends_after_ten_minutes_whatever_is_looked_at(parked):
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=590), tick=False):
        assert parked.client.get(VERIFY).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=602), tick=False):
        assert parked.enter_code().headers["Location"] == LOGIN
        assert parked.is_nobody
        assert "took too long" in parked.client.get(LOGIN).text
        assert "took too long" not in parked.client.get(LOGIN).text
        assert Challenge.objects.get().state == "cancelled"


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user.set_password("another"),
        lambda user: setattr(user, "is_active", False),
    ],
    ids=["password changed", "deactivated"],
)
def test_a_changed_account_ends_the_parked_login(parked, alex, change):
    change(alex)
    alex.save()

    assert parked.enter_code().headers["Location"] == LOGIN
    assert parked.is_nobody
    assert "has ended" in parked.client.get(LOGIN).text


def test_the_code_of_a_removed_device_is_dead(parked, phone):
    phone.delete()

    assert not parked.enter_code().headers.get("Location", "").startswith("/private")
    assert parked.is_nobody


def test_the_code_of_a_changed_number_is_dead(parked, phone):
    phone = ChannelDevice.objects.get()
    phone.address = "+12025550188"
    phone.save()

    parked.enter_code()

    assert parked.is_nobody


def test_a_number_that_changes_while_its_code_is_being_compared_opens_nothing(parked):
    challenge = Challenge.objects.select_related("device").get()
    ChannelDevice.objects.update(version=2)

    assert challenge.verify(parked.code) is False
    assert Challenge.objects.get().state == "open"


def test_logging_in_as_somebody_else_keeps_nothing_of_the_first(parked, alex):
    sam = UserFactory(username="sam")
    PhoneFactory(user=sam, address="+12025550124")
    code_of_alex = parked.code

    parked.enter_password(sam)

    assert Challenge.objects.get(user=alex).state == "cancelled"
    assert parked.enter_code(code_of_alex).status_code == 200
    assert parked.is_nobody
    parked.enter_code()
    assert parked.whoami()["user"] == "sam"


def test_a_parked_visitor_who_opens_a_login_page_is_led_to_the_code_page(parked):
    for url in (LOGIN, "/login/", "/admin/login/"):
        assert parked.client.get(url).headers["Location"] == VERIFY


@pytest.mark.parametrize("url", [LOGIN, "/login/"])
def test_the_session_key_and_the_csrf_token_change_at_both_steps(journey, alex, phone, url):
    journey.client.get(url)
    planted = journey.client.session
    planted["cart"] = ["book"]
    planted.save()
    keys = [planted.session_key]
    csrf = journey.client.cookies["csrftoken"].value

    journey.enter_password(alex, url)
    keys.append(journey.client.session.session_key)
    journey.enter_code()
    keys.append(journey.client.session.session_key)

    assert len(set(keys)) == 3
    assert journey.client.session["cart"] == ["book"]
    assert journey.client.cookies["csrftoken"].value != csrf
    for old in keys[:2]:
        assert not journey.client.session.exists(old)


# -- next ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [LOGIN, "/login/"])
@pytest.mark.parametrize(
    ("wanted", "onwards"),
    [
        ("/verified-only/?a=1", "/verified-only/?a=1"),
        ("", "/private/"),
        ("//evil.example", "/private/"),
        ("https://evil.example/", "/private/"),
        ("https:evil.example", "/private/"),
        ("http://testserver/account/verify/?a=1", "/private/"),
        ("/\\evil.example", "/private/"),
        ("javascript:alert(1)", "/private/"),
        ("https://testserver@evil.example", "/private/"),
        (VERIFY, "/private/"),
        (CANCEL, "/private/"),
        ("/" + "a" * 64_000, "/private/"),
    ],
)
def test_the_person_goes_on_to_where_they_wanted_unless_it_is_a_trap(
    journey, alex, phone, url, wanted, onwards
):
    journey.enter_password(alex, url, next=wanted)

    assert journey.enter_code().headers["Location"] == onwards


# -- what the page says --------------------------------------------------------------------------


def test_status_tells_the_page_what_became_of_the_message(parked):
    status = parked.client.get(STATUS).json()

    assert status["state"] == "open"
    assert status["delivery"] == "sent"
    assert "the number ending in 23" in status["sentence"]
    assert status["resend_at"] < status["expires_at"]
    assert parked.code not in str(status)


@pytest.mark.parametrize("save_every_request", [False, True])
def test_a_poll_that_comes_late_leaves_the_login_alone(parked, settings, save_every_request):
    settings.SESSION_SAVE_EVERY_REQUEST = save_every_request
    late = Client()
    late.cookies[settings.SESSION_COOKIE_NAME] = parked.client.session.session_key
    assert parked.enter_code().status_code == 302
    answer = late.get(STATUS)
    assert answer.json()["state"] == "none"
    assert not answer.cookies, "the browser would forget the new session with the old one"
    assert parked.is_in


def test_status_is_for_the_page_itself_only(parked):
    answer = parked.client.get(STATUS, headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 403


def test_the_page_shows_two_digits_of_the_number_and_no_more(parked, phone):
    page = parked.client.get(VERIFY).text

    assert "the number ending in 23" in page
    assert "555012" not in page.replace(" ", "").replace("-", "")


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("url", [VERIFY, SEND, STATUS, CANCEL, LOGIN, "/account/"])
def test_every_answer_is_private_and_cannot_be_framed(parked, url, method):
    answer = getattr(parked.client, method)(url)

    assert answer.headers["Cache-Control"] == "no-store, private"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_every_form_asks_for_a_csrf_token(parked):
    strict = type(parked.client)(enforce_csrf_checks=True)
    strict.cookies = parked.client.cookies.copy()

    for url in (VERIFY, SEND, CANCEL):
        assert strict.post(url, {"token": parked.code}).status_code == 403
    assert Challenge.objects.get().attempts == 0


def test_the_deliveries_of_a_login_are_on_record_without_code_or_number(parked, phone):
    delivery = Delivery.objects.get()

    assert (delivery.channel, delivery.provider, delivery.status) == ("sms", "memory", "sent")
    assert (delivery.region, delivery.segments) == ("US", 1)
    row = str({**delivery.__dict__, **Challenge.objects.get().__dict__})
    assert parked.code not in row
    assert phone.address not in row


# -- where the pages lead ------------------------------------------------------------------------


@pytest.mark.parametrize("url", [LOGIN, "/login/", "/admin/login/"])
def test_starting_over_leads_back_to_where_the_login_began(journey, url):
    sam = UserFactory(username="sam", staff=True)
    PhoneFactory(user=sam)
    journey.enter_password(sam, url, next="/verified-only/")

    assert journey.client.post(CANCEL).headers["Location"] == f"{url}?next=%2Fverified-only%2F"


def test_a_site_without_a_login_page_of_its_own_has_ours(journey, alex, phone, settings):
    settings.LOGIN_URL = "/accounts/login/"  # Django's default, where a new project has nothing

    assert journey.client.get(VERIFY).headers["Location"] == LOGIN
    assert journey.client.get("/account/").headers["Location"].startswith(f"{LOGIN}?next=")


def test_what_has_failed_stays_on_record_as_failed(parked):
    for _ in range(5):
        parked.enter_code(parked.wrong_code)

    parked.client.post(CANCEL)

    assert Challenge.objects.get().state == "failed"


def test_a_login_of_who_is_in_already_asks_for_a_code_again(journey, alex, phone):
    journey.log_in(alex)
    assert journey.is_in

    journey.enter_password(alex, "/custom-login/")

    assert journey.is_nobody
    journey.enter_code()
    assert journey.is_in


def test_a_device_that_an_anonymous_session_remembers_counts_for_nothing(journey, alex, phone):
    session = journey.client.session
    session["otp_device_id"] = phone.persistent_id
    session.save()
    journey.client.cookies["sessionid"] = session.session_key

    journey.enter_password(alex, "/custom-login/")

    assert journey.is_nobody


def test_of_several_deliveries_the_latest_is_told(parked):
    flow = parked.client.session["otp_channels"]["parked"]["flow"]
    challenge = Challenge.current(flow)
    Delivery.objects.create(challenge=challenge, channel="voice", status="failed")
    Delivery.objects.create(challenge=challenge, channel="voice", status="unknown")

    current = Challenge.current(flow)

    assert (current.delivery_channel, current.delivery_status) == ("voice", "unknown")


@pytest.mark.parametrize("flow", ["another", ""])
def test_a_challenge_is_not_found_from_another_flow(parked, phone, flow):
    phone.generate_challenge()  # one of django-otp's own verbs, without any flow

    assert Challenge.current(flow) is None


@pytest.mark.parametrize(
    ("model", "mode"), [(TOTPDevice, 'inputmode="numeric"'), (StaticDevice, None)]
)
def test_the_keyboard_fits_the_kind_of_code(parked, alex, model, mode):
    other = model.objects.create(user=alex, name="Other")

    page = parked.client.get(VERIFY, {"device": other.persistent_id}).text

    assert ('inputmode="numeric"' in page) is (mode is not None)


def test_no_dots_are_read_aloud(parked):
    """A screen reader says "bullet" for each dot of a mask."""
    assert "•" not in parked.client.get(VERIFY).text
