"""A70: find a page of somebody else in a cache, or by the back button."""

from __future__ import annotations

import pytest

from tests.factories import PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, CANCEL, DEVICES, LOGIN, SEND, STATUS, VERIFY

pytestmark = pytest.mark.django_db

PAGES = [VERIFY, SEND, STATUS, CANCEL, LOGIN, DEVICES, ADD_PHONE, "/account/devices/1/remove/"]


@pytest.mark.parametrize("method", ["get", "post", "head"])
@pytest.mark.parametrize("stage", ["nobody", "parked", "in"])
@pytest.mark.guard("django_otp_channels.headers.private")
def test_a70_no_answer_is_kept_by_anybody(journey, alex, phone, method, stage):
    if stage != "nobody":
        journey.enter_password(alex)
    if stage == "in":
        journey.enter_code()

    for url in PAGES:
        answer = getattr(journey.client, method)(url)
        assert answer.headers["Cache-Control"] == "no-store, private", (url, answer.status_code)


@pytest.fixture
def caching_site(settings):
    """A site that caches every page for everybody, and saves the session with each."""
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.CACHE_MIDDLEWARE_SECONDS = 600
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]


@pytest.mark.usefixtures("caching_site")
def test_a70_a_site_that_caches_all_shows_nobody_the_page_of_another(
    journey, elsewhere, alex, phone
):
    sam = UserFactory(username="sam")
    PhoneFactory(user=sam, address="+12025550178")
    journey.enter_password(alex)
    elsewhere.enter_password(sam)

    pages = [browser.client.get(VERIFY).text for browser in (journey, elsewhere)]

    assert "ending in 23" in pages[0]
    assert "ending in 23" not in pages[1]
    assert "ending in 78" in pages[1]


def test_a70_after_the_code_and_after_the_way_out_the_page_is_gone(parked):
    parked.enter_code()
    assert parked.client.get(VERIFY).headers["Location"] == "/private/"

    parked.client.post("/logout/")

    assert "ending in 23" not in parked.client.get(VERIFY, follow=True).text
