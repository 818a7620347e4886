"""Ways in that make no session, or another one than the browser's: guarded, or refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.headless.contrib.rest_framework.authentication import XSessionTokenAuthentication
from allauth.headless.tokens.strategies.jwt import JWTTokenStrategy
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from django_otp_channels import login
from django_otp_channels.rest_framework import OTPRequired, SecondFactorMixin
from django_otp_channels.simplejwt import JWTAuthentication
from django_otp_channels.testing import login_verified
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

JSON = "application/json"
APP = "/_allauth/app/v1"
REFUSED = {"detail": "Log in with a one-time code first.", "code": "otp_required"}


@pytest.fixture
def sam(db):
    """Somebody with a phone."""
    user = UserFactory(username="sam")
    PhoneFactory(user=user)
    return user


# -- impersonation ---------------------------------------------------------------------------


@pytest.fixture
def chief(db, client, settings):
    """A superuser who has logged in with a code, and may act as others."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "hijack.middleware.HijackUserMiddleware"]
    user = UserFactory(username="chief", staff=True)
    PhoneFactory(user=user)
    login_verified(client, user)
    return user


def test_to_act_as_somebody_with_a_phone_takes_their_code(journey, chief, sam):
    answer = journey.client.post("/hijack/acquire/", {"user_pk": sam.pk})

    assert answer.headers["Location"] == VERIFY
    assert journey.is_nobody
    assert journey.client.post("/hijack/release/").status_code == 403
    journey.enter_code(journey.wrong_code)
    assert journey.is_nobody
    assert [message.to for message in journey.outbox] == [sam.channeldevice_set.get().address]


def test_to_be_oneself_again_takes_a_code_again(journey, chief, alex):
    journey.client.post("/hijack/acquire/", {"user_pk": alex.pk})
    assert journey.whoami()["user"] == "alex"

    answer = journey.client.post("/hijack/release/")

    assert answer.headers["Location"] == VERIFY
    assert journey.is_nobody
    journey.enter_code()
    assert journey.whoami() == {"user": "chief", "key": str(chief.pk), "verified": True}


def test_who_is_parked_acts_as_nobody(journey, alex, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "hijack.middleware.HijackUserMiddleware"]
    half = UserFactory(username="half", staff=True)
    PhoneFactory(user=half)
    journey.enter_password(half)

    answer = journey.client.post("/hijack/acquire/", {"user_pk": alex.pk})

    assert answer.headers["Location"].startswith("/login/")
    assert journey.is_nobody


# -- allauth's app client: a token in the place of the cookie --------------------------------


class TokenPairs(JWTTokenStrategy):
    """Tokens that carry their claims, beside the session."""


@pytest.fixture(params=["sessions", "token pairs"])
def strategy(request, settings):
    if request.param == "token pairs":
        settings.HEADLESS_TOKEN_STRATEGY = f"{__name__}.TokenPairs"
        settings.HEADLESS_JWT_ALGORITHM = "HS256"


def app_login(client: Client, user: Any) -> Any:
    data = {"username": user.get_username(), "password": PASSWORD}
    return client.post(f"{APP}/auth/login", data, content_type=JSON)


def app_social_login(client: Client, user: Any) -> Any:
    from allauth.socialaccount.models import SocialAccount

    SocialAccount.objects.create(user=user, provider="dummy", uid="7")
    token = {"client_id": "", "id_token": f'{{"id": 7, "email": "{user.email}"}}'}
    data = {"provider": "dummy", "process": "login", "token": token}
    return client.post(f"{APP}/auth/provider/token", data, content_type=JSON)


@pytest.mark.usefixtures("strategy")
@pytest.mark.parametrize("log_in", [app_login, app_social_login])
def test_the_app_client_is_refused_where_a_code_is_needed(client, sam, outbox, log_in):
    answer = log_in(client, sam)

    assert (answer.status_code, answer.json()) == (403, {"detail": "otp_required"})
    assert answer.headers["Cache-Control"] == "no-store, private"
    assert not answer.cookies
    assert outbox == []
    assert not any("_auth_user_id" in row.get_decoded() for row in Session.objects.all())
    assert not any("otp_channels" in row.get_decoded() for row in Session.objects.all())


@pytest.mark.usefixtures("strategy")
def test_the_app_client_works_where_no_code_is_needed(client, alex):
    answer = app_login(client, alex)

    assert answer.status_code == 200
    headers = {"X-Session-Token": answer.json()["meta"]["session_token"]}
    assert client.get(f"{APP}/auth/session", headers=headers).status_code == 200
    assert app_login(client, alex).status_code == 200


@pytest.mark.usefixtures("strategy")
def test_a_token_of_the_app_client_is_nobodys_once_a_code_is_needed(client, alex):
    token = app_login(client, alex).json()["meta"]["session_token"]
    PhoneFactory(user=alex)
    session = SessionStore(token)
    session["otp_channels"]["free"]["at"] -= login.FREE_AGE
    session.save()

    answer = client.get(f"{APP}/auth/session", headers={"X-Session-Token": token})

    assert answer.status_code == 401
    assert "_auth_user_id" not in SessionStore(token)


def test_a_refusal_leaves_the_browsers_own_session_alone(client, alex, sam):
    client.force_login(alex)
    before = dict(client.session)

    assert app_login(client, sam).status_code == 403

    assert dict(client.session) == before
    assert client.get("/whoami/").json()["user"] == "alex"


def test_an_app_client_that_fails_after_its_login_keeps_its_status_and_nothing_else(
    client, sam, settings
):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.breaks_down"]

    answer = app_login(client, sam)

    assert (answer.status_code, answer.content) == (503, b"")


def breaks_down(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.status_code = 503
        return response

    return middleware


def test_an_api_that_takes_tokens_of_the_app_client_refuses_them(client, alex, rf):
    class Guarded(SecondFactorMixin, XSessionTokenAuthentication):
        pass

    token = app_login(client, alex).json()["meta"]["session_token"]
    request = rf.get("/", headers={"X-Session-Token": token})
    request.session = SessionStore()
    assert Guarded().authenticate(request)[0] == alex
    PhoneFactory(user=alex)
    request.session = SessionStore()

    with pytest.raises(OTPRequired):
        Guarded().authenticate(request)


# -- REST framework --------------------------------------------------------------------------


def basic(user: Any) -> str:
    return "Basic " + base64.b64encode(f"{user.get_username()}:{PASSWORD}".encode()).decode()


def token(user: Any) -> str:
    return f"Token {Token.objects.create(user=user).key}"


def jwt(user: Any) -> str:
    return f"Bearer {AccessToken.for_user(user)}"


CREDENTIALS = {"basic": basic, "token": token, "jwt": jwt}
# By authentication classes of ours, and by the permission after the packages' own.
GUARDS = {"authentication": "/api/me/", "permission": "/api/permission/"}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS)
def test_an_api_refuses_credentials_without_a_code(client, sam, outbox, credential, guard):
    answer = client.get(guard, headers={"authorization": credential(sam)})

    assert (answer.status_code, answer.json()) == (403, REFUSED)
    assert outbox == []
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS)
def test_an_api_takes_credentials_of_who_needs_no_code(client, alex, credential, guard):
    answer = client.get(guard, headers={"authorization": credential(alex)})

    assert (answer.status_code, answer.json()) == (200, {"user": "alex"})


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_an_api_asks_a_stranger_to_log_in(client, guard):
    wrong = "Basic " + base64.b64encode(b"sam:wrong").decode()

    for headers in ({}, {"authorization": wrong}):
        answer = client.get(guard, headers=headers)
        assert answer.status_code in {401, 403}
        assert "code" not in answer.json()


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_an_api_that_reads_the_session_takes_it_after_the_code_only(journey, sam, guard):
    journey.enter_password(sam)
    assert journey.client.get(guard).status_code in {401, 403}

    journey.enter_code()

    assert journey.client.get(guard).json() == {"user": "sam"}


def asks_for_the_requests_user(user: Any, request: Any) -> bool:
    """A policy that looks at more than the account."""
    return request.user != user


def test_a_policy_may_read_djangos_request_during_api_authentication(client, alex, settings):
    settings.OTP_CHANNELS_POLICY = f"{__name__}.asks_for_the_requests_user"

    answer = client.get("/api/me/", headers={"authorization": basic(alex)})

    assert answer.status_code == 403


def test_a_user_whom_only_the_token_knows_is_refused(client, alex):
    answer = client.get("/api/stateless/", headers={"authorization": jwt(alex)})

    assert (answer.status_code, answer.json()) == (403, REFUSED)


def test_a_user_models_own_word_for_verified_is_no_code(sam):
    sam.is_verified = lambda: True  # of an e-mail address, say
    request = RequestFactory().get("/")
    request.session = SessionStore()

    assert login.lacks_code(sam, request)


def test_the_device_of_somebody_else_is_no_code(sam):
    sam.otp_device = PhoneFactory()
    request = RequestFactory().get("/")
    request.session = SessionStore()

    assert login.lacks_code(sam, request)


ISSUERS = {
    "a lasting token": "/api/token/",
    "a pair": "/api/jwt/",
    "a sliding one": "/api/sliding/",
}


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
def test_a_password_alone_gets_no_token(client, sam, issuer):
    answer = client.post(issuer, {"username": "sam", "password": PASSWORD})

    assert (answer.status_code, answer.json()) == (403, REFUSED)
    assert not Token.objects.exists()


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
def test_a_password_gets_a_token_where_it_is_enough(client, alex, issuer):
    answer = client.post(issuer, {"username": "alex", "password": PASSWORD})

    assert answer.status_code == 200
    assert answer.json().keys() & {"token", "access"}


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
def test_a_wrong_password_is_a_wrong_password(client, sam, issuer):
    answer = client.post(issuer, {"username": "sam", "password": "wrong"})

    assert answer.status_code in {400, 401}
    assert "otp_required" not in answer.text


# -- tokens that say by which device the code was entered ------------------------------------


@pytest.fixture
def pair(client, sam):
    """The tokens of somebody who has logged in with a code."""
    login_verified(client, sam)
    return client.post("/api/my-token/").json()


def opens(access: str) -> bool:
    return (
        Client().get("/api/me/", headers={"authorization": f"Bearer {access}"}).status_code == 200
    )


def test_a_token_made_after_the_code_opens_the_api(pair):
    assert opens(pair["access"])


def test_a_token_made_after_the_code_can_be_renewed(pair):
    answer = Client().post("/api/jwt/refresh/", {"refresh": pair["refresh"]})

    assert answer.status_code == 200
    assert opens(answer.json()["access"])


@pytest.mark.parametrize("gone", ["removed", "unconfirmed", "somebody else's"])
def test_a_token_is_worth_a_password_once_its_device_is_gone(pair, sam, gone):
    if gone == "removed":
        sam.channeldevice_set.all().delete()
    elif gone == "unconfirmed":
        sam.channeldevice_set.update(confirmed=False)
    else:
        sam.channeldevice_set.update(user=UserFactory())
    PhoneFactory(user=sam)

    assert not opens(pair["access"])
    answer = Client().post("/api/jwt/refresh/", {"refresh": pair["refresh"]})
    assert (answer.status_code, answer.json()) == (403, REFUSED)


@pytest.mark.parametrize("claim", [None, 5, "", "nothing/1", "otp_channels.channeldevice/0"])
def test_a_token_that_names_no_device_is_a_password(client, sam, claim):
    made = RefreshToken.for_user(sam)
    made["otp_device_id"] = claim

    assert not opens(str(made.access_token))
    assert client.post("/api/jwt/refresh/", {"refresh": str(made)}).status_code == 403


def test_who_is_parked_makes_no_token(journey, sam):
    journey.enter_password(sam)

    answer = journey.client.post("/api/my-token/")

    assert answer.status_code in {401, 403}
    assert answer.json() != REFUSED  # nobody is logged in here


def test_no_token_is_made_on_the_memory_that_no_code_was_needed(client, alex):
    client.force_login(alex)
    assert client.get("/private/").status_code == 200
    PhoneFactory(user=alex)

    answer = client.post("/api/my-token/")

    assert (answer.status_code, answer.json()) == (403, REFUSED)


def test_a_token_that_names_the_device_of_somebody_else_shows_none(alex, phone):
    made = AccessToken.for_user(alex)
    made["otp_device_id"] = phone.persistent_id
    assert JWTAuthentication().get_user(made).otp_device == phone

    made["otp_device_id"] = PhoneFactory().persistent_id

    assert JWTAuthentication().get_user(made).otp_device is None


def test_who_needs_no_code_makes_a_token_until_one_is_needed(client, alex):
    client.force_login(alex)
    pair = client.post("/api/my-token/").json()
    assert opens(pair["access"])

    PhoneFactory(user=alex)

    assert not opens(pair["access"])
    assert client.post("/api/jwt/refresh/", {"refresh": pair["refresh"]}).status_code == 403


def test_a_sliding_token_slides_only_with_its_code(client, sam):
    login_verified(client, sam)
    sliding = client.post("/api/my-sliding-token/").json()["token"]
    assert client.post("/api/sliding/refresh/", {"token": sliding}).status_code == 200

    sam.channeldevice_set.all().delete()
    PhoneFactory(user=sam)

    answer = client.post("/api/sliding/refresh/", {"token": sliding})
    assert (answer.status_code, answer.json()) == (403, REFUSED)


def test_a_stale_token_is_told_so_as_ever(client, alex):
    stale = RefreshToken.for_user(alex)
    stale.set_exp(lifetime=-timedelta(seconds=1))

    answer = client.post("/api/jwt/refresh/", {"refresh": str(stale)})

    assert (answer.status_code, answer.json()["code"]) == (401, "token_not_valid")
