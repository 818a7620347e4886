"""A30: use an API, which sees no page and no session."""

from __future__ import annotations

import base64

import pytest
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.tokens import AccessToken

from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db

CREDENTIALS = {
    "basic": lambda user: "Basic " + base64.b64encode(f"alex:{PASSWORD}".encode()).decode(),
    "token": lambda user: f"Token {Token.objects.create(user=user).key}",
    "jwt": lambda user: f"Bearer {AccessToken.for_user(user)}",
}


@pytest.mark.parametrize("url", ["/api/me/", "/api/permission/"])
@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a30_no_credential_stands_for_the_code(client, alex, phone, outbox, url, credential):
    answer = client.get(url, headers={"authorization": credential(alex)})

    assert (answer.status_code, answer.json()["code"]) == (403, "otp_required")
    assert outbox == []


@pytest.mark.parametrize("url", ["/api/token/", "/api/jwt/", "/api/sliding/"])
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a30_a_password_is_exchanged_for_no_token(client, alex, phone, url):
    answer = client.post(url, {"username": "alex", "password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (403, "otp_required")
    assert not Token.objects.exists()


@pytest.mark.parametrize("url", ["/api/me/", "/api/permission/", "/api/my-token/"])
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a30_half_a_session_opens_no_api(parked, url):
    for method in (parked.client.get, parked.client.post):
        assert method(url).status_code in {401, 403, 405}


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a30_a_client_that_wants_json_is_told_what_is_missing_and_gets_nothing(
    journey, alex, phone
):
    journey.client.defaults["HTTP_ACCEPT"] = "application/json"

    answer = journey.enter_password(alex, "/custom-login/")

    assert answer.status_code == 403
    assert answer.json()["detail"] == "otp_required"
    assert journey.is_nobody
