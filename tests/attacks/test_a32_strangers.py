"""A32: let somebody else vouch for the login: an identity provider, a web server, allauth."""

from __future__ import annotations

import json

import pytest
from allauth.socialaccount.models import SocialAccount

from tests.factories import PASSWORD
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

JSON = "application/json"
DUMMY = {"client_id": "", "id_token": json.dumps({"id": 7, "email": "alex@example.com"})}


def by_allauth(client, user):
    return client.post("/allauth/login/", {"login": "alex", "password": PASSWORD})


def by_identity_provider(client, user):
    begun = client.post("/allauth/dummy/login/")
    return client.post(begun.headers["Location"], {"id": "7", "email": user.email})


def by_page_app(client, user):
    data = {"username": "alex", "password": PASSWORD}
    return client.post("/_allauth/browser/v1/auth/login", data, content_type=JSON)


def by_page_app_and_identity_provider(client, user):
    data = {"provider": "dummy", "process": "login", "token": DUMMY}
    return client.post("/_allauth/browser/v1/auth/provider/token", data, content_type=JSON)


@pytest.mark.parametrize(
    "door", [by_allauth, by_identity_provider, by_page_app, by_page_app_and_identity_provider]
)
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a32_whoever_vouches_for_the_first_factor_the_code_is_asked(journey, alex, phone, door):
    SocialAccount.objects.create(user=alex, provider="dummy", uid="7")

    assert door(journey.client, alex).headers["Location"] == VERIFY

    assert journey.is_nobody


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a32_an_app_that_holds_a_token_of_its_own_is_refused(journey, alex, phone):
    data = {"username": "alex", "password": PASSWORD}

    answer = journey.client.post("/_allauth/app/v1/auth/login", data, content_type=JSON)

    assert (answer.status_code, answer.json()) == (403, {"detail": "otp_required"})


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a32_a_user_named_by_the_web_server_is_parked(journey, alex, phone, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    middleware = list(settings.MIDDLEWARE)
    middleware.insert(
        middleware.index("django_otp.middleware.OTPMiddleware"),
        "django.contrib.auth.middleware.RemoteUserMiddleware",
    )
    settings.MIDDLEWARE = middleware
    journey.client.defaults["REMOTE_USER"] = "alex"

    assert journey.client.get("/private/").headers["Location"] == VERIFY
    for _ in range(3):
        assert journey.client.get("/private/").status_code == 302
    assert journey.whoami()["user"] == ""
    assert journey.outbox == []


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a32_no_account_is_linked_while_the_code_is_missing(parked, alex):
    begun = parked.client.post("/allauth/dummy/login/?process=connect")

    if begun.status_code == 302:
        parked.client.post(begun.headers["Location"], {"id": "66", "email": "mallory@example.com"})

    assert not SocialAccount.objects.filter(user=alex).exists()
    assert not parked.is_in
