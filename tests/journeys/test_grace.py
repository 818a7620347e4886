"""A policy that counts from a date on: until then people are reminded, and can go on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from tests.factories import PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, DEVICES, LOGIN, VERIFY

pytestmark = pytest.mark.django_db

REMIND = "/account/reminder/"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(days=9)


def over() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture(autouse=True)
def grace(settings):
    settings.OTP_CHANNELS_POLICY = "everyone"
    settings.OTP_CHANNELS_GRACE = soon()


@pytest.fixture
def staff(db):
    return UserFactory(username="sam", staff=True)


def asked_of_alex(user: Any, request: Any) -> bool:
    return user.username == "alex"


@pytest.mark.parametrize("url", [LOGIN, "/login/", "/custom-login/?", "/tenant/signin/"])
def test_a_person_is_reminded_and_goes_on_to_where_they_wanted(journey, alex, url):
    answer = journey.enter_password(alex, url, next="/verified-only/?a=1", go="/verified-only/?a=1")
    assert answer["Location"] == REMIND
    page = journey.client.get(REMIND).content.decode()
    assert ADD_PHONE in page

    answer = journey.client.post(REMIND)

    assert answer["Location"] == "/verified-only/?a=1"
    assert journey.is_in


def test_where_they_wanted_is_no_trap(journey, alex):
    journey.enter_password(alex, "/custom-login/", go="https://evil.example/")

    assert journey.client.post(REMIND)["Location"] == "/private/"


def test_they_are_reminded_once_for_each_login(journey, alex):
    journey.enter_password(alex)

    assert journey.client.get("/private/").status_code == 200  # without an answer to the reminder
    assert journey.client.get(LOGIN).status_code == 200
    journey.client.post("/logout/")
    assert journey.enter_password(alex)["Location"] == REMIND


def test_looking_at_the_reminder_decides_nothing(journey, alex):
    journey.enter_password(alex, next="/verified-only/")
    for _ in range(3):
        assert journey.client.get(REMIND).status_code == 200

    assert journey.client.post(REMIND)["Location"] == "/verified-only/"


def test_who_sets_up_a_phone_at_once_goes_on_to_where_they_wanted(journey, alex):
    journey.enter_password(alex, next="/verified-only/")
    answer = journey.client.post(ADD_PHONE, {"number": "+12025550123", "channel": "sms"})

    answer = journey.client.post(answer["Location"], {"token": journey.code})

    assert answer["Location"] == "/verified-only/"
    assert journey.client.get("/verified-only/").status_code == 200
    assert journey.client.get(REMIND)["Location"] == "/private/"


@pytest.mark.parametrize(
    ("policy", "user", "reminded"),
    [
        ("everyone", "alex", True),
        ("everyone", "sam", True),
        ("staff", "alex", False),
        ("staff", "sam", True),
        ("enrolled", "sam", False),
        (f"{__name__}.asked_of_alex", "alex", True),
        (f"{__name__}.asked_of_alex", "sam", False),
    ],
)
def test_they_are_reminded_whom_the_policy_will_ask(
    journey, alex, staff, settings, policy, user, reminded
):
    settings.OTP_CHANNELS_POLICY = policy

    answer = journey.enter_password({"alex": alex, "sam": staff}[user])

    assert answer["Location"] == (REMIND if reminded else "/private/")
    assert journey.is_in


def test_who_has_a_phone_is_asked_for_the_code_also_during_the_grace(journey, alex, phone):
    journey.enter_password(alex)

    assert journey.is_nobody
    journey.enter_code()
    assert journey.is_in
    assert journey.client.get(REMIND)["Location"] == "/private/"


def test_who_has_enrolled_by_then_does_not_go_back(journey, alex, phone):
    journey.log_in(alex)

    answer = journey.client.post(f"/account/devices/{phone.pk}/remove/")

    assert "only way" in answer.content.decode()


# -- afterwards ------------------------------------------------------------------------------


def test_afterwards_they_are_parked_until_they_have_enrolled(journey, alex, settings):
    settings.OTP_CHANNELS_GRACE = over()

    answer = journey.enter_password(alex, next="/verified-only/")

    assert answer["Location"] == VERIFY
    assert journey.is_nobody
    assert journey.client.get(VERIFY)["Location"] == ADD_PHONE
    assert journey.client.get(REMIND)["Location"] == VERIFY


def test_a_running_session_ends_with_the_grace(journey, alex, settings):
    settings.OTP_CHANNELS_GRACE = datetime.now(UTC) + timedelta(seconds=20)
    journey.enter_password(alex)
    assert journey.is_in

    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=21), tick=False):
        assert journey.is_nobody
        assert journey.client.post(REMIND)["Location"] == VERIFY
        assert journey.client.get(VERIFY)["Location"] == ADD_PHONE


@pytest.mark.parametrize(("offset", "is_in"), [(0, False), (1, True)])
def test_a_day_counts_from_its_first_minute_where_the_site_is(
    journey, alex, settings, offset, is_in
):
    settings.TIME_ZONE = "Pacific/Auckland"
    timezone.get_default_timezone.cache_clear()
    today = timezone.localtime().date()
    settings.OTP_CHANNELS_GRACE = today + timedelta(days=offset)

    journey.enter_password(alex)

    assert journey.is_in is is_in
    timezone.get_default_timezone.cache_clear()


@pytest.mark.parametrize("value", ["2099-01-01", datetime(2099, 1, 1), 0, False])  # noqa: DTZ001
def test_a_date_that_is_none_lets_nobody_in(journey, alex, settings, value):
    settings.OTP_CHANNELS_GRACE = value

    with pytest.raises(ImproperlyConfigured):
        journey.enter_password(alex)

    settings.OTP_CHANNELS_GRACE = None
    assert journey.is_nobody


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (date(2099, 3, 1), "From March 1, 2099 on"),
        (datetime(2099, 3, 1, 11, 30, tzinfo=UTC), "From March 1, 2099, 12:30 p.m. on"),
    ],
)
def test_the_reminder_says_from_when(journey, alex, settings, end, said):
    settings.OTP_CHANNELS_GRACE = end
    journey.enter_password(alex)

    assert said in journey.client.get(REMIND).content.decode()


# -- no circles ------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["", "LoginRequiredMiddleware"])
def login_required(request, settings):
    if request.param:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]


@pytest.mark.usefixtures("login_required")
@pytest.mark.parametrize("admin", ["/admin/", "/second-admin/"])
@pytest.mark.parametrize(
    "login_url", ["/login/", "custom_login", "otp_channels:login", "/admin/login/"]
)
def test_the_admins_are_reached_over_the_reminder(journey, staff, settings, admin, login_url):
    settings.LOGIN_URL = login_url
    answer = journey.client.get(admin)
    login = answer["Location"]

    answer = journey.enter_password(staff, login, next=admin)
    assert answer["Location"] == REMIND
    assert journey.client.get(REMIND).status_code == 200
    answer = journey.client.post(REMIND)

    assert answer["Location"] == admin
    assert journey.client.get(admin).status_code == 200


@pytest.mark.usefixtures("login_required")
@pytest.mark.parametrize("start", ["/admin/", "/second-admin/", "/private/", REMIND, DEVICES])
def test_afterwards_every_page_leads_to_the_enrolment_in_a_few_steps(
    journey, staff, settings, start
):
    journey.enter_password(staff)
    settings.OTP_CHANNELS_GRACE = over()

    answer = journey.client.get(start, follow=True)

    assert answer.status_code == 200
    assert answer.redirect_chain[-1][0] == ADD_PHONE
    assert len(answer.redirect_chain) <= 4


@pytest.mark.usefixtures("login_required")
def test_a_stranger_who_opens_the_reminder_is_asked_to_log_in(journey, alex):
    answer = journey.client.get(REMIND)
    assert answer["Location"].startswith("/login/?next=")

    answer = journey.enter_password(alex, answer["Location"], next=REMIND)
    answer = journey.client.get(answer["Location"])

    assert answer.status_code == 200
    assert journey.client.post(REMIND)["Location"] == "/private/"


@pytest.mark.parametrize(
    "headers",
    [{"accept": "application/json"}, {"sec-fetch-mode": "cors"}, {"sec-fetch-mode": "same-origin"}],
)
def test_a_script_that_logs_in_is_not_led_to_a_page(journey, alex, headers):
    answer = journey.client.post(
        LOGIN, {"username": "alex", "password": journey.password}, headers=headers
    )

    assert answer["Location"] == "/private/"
    assert journey.is_in


def test_a_login_that_shows_a_page_of_its_own_keeps_it(journey, alex):
    assert journey.enter_password(alex, "/custom-login/").content == b"secret of the person"
    assert journey.is_in


def test_the_cookies_of_the_login_stay(journey, alex):
    answer = journey.enter_password(alex, "/custom-login/", go="/private/")

    assert answer["Location"] == REMIND
    assert answer.cookies["remember"].value == "secret"


def test_a_form_that_is_posted_is_not_led_away(journey, alex):
    journey.enter_password(alex)

    assert journey.client.post("/logout/").status_code in (200, 302)
    assert journey.whoami()["user"] == ""


def test_whoever_has_a_phone_by_then_is_not_reminded(journey, alex):
    PhoneFactory(user=alex)
    journey.enter_password(alex)

    assert journey.client.get(REMIND)["Location"] == VERIFY
