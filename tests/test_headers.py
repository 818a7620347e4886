"""Our pages are in no cache, no frame and no referrer, and the site's own policy stays."""

from __future__ import annotations

import django
import pytest
from django.http import HttpResponse

from django_otp_channels.headers import private
from tests.journey import ADD_PHONE, CANCEL, DEVICES, LOGIN, SEND, STATUS, VERIFY

CSP = "django.middleware.csp.ContentSecurityPolicyMiddleware"
HEADER = "Content-Security-Policy"
REPORT_ONLY = "Content-Security-Policy-Report-Only"

has_csp = pytest.mark.skipif(django.VERSION < (6,), reason="Django 6.0 brought the middleware")

if django.VERSION >= (6,):
    from django.middleware.csp import ContentSecurityPolicyMiddleware

    class OwnPolicyMiddleware(ContentSecurityPolicyMiddleware):
        """As a site may extend Django's."""


def directives(value: str) -> dict[str, str]:
    pairs = (directive.strip().partition(" ") for directive in value.split(";"))
    return {name: sources for name, _, sources in pairs}


@pytest.mark.django_db
@pytest.mark.parametrize("url", [LOGIN, VERIFY, SEND, STATUS, CANCEL, DEVICES, ADD_PHONE])
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", ["nobody", "parked", "logged in"])
def test_every_page_is_private_whoever_asks_and_whatever_it_answers(
    journey, alex, phone, url, method, who
):
    if who != "nobody":
        journey.enter_password(alex)
    if who == "logged in":
        journey.enter_code()

    answer = getattr(journey.client, method)(url)

    assert answer.status_code in (200, 302, 405)
    assert set(answer.headers["Cache-Control"].split(", ")) >= {"no-store", "private"}
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert directives(answer.headers[HEADER])["frame-ancestors"] == "'none'"


@pytest.mark.django_db
def test_the_redirect_of_a_parked_login_is_private(journey, alex, phone):
    answer = journey.enter_password(alex, "/custom-login/")

    assert answer.headers["Location"] == VERIFY
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers[HEADER] == "frame-ancestors 'none'"


@pytest.mark.django_db
def test_other_pages_of_the_site_are_left_alone(client):
    answer = client.get("/")

    assert HEADER not in answer.headers
    assert "no-store" not in answer.headers.get("Cache-Control", "")


# -- a policy that is there already ----------------------------------------------------------


def test_a_policy_on_the_response_is_kept_and_added_to():
    response = HttpResponse(headers={HEADER: "default-src 'self'; script-src 'none'"})

    private(response)

    # Two policies, of which a browser enforces both.
    own, ours = response[HEADER].split(", ")
    assert own == "default-src 'self'; script-src 'none'"
    assert ours == "frame-ancestors 'none'"


def test_weaker_headers_of_a_view_are_replaced():
    response = HttpResponse(
        headers={"Cache-Control": "public, max-age=3600", "X-Frame-Options": "SAMEORIGIN"}
    )

    assert private(response) is response
    assert response["Cache-Control"] == "no-store, private"
    assert response["X-Frame-Options"] == "DENY"


# -- Django's own middleware -----------------------------------------------------------------


@pytest.fixture(params=[CSP, f"{__name__}.OwnPolicyMiddleware"], ids=["Django's", "a subclass"])
def csp(request, settings):
    settings.MIDDLEWARE = [request.param, *settings.MIDDLEWARE]
    settings.SECURE_CSP = {}
    settings.SECURE_CSP_REPORT_ONLY = {}
    return settings


@has_csp
@pytest.mark.django_db
def test_the_sites_directives_stay_on_our_pages(client, csp):
    csp.SECURE_CSP = {
        "default-src": ["'self'"],
        "img-src": ["'self'", "https://images.example.com"],
        "frame-ancestors": ["'self'"],
    }

    ours, theirs = client.get(LOGIN), client.get("/")

    assert directives(ours.headers[HEADER]) == {
        "default-src": "'self'",
        "img-src": "'self' https://images.example.com",
        "frame-ancestors": "'none'",
    }
    assert directives(theirs.headers[HEADER])["frame-ancestors"] == "'self'"
    assert csp.SECURE_CSP["frame-ancestors"] == ["'self'"]
    assert REPORT_ONLY not in ours.headers


@has_csp
@pytest.mark.django_db
def test_a_policy_that_only_reports_stays_one(client, csp):
    csp.SECURE_CSP_REPORT_ONLY = {"default-src": ["'self'"], "report-uri": "/csp/"}

    answer = client.get(LOGIN)

    assert answer.headers[HEADER] == "frame-ancestors 'none'"
    assert directives(answer.headers[REPORT_ONLY])["default-src"] == "'self'"
    assert directives(answer.headers[REPORT_ONLY])["report-uri"] == "/csp/"


@has_csp
@pytest.mark.django_db
def test_without_a_policy_of_the_site_there_is_ours(client, csp):
    answer = client.get(LOGIN)

    assert answer.headers[HEADER] == "frame-ancestors 'none'"
    assert HEADER not in client.get("/").headers


@has_csp
@pytest.mark.django_db
def test_a_nonce_of_the_site_still_works(client, csp):
    from django.utils.csp import CSP as SOURCES

    csp.SECURE_CSP = {"script-src": [SOURCES.SELF, SOURCES.NONCE]}

    policy = directives(client.get(LOGIN).headers[HEADER])

    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"].startswith("'self'")
