"""A24: lock somebody out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.db.models.functions import Now
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.models import Challenge, Lockout
from tests.journey import LOGIN

pytestmark = pytest.mark.django_db


def test_a24_wrong_passwords_touch_no_second_factor(journey, elsewhere, alex, phone):
    journey.log_in(alex)
    for _ in range(30):
        elsewhere.client.post(LOGIN, {"username": "alex", "password": "wrong"})

    assert not Lockout.objects.filter(failures__gt=0).exists()
    assert len(journey.outbox) == 1
    assert journey.is_in


@pytest.mark.usefixtures("endless_budgets")
def test_a24_a_lock_leaves_sessions_and_other_factors_alone(journey, elsewhere, alex, phone):
    journey.log_in(alex)
    app = TOTPDevice.objects.create(user=alex, name="Authenticator")
    for _ in range(4):
        elsewhere.enter_password(alex)
        for _ in range(5):
            elsewhere.enter_code(elsewhere.wrong_code)

    assert Lockout.lock_of(alex.pk) is not None
    assert journey.is_in
    elsewhere.enter_password(alex)
    elsewhere.enter_code(f"{totp(app.bin_key):06d}", device=app.persistent_id)
    assert elsewhere.is_in


@pytest.mark.guard("django_otp_channels.models.challenges._chargeable")
def test_a24_tries_during_a_lock_do_not_extend_it(parked, alex):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    counted = Lockout.objects.values("failures", "daily_failures", "locked_until", "stopped_at")
    before = counted.get()

    for _ in range(20):
        parked.enter_code(parked.wrong_code)
    parked.enter_code()

    assert counted.get() == before
    assert Challenge.objects.get().attempts == 0
    assert parked.is_nobody


@pytest.mark.guard("django_otp_channels.notices.tell")
def test_a24_the_owner_hears_of_the_lock_once(parked, alex):
    Lockout.objects.create(user=alex, failures=9, daily_failures=9, warned=True)
    parked.enter_password(alex)

    for _ in range(3):
        parked.enter_code(parked.wrong_code)

    assert [letter.to for letter in mail.outbox] == [["alex@example.com"]]
    letter = mail.outbox[0]
    assert letter.subject == "Example: Codes are locked after too many wrong ones"
    assert "Other ways to sign in still work." in letter.body


def test_a24_staff_open_what_was_locked(parked, alex):
    Lockout.objects.create(user=alex, failures=50, stopped_at=Now())
    parked.enter_code()
    assert parked.is_nobody

    Lockout.lift([alex.pk])
    parked.enter_code()

    assert parked.is_in
