"""A29: log in to an admin site."""

from __future__ import annotations

import pytest

from tests.factories import PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, VERIFY

pytestmark = pytest.mark.django_db

SITES = ["/admin/", "/second-admin/", "/otp-admin/"]


@pytest.fixture
def chief(db):
    return UserFactory(username="chief", staff=True)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("door", ["/admin/login/?next=/admin/", "/second-admin/login/", "/login/"])
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a29_no_admin_site_opens_without_the_code(journey, chief, site, door):
    PhoneFactory(user=chief)
    journey.enter_password(chief, door)

    for page in (site, f"{site}auth/user/", f"{site}jsi18n/", f"{site}password_change/"):
        assert journey.client.get(page).status_code == 302, page
    assert journey.is_nobody
    journey.enter_code()
    assert journey.client.get(site).status_code == 200


@pytest.mark.parametrize("site", SITES)
@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a29_staff_without_a_device_enrol_first_where_they_must(journey, chief, settings, site):
    settings.OTP_CHANNELS_POLICY = "staff"
    journey.enter_password(chief, "/admin/login/")

    assert journey.client.get(site).status_code == 302
    assert journey.client.get(VERIFY).headers["Location"] == ADD_PHONE
    assert journey.is_nobody


@pytest.mark.guard("django_otp_channels.middleware.LoginStepMiddleware.process_view")
def test_a29_half_logged_in_one_is_led_from_the_admin_to_the_code(journey, chief):
    PhoneFactory(user=chief)
    journey.enter_password(chief, "/admin/login/")

    assert journey.client.get("/admin/login/").headers["Location"] == VERIFY
