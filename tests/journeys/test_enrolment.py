"""A new number: asked for by the policy or added at will, and proven before it counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import F
from django.db.models.functions import Now
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels import enrolment
from django_otp_channels.models import Challenge, ChannelDevice, Delivery, Lockout
from tests.factories import AppFactory, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, CANCEL, DEVICES, LOGIN, SEND, VERIFY, Journey

pytestmark = pytest.mark.django_db

NUMBER = "+12025550123"


def policy_of_the_tests(user, _request) -> bool:
    return user.username == "alex"


def confirm_url(device: ChannelDevice) -> str:
    return f"/account/devices/{device.pk}/confirm/"


def remove_url(device: ChannelDevice) -> str:
    return f"/account/devices/{device.pk}/remove/"


def let_time_pass(seconds: int) -> None:
    step = timedelta(seconds=seconds)
    Challenge.objects.update(
        created_at=F("created_at") - step, next_send_at=F("next_send_at") - step
    )


@pytest.fixture
def everyone(settings):
    settings.OTP_CHANNELS_POLICY = "everyone"


# -- who is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "staff", "asked"),
    [
        ("enrolled", False, False),
        ("enrolled", True, False),
        ("staff", False, False),
        ("staff", True, True),
        ("everyone", False, True),
        ("tests.journeys.test_enrolment.policy_of_the_tests", False, True),
        ("tests.journeys.test_enrolment.policy_of_the_tests", True, False),
    ],
)
def test_the_policy_says_who_must_enrol(journey, settings, policy, staff, asked):
    settings.OTP_CHANNELS_POLICY = policy
    user = UserFactory(username="sam" if staff else "alex", is_staff=staff)

    journey.enter_password(user)

    assert journey.is_in is not asked
    if asked:
        assert journey.is_nobody
        assert journey.client.get(VERIFY).headers["Location"] == ADD_PHONE


@pytest.mark.parametrize("policy", ["enrolled", "staff", "everyone"])
def test_who_has_a_device_is_asked_under_every_policy(journey, alex, phone, settings, policy):
    settings.OTP_CHANNELS_POLICY = policy

    journey.enter_password(alex)

    assert journey.is_nobody
    assert len(journey.outbox) == 1


def test_a_policy_that_cannot_be_evaluated_lets_nobody_in(journey, alex, settings):
    settings.OTP_CHANNELS_POLICY = "tests.nowhere.policy"
    journey.client.raise_request_exception = False

    answer = journey.enter_password(alex, "/login/")

    assert answer.status_code == 500
    journey.client.raise_request_exception = True
    settings.OTP_CHANNELS_POLICY = "enrolled"
    assert journey.is_nobody


def test_a_changed_policy_reaches_who_is_logged_in_already(journey, alex, settings):
    journey.enter_password(alex)
    assert journey.is_in

    settings.OTP_CHANNELS_POLICY = "everyone"

    assert journey.is_nobody


# -- forced enrolment ----------------------------------------------------------------------------


@pytest.mark.usefixtures("everyone")
@pytest.mark.parametrize("url", ["/login/", "/account/login/"])
def test_a_newcomer_proves_a_number_and_is_in(journey, alex, url):
    journey.enter_password(alex, url, next="/verified-only/")
    assert journey.client.get(VERIFY).headers["Location"] == ADD_PHONE
    assert journey.client.get(ADD_PHONE).status_code == 200

    answer = journey.client.post(ADD_PHONE, {"number": "+1 (202) 555-0123", "channel": "sms"})

    device = ChannelDevice.objects.get()
    assert (device.address, device.confirmed) == (NUMBER, False)
    assert answer.headers["Location"] == confirm_url(device)
    assert journey.client.get(confirm_url(device)).status_code == 200
    assert journey.is_nobody
    answer = journey.client.post(confirm_url(device), {"token": journey.code})
    assert answer.headers["Location"] == "/verified-only/"
    device.refresh_from_db()
    assert device.confirmed
    assert journey.client.get("/verified-only/").status_code == 200


@pytest.mark.usefixtures("everyone")
def test_a_newcomer_mistypes_the_code_and_asks_again(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    device = ChannelDevice.objects.get()

    answer = journey.client.post(confirm_url(device), {"token": journey.wrong_code})
    assert answer.status_code == 200
    assert answer.context["form"].errors["token"]
    assert journey.ask().headers["Location"] == confirm_url(device)
    assert len(journey.outbox) == 1
    let_time_pass(31)
    journey.ask(channel="voice")

    assert [message.channel for message in journey.outbox] == ["sms", "voice"]
    journey.client.post(confirm_url(device), {"token": journey.code})
    assert journey.is_in


@pytest.mark.parametrize("proven", [True, False])
def test_whoever_knows_only_the_password_adds_no_phone(journey, alex, phone, proven):
    """A33, and the device pages of a parked login in general."""
    journey.enter_password(alex)
    spare = PhoneFactory(user=alex, address="+12025550188", confirmed=proven)

    for url in (ADD_PHONE, confirm_url(spare), remove_url(spare), DEVICES):
        for method in (journey.client.get, journey.client.post):
            answer = method(url, {"number": "+12025550199", "token": journey.code})
            assert answer.headers["Location"] == VERIFY

    assert ChannelDevice.objects.filter(address="+12025550199").count() == 0
    assert ChannelDevice.objects.count() == 2
    assert ChannelDevice.objects.get(pk=spare.pk).confirmed is proven
    assert len(journey.outbox) == 1
    assert journey.is_nobody


def test_an_enrolment_code_is_no_login_code(journey, alex, phone):
    """A13: alex proves a second number; its code opens no login."""
    journey.log_in(alex)
    journey.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})
    enrolment_code = journey.code
    elsewhere = Journey(type(journey.client)(), journey.outbox, journey.password)
    elsewhere.enter_password(alex)

    elsewhere.enter_code(enrolment_code)

    assert elsewhere.is_nobody


# -- one's own devices ---------------------------------------------------------------------------


def test_a_person_adds_a_phone_and_its_session_is_verified(journey, alex):
    journey.enter_password(alex)
    assert journey.is_in

    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    device = ChannelDevice.objects.get()
    answer = journey.client.post(confirm_url(device), {"token": journey.code})

    assert answer.headers["Location"] == DEVICES
    assert "Phone ending in 23 is confirmed." in journey.client.get(DEVICES).text
    assert journey.whoami()["verified"] is True


def test_an_unproven_number_changes_nothing(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    journey.client.post("/logout/")
    journey.enter_password(alex)

    assert journey.is_in


@pytest.mark.parametrize(
    "number",
    [
        "", "hello", "+0123456789", "+1 800 FLOWERS", "+12025550123 ext 5", "+881612345678",
        "+33612345678", "+44 (0)20 7946 0958", "2025550123", "+1202555", "٠١٢٣٤٥٦٧٨٩", "+1\x00",
        "1" * 100_000, "+12025550123,+12025550124", "tel:0123;phone-context=+1", "+19002345678",
    ],
)  # fmt: skip
def test_what_is_no_reachable_number_is_refused_in_a_sentence(journey, alex, number):
    journey.enter_password(alex)

    answer = journey.client.post(ADD_PHONE, {"number": number, "channel": "sms"})

    assert answer.status_code == 200
    assert answer.context["form"].errors["number"]
    assert journey.outbox == []
    assert not ChannelDevice.objects.exists()


def test_where_one_country_is_allowed_its_national_numbers_will_do(journey, alex, settings):
    settings.OTP_CHANNELS_COUNTRIES = ["US"]
    journey.enter_password(alex)

    journey.client.post(ADD_PHONE, {"number": "(202) 555-0123", "channel": "sms"})

    assert journey.outbox[-1].to == NUMBER


def test_a_landline_is_called(journey, alex):
    journey.enter_password(alex)

    journey.client.post(ADD_PHONE, {"number": "+49 30 123456", "channel": "voice"})

    assert [(m.channel, m.to) for m in journey.outbox] == [("voice", "+4930123456")]


def test_the_same_number_may_serve_two_people(journey, alex):
    PhoneFactory(address=NUMBER)
    journey.enter_password(alex)

    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    assert len(journey.outbox) == 1


def test_numbers_cannot_be_tried_one_after_the_other(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    answer = journey.client.post(ADD_PHONE, {"number": "+12025550124", "channel": "sms"})

    assert "ask for another in 30 seconds" in str(answer.context["form"].errors)
    assert len(journey.outbox) == 1


def test_the_same_number_again_leads_to_its_code_and_sends_no_second_one(journey, alex):
    journey.enter_password(alex)
    first = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    again = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    assert again.headers["Location"] == first.headers["Location"]
    assert len(journey.outbox) == 1


def test_there_is_an_end_to_how_many_phones_one_has(journey, alex):
    for digit in range(5):
        PhoneFactory(user=alex, address=f"+1202555014{digit}")
    journey.log_in(alex)

    answer = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    assert answer.context["form"].errors["number"]
    assert len(journey.outbox) == 1


@pytest.mark.usefixtures("everyone")
def test_mistyped_numbers_shut_nobody_out(journey, alex):
    for digit in range(5):
        PhoneFactory(user=alex, address=f"+1202555014{digit}", confirmed=False)
    journey.enter_password(alex)

    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    assert journey.outbox[-1].to == NUMBER
    assert ChannelDevice.objects.count() == 5


def test_a_number_is_added_once(journey, alex, phone):
    journey.log_in(alex)

    answer = journey.client.post(ADD_PHONE, {"number": phone.address, "channel": "sms"})

    assert "already" in str(answer.context["form"].errors)
    assert len(journey.outbox) == 1


def test_extra_fields_of_a_form_change_nothing(journey, alex):
    """A79"""
    journey.enter_password(alex)
    journey.client.post(
        ADD_PHONE,
        {
            "number": NUMBER,
            "confirmed": "1",
            "user": "99",
            "version": "7",
            "id": "5",
            "channel": "sms",
        },
    )

    device = ChannelDevice.objects.get()
    assert (device.confirmed, device.user, device.version) == (False, alex, 1)


@pytest.mark.parametrize("url", [confirm_url, remove_url])
@pytest.mark.parametrize("method", ["get", "post"])
def test_other_peoples_devices_are_not_there(journey, alex, phone, url, method):
    """A35"""
    theirs = PhoneFactory(user=UserFactory(), address="+12025550188", confirmed=False)
    journey.log_in(alex)

    answer = getattr(journey.client, method)(url(theirs), {"token": "123456"})

    assert answer.status_code == 404
    assert ChannelDevice.objects.filter(pk=theirs.pk, confirmed=False).exists()


def test_a_device_is_removed_and_its_session_with_it(journey, alex, phone):
    AppFactory(user=alex)
    journey.log_in(alex)
    assert journey.client.get(remove_url(phone)).status_code == 200
    assert ChannelDevice.objects.count() == 2

    answer = journey.client.post(remove_url(phone))

    assert answer.headers["Location"] == DEVICES
    assert ChannelDevice.objects.count() == 1
    assert journey.is_nobody


def test_the_last_device_goes_where_nobody_must_have_one(journey, alex, phone):
    journey.log_in(alex)

    journey.client.post(remove_url(phone))

    assert not ChannelDevice.objects.exists()
    assert journey.is_in


@pytest.mark.parametrize("spare", [True, False])
def test_whoever_removes_the_last_device_is_told_what_is_left(journey, alex, phone, spare):
    if spare:
        AppFactory(user=alex)
    journey.log_in(alex)

    assert ("password alone" in journey.client.get(remove_url(phone)).text) is not spare


@pytest.mark.usefixtures("everyone")
def test_the_last_factor_stays_where_one_must_have_one(journey, alex, phone):
    journey.log_in(alex)

    answer = journey.client.post(remove_url(phone))

    assert answer.status_code == 200
    assert "only way" in answer.text
    assert ChannelDevice.objects.count() == 1
    StaticDevice.objects.create(user=alex, name="Recovery codes")
    journey.client.post(remove_url(phone))
    assert ChannelDevice.objects.exists(), "recovery codes are no factor of their own"
    TOTPDevice.objects.create(user=alex, name="App")
    journey.client.post(remove_url(phone))
    assert not ChannelDevice.objects.exists()


@pytest.mark.parametrize("url", [DEVICES, ADD_PHONE, "/account/devices/1/confirm/"])
def test_strangers_are_asked_to_log_in(journey, db, url):
    answer = journey.client.get(url)

    assert answer.headers["Location"].startswith("/login/?next=/account/")


@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_a_number_given_by_staff_is_proven_by_its_owner(journey, alex, channel):
    device = PhoneFactory(user=alex, address=NUMBER, confirmed=False)
    journey.enter_password(alex)
    assert confirm_url(device) in journey.client.get(DEVICES).text
    assert SEND in journey.client.get(confirm_url(device)).text
    assert journey.outbox == []

    answer = journey.ask(device=device.pk, channel=channel)

    assert answer.headers["Location"] == confirm_url(device)
    assert [message.channel for message in journey.outbox] == [channel]
    journey.client.post(confirm_url(device), {"token": journey.code})
    assert ChannelDevice.objects.get().confirmed


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_a_safe_method_sends_no_proof(journey, alex, method):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    let_time_pass(31)

    getattr(journey.client, method)(SEND)

    assert len(journey.outbox) == 1


def test_a_refused_proof_says_why(journey, alex):
    first = PhoneFactory(user=alex, address=NUMBER, confirmed=False)
    second = PhoneFactory(user=alex, address="+12025550124", confirmed=False)
    journey.enter_password(alex)
    journey.ask(device=first.pk)

    journey.ask(device=second.pk)

    assert "ask for another in" in journey.client.get(confirm_url(second)).text
    assert journey.client.get(confirm_url(second)).context["page"].notice == ""
    assert len(journey.outbox) == 1


def test_nobody_proves_somebody_elses_number(journey, alex):
    theirs = PhoneFactory(user=UserFactory(), address=NUMBER, confirmed=False)
    journey.enter_password(alex)

    assert journey.ask(device=theirs.pk).headers["Location"] == ADD_PHONE
    assert journey.outbox == []


# -- limits, and who may be here at all ----------------------------------------------------------


def test_an_enrolment_has_a_growing_wait_and_an_end(journey, alex):
    journey.enter_password(alex)
    for sent, wait in enumerate((30, 60, 120), start=1):
        journey.client.post(ADD_PHONE, {"number": f"+1202555014{sent}", "channel": "sms"})
        assert len(journey.outbox) == sent
        let_time_pass(wait - 5)
        journey.client.post(ADD_PHONE, {"number": f"+1202555015{sent}", "channel": "sms"})
        assert len(journey.outbox) == sent
        let_time_pass(6)
    journey.client.post(ADD_PHONE, {"number": "+12025550160", "channel": "sms"})
    let_time_pass(31)

    answer = journey.client.post(ADD_PHONE, {"number": "+12025550161", "channel": "sms"})

    assert len(journey.outbox) == 4
    assert answer.context["form"].errors["number"]
    assert Challenge.objects.filter(state="open").count() == 1


def test_a_locked_account_proves_no_number(journey, alex):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    journey.enter_password(alex)

    answer = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    assert "locked" in str(answer.context["form"].errors)
    assert journey.outbox == []


def test_a_session_without_a_code_manages_no_devices_once_there_is_a_factor(journey, alex):
    """Somebody who knows the password was logged in before the owner proved a phone."""
    journey.enter_password(alex)
    assert journey.is_in
    phone = PhoneFactory(user=alex)

    for url in (DEVICES, ADD_PHONE, remove_url(phone)):
        assert journey.client.get(url).headers["Location"].endswith(VERIFY) or journey.is_nobody
    journey.client.post(remove_url(phone))

    assert ChannelDevice.objects.filter(confirmed=True).count() == 1
    assert journey.is_nobody


def test_a_session_without_a_code_sends_nothing_once_there_is_a_factor(journey, alex):
    journey.enter_password(alex)
    waiting = PhoneFactory(user=alex, address=NUMBER, confirmed=False)
    PhoneFactory(user=alex, address="+12025550188")

    assert journey.ask(device=waiting.pk).headers["Location"] == VERIFY
    assert journey.outbox == []


def test_sessions_without_a_key_share_no_enrolment(rf, alex, phone):
    request = rf.get("/")
    request.session = SessionStore()
    request.user = alex

    assert enrolment.current(request) is None


@pytest.mark.usefixtures("everyone")
def test_a_parked_enrolment_ends_when_a_factor_is_proven_elsewhere(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    PhoneFactory(user=alex, address="+12025550188")
    let_time_pass(31)

    answer = journey.ask()

    assert answer.headers["Location"] == LOGIN
    assert len(journey.outbox) == 1


def test_proving_a_phone_changes_the_session_key(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    before = journey.client.session.session_key

    journey.client.post(confirm_url(ChannelDevice.objects.get()), {"token": journey.code})

    assert journey.whoami()["verified"]
    assert journey.client.session.session_key != before
    assert not journey.client.session.exists(before)


def test_an_enrolment_outlives_the_remembered_decision(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    session = journey.client.session
    session["otp_channels"]["free"]["at"] -= 301
    session.save()

    journey.client.post(confirm_url(ChannelDevice.objects.get()), {"token": journey.code})

    assert ChannelDevice.objects.get().confirmed


# -- when nothing more can come of a code --------------------------------------------------------


def test_who_is_signed_in_enters_the_number_again_when_no_more_messages_are_left(journey, alex):
    journey.client.force_login(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    Challenge.objects.update(sends=4, next_send_at=Now())
    device = ChannelDevice.objects.get()
    page = journey.client.get(confirm_url(device))
    assert "Please enter the number again." in page.text

    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})

    assert len(journey.outbox) == 2
    assert journey.client.post(confirm_url(device), {"token": journey.code}).status_code == 302
    assert ChannelDevice.objects.get().confirmed


@pytest.mark.usefixtures("everyone")
def test_a_newcomer_starts_over_when_the_code_is_dead(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    url = confirm_url(ChannelDevice.objects.get())
    for _ in range(5):
        journey.client.post(url, {"token": journey.wrong_code})

    page = journey.client.get(url).text

    assert "Please start over." in " ".join(page.split())
    assert "Enter the number again" not in page
    journey.client.post(CANCEL)
    let_time_pass(31)
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    journey.client.post(confirm_url(ChannelDevice.objects.get()), {"token": journey.code})
    assert journey.is_in


def test_a_new_phone_that_takes_no_texts_is_sent_no_other(journey, alex):
    journey.client.force_login(alex)
    journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    Delivery.objects.update(status="failed", reason="no-texts")
    Challenge.objects.update(next_send_at=Now())
    device = ChannelDevice.objects.get()

    journey.ask(device=str(device.pk), channel="sms")

    assert len(journey.outbox) == 1
    journey.ask(device=str(device.pk), channel="voice")
    assert [message.channel for message in journey.outbox] == ["sms", "voice"]
