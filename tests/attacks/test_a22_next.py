"""A22: lead somebody away with the page that they want next."""

from __future__ import annotations

from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from tests.journey import ADD_PHONE, CANCEL, LOGIN, VERIFY

pytestmark = pytest.mark.django_db

TRAPS = [
    "//evil.example", "https:evil.example", "/\\evil.example", "\t//evil.example",
    "javascript:alert(1)", "https://testserver@evil.example", "//%00", "///evil.example",
    "/private/\r\nSet-Cookie: a=b", "http://evil.example", "/" + "a" * 64_000, VERIFY, CANCEL,
]  # fmt: skip


def is_trap(location: str) -> bool:
    """Whether a browser on the code page would leave the site for it, or walk in a circle."""
    url = urlsplit(urljoin(f"http://testserver{VERIFY}", location.replace("\\", "/")))
    plain = location.isprintable() and len(location) < 2100
    return url.netloc != "testserver" or url.path in (VERIFY, CANCEL) or not plain


@pytest.mark.parametrize("wanted", TRAPS)
@pytest.mark.parametrize("url", [LOGIN, "/login/"])
@pytest.mark.guard("django_otp_channels.login.safe_next")
def test_a22_no_login_page_leads_into_a_trap(journey, alex, phone, url, wanted):
    journey.enter_password(alex, url, next=wanted)

    assert not is_trap(journey.enter_code(next=wanted).headers["Location"])


# Django itself sends nobody to a scheme that it does not know.
@pytest.mark.parametrize("wanted", [trap for trap in TRAPS if not trap.startswith("javascript")])
@pytest.mark.guard("django_otp_channels.login.safe_next")
def test_a22_the_redirect_of_a_sites_own_view_is_judged_too(journey, alex, phone, wanted):
    journey.enter_password(alex, "/custom-login/", go=wanted)

    assert not is_trap(journey.enter_code().headers["Location"])


@pytest.mark.parametrize("wanted", TRAPS)
@pytest.mark.guard("django_otp_channels.login.safe_next")
def test_a22_starting_over_leads_into_no_trap(journey, alex, phone, wanted):
    journey.enter_password(alex, "/login/", next=wanted)

    location = journey.client.post(CANCEL, {"next": wanted}).headers["Location"]

    assert not is_trap(location)
    onwards = parse_qs(urlsplit(location).query).get("next", ["/"])
    assert not is_trap(onwards[0])


@pytest.mark.parametrize("wanted", TRAPS)
def test_a22_a_proof_leads_to_no_trap(journey, alex, wanted):
    journey.enter_password(alex)
    answer = journey.client.post(
        ADD_PHONE, {"number": "+12025550123", "next": wanted, "channel": "sms"}
    )

    answer = journey.client.post(
        answer.headers["Location"], {"token": journey.code, "next": wanted}
    )

    assert answer.headers["Location"] == "/account/"


def test_a22_of_two_wishes_a_trap_is_none(journey, alex, phone):
    journey.enter_password(alex, LOGIN, next=["/verified-only/", "//evil.example"])

    assert journey.enter_code().headers["Location"] == "/private/"
