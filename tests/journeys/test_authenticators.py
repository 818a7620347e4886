"""An authenticator app of django-otp's plugin, set up on the person's own pages."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels import authenticators
from django_otp_channels.models import ChannelDevice
from tests.factories import PASSWORD, UserFactory
from tests.journey import ADD_PHONE, DEVICES, REAUTH, VERIFY, Journey

pytestmark = pytest.mark.django_db

ADD = "/account/devices/add/authenticator/"


def confirm_url(app: TOTPDevice) -> str:
    return f"/account/authenticators/{app.pk}/confirm/"


def token_of(app: TOTPDevice) -> str:
    return f"{totp(app.bin_key):06d}"


@pytest.fixture
def owner(journey, alex, phone):
    journey.log_in(alex)
    return journey


@pytest.fixture
def started(owner):
    """Alex sees the key of a new app."""
    owner.client.post(ADD)
    return owner


def test_an_app_is_shown_its_key_as_a_picture_and_as_text(started):
    app = TOTPDevice.objects.get()
    page = started.client.get(confirm_url(app)).text

    assert "<svg" in page
    assert not re.search(r"\sstyle=|<style|<script(?! type=\"module\" src)", page)
    assert re.search(r"[A-Z2-7]{4}( [A-Z2-7]{4}){7}", page)


def test_something_stronger_than_a_number_is_offered_with_the_reason(owner):
    """NIST SP 800-63B-4, 3.2.9: a phone number is a restricted way."""
    for url in (DEVICES, ADD_PHONE):
        page = " ".join(owner.client.get(url).text.split())
        assert f'href="{ADD}"' in page
        assert "nobody can take it over together with your phone number" in page


@pytest.mark.parametrize("act", ["get", "post"])
def test_a_site_without_the_plugin_has_no_such_page_and_accuses_nobody(
    owner, monkeypatch, caplog, act
):
    monkeypatch.setattr(authenticators, "installed", lambda: False)
    caplog.clear()

    assert getattr(owner.client, act)(ADD).status_code == 404

    assert not [each for each in caplog.records if each.name == "django_otp_channels.audit"]


def test_nothing_is_made_by_looking(owner):
    owner.client.get(ADD)

    assert not TOTPDevice.objects.exists()


def test_an_app_is_a_factor_once_it_has_shown_a_code(started, alex):
    app = TOTPDevice.objects.get()
    assert app.confirmed is False

    answer = started.client.post(confirm_url(app), {"token": token_of(app)})

    assert answer.headers["Location"] == DEVICES
    app.refresh_from_db()
    assert app.confirmed is True
    page = started.client.get(DEVICES)
    assert app.name in page.text
    assert page.context["news"] == "Your authenticator app is added."
    fresh = Journey(Client(), started.outbox, PASSWORD)
    fresh.enter_password(alex)
    app.last_t = -1
    app.save()
    fresh.client.post(VERIFY, {"device": app.persistent_id, "token": token_of(app)})
    assert fresh.is_in


def test_a_slip_costs_no_wait(started):
    app = TOTPDevice.objects.get()
    started.client.post(confirm_url(app), {"token": "000000"})

    started.client.post(confirm_url(app), {"token": token_of(app)})

    app.refresh_from_db()
    assert app.confirmed


@pytest.mark.parametrize("right", [True, False])
def test_a_form_that_comes_too_late_takes_no_factor_back(started, right):
    """Two tabs, or a double click: the row is judged as it is, not as it was read."""
    app = TOTPDevice.objects.get()
    late = TOTPDevice.objects.get()
    assert authenticators.prove(app, token_of(app))

    token = token_of(late) if right else f"{(int(token_of(late)) + 1) % 10**6:06d}"
    assert not authenticators.prove(late, token)

    assert TOTPDevice.objects.get().confirmed


def test_a_key_that_was_given_up_is_not_revived(started):
    late = TOTPDevice.objects.get()
    TOTPDevice.objects.all().delete()

    assert not authenticators.prove(late, token_of(late))

    assert not TOTPDevice.objects.exists()


def test_a_code_with_a_gap_will_do(started):
    app = TOTPDevice.objects.get()
    token = token_of(app)

    started.client.post(confirm_url(app), {"token": f" {token[:3]} {token[3:]}"})

    app.refresh_from_db()
    assert app.confirmed


@pytest.mark.parametrize("token", ["", "000000", "abc", "١٢٣٤٥٦", "1" * 500])
def test_a_wrong_code_makes_no_factor_and_the_key_stays(started, token):
    app = TOTPDevice.objects.get()

    answer = started.client.post(confirm_url(app), {"token": token})

    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert "<svg" in answer.text
    app.refresh_from_db()
    assert not app.confirmed


def test_the_key_is_never_shown_again(started):
    app = TOTPDevice.objects.get()
    started.client.post(confirm_url(app), {"token": token_of(app)})

    answer = started.client.get(confirm_url(app))

    assert answer.headers["Location"] == DEVICES


def test_a_new_start_makes_the_key_that_was_seen_before_useless(started):
    first = TOTPDevice.objects.get()

    started.client.post(ADD)

    assert TOTPDevice.objects.count() == 1
    assert started.client.post(confirm_url(first), {"token": "123456"}).status_code == 404


def test_who_has_five_apps_removes_one_before_the_next(owner, alex):
    for n in range(5):
        TOTPDevice.objects.create(user=alex, name=f"App {n}", confirmed=True)

    assert f'href="{ADD}"' not in owner.client.get(DEVICES).text
    assert "Remove one first." in owner.client.post(ADD).text
    assert TOTPDevice.objects.count() == 5


def test_an_app_that_is_not_proven_is_no_factor(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD)

    fresh = Journey(Client(), journey.outbox, PASSWORD)
    fresh.enter_password(alex)

    assert fresh.is_in


def test_a_newcomer_may_choose_an_app_instead_of_a_phone(journey, alex, settings):
    settings.OTP_CHANNELS_POLICY = "everyone"
    journey.enter_password(alex, next="/private/")
    assert "authenticator app instead" in journey.client.get("/account/devices/add/phone/").text
    journey.client.post(ADD)
    app = TOTPDevice.objects.get()

    answer = journey.client.post(confirm_url(app), {"token": token_of(app)})

    assert answer.headers["Location"] == "/private/"
    assert journey.is_in
    assert journey.outbox == []


def test_who_is_parked_and_has_a_factor_adds_none(journey, alex, phone):
    journey.enter_password(alex)

    assert journey.client.post(ADD).headers["Location"] == VERIFY
    assert not TOTPDevice.objects.exists()


def test_an_app_is_removed(started):
    app = TOTPDevice.objects.get()
    started.client.post(confirm_url(app), {"token": token_of(app)})

    started.client.post(f"/account/authenticators/{app.pk}/remove/")

    assert not TOTPDevice.objects.exists()
    assert ChannelDevice.objects.exists()


def test_the_only_factor_stays_where_one_must_have_one(journey, alex, settings):
    settings.OTP_CHANNELS_POLICY = "everyone"
    journey.enter_password(alex)
    journey.client.post(ADD)
    app = TOTPDevice.objects.get()
    journey.client.post(confirm_url(app), {"token": token_of(app)})

    answer = journey.client.post(f"/account/authenticators/{app.pk}/remove/")

    assert "only way" in answer.text
    assert TOTPDevice.objects.exists()


@pytest.mark.parametrize("act", ["confirm", "remove"])
def test_a_stale_session_does_none_of_it(started, act):
    app = TOTPDevice.objects.get()
    started.let_proof_age()

    for answer in (
        started.client.get(f"/account/authenticators/{app.pk}/{act}/"),
        started.client.post(f"/account/authenticators/{app.pk}/{act}/", {"token": token_of(app)}),
        started.client.post(ADD),
    ):
        assert answer.headers["Location"] == REAUTH
    assert TOTPDevice.objects.get().confirmed is False


@pytest.mark.parametrize("act", ["confirm", "remove"])
def test_somebody_elses_app_is_like_none(owner, act):
    theirs = TOTPDevice.objects.create(user=UserFactory(), name="Theirs", confirmed=act == "remove")

    for answer in (
        owner.client.get(f"/account/authenticators/{theirs.pk}/{act}/"),
        owner.client.post(f"/account/authenticators/{theirs.pk}/{act}/", {"token": "123456"}),
    ):
        assert answer.status_code == 404
    assert TOTPDevice.objects.filter(pk=theirs.pk).exists()


def test_strangers_are_asked_to_log_in(client):
    assert client.get(ADD).headers["Location"].startswith("/login/")
