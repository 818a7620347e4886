"""What must still work: a gate that refuses everything would withstand every attack."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial

import pytest
from django.db.models.functions import Now
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.models import Challenge, ChannelDevice, Delivery, Lockout
from tests.clock import let_pass
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.hooks import sends_are_over
from tests.journey import ADD_PHONE, DEVICES, LOGIN, VERIFY, Journey
from tests.providers.loopback import HANG
from tests.providers.twilio import error

from .threads import at_once


@pytest.mark.django_db
def test_p01_a_password_a_message_and_a_code(journey, alex, phone):
    journey.client.get(LOGIN)
    answer = journey.enter_password(alex)
    journey.client.get(answer.headers["Location"])
    answer = journey.enter_code()

    assert answer.headers["Location"] == "/private/"
    assert journey.is_in
    assert len(journey.outbox) == 1
    assert Delivery.objects.get().status == "sent"


@pytest.mark.django_db
def test_p02_a_typo_and_then_the_right_code(parked):
    parked.enter_code(parked.wrong_code)
    parked.enter_code()

    assert parked.is_in
    lockout = Lockout.objects.get()
    assert (lockout.failures, lockout.daily_failures) == (0, 1)


@pytest.mark.django_db
def test_p03_a_message_that_takes_four_minutes(parked):
    let_pass(240)

    parked.enter_code()

    assert parked.is_in


@pytest.mark.django_db
@pytest.mark.parametrize("late", [0, 1])
def test_p04_either_message_will_do_after_a_resend(parked, late):
    let_pass(31)
    parked.ask()
    assert len(parked.outbox) == 2

    parked.enter_code(str(parked.outbox[late].token))

    assert parked.is_in


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("instead", ["voice", "push", "recovery"])
def test_p05_another_way_in_the_same_login_where_texts_do_not_go(
    twilio, settings, journey, alex, phone, instead
):
    settings.OTP_CHANNELS = {
        "sms": settings.OTP_CHANNELS["sms"],
        "voice": [{"BACKEND": "django_otp_channels.backends.memory.Voice"}],
        "push": [{"BACKEND": "django_otp_channels.backends.memory.Push"}],
    }
    twilio.messages.always(error(20429, status=429))
    app = AppFactory(user=alex)
    recovery = StaticDevice.objects.create(user=alex, name="Recovery codes")
    recovery.token_set.create(token="abcd2345")
    journey.enter_password(alex)
    sends_are_over()

    if instead == "recovery":
        journey.enter_code("abcd2345", device=recovery.persistent_id)
    else:
        journey.ask(device=phone.pk if instead == "voice" else app.pk, channel=instead)
        journey.enter_code()

    assert journey.is_in


@pytest.mark.django_db
def test_p06_two_browsers_of_one_person(parked, elsewhere, alex):
    first = parked.code
    elsewhere.enter_password(alex)
    second = elsewhere.code

    parked.enter_code(first)
    elsewhere.enter_code(second)

    assert parked.is_in
    assert elsewhere.is_in


@pytest.mark.django_db(transaction=True)
def test_p06_two_browsers_at_the_same_moment(alex, phone, outbox):
    browsers = [Journey(Client(), outbox, PASSWORD) for _ in range(2)]
    at_once([partial(browser.enter_password, alex) for browser in browsers])
    codes = {str(message.token) for message in outbox}
    assert len(codes) == 2

    for browser in browsers:
        for code in codes:
            if not browser.is_in:
                browser.enter_code(code)

    assert all(browser.is_in for browser in browsers)


@pytest.mark.django_db
@pytest.mark.parametrize("pasted", ["{0} {1}", "{0}-{1}", " {0}{1} ", "{0}{1}\n", "\t{0} {1}"])
def test_p07_a_pasted_code(parked, pasted):
    parked.enter_code(pasted.format(parked.code[:3], parked.code[3:]))

    assert parked.is_in


@pytest.mark.django_db
def test_p07_a_phone_knows_which_field_is_the_codes(parked):
    page = parked.client.get(VERIFY).text

    for attribute in ('autocomplete="one-time-code"', 'inputmode="numeric"', 'name="token"'):
        assert attribute in page


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "direction"), [("en", "ltr"), ("ar", "rtl")])
def test_p08_forms_alone_will_do_in_either_direction(parked, language, direction):
    """tests/browser has the rest: zoom, screen readers, the look from the right."""
    parked.client.defaults["HTTP_ACCEPT_LANGUAGE"] = language

    page = parked.client.get(VERIFY).text

    assert f'dir="{direction}"' in page
    assert page.count('method="post"') >= 2
    assert "<label" in page
    assert "onclick" not in page
    parked.enter_code()
    assert parked.is_in


@pytest.mark.django_db
def test_p09_one_phone_on_two_accounts(journey, elsewhere, alex, phone):
    sam = UserFactory(username="sam")
    elsewhere.client.force_login(sam)
    elsewhere.client.post(ADD_PHONE, {"number": phone.address, "channel": "sms"})
    device = ChannelDevice.objects.get(user=sam)
    elsewhere.client.post(f"/account/devices/{device.pk}/confirm/", {"token": elsewhere.code})

    for browser, user in ((journey, alex), (elsewhere, sam)):
        browser.client.post("/logout/")
        browser.log_in(user)
        assert browser.whoami()["user"] == user.username


@pytest.mark.django_db
def test_p10_a_recovery_code_and_then_a_new_number(journey, elsewhere, alex, phone):
    recovery = StaticDevice.objects.create(user=alex, name="Recovery codes")
    recovery.token_set.create(token="abcd2345")
    journey.enter_password(alex)
    journey.enter_code("abcd2345", device=recovery.persistent_id)
    assert journey.is_in
    let_pass(61)

    journey.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})
    new = ChannelDevice.objects.get(address="+12025550188")
    journey.client.post(f"/account/devices/{new.pk}/confirm/", {"token": journey.code})
    journey.client.post(f"/account/devices/{phone.pk}/remove/")

    assert list(ChannelDevice.objects.filter(confirmed=True)) == [new]
    assert journey.client.get(DEVICES).status_code == 200
    elsewhere.log_in(alex)
    assert elsewhere.outbox[-1].to == "+12025550188"
    assert elsewhere.is_in


@pytest.mark.django_db
def test_p11_many_people_behind_one_address(client, outbox, settings):
    """After the first twenty in an hour, each presses a button more; nobody is shut out."""
    settings.OTP_CHANNELS_LIMITS = {
        "login.client": {3600: 2},  # as the twenty of the default, for fewer people
        "login.prefix": {3600: 1000},
    }
    for n in range(8):
        person = Journey(Client(REMOTE_ADDR="8.8.8.8"), outbox, PASSWORD)
        person.enter_password(PhoneFactory().user)
        assert len(outbox) == n + (n < 2)
        if n >= 2:
            person.ask()
        person.enter_code()
        assert person.is_in


@pytest.mark.django_db
def test_p12_a_new_key_in_the_middle_of_a_login(parked, settings):
    code = parked.code
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the key of the new deployment"

    assert parked.client.get(VERIFY).status_code == 200
    parked.enter_code(code)

    assert parked.is_in


@pytest.mark.django_db(transaction=True)
def test_p13_a_code_that_arrives_although_its_provider_hangs(twilio, journey, alex, phone):
    twilio.messages.always(HANG)
    before = time.monotonic()
    journey.enter_password(alex)
    assert time.monotonic() - before < 1

    sends_are_over()
    if not twilio.messages.requests:  # on a busy machine it never got that far
        pytest.fail("The provider was never asked.")
    page = journey.client.get(VERIFY)
    assert "may be on its way" in page.text
    journey.enter_code(twilio.messages.requests[-1].form["Body"][:6])

    assert journey.is_in


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["totp", "static"])
def test_p14_devices_of_other_plugins_work_beside_ours_and_alone(journey, elsewhere, alex, kind):
    if kind == "totp":
        device = TOTPDevice.objects.create(user=alex, name="Authenticator")
        code = f"{totp(device.bin_key):06d}"
    else:
        device = StaticDevice.objects.create(user=alex, name="Recovery codes")
        device.token_set.create(token="abcd2345")
        code = "abcd2345"

    journey.enter_password(alex)
    assert journey.is_nobody
    PhoneFactory(user=alex)
    journey.enter_code(code, device=device.persistent_id)

    assert journey.is_in
    assert journey.client.get("/verified-only/").status_code == 200


@pytest.mark.django_db
def test_p15_a_locked_person_gets_in_by_another_factor(parked, alex):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    app = TOTPDevice.objects.create(user=alex, name="Authenticator")
    assert "Authenticator" in parked.client.get(VERIFY).text

    parked.enter_code(f"{totp(app.bin_key):06d}", device=app.persistent_id)

    assert parked.is_in

    assert Challenge.objects.get().state == "cancelled"
