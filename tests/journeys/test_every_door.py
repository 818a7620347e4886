"""Whichever way a login is made, it is nobody's until its code is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import LOGIN, VERIFY, Journey

pytestmark = pytest.mark.django_db

LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def password_form(url: str) -> Callable[[Journey, Any], HttpResponse]:
    return lambda journey, user: journey.enter_password(user, url)


def allauth_form(journey: Journey, user: Any) -> HttpResponse:
    return journey.client.post(
        "/allauth/login/", {"login": user.get_username(), "password": PASSWORD}
    )


def password_reset(journey: Journey, user: Any) -> HttpResponse:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = default_token_generator.make_token(user)
    form = journey.client.get(f"/reset/{uid}/{token}/", follow=True)
    new = "a wholly new passphrase"
    return journey.client.post(
        form.redirect_chain[-1][0], {"new_password1": new, "new_password2": new}
    )


def social_login(journey: Journey, user: Any) -> HttpResponse:
    """Come back from an identity provider that vouches for this person."""
    from allauth.socialaccount.models import SocialAccount

    SocialAccount.objects.create(user=user, provider="dummy", uid="7")
    begun = journey.client.post("/allauth/dummy/login/")
    return journey.client.post(begun.headers["Location"], {"id": "7", "email": user.email})


def allauth_headless(journey: Journey, user: Any) -> HttpResponse:
    """Log in from a single-page application, which asks for whatever comes."""
    return journey.client.post(
        "/_allauth/browser/v1/auth/login",
        {"username": user.get_username(), "password": PASSWORD},
        content_type="application/json",
    )


def allauth_headless_social(journey: Journey, user: Any) -> HttpResponse:
    from allauth.socialaccount.models import SocialAccount

    SocialAccount.objects.create(user=user, provider="dummy", uid="7")
    return journey.client.post(
        "/_allauth/browser/v1/auth/provider/token",
        {
            "provider": "dummy",
            "process": "login",
            "token": {"client_id": "", "id_token": json.dumps({"id": 7, "email": user.email})},
        },
        content_type="application/json",
    )


DOORS = {
    "our login view": password_form(LOGIN),
    "Django's login view": password_form("/login/"),
    "the admin": password_form("/admin/login/"),
    "a second admin": password_form("/second-admin/login/"),
    "a view that calls login()": password_form("/custom-login/"),
    "an async view that calls alogin()": password_form("/async-login/"),
    "allauth": allauth_form,
    "a social login": social_login,
    "allauth's headless browser client": allauth_headless,
    "a social login of the headless browser client": allauth_headless_social,
    "a password reset that logs in": password_reset,
}


@pytest.fixture(params=[False, True], ids=["", "LoginRequiredMiddleware"])
def login_required_middleware(request, settings):
    if request.param:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]


@pytest.fixture
def sam(db):
    """A member of staff with a phone."""
    user = UserFactory(username="sam", staff=True)
    PhoneFactory(user=user)
    return user


@pytest.mark.usefixtures("login_required_middleware")
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
def test_no_door_opens_without_the_code(journey, sam, door):
    answer = door(journey, sam)

    assert (answer.status_code, answer.headers["Location"]) == (302, VERIFY)
    assert "secret" not in answer.text
    assert "remember" not in answer.cookies
    assert journey.is_nobody
    assert journey.whoami("/awhoami/")["user"] == ""
    assert journey.client.get("/admin/").status_code == 302
    assert journey.client.get("/second-admin/").status_code == 302
    assert not any("_auth_user_id" in row.get_decoded() for row in Session.objects.all())

    page = journey.client.get(VERIFY)
    assert page.status_code == 200
    answer = journey.enter_code()
    assert answer.status_code == 302
    assert journey.is_in
    assert journey.whoami("/awhoami/") == {"user": "sam", "key": str(sam.pk), "verified": True}
    assert journey.client.get("/admin/").status_code == 200
    assert len(journey.outbox) == 1


@pytest.mark.usefixtures("login_required_middleware")
def test_a_forced_login_is_parked_and_sends_nothing_by_itself(journey, sam):
    journey.client.force_login(sam)

    assert journey.is_nobody
    assert journey.outbox == []
    assert journey.client.get(VERIFY).status_code == 200
    assert journey.outbox == []
    assert journey.ask().headers["Location"] == VERIFY
    journey.enter_code()
    assert journey.is_in


@pytest.mark.parametrize("url", ["/by-hand/", "/reload-and-write/"])
def test_session_keys_written_by_hand_are_parked(journey, sam, url):
    answer = journey.enter_password(sam, url)

    assert (answer.status_code, answer.headers["Location"]) == (302, VERIFY)
    assert journey.is_nobody


def test_a_view_that_loads_the_session_anew_after_its_login_shows_nothing(journey, sam):
    answer = journey.enter_password(sam, "/login-and-reload/")

    assert (answer.status_code, answer.headers["Location"]) == (302, VERIFY)
    assert "secret" not in answer.text
    journey.enter_code()
    assert journey.is_in


def test_a_session_from_before_the_app_was_installed_is_parked(journey, sam, settings):
    step = "django_otp_channels.middleware.LoginStepMiddleware"
    device = sam.channeldevice_set.get()
    device.confirmed = False
    device.save()
    journey.client.force_login(sam)
    assert journey.is_in

    device.confirmed = True
    device.save()
    session = journey.client.session
    session.pop("otp_channels")  # as it was before
    session.save()

    assert journey.is_nobody
    assert journey.outbox == []
    assert step in settings.MIDDLEWARE


def test_a_remote_user_is_parked_once_and_asks_for_the_code(journey, sam, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    middleware = list(settings.MIDDLEWARE)
    middleware.insert(
        middleware.index("django_otp.middleware.OTPMiddleware"),
        "django.contrib.auth.middleware.RemoteUserMiddleware",
    )
    settings.MIDDLEWARE = middleware
    journey.client.defaults["REMOTE_USER"] = "sam"

    answer = journey.client.get("/private/?a=1")

    assert answer.headers["Location"] == VERIFY
    assert journey.client.get(VERIFY).status_code == 200
    assert journey.client.get("/private/").status_code == 302
    assert journey.outbox == []  # looking at a page rings no phone
    journey.ask()
    assert len(journey.outbox) == 1
    assert journey.enter_code().headers["Location"] == "/private/?a=1"
    assert journey.is_in


def test_a_remote_user_who_took_too_long_begins_anew(journey, sam, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    middleware = list(settings.MIDDLEWARE)
    middleware.insert(
        middleware.index("django_otp.middleware.OTPMiddleware"),
        "django.contrib.auth.middleware.RemoteUserMiddleware",
    )
    settings.MIDDLEWARE = middleware
    journey.client.defaults["REMOTE_USER"] = "sam"
    journey.client.get("/private/")
    session = journey.client.session
    session["otp_channels"]["parked"]["at"] -= 700
    session.save()

    assert journey.client.get("/private/").headers["Location"] == VERIFY
    assert journey.client.get(VERIFY).status_code == 200


def test_the_device_of_a_verified_session_is_removed_and_the_next_request_is_nobodys(journey, sam):
    journey.log_in(sam)
    assert journey.is_in
    PhoneFactory(user=sam)

    sam.channeldevice_set.first().delete()

    assert journey.is_nobody


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain;q=0.5"])
def test_a_json_client_is_told_what_is_missing(journey, sam, accept):
    journey.client.defaults["HTTP_ACCEPT"] = accept

    answer = journey.enter_password(sam, "/custom-login/")

    assert answer.status_code == 403
    assert answer.json() == {"detail": "otp_required", "verify": VERIFY}
    assert journey.is_nobody


def test_a_view_that_fails_after_its_login_keeps_its_status_and_nothing_else(journey, sam):
    answer = journey.enter_password(sam, "/custom-login/", fail="1")

    assert (answer.status_code, answer.content) == (503, b"")
    assert "remember" not in answer.cookies
    assert journey.is_nobody
    assert journey.outbox == []


def test_a_view_that_crashes_after_its_login_lets_nobody_in(journey, sam):
    journey.client.raise_request_exception = False

    answer = journey.enter_password(sam, "/custom-login/", crash="1")

    assert answer.status_code == 500
    assert journey.is_nobody


@pytest.mark.parametrize("url", [LOGIN, "/login/"])
def test_somebody_without_a_device_logs_in_as_ever(journey, alex, url):
    answer = journey.enter_password(alex, url)

    assert answer.headers["Location"] == "/private/"
    assert journey.is_in
    assert journey.outbox == []


def test_our_login_view_calls_login_only_after_the_code(journey, sam):
    from django.contrib.auth.signals import user_logged_in

    seen: list[str] = []

    def receiver(user, **_kwargs):
        seen.append(user.get_username())

    user_logged_in.connect(receiver)
    try:
        journey.enter_password(sam)
        assert seen == []
        assert get_user_model().objects.get(pk=sam.pk).last_login is None
        journey.enter_code()
        assert seen == ["sam"]
        assert get_user_model().objects.get(pk=sam.pk).last_login is not None
    finally:
        user_logged_in.disconnect(receiver)


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "signed_cookies"])
def test_every_session_store_will_do(journey, sam, settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"

    journey.enter_password(sam, "/login/")
    assert journey.is_nobody
    journey.enter_code()

    assert journey.is_in


# -- the net under everything else ---------------------------------------------------------------


def reads_the_user_outside(get_response):
    """A middleware that stands outside the login step and looks who is logged in."""

    def middleware(request):
        request.seen_before = request.user.is_authenticated
        response = get_response(request)
        response.headers["X-Seen-After"] = request.user.get_username()
        return response

    return middleware


@pytest.fixture
def outer_reader(settings):
    middleware = list(settings.MIDDLEWARE)
    position = middleware.index("django_otp_channels.middleware.LoginStepMiddleware")
    middleware.insert(position, f"{__name__}.reads_the_user_outside")
    settings.MIDDLEWARE = middleware


@pytest.mark.usefixtures("outer_reader")
def test_a_middleware_that_has_read_the_user_already_keeps_nobody_in(journey, alex):
    journey.enter_password(alex)
    assert journey.is_in
    PhoneFactory(user=alex)
    session = journey.client.session
    session.pop("otp_channels")
    session.save()

    assert not journey.is_in
    assert journey.is_nobody


@pytest.mark.usefixtures("outer_reader")
def test_after_the_view_the_user_is_nobody_for_outer_middleware_too(journey, sam):
    assert journey.enter_password(sam, "/login/").headers["X-Seen-After"] == ""


def test_a_login_through_a_wrapped_request_is_parked_as_well(journey, sam):
    answer = journey.enter_password(sam, "/wrapped-login/")

    assert answer.headers["Location"] == VERIFY
    assert "secret" not in answer.text
    assert len(journey.outbox) == 1


@pytest.mark.parametrize(("method", "sent"), [("post", 1), ("get", 0)])
def test_a_browser_that_fetches_ahead_rings_no_phone(journey, sam, method, sent):
    data = {"username": "sam", "password": PASSWORD}

    getattr(journey.client, method)(
        "/any-login/", data, headers={"sec-purpose": "prefetch;prerender"}
    )

    assert len(journey.outbox) == sent
    assert journey.is_nobody


def test_nothing_that_a_view_kept_for_one_person_is_there_for_the_next(journey, sam, alex):
    PhoneFactory(user=alex, address="+12025550188")
    journey.enter_password(sam, "/custom-login/")
    session = journey.client.session
    session["tenant"] = "of sam"
    session.save()

    journey.enter_password(alex, "/login/")

    assert "tenant" not in journey.client.session
    journey.enter_code()
    assert journey.whoami()["user"] == "alex"
    assert "tenant" not in journey.client.session


def test_a_logout_kills_the_code_even_for_who_keeps_the_cookie(journey, sam, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    journey.enter_password(sam)
    kept = journey.client.cookies.copy()
    journey.client.post("/logout/")
    journey.client.cookies = kept

    journey.enter_code()

    assert journey.is_nobody


def test_a_device_switched_off_by_staff_opens_nothing(journey, sam):
    journey.enter_password(sam)
    sam.channeldevice_set.update(disabled_reason="staff")

    journey.enter_code()

    assert journey.is_nobody


@pytest.mark.parametrize("path", ["/account/devices/99999/remove/", "/account/verify/"])
def test_our_errors_are_private_too(journey, sam, path):
    journey.log_in(sam)
    strict = type(journey.client)(enforce_csrf_checks=True)
    strict.cookies = journey.client.cookies.copy()

    for answer in (strict.get(path), strict.post(path)):
        assert answer.headers["Cache-Control"] == "no-store, private"


def test_a_login_page_under_two_slashes_leads_nobody_away(journey, sam):
    journey.client.post(
        "/x/signin/",
        {"username": "sam", "password": PASSWORD},
        PATH_INFO="//evil.example/signin/",
    )

    onwards = journey.client.post("/account/cancel/").headers["Location"]

    assert onwards == "/%2Fevil.example/signin/"


@pytest.mark.parametrize("login_url", ["/login/?method=password", "https://sso.example.com/in?a=1"])
def test_a_login_url_with_a_query_keeps_it_and_the_wanted_page(journey, sam, settings, login_url):
    settings.LOGIN_URL = login_url
    journey.enter_password(sam, "/custom-login/", go="/verified-only/")

    onwards = journey.client.post("/account/cancel/").headers["Location"]

    assert onwards == f"{login_url}&next=%2Fverified-only%2F"


@pytest.mark.parametrize(
    "content",
    [
        "x",
        {"parked": {"user": 1}},
        {"parked": "x"},
        {"free": "x"},
        {"free": {"at": "x"}},
        {"notice": 5},
        {"proof": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("logged_in", [True, False])
def test_odd_session_contents_cost_no_page(journey, alex, content, logged_in):
    if logged_in:
        journey.enter_password(alex)
    session = journey.client.session
    session["otp_channels"] = content
    session.save()
    journey.client.cookies["sessionid"] = session.session_key

    for url in ("/private/", VERIFY, "/account/status/", LOGIN, "/account/"):
        assert journey.client.get(url).status_code < 500
    assert journey.is_in is logged_in
