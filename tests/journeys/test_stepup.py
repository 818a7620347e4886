"""Asked again: the password and a code, before somebody changes how they sign in."""

from __future__ import annotations

import pytest
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels import stepup
from django_otp_channels.models import Challenge, ChannelDevice, Lockout
from tests.clock import let_pass
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, CANCEL, DEVICES, LOGIN, REAUTH, STATUS, VERIFY, Journey

pytestmark = pytest.mark.django_db


@pytest.fixture
def stale(journey, alex, phone):
    """Alex has signed in with password and code, more than five minutes ago."""
    journey.log_in(alex)
    journey.let_proof_age()
    return journey


@pytest.fixture
def asked(stale):
    """Alex wants to add a phone, has given the password again, and is asked for the code."""
    assert stale.client.get(ADD_PHONE).headers["Location"] == REAUTH
    assert stale.confirm_password().headers["Location"] == VERIFY
    return stale


def test_fresh_from_the_login_nothing_is_asked_again(journey, alex, phone):
    journey.log_in(alex)

    assert journey.client.get(ADD_PHONE).status_code == 200


def test_both_factors_are_asked_again_and_then_the_page_opens(stale):
    before = stale.client.session.session_key
    assert stale.client.get(ADD_PHONE).headers["Location"] == REAUTH
    assert "enter your password again" in stale.client.get(REAUTH).text
    assert len(stale.outbox) == 1
    assert stale.confirm_password().headers["Location"] == VERIFY
    assert len(stale.outbox) == 2
    assert "to confirm that it is you" in stale.outbox[-1].text
    page = stale.client.get(VERIFY).text
    assert "Continue" in page
    assert "Sign in" not in page

    answer = stale.enter_code()

    assert answer.headers["Location"] == ADD_PHONE
    assert stale.client.get(ADD_PHONE).status_code == 200
    assert stale.is_in
    old = Client()
    old.cookies["sessionid"] = before
    assert old.get("/private/").status_code == 302
    assert stale.client.session.session_key != before


def test_it_lasts_for_five_minutes(asked):
    asked.enter_code()
    asked.let_proof_age(280)
    assert asked.client.get(ADD_PHONE).status_code == 200

    asked.let_proof_age(30)

    assert asked.client.get(ADD_PHONE).headers["Location"] == REAUTH


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_sends_nothing_and_says_so(stale, password):
    stale.client.get(ADD_PHONE)

    answer = stale.client.post(REAUTH, {"password": password})

    assert answer.status_code == 200
    sentence = "This password is not right." if password else "Enter your password."
    assert sentence in answer.text
    assert stale.client.get(VERIFY).headers["Location"] == REAUTH
    assert len(stale.outbox) == 1


def test_the_password_of_somebody_else_is_none(stale, monkeypatch):
    """Where a site's authentication backend finds people by more than their name."""
    monkeypatch.setattr(stepup, "authenticate", lambda *_args, **_named: UserFactory())
    stale.client.get(ADD_PHONE)

    assert "not right" in stale.confirm_password().text

    assert len(stale.outbox) == 1


def test_what_somebody_else_was_asked_for_here_is_nobodys(asked):
    session = asked.client.session
    session["otp_channels"]["step_up"]["user"] = str(UserFactory().pk)
    session.save()

    assert asked.client.get(VERIFY).status_code == 302
    assert asked.client.get(REAUTH).headers["Location"] == DEVICES


def test_nobody_goes_on_with_the_password_alone(asked):
    assert asked.client.get(ADD_PHONE).headers["Location"] == VERIFY
    asked.enter_code(asked.wrong_code)
    asked.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})

    assert ChannelDevice.objects.count() == 1


def test_nobody_goes_on_with_the_code_alone(stale):
    """As after a login by another session: the password was long ago."""
    stale.client.get(ADD_PHONE)

    answer = stale.client.post("/account/send/", {})

    assert answer.headers["Location"] == REAUTH
    assert len(stale.outbox) == 1


def test_cancel_leaves_the_person_signed_in_and_the_code_dead(asked):
    assert asked.client.post(CANCEL).headers["Location"] == DEVICES
    assert asked.is_in

    asked.enter_code()

    assert asked.client.get(ADD_PHONE).headers["Location"] == VERIFY
    assert Challenge.objects.order_by("created_at").last().state == "cancelled"


def test_a_lock_holds_here_too(asked, alex):
    for _ in range(5):
        asked.enter_code(asked.wrong_code)
    assert Lockout.objects.get(user=alex).failures == 5

    asked.enter_code()

    assert asked.client.get(ADD_PHONE).headers["Location"] == VERIFY
    assert asked.is_in, "what was signed in stays signed in"


def test_who_has_no_factor_gives_the_password(journey, alex):
    journey.enter_password(alex)
    journey.let_proof_age()
    assert journey.client.get(ADD_PHONE).headers["Location"] == REAUTH

    assert journey.confirm_password().headers["Location"] == ADD_PHONE
    assert journey.client.get(ADD_PHONE).status_code == 200
    assert journey.outbox == []


def test_who_has_no_password_gives_the_code(journey, alex, phone):
    alex.set_unusable_password()
    alex.save()
    journey.client.force_login(alex)  # by a provider of identities, say
    journey.ask()
    journey.enter_code()
    journey.let_proof_age()
    assert journey.client.get(ADD_PHONE).headers["Location"] == VERIFY
    journey.ask()

    assert journey.enter_code().headers["Location"] == ADD_PHONE


def test_who_has_neither_is_asked_to_sign_in_again(journey, alex):
    alex.set_unusable_password()
    alex.save()
    journey.client.force_login(alex)
    assert journey.client.get(ADD_PHONE).status_code == 200
    journey.let_proof_age()

    assert journey.client.get(ADD_PHONE).headers["Location"] == REAUTH
    assert "sign out and sign in again" in journey.client.get(REAUTH).text
    assert "password" not in journey.client.get(REAUTH).text

    signed_out = journey.client.post(REAUTH, {"sign_out": "1"})

    assert journey.client.get(LOGIN).context["news"].startswith("You are signed out.")
    assert signed_out.headers["Location"] == f"/login/?next={ADD_PHONE}"
    assert journey.is_nobody


def test_an_authenticator_app_proves_it_as_well(asked, alex):
    app = TOTPDevice.objects.create(user=alex, name="App", confirmed=True)
    token = f"{totp(app.bin_key):06d}"

    answer = asked.client.post(VERIFY, {"device": app.persistent_id, "token": token})

    assert answer.headers["Location"] == ADD_PHONE


def test_the_code_of_a_login_proves_nothing_here_nor_the_other_way_round(asked, alex):
    elsewhere = Journey(Client(), asked.outbox, PASSWORD)
    ours = asked.code
    let_pass(31)
    elsewhere.enter_password(alex)
    theirs = elsewhere.code

    assert asked.enter_code(theirs).status_code == 200
    assert elsewhere.enter_code(ours).status_code == 200
    assert elsewhere.is_nobody


def test_the_page_is_told_what_became_of_the_message(asked):
    assert asked.client.get(STATUS).json()["delivery"] == "sent"


def test_it_takes_no_longer_than_a_login(asked):
    session = asked.client.session
    session["otp_channels"]["step_up"]["at"] -= 601
    session.save()

    asked.enter_code()

    assert asked.client.get(ADD_PHONE).headers["Location"] == VERIFY


@pytest.mark.parametrize("act", ["add", "remove"])
def test_a_form_that_was_left_open_changes_nothing(stale, phone, act):
    other = PhoneFactory(user=phone.user, address="+12025550188")
    url = {"add": ADD_PHONE, "remove": f"/account/devices/{other.pk}/remove/"}[act]

    answer = stale.client.post(url, {"number": "+12025550177", "name": "Mine"})

    assert answer.headers["Location"] == REAUTH
    assert ChannelDevice.objects.count() == 2


def test_no_code_goes_to_a_new_number_for_a_stale_session(stale, alex):
    device = PhoneFactory(user=alex, address="+12025550188", confirmed=False)

    answer = stale.client.post("/account/send/", {"device": device.pk})

    assert answer.headers["Location"] == REAUTH
    assert len(stale.outbox) == 1


@pytest.mark.parametrize("named", ["another", "the same"])
def test_an_enrolment_that_was_left_lets_no_stale_session_send(stale, alex, named):
    """What the session began is over, or was about another number."""
    stale.client.get(ADD_PHONE)
    stale.confirm_password()
    stale.enter_code()
    stale.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})
    begun = ChannelDevice.objects.get(address="+12025550188")
    other = PhoneFactory(user=alex, address="+12025550199", confirmed=False)
    stale.let_proof_age()
    let_pass(31 if named == "another" else 3601)
    sent = len(stale.outbox)

    answer = stale.client.post(
        "/account/send/", {"device": (other if named == "another" else begun).pk}
    )

    assert answer.headers["Location"] == REAUTH
    assert len(stale.outbox) == sent


def test_the_code_of_an_enrolment_under_way_is_sent_again_without_a_proof(stale):
    stale.client.get(ADD_PHONE)
    stale.confirm_password()
    stale.enter_code()
    stale.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})
    stale.let_proof_age()
    let_pass(31)
    sent = len(stale.outbox)

    stale.client.post("/account/send/", {"device": ChannelDevice.objects.last().pk})

    assert len(stale.outbox) == sent + 1


def test_the_password_alone_changes_the_session_key_as_well(journey, alex):
    journey.enter_password(alex)
    journey.let_proof_age()
    journey.client.get(ADD_PHONE)
    before = journey.client.session.session_key

    assert journey.confirm_password().headers["Location"] == ADD_PHONE

    assert journey.client.session.session_key != before
    assert not journey.client.session.exists(before)


def test_reauth_without_a_reason_leads_to_the_devices(stale):
    assert stale.client.get(REAUTH).headers["Location"] == DEVICES


def test_reauth_is_for_who_is_signed_in(client):
    assert client.get(REAUTH).status_code == 302
    assert client.post(REAUTH, {"password": PASSWORD}).status_code == 302


def test_a_running_session_that_comes_to_need_a_code_is_not_asked_for_the_password_twice(
    journey, alex
):
    """It was given a moment ago; only then the phone was added elsewhere."""
    journey.enter_password(alex)
    PhoneFactory(user=alex, address="+12025550123")
    assert journey.client.get(ADD_PHONE).headers["Location"] == VERIFY
    journey.ask()
    journey.enter_code()

    assert journey.client.get(ADD_PHONE).status_code == 200


def test_whoever_no_code_can_reach_while_signed_in_signs_out_and_in_again(
    stale, alex, phone, settings
):
    settings.OTP_CHANNELS_COUNTRIES = ["DE"]
    stale.client.get(ADD_PHONE)
    stale.confirm_password()

    page = stale.client.get(VERIFY).text

    assert "Please sign out and sign in again." in page
    assert "support" not in page
    assert stale.client.post(REAUTH, {"sign_out": "1"}).headers["Location"].startswith("/login/")
    assert stale.is_nobody


def test_why_to_sign_in_again_is_not_told_to_whoever_has(journey, alex):
    """A login page of the site's own does not show it."""
    journey.client.force_login(alex)
    journey.let_proof_age()
    journey.client.get(ADD_PHONE)
    journey.client.post(REAUTH, {"sign_out": "1"})

    journey.client.post("/login/", {"username": "alex", "password": journey.password})

    assert journey.is_in
    assert "signed out" not in journey.client.get(DEVICES).text
