"""What staff do to one person's second factor: look, unlock, reset; who may, who hears of it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission
from django.core import mail
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_otp import devices_for_user
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.admin import SecondFactorFilter, SecondFactorMixin
from django_otp_channels.models import ChannelDevice, Lockout, RecoveryDevice, TrustedBrowser
from django_otp_channels.models.recovery import make_codes
from django_otp_channels.signals import security_event
from django_otp_channels.testing import login_verified
from tests.factories import AppFactory, PhoneFactory, UserFactory

pytestmark = pytest.mark.django_db

DEVICES = "/admin/otp_channels/channeldevice/"
WHY = "Showed a passport at the desk"
VIEW, RESET, UNLOCK = "view_channeldevice", "reset_second_factor", "change_channeldevice"


def page(person: Any, act: str = "") -> str:
    return f"{DEVICES}person/{person.pk}/{act}"


def staff(*permissions: str, **facts: Any) -> tuple[Any, Client]:
    user = UserFactory(is_staff=True, **facts)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(REMOTE_ADDR="192.0.2.44")
    login_verified(client, user)
    return user, client


@pytest.fixture
def sam(db) -> Client:
    """Support: may look, unlock and reset."""
    return staff(VIEW, RESET, UNLOCK, username="sam")[1]


@pytest.fixture
def everything(alex, phone):
    """Alex has all there is, and is locked."""
    AppFactory(user=alex)
    PhoneFactory(user=alex, address="+12025550144", confirmed=False)
    TOTPDevice.objects.create(user=alex, name="Authenticator")
    recovery = StaticDevice.objects.create(user=alex, name="Recovery codes")
    recovery.token_set.create(token="abcd2345")
    recovery.token_set.create(token="efgh2345")
    Lockout.objects.create(user=alex, failures=50, stopped_at=Now())
    return alex


@pytest.fixture
def heard():
    events = []

    def hear(fields, **_kwargs):
        events.append(dict(fields))

    security_event.connect(hear)
    yield events
    security_event.disconnect(hear)


# -- what is shown ---------------------------------------------------------------------------


def test_the_page_of_a_person_shows_all_factors_and_no_secret(sam, everything):
    shown = sam.get(page(everything)).text

    for words in (
        "Phone •••• 23",
        "Phone •••• 44: waits for its owner&#x27;s code",
        "Authenticator",
        "Recovery codes",
        "2 codes left",
        "stopped after too many wrong codes",
        "50 wrong codes in a row",
    ):
        assert words in shown
    for secret in ("2025550123", "abcd2345", TOTPDevice.objects.get().key, "APA91b"):
        assert secret not in shown


def test_the_last_sign_ins_are_shown(sam, journey, alex, phone):
    journey.log_in(alex)

    shown = sam.get(page(alex)).text

    assert "Last sign-ins with a code" in shown
    assert re.search(r"<li>\s*\w+\. \d+, \d{4}.*•••• 23\s*</li>", shown)


def test_the_page_is_one_click_from_a_device(sam, alex, phone):
    assert f'href="{page(alex)}"' in sam.get(f"{DEVICES}{phone.pk}/change/").text


@pytest.mark.parametrize("pk", ["0", "999999", "x", "1/2", "%00"])
def test_nobody_is_no_page(sam, pk):
    assert sam.get(f"{DEVICES}person/{pk}/").status_code == 404


def test_recovery_codes_alone_are_counted_and_are_no_factor(sam, boss, users, alex):
    first, *_rest = make_codes(alex)
    assert RecoveryDevice.objects.get(user=alex).verify_token(first)

    shown = sam.get(page(alex)).text

    assert "9 codes left" in shown
    assert first not in shown
    without = boss.get(users, {"second_factor": "none"}).context["cl"].result_list
    assert alex in without
    sam.post(page(alex, "reset/"), {"reason": WHY})
    assert not RecoveryDevice.objects.filter(user=alex).exists()


# -- the reset -------------------------------------------------------------------------------


def test_the_reset_shows_what_goes_and_asks_for_the_reason_first(sam, everything):
    shown = sam.get(page(everything, "reset/")).text

    assert "Phone •••• 23" in shown
    assert "Authenticator" in shown
    assert re.search(r'<input[^>]*name="reason"[^>]*required', shown)
    assert len(list(devices_for_user(everything, confirmed=None))) == 5


def test_a_reset_removes_everything_with_its_reason_on_record(sam, everything, heard, journey):
    other = PhoneFactory()

    answer = sam.post(page(everything, "reset/"), {"reason": WHY}, follow=True)

    assert "5 devices were removed" in answer.text
    assert list(devices_for_user(everything, confirmed=None)) == []
    assert list(devices_for_user(other.user)) == [other]
    assert Lockout.lock_of(everything.pk) is None
    entry = LogEntry.objects.get(object_id=str(everything.pk))
    assert entry.user.username == "sam"
    assert entry.get_change_message() == f"Reset the second factor. Reason: {WHY}"
    (event,) = [each for each in heard if each["event"] == "factors_reset"]
    assert (event["user"], event["by"]) == (everything.pk, entry.user.pk)
    assert (event["reason"], event["client"]) == (WHY, "192.0.2.44")
    journey.enter_password(everything)
    assert journey.is_in


def test_the_owner_is_told_at_every_proven_address_that_is_gone(sam, everything, outbox):
    app = ChannelDevice.objects.get(kind="app")

    sam.post(page(everything, "reset/"), {"reason": WHY})

    (letter,) = mail.outbox
    assert letter.to == ["alex@example.com"]
    assert "the support of Example" in letter.body
    for hidden in (WHY, "192.0.2.44", "sam"):
        assert hidden not in letter.body
    assert {message.to for message in outbox} == {"+12025550123", app.address}


@pytest.mark.parametrize("reason", ["", "   ", "two\nlines", "x" * 201, "\x1b[2J"])
def test_without_a_reason_nothing_is_reset_and_nothing_lost(sam, everything, reason):
    answer = sam.post(page(everything, "reset/"), {"reason": reason})

    assert answer.status_code == 200
    assert 'class="errorlist"' in answer.text
    assert len(list(devices_for_user(everything, confirmed=None))) == 5
    assert not LogEntry.objects.exists()


def test_a_reset_needs_a_token_against_forgery(alex, phone):
    user, _ = staff(VIEW, RESET)
    client = Client(enforce_csrf_checks=True)
    login_verified(client, user)

    assert client.post(page(alex, "reset/"), {"reason": WHY}).status_code == 403
    assert ChannelDevice.objects.exists()


def test_nobody_resets_their_own_factor(phone):
    user, client = staff(VIEW, RESET)
    own = PhoneFactory(user=user)
    login_verified(client, user)

    for answer in (
        client.get(page(user, "reset/")),
        client.post(page(user, "reset/"), {"reason": WHY}),
    ):
        assert "Ask a colleague" in answer.text
        assert 'name="reason"' not in answer.text
    assert ChannelDevice.objects.filter(pk=own.pk).exists()


def test_only_a_superuser_resets_a_superuser(sam):
    boss = PhoneFactory(user=UserFactory(staff=True)).user
    other_boss = UserFactory(staff=True)
    client = Client()
    login_verified(client, other_boss)

    assert "Only a superuser" in sam.post(page(boss, "reset/"), {"reason": WHY}).text
    assert ChannelDevice.objects.filter(user=boss).exists()

    client.post(page(boss, "reset/"), {"reason": WHY})
    assert not ChannelDevice.objects.filter(user=boss).exists()


def test_a_reset_begins_at_the_list_of_devices_too(sam, alex, phone):
    second = PhoneFactory(user=alex, address="+12025550144")
    other = PhoneFactory()

    def choose(*devices: ChannelDevice) -> Any:
        keys = [device.pk for device in devices]
        return sam.post(DEVICES, {"action": "reset_owner", "_selected_action": keys}, follow=True)

    assert choose(phone, second).redirect_chain[-1][0] == page(alex, "reset/")
    assert "one person only" in choose(phone, other).text
    assert ChannelDevice.objects.filter(user__in=(alex, other.user)).count() == 3


# -- unlock ----------------------------------------------------------------------------------


def test_unlock_lifts_the_lock_and_is_on_record(sam, everything, heard):
    assert "Unlock" in sam.get(page(everything)).text

    answer = sam.post(page(everything, "unlock/"), follow=True)

    assert "no longer count" in answer.text
    assert Lockout.lock_of(everything.pk) is None
    assert ChannelDevice.objects.filter(user=everything).count() == 3
    assert LogEntry.objects.get().get_change_message() == "Unlocked the second factor."
    assert [each["event"] for each in heard] == ["account_unlocked"]
    assert 'unlock/"' not in answer.text


def test_looking_unlocks_nobody(sam, everything):
    assert sam.get(page(everything, "unlock/")).status_code == 405
    assert Lockout.lock_of(everything.pk) is not None


# -- trusted browsers ------------------------------------------------------------------------


def trusted(user: Any, browser: str = "Firefox", system: str = "Linux") -> TrustedBrowser:
    return TrustedBrowser.objects.create(
        user=user,
        browser=browser,
        system=system,
        secret_hash="0" * 64,
        binding="1" * 64,
        expires_at=Now() + timedelta(days=20),
    )


def test_trusted_browsers_are_shown_and_ended_together(alex, phone, heard):
    user, client = staff(VIEW, "delete_trustedbrowser", username="kim")
    trusted(alex)
    trusted(alex, "Safari", "iPhone")
    other = trusted(phone.user.__class__.objects.create(username="other"))
    shown = client.get(page(alex)).text
    assert "Firefox on Linux" in shown
    assert "0000" not in shown
    assert client.get(page(alex, "end-trust/")).status_code == 405

    answer = client.post(page(alex, "end-trust/"), follow=True)

    assert "2 browsers are trusted no more." in answer.text
    assert list(TrustedBrowser.objects.all()) == [other]
    assert LogEntry.objects.get().get_change_message() == "Ended all trusted browsers."
    ended = [each for each in heard if each["event"] == "browser_ended"]
    assert [(each["user"], each["by"]) for each in ended] == [(alex.pk, user.pk)] * 2
    assert ChannelDevice.objects.filter(pk=phone.pk).exists()


def test_who_may_only_unlock_and_reset_ends_no_trust(sam, alex):
    trusted(alex)

    assert "end-trust" not in sam.get(page(alex)).text
    assert sam.post(page(alex, "end-trust/")).status_code == 403
    assert TrustedBrowser.objects.exists()


def test_a_reset_ends_the_trust_too(sam, alex, phone):
    trusted(alex)

    sam.post(page(alex, "reset/"), {"reason": WHY})

    assert not TrustedBrowser.objects.exists()


# -- who may ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ((), set()),
        ((VIEW,), {"look"}),
        ((RESET,), set()),
        ((UNLOCK,), set()),
        ((VIEW, RESET), {"look", "reset"}),
        ((VIEW, UNLOCK), {"look", "unlock"}),
        ((VIEW, "delete_channeldevice"), {"look"}),
    ],
)
def test_a_permission_guards_each(everything, permissions, allowed):
    _, client = staff(*permissions)

    assert client.get(page(everything)).status_code == (200 if "look" in allowed else 403)
    shown = client.get(page(everything)).text
    assert ("/unlock/" in shown) == ("unlock" in allowed)
    assert ("/reset/" in shown) == ("reset" in allowed)
    client.post(page(everything, "unlock/"))
    assert (Lockout.lock_of(everything.pk) is None) == ("unlock" in allowed)
    asked = client.get(page(everything, "reset/"))
    assert asked.status_code == (200 if "reset" in allowed else 403)
    client.post(page(everything, "reset/"), {"reason": WHY})
    left = ChannelDevice.objects.filter(user=everything).exists()
    assert left != ("reset" in allowed)


@pytest.mark.parametrize("act", ["", "reset/", "unlock/"])
def test_who_is_not_staff_reaches_no_page_of_these(client, alex, phone, act):
    login_verified(client, alex)

    assert client.get(page(alex, act)).status_code == 302
    assert client.post(page(alex, act), {"reason": WHY}).status_code == 302
    assert ChannelDevice.objects.filter(pk=phone.pk).exists()


# -- on the site's own page of users ---------------------------------------------------------


class PersonAdmin(SecondFactorMixin, UserAdmin):
    list_filter = (SecondFactorFilter,)


@pytest.fixture
def users(monkeypatch):
    """The site uses the mixin and the filter in its own admin of users."""
    registered = admin.site.get_model_admin(get_user_model())
    monkeypatch.setattr(registered, "__class__", PersonAdmin)
    return "/admin/auth/user/"


@pytest.fixture
def boss(db):
    client = Client()
    login_verified(client, UserFactory(username="boss", staff=True))
    return client


def test_the_users_page_leads_to_the_second_factor(boss, users, everything):
    shown = boss.get(f"{users}{everything.pk}/change/").text

    assert re.search(rf'<a href="{page(everything)}">\s*has one, locked\s*</a>', shown)
    assert boss.get(f"{users}add/").status_code == 200


def test_who_may_not_look_at_devices_sees_no_second_factor(users, everything):
    _, client = staff("view_user")

    assert page(everything) not in client.get(f"{users}{everything.pk}/change/").text


@pytest.mark.parametrize(
    ("value", "found"),
    [("none", {"bare", "waiting"}), ("any", {"boss", "phoned", "totp"}), ("locked", {"phoned"})],
)
def test_the_list_of_users_finds_who_has_none(boss, users, value, found):
    UserFactory(username="bare")
    PhoneFactory(user=UserFactory(username="waiting"), confirmed=False)
    phoned = PhoneFactory(user=UserFactory(username="phoned")).user
    TOTPDevice.objects.create(user=UserFactory(username="totp"), name="Authenticator")
    later = Now() + timedelta(minutes=5)
    Lockout.objects.create(user=phoned, failures=10, locked_until=later)
    Lockout.objects.create(user=get_user_model().objects.get(username="bare"), failures=2)

    listed = boss.get(users, {"second_factor": value}).context["cl"].result_list

    assert {user.username for user in listed} == found


@pytest.mark.parametrize("value", ["none", "any", "locked"])
def test_the_filter_is_part_of_the_one_statement_and_reads_no_table_of_devices_through(
    boss, users, value
):
    for _ in range(30):
        PhoneFactory(user=UserFactory())

    with CaptureQueriesContext(
        connection,
    ) as captured:
        boss.get(users, {"second_factor": value})

    about = [each["sql"] for each in captured if "otp_channels_" in each["sql"]]
    rows = [sql for sql in about if "COUNT(*)" not in sql and "auth_user" in sql]
    assert len(rows) <= 2
    if connection.vendor == "sqlite":
        query = SecondFactorFilter(None, {"second_factor": [value]}, get_user_model(), None)
        plan = query.queryset(None, get_user_model().objects.all()).explain()
        assert "SCAN auth_user" in plan
        assert plan.count("SCAN") == 1
