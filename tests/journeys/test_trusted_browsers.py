"""A browser that its owner trusts: asked for once, then the password will do."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels import trust
from django_otp_channels.models import TrustedBrowser
from tests.factories import PhoneFactory, UserFactory
from tests.journey import DEVICES, LOGIN, VERIFY, Journey

pytestmark = pytest.mark.django_db

COOKIE = "__Host-otp_channels_trust"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(autouse=True)
def _trust_is_on(settings):
    settings.OTP_CHANNELS_TRUST_DAYS = 30
    settings.SESSION_COOKIE_SECURE = True


@pytest.fixture
def trusted(journey, alex, phone):
    journey.enter_password(alex)
    journey.enter_code(trust="on")
    journey.client.post("/logout/")
    return journey


def test_the_box_is_there_and_never_ticked(journey, alex, phone):
    journey.enter_password(alex)

    page = journey.client.get(VERIFY).content.decode()

    (box,) = re.findall(r"<input[^>]+name=\"trust\"[^>]*>", page)
    assert "checked" not in box
    assert "for 30 days" in page


@pytest.mark.parametrize(("data", "ticked"), [({}, False), ({"trust": "on"}, True)])
def test_a_wrong_code_leaves_the_box_as_it_was(journey, alex, phone, data, ticked):
    journey.enter_password(alex)

    page = journey.enter_code("000000", **data).content.decode()

    (box,) = re.findall(r"<input[^>]+name=\"trust\"[^>]*>", page)
    assert ("checked" in box) is ticked


@pytest.mark.parametrize("data", [{}, {"trust": ""}, {"trust": "off"}, {"trust": "30"}])
def test_who_does_not_tick_it_is_asked_the_next_time(journey, alex, phone, data):
    journey.enter_password(alex)
    journey.enter_code(**data)
    journey.client.post("/logout/")

    journey.enter_password(alex)

    assert journey.is_nobody
    assert not TrustedBrowser.objects.exists()


def test_a_wrong_code_has_nothing_trusted(journey, alex, phone):
    journey.enter_password(alex)

    journey.enter_code(journey.wrong_code, trust="on")

    assert not TrustedBrowser.objects.exists()


@pytest.mark.parametrize("url", [LOGIN, "/login/", "/admin/login/", "/custom-login/"])
def test_the_next_login_needs_no_code_whichever_page_it_is(trusted, alex, url, settings):
    if "admin" in url:
        alex.is_staff = True
        alex.save()
        settings.OTP_CHANNELS_TRUST_ALLOWED = f"{__name__}.anybody"
    sent = len(trusted.outbox)

    trusted.enter_password(alex, url)

    assert trusted.whoami() == {"user": "alex", "key": str(alex.pk), "verified": False}
    assert trusted.is_in
    assert len(trusted.outbox) == sent


def anybody(user: Any, request: Any) -> bool:
    return True


def test_it_goes_on_working_login_after_login(trusted, alex):
    for _ in range(4):
        before = trusted.client.cookies[COOKIE].value
        trusted.enter_password(alex)
        assert trusted.is_in
        assert trusted.client.cookies[COOKIE].value != before
        trusted.client.post("/logout/")
        TrustedBrowser.objects.update(rotated_at=F("rotated_at") - timedelta(hours=1))

    assert TrustedBrowser.objects.count() == 1


def test_the_days_are_counted_from_the_code_and_not_from_the_last_use(trusted, alex):
    until = TrustedBrowser.objects.get().expires_at

    trusted.enter_password(alex)

    assert TrustedBrowser.objects.get().expires_at == until


@pytest.mark.parametrize("hours", [0, 48])
def test_an_answer_that_was_lost_costs_nothing(trusted, alex, hours):
    before = trusted.client.cookies[COOKIE].value
    trusted.enter_password(alex)  # and its answer never arrives
    trusted.client = Client()
    trusted.client.cookies[COOKIE] = before
    TrustedBrowser.objects.update(rotated_at=F("rotated_at") - timedelta(hours=hours))

    trusted.enter_password(alex)

    assert trusted.is_in
    assert TrustedBrowser.objects.count() == 1


def test_a_login_that_fails_afterwards_keeps_the_secret_that_the_browser_has(
    trusted, alex, monkeypatch
):
    from django.db import connection

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    trusted.client.raise_request_exception = False
    answer = trusted.client.post(
        "/custom-login/", {"username": "alex", "password": trusted.password, "crash": "1"}
    )
    assert answer.status_code == 500
    trusted.client.cookies.pop("sessionid", None)

    trusted.enter_password(alex)

    assert trusted.is_in


def test_two_accounts_are_trusted_in_one_browser(trusted, alex):
    sam = PhoneFactory(user=UserFactory(username="sam"), address="+12025550155").user
    trusted.enter_password(sam)
    trusted.enter_code(trust="on")
    trusted.client.post("/logout/")

    for user in (alex, sam, alex):
        trusted.enter_password(user)
        assert trusted.whoami()["user"] == user.username
        trusted.client.post("/logout/")


def test_one_browser_is_one_row_however_often_it_is_trusted(trusted, alex):
    TrustedBrowser.objects.update(binding="another password")  # so the code is asked
    for _ in range(2):
        trusted.enter_password(alex)
        trusted.enter_code(trust="on")
        trusted.client.post("/logout/")
        TrustedBrowser.objects.update(binding="another password")

    assert TrustedBrowser.objects.count() == 1


def test_a_person_of_twenty_accounts_keeps_a_small_cookie(journey, alex, phone):
    for number in range(20):
        user = PhoneFactory(user=UserFactory(), address=f"+120255501{number:02}").user
        journey.enter_password(user)
        journey.enter_code(trust="on")
        journey.client.post("/logout/")

    assert len(journey.client.cookies[COOKIE].value) < 500


def test_an_authenticator_app_may_have_it_trusted_and_a_recovery_code_may_not(journey, alex, phone):
    app = TOTPDevice.objects.create(user=alex, name="Authenticator")
    recovery = StaticDevice.objects.create(user=alex, name="Recovery codes")
    recovery.token_set.create(token="abcd2345")
    journey.enter_password(alex)

    page = journey.client.get(VERIFY, {"device": recovery.persistent_id}).content.decode()
    assert 'name="trust"' not in page
    journey.enter_code("abcd2345", device=recovery.persistent_id, trust="on")
    assert journey.is_in
    assert not TrustedBrowser.objects.exists()

    journey.client.post("/logout/")
    journey.enter_password(alex)
    page = journey.client.get(VERIFY, {"device": app.persistent_id}).content.decode()
    assert 'name="trust"' in page
    journey.enter_code(f"{totp(app.bin_key):06d}", device=app.persistent_id, trust="on")
    assert journey.is_in
    assert TrustedBrowser.objects.count() == 1


@pytest.mark.parametrize("redirects", [False, True])
def test_a_page_that_insists_on_a_code_leads_to_it_and_back(trusted, alex, redirects, monkeypatch):
    from django.contrib.auth.views import LoginView

    monkeypatch.setattr(LoginView, "redirect_authenticated_user", redirects)
    trusted.enter_password(alex)

    answer = trusted.client.get("/verified-only/", follow=True)
    assert [url for url, _ in answer.redirect_chain] == ["/login/?next=/verified-only/", VERIFY]
    assert "Enter your code" in answer.content.decode() or "Confirm" in answer.content.decode()
    app = trusted_phone_code(trusted)

    assert app["Location"] == "/verified-only/"
    assert trusted.client.get("/verified-only/").status_code == 200


def trusted_phone_code(journey: Journey) -> Any:
    from tests.clock import let_pass

    let_pass(31)
    journey.ask(channel="sms")
    return journey.enter_code()


def test_who_opens_the_login_page_by_hand_may_be_somebody_else(trusted, alex):
    trusted.enter_password(alex)

    assert trusted.client.get("/login/").status_code == 200

    assert trusted.is_in


def test_a_trusted_session_costs_one_look_more(trusted, alex, django_assert_num_queries):
    trusted.enter_password(alex)
    trusted.client.get("/private/")

    with django_assert_num_queries(3):  # the session, the trust, the user
        trusted.client.get("/private/")


# -- the security page -----------------------------------------------------------------------


@pytest.fixture
def owner(journey, alex, phone):
    """Alex, who has entered a code in this browser and had it trusted."""
    journey.client.defaults["HTTP_USER_AGENT"] = FIREFOX
    journey.enter_password(alex)
    journey.enter_code(trust="on")
    return journey


def test_the_page_lists_them_and_marks_this_one(owner, alex, phone):
    other = Journey(Client(), owner.outbox, owner.password)
    other.enter_password(alex)
    other.enter_code(trust="on")

    page = owner.client.get(DEVICES).content.decode()

    assert "Firefox on Linux" in page
    assert "Unknown browser" in page
    assert page.count("This browser") == 1
    assert "End all" in page


def test_all_are_ended_at_once(owner, alex):
    answer = owner.client.post("/account/browsers/revoke/")

    assert answer["Location"] == DEVICES
    assert not TrustedBrowser.objects.exists()
    page = owner.client.get(DEVICES)
    assert page.context["news"] == "All browsers are asked for a code again."
    assert "Trusted browsers" not in page.text
    owner.client.post("/logout/")
    owner.enter_password(alex)
    assert owner.is_nobody


def test_a_browser_that_a_changed_password_has_ended_is_not_listed(owner, alex):
    TrustedBrowser.objects.update(binding="another password")

    assert "Trusted browsers" not in owner.client.get(DEVICES).content.decode()


def test_a_device_that_is_added_or_removed_on_the_pages_ends_them(owner, alex, phone):
    owner.client.post(f"/account/devices/{phone.pk}/remove/")

    assert not TrustedBrowser.objects.exists()


def test_a_new_key_of_the_site_keeps_them(owner, alex, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the next key of this site"
    owner.client.cookies.pop("sessionid")

    owner.enter_password(alex)

    assert owner.is_in


def test_the_owner_hears_of_a_new_one_and_of_a_stolen_one(owner, alex, mailoutbox):
    assert [letter.subject for letter in mailoutbox] == ["Example: A browser is trusted now"]
    TrustedBrowser.objects.update(secret_hash="0" * 64, seen=True)
    owner.client.post("/logout/")

    owner.enter_password(alex)

    assert owner.is_nobody
    assert mailoutbox[-1].subject == "Example: A trusted browser may have been copied"


def test_an_old_proof_is_asked_for_again_before_a_browser_is_ended(owner, alex):
    row = TrustedBrowser.objects.get()
    owner.let_proof_age()

    answer = owner.client.post(f"/account/browsers/{row.pk}/revoke/")

    assert answer["Location"] == "/account/reauth/"
    assert TrustedBrowser.objects.exists()


def test_a_login_without_a_code_is_among_what_happened_lately(owner, alex):
    owner.client.post("/logout/")
    owner.enter_password(alex)
    owner.client.get(DEVICES)
    trusted_phone_code(owner)

    page = owner.client.get(DEVICES).content.decode()

    assert "<bdi>trusted browser</bdi>" in page


def test_staff_end_all_of_a_person_on_record(owner, alex, caplog):
    assert trust.end_all(alex, by=7) == 1

    assert '"event": "browser_ended"' in caplog.text
    assert '"by": 7' in caplog.text
