"""A72: show the pages in a frame, under a page of one's own."""

from __future__ import annotations

import pytest

from tests.journey import ADD_PHONE, DEVICES, LOGIN, VERIFY

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("policy", ["", "default-src 'self'", "frame-ancestors *"])
@pytest.mark.guard("django_otp_channels.headers.private")
def test_a72_no_page_is_shown_in_a_frame(journey, alex, phone, settings, policy):
    settings.MIDDLEWARE = [f"{__name__}.framed", *settings.MIDDLEWARE]
    settings.THE_SITES_OWN_POLICY = policy
    pages = [journey.client.get(LOGIN)]
    journey.enter_password(alex)
    pages += [journey.client.get(VERIFY), journey.enter_code("000")]
    journey.enter_code()
    pages += [
        journey.client.get(DEVICES),
        journey.client.get(ADD_PHONE),
        journey.client.get(f"/account/devices/{phone.pk}/remove/"),
        journey.client.get("/account/devices/99999/remove/"),
    ]

    assert [page.status_code for page in pages] == [200, 200, 200, 200, 200, 200, 404]
    for page in pages:
        assert page.headers["X-Frame-Options"] == "DENY"
        # Several policies hold all together.
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def framed(get_response):
    """A site that lets itself be framed, outside of everything."""

    def middleware(request):
        from django.conf import settings

        response = get_response(request)
        if settings.THE_SITES_OWN_POLICY:
            own = response.headers.get("Content-Security-Policy")
            added = settings.THE_SITES_OWN_POLICY
            response.headers["Content-Security-Policy"] = f"{own}, {added}" if own else added
        return response

    return middleware
