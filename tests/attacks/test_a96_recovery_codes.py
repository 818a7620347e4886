"""A96: guess, repeat or see again a recovery code."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django_otp import devices_for_user, verify_token

from django_otp_channels.models import RecoveryCode, RecoveryDevice
from django_otp_channels.models.recovery import make_codes
from tests.factories import PhoneFactory, UserFactory
from tests.journey import DEVICES, REAUTH, VERIFY

from .threads import at_once

pytestmark = pytest.mark.django_db

CODES = "/account/recovery-codes/"
FILE = "/account/recovery-codes/file/"


def shown_on(page: str) -> list[str]:
    return re.findall(r"<li>([0-9a-z]{4}(?:-[0-9a-z]{4}){3})</li>", page)


@pytest.fixture
def owner(journey, alex, phone):
    journey.log_in(alex)
    return journey


@pytest.fixture
def codes(owner):
    return shown_on(owner.client.post(CODES).text)


def enter(browser, user, code):
    device = RecoveryDevice.objects.get(user=user)
    return browser.client.post(VERIFY, {"device": device.persistent_id, "token": code})


def test_a96_ten_codes_are_made_and_shown_once(owner, codes):
    assert len(codes) == len(set(codes)) == 10

    assert shown_on(owner.client.get(CODES).text) == []
    assert "10 codes left" in owner.client.get(DEVICES).text


@pytest.mark.guard("django_otp_channels.models.recovery.RecoveryCode.spend")
def test_a96_a_code_opens_one_door_once(elsewhere, alex, codes):
    elsewhere.enter_password(alex)
    enter(elsewhere, alex, codes[0])
    assert elsewhere.is_in
    elsewhere.client.post("/logout/")
    elsewhere.enter_password(alex)

    enter(elsewhere, alex, codes[0])

    assert elsewhere.is_nobody
    assert RecoveryDevice.objects.get().left == 9


@pytest.mark.guard("django_otp_channels.models.recovery.RecoveryCode.spend")
@pytest.mark.django_db(transaction=True)
def test_a96_twenty_parallel_uses_of_one_code_open_one_door(outbox):
    user = UserFactory()
    PhoneFactory(user=user, address="+12025550123")
    code = make_codes(user)[0]
    row = RecoveryCode.objects.get(prefix=code[:3])

    spent = at_once([RecoveryCode.objects.get(pk=row.pk).spend for _ in range(20)])

    assert sum(spent) == 1


@pytest.mark.parametrize(
    "spell",
    [str.upper, lambda code: code.replace("-", ""), lambda code: f" {code} ".replace("-", " ")],
    ids=["capitals", "no gaps", "spaces"],
)
def test_a96_it_may_be_spelt_as_people_do(elsewhere, alex, codes, spell):
    elsewhere.enter_password(alex)

    enter(elsewhere, alex, spell(codes[3]))

    assert elsewhere.is_in


def test_a96_no_code_is_in_the_database(codes, alex):
    with connection.cursor() as cursor:
        cursor.execute("SELECT prefix, secret FROM otp_channels_recoverycode")
        rows = cursor.fetchall()
    for prefix, secret in rows:
        assert len(prefix) == 3
        name, rounds, _salt, _hash = secret.split("$")
        assert (name, int(rounds) >= 10_000) == ("pbkdf2_sha256", True)
        assert not any(code.replace("-", "")[3:] in secret for code in codes)
    assert len({secret.split("$")[2] for _, secret in rows}) == 10, "each has a salt of its own"


@pytest.mark.guard("django_otp_channels.models.recovery.RecoveryDevice.verify_is_allowed")
def test_a96_guesses_are_slowed_down(elsewhere, alex, codes):
    elsewhere.enter_password(alex)
    enter(elsewhere, alex, "0000-0000-0000-0000")

    enter(elsewhere, alex, codes[0])  # within a second of the wrong one

    assert elsewhere.is_nobody


def test_a96_one_try_costs_one_hash_at_most_few(elsewhere, alex, codes, monkeypatch):
    compared = []
    real = RecoveryCode.matches
    monkeypatch.setattr(
        RecoveryCode, "matches", lambda row, secret: compared.append(row.pk) or real(row, secret)
    )
    elsewhere.enter_password(alex)

    enter(elsewhere, alex, "u" * 16)
    enter(elsewhere, alex, "x" * 100_000)

    assert compared == []


def test_a96_new_codes_make_the_old_ones_worthless(owner, elsewhere, alex, codes):
    owner.client.post(CODES)
    elsewhere.enter_password(alex)

    enter(elsewhere, alex, codes[0])

    assert elsewhere.is_nobody


def test_a96_who_came_in_by_a_code_stays_in_when_making_new_ones(elsewhere, alex, codes):
    elsewhere.enter_password(alex)
    enter(elsewhere, alex, codes[0])

    fresh = shown_on(elsewhere.client.post(CODES).text)

    assert elsewhere.is_in
    assert elsewhere.client.post(FILE, {"code": fresh}).text.count("-") >= 3 * len(fresh)


def test_a96_half_a_login_makes_no_codes(journey, alex, phone):
    journey.enter_password(alex)

    answer = journey.client.post(CODES)

    assert answer.headers["Location"] == VERIFY
    assert not RecoveryDevice.objects.exists()


@pytest.mark.guard("django_otp_channels.stepup.proven")
def test_a96_a_stale_session_makes_none_either(owner):
    owner.let_proof_age()

    assert owner.client.post(CODES).headers["Location"] == REAUTH
    assert owner.client.post(FILE, {"code": "0000-0000-0000-0000"}).status_code == 200
    assert not RecoveryDevice.objects.exists()


def test_a96_the_file_holds_codes_and_nothing_that_somebody_wrote(owner, codes):
    answer = owner.client.post(
        FILE, {"code": ["=cmd|' /C calc'!A0", "<script>", "x" * 999, *codes, codes[0]]}
    )

    assert answer.headers["Content-Disposition"] == 'attachment; filename="recovery-codes.txt"'
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store, private"
    lines = answer.text.split("\r\n")
    assert lines[3:-1] == codes


def test_a96_a_phones_code_is_no_recovery_code_nor_the_other_way_round(elsewhere, alex, codes):
    elsewhere.enter_password(alex)

    enter(elsewhere, alex, elsewhere.code)
    elsewhere.enter_code(codes[0])

    assert elsewhere.is_nobody


def test_a96_somebody_elses_code_opens_nothing(elsewhere, alex, codes):
    theirs = make_codes(UserFactory())
    elsewhere.enter_password(alex)

    enter(elsewhere, alex, theirs[0])

    assert elsewhere.is_nobody


def test_a96_codes_alone_are_no_second_factor_to_live_on(owner, alex, phone, codes):
    """Who removes the last phone is not left with codes that run out."""
    owner.client.post(f"/account/devices/{phone.pk}/remove/")

    assert not RecoveryDevice.objects.exists()
    assert list(devices_for_user(alex)) == []


def test_a96_who_has_no_factor_is_given_none(journey, alex):
    journey.enter_password(alex)

    assert shown_on(journey.client.post(CODES).text) == []
    assert not RecoveryDevice.objects.exists()


def test_a96_a_guesser_keeps_the_owner_out_for_a_minute_at_most(elsewhere, alex, codes):
    device = RecoveryDevice.objects.get()
    for _ in range(12):
        RecoveryDevice.objects.update(throttling_failure_timestamp=None)
        verify_token(alex, device.persistent_id, "0000-0000-0000-0000")
    device.refresh_from_db()
    device.throttling_failure_timestamp -= timedelta(seconds=65)
    device.save()
    elsewhere.enter_password(alex)

    enter(elsewhere, alex, codes[0])

    assert elsewhere.is_in
