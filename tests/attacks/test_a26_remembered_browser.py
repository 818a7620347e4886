"""A26: the cookie of a trusted browser."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels import trust
from django_otp_channels.models import ChannelDevice, Lockout, TrustedBrowser
from tests.clock import let_pass
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import DEVICES, LOGIN, VERIFY, Journey

from .threads import at_once

pytestmark = pytest.mark.django_db

COOKIE = "__Host-otp_channels_trust"


@pytest.fixture(autouse=True)
def _trust_is_on(settings):
    settings.OTP_CHANNELS_TRUST_DAYS = 30
    settings.SESSION_COOKIE_SECURE = True


@pytest.fixture
def trusted(journey, alex, phone):
    """Alex has had this browser trusted, and is logged out."""
    journey.enter_password(alex)
    journey.enter_code(trust="on")
    assert journey.is_in
    journey.client.post("/logout/")
    return journey


@pytest.fixture
def thief(trusted, elsewhere):
    """Somebody with the password, and a copy of the cookie."""
    elsewhere.client.cookies[COOKIE] = trusted.client.cookies[COOKIE].value
    return elsewhere


def events(caplog: Any, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(record.message) for record in caplog.records if "audit" in record.name]
    return [line for line in lines if line["event"] == name]


def pass_time(**step: float) -> None:
    """Let time pass for the trusted browsers, as far as the database knows."""
    gone = timedelta(**step)
    moments = ("rotated_at", "created_at", "last_used_at", "expires_at")
    TrustedBrowser.objects.update(**{name: F(name) - gone for name in moments})


def test_a26_a_a_stolen_cookie_works_until_its_owner_ends_it(trusted, thief, alex):
    thief.enter_password(alex)
    assert thief.is_in  # what a copy of the cookie is worth, with the password

    trusted.enter_password(alex)
    assert trusted.client.get(DEVICES)["Location"] == VERIFY
    let_pass(31)
    trusted.ask(device=str(ChannelDevice.objects.get().pk), channel="sms")
    assert trusted.enter_code()["Location"] == DEVICES
    listed = trusted.client.get(DEVICES)
    row = TrustedBrowser.objects.get()
    assert f"/account/browsers/{row.pk}/revoke/" in listed.content.decode()
    trusted.client.post(f"/account/browsers/{row.pk}/revoke/")

    assert thief.is_nobody
    thief.enter_password(alex)
    assert thief.is_nobody


@pytest.mark.guard("django_otp_channels.trust._successor_of")
def test_a26_a_two_browsers_with_one_secret_end_all_of_them(trusted, thief, alex, caplog):
    TrustedBrowser.objects.create(user=alex, binding="x", expires_at=Now() + timedelta(days=9))
    thief.enter_password(alex)
    assert thief.is_in
    pass_time(seconds=61)

    trusted.enter_password(alex)

    assert trusted.is_nobody
    assert thief.is_nobody
    assert not TrustedBrowser.objects.exists()
    assert [event["user"] for event in events(caplog, "browser_stolen")] == [alex.pk]


def test_a26_a_stealing_it_back_and_forth_is_seen_as_well(trusted, thief, alex, caplog):
    trusted.enter_password(alex)
    assert trusted.is_in
    pass_time(hours=1)

    thief.enter_password(alex)

    assert thief.is_nobody
    assert trusted.is_nobody
    assert len(events(caplog, "browser_stolen")) == 1


@pytest.mark.guard("django_otp_channels.trust._bindings")
def test_a26_b_after_a_change_of_password_the_code_is_asked(trusted, alex):
    alex.set_password("another battery")
    alex.save()
    trusted.password = "another battery"

    trusted.enter_password(alex)

    assert trusted.is_nobody


@pytest.mark.guard("django_otp_channels.trust._bindings")
@pytest.mark.parametrize("change", ["added", "changed", "removed", "disabled", "app", "recovery"])
def test_a26_c_after_a_change_of_devices_the_code_is_asked(trusted, alex, phone, change):
    spare = PhoneFactory(user=alex, address="+12025550199")
    trusted.log_in(alex)
    TrustedBrowser.objects.all().delete()
    trusted.client.post("/logout/")
    trusted.enter_password(alex)
    trusted.enter_code(trust="on")
    trusted.client.post("/logout/")
    if change == "added":
        PhoneFactory(user=alex, address="+12025550177")
    elif change == "changed":
        spare.address = "+12025550178"
        spare.save()
        spare.confirm()
    elif change == "removed":
        spare.delete()
    elif change == "disabled":
        spare.disable(ChannelDevice.Disabled.STAFF)
    elif change == "app":
        TOTPDevice.objects.create(user=alex, name="Authenticator")
    else:
        StaticDevice.objects.create(user=alex, name="Recovery codes")

    trusted.enter_password(alex)

    assert trusted.is_nobody
    assert not TrustedBrowser.objects.exists()


def test_a26_d_after_it_was_forgotten_the_code_is_asked(trusted, alex):
    trust.end_all(alex)

    trusted.enter_password(alex)

    assert trusted.is_nobody


@pytest.mark.guard("django_otp_channels.login._still_trusted")
def test_a26_d_a_session_that_is_under_way_ends_at_once(trusted, alex):
    trusted.enter_password(alex)
    assert trusted.is_in

    trust.end_all(alex)

    assert trusted.is_nobody


def test_a26_e_another_account_gets_nothing_from_it(trusted):
    sam = PhoneFactory(user=UserFactory(username="sam"), address="+12025550155").user

    trusted.enter_password(sam)

    assert trusted.is_nobody
    assert TrustedBrowser.objects.count() == 1


def test_a26_f_a_longer_life_that_the_browser_claims_counts_for_nothing(trusted, alex):
    morsel = trusted.client.cookies[COOKIE]
    assert morsel["max-age"] == 30 * 24 * 3600
    morsel["max-age"] = 10**9
    pass_time(days=30)

    trusted.enter_password(alex)

    assert trusted.is_nobody


@pytest.mark.parametrize("days", [0, 7])
def test_a26_f_a_shorter_life_that_the_site_decides_on_counts_at_once(
    trusted, alex, settings, days
):
    pass_time(days=8)
    trusted.enter_password(alex)
    assert trusted.is_in

    settings.OTP_CHANNELS_TRUST_DAYS = days

    assert trusted.is_nobody
    trusted.enter_password(alex)
    assert trusted.is_nobody


def entry() -> str:
    return f"{uuid.uuid4().hex}.{secrets.token_urlsafe(32)}"


@pytest.mark.parametrize(
    "value",
    [
        "~".join(entry() for _ in range(200)),
        "~" * 4000,
        ".".join(["a" * 32, "b" * 43]) * 50,
        "\x00é\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        base64.b64encode(b'{"user": 1}').decode(),
        f"{'٣' * 32}.{'a' * 43}".encode().decode("latin-1"),
    ],
)
def test_a26_g_invalid_cookies_cost_one_look_into_the_database(journey, alex, phone, value):
    journey.client.cookies[COOKIE] = value

    with CaptureQueriesContext(connection) as captured:
        assert journey.enter_password(alex).status_code == 302

    looks = [query["sql"] for query in captured if "trustedbrowser" in query["sql"]]
    assert len(looks) <= 1
    assert journey.is_nobody


def test_a26_g_two_hundred_cookies_in_one_request_cost_one_look(trusted, alex):
    good = trusted.client.cookies[COOKIE].value
    trusted.client.cookies[COOKIE] = "~".join([*(entry() for _ in range(199)), good])

    with CaptureQueriesContext(connection) as captured:
        trusted.enter_password(alex)

    assert len([query for query in captured if "trustedbrowser" in query["sql"]]) == 1
    assert trusted.is_nobody


def test_a26_h_the_cookie_forgives_no_wrong_code(trusted, thief, alex, settings):
    Lockout.objects.update_or_create(user=alex, defaults={"failures": 7, "daily_failures": 7})

    trusted.enter_password(alex)
    for _ in range(5):
        trusted.client.post(VERIFY, {"token": "123456"})

    assert trusted.is_in
    lockout = Lockout.objects.get()
    assert (lockout.failures, lockout.daily_failures) == (7, 7)


def test_a26_h_a_bad_cookie_costs_its_owner_no_try(journey, alex, phone):
    journey.client.cookies[COOKIE] = entry()
    for _ in range(3):
        journey.client.post(LOGIN, {"username": "alex", "password": PASSWORD})

    assert not Lockout.objects.filter(failures__gt=0).exists()


def test_a26_i_a_lock_stands_and_keeps_its_owner_in(trusted, elsewhere, alex):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    counted = Lockout.objects.values("failures", "daily_failures", "locked_until", "stopped_at")
    before = counted.get()

    trusted.enter_password(alex)
    elsewhere.enter_password(alex)
    elsewhere.enter_code()

    assert trusted.is_in
    assert elsewhere.is_nobody
    assert counted.get() == before


@pytest.mark.guard("django_otp_channels.trust.may_trust")
@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_a26_staff_are_asked_always(trusted, alex, flag):
    setattr(alex, flag, True)
    alex.save()

    trusted.enter_password(alex)
    assert trusted.is_nobody
    page = trusted.client.get(VERIFY).content.decode()
    assert 'name="trust"' not in page
    trusted.enter_code(trust="on")
    assert trusted.is_in
    assert TrustedBrowser.objects.filter(created_at__gt=Now() - timedelta(hours=1)).count() == 1


@pytest.mark.parametrize("answer", ["never", "awaited", "truthy", "broken"])
def test_a26_whom_the_site_excludes_is_asked(trusted, alex, settings, answer):
    settings.OTP_CHANNELS_TRUST_ALLOWED = f"{__name__}.{answer}"

    if answer == "broken":
        with pytest.raises(ZeroDivisionError):
            trusted.enter_password(alex)
    else:
        trusted.enter_password(alex)

    assert trusted.is_nobody


def never(user: Any, request: Any) -> bool:
    return False


class awaited:  # noqa: N801 (what a coroutine function returns is true, and no decision)
    def __init__(self, user: Any, request: Any) -> None: ...


def truthy(user: Any, request: Any) -> str:
    return "no"


def broken(user: Any, request: Any) -> bool:
    return bool(1 / 0)


def test_a26_off_by_default(journey, alex, phone, settings):
    del settings.OTP_CHANNELS_TRUST_DAYS

    journey.enter_password(alex)
    assert 'name="trust"' not in journey.client.get(VERIFY).content.decode()
    answer = journey.enter_code(trust="on")

    assert not TrustedBrowser.objects.exists()
    assert COOKIE not in answer.cookies


def test_a26_never_over_plain_http(journey, alex, phone, settings):
    settings.SESSION_COOKIE_SECURE = False

    journey.enter_password(alex)
    assert 'name="trust"' not in journey.client.get(VERIFY).content.decode()
    journey.enter_code(trust="on")

    assert not TrustedBrowser.objects.exists()


def test_a26_the_cookie_is_out_of_reach_of_scripts_and_other_hosts(journey, alex, phone):
    journey.enter_password(alex)
    cookie = journey.enter_code(trust="on").cookies[COOKIE]

    flags = (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"])
    assert flags == (True, True, "Lax", "/")
    assert not cookie["domain"]
    assert len(cookie.OutputString()) <= 4096
    stored = json.dumps(list(TrustedBrowser.objects.values()), default=str)
    assert cookie.value.rpartition(".")[2] not in stored


def test_a26_a_session_of_a_trusted_browser_manages_no_factors(trusted, alex):
    trusted.enter_password(alex)
    assert trusted.is_in

    answer = trusted.client.get("/account/devices/add/phone/")

    assert answer["Location"] == VERIFY
    assert trusted.is_nobody


def test_a26_a_forged_form_ends_no_trust(trusted, alex):
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = trusted.client.cookies
    row = TrustedBrowser.objects.get()

    assert careful.post(f"/account/browsers/{row.pk}/revoke/").status_code in (302, 403)
    assert careful.get(f"/account/browsers/{row.pk}/revoke/").status_code in (302, 405)

    assert TrustedBrowser.objects.exists()


def test_a26_nobody_ends_the_trust_of_somebody_else(trusted, elsewhere):
    sam = PhoneFactory(user=UserFactory(username="sam"), address="+12025550155").user
    elsewhere.log_in(sam)
    row = TrustedBrowser.objects.get()

    assert elsewhere.client.post(f"/account/browsers/{row.pk}/revoke/").status_code == 404

    assert TrustedBrowser.objects.exists()


# -- at once ---------------------------------------------------------------------------------


def copies(journey: Journey, number: int) -> list[Client]:
    """Return tabs of one browser, each with its own session."""
    clients = [Client() for _ in range(number)]
    for client in clients:
        client.cookies[COOKIE] = journey.client.cookies[COOKIE].value
    return clients


def enter(client: Client) -> tuple[bool, str]:
    """Log in; return whether no code was asked, and the cookie that came back."""
    answer = client.post("/login/", {"username": "alex", "password": PASSWORD})
    cookie = answer.cookies.get(COOKIE)
    return answer["Location"] == "/private/", cookie.value if cookie else ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_a26_logins_at_the_same_instant_are_one_browser(
    journey, outbox, monkeypatch, atomic, caplog
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    alex = PhoneFactory(user=UserFactory(username="alex")).user
    journey.enter_password(alex)
    journey.enter_code(trust="on")
    tabs = copies(journey, 8)
    acts: list[Callable[[], tuple[bool, str]]] = [partial(enter, tab) for tab in tabs]

    answers = at_once(acts)

    assert [free for free, _ in answers] == [True] * len(tabs)
    handed_out = {cookie for _, cookie in answers if cookie}
    assert len(handed_out) == 1
    assert not events(caplog, "browser_stolen")
    journey.client = Client()
    journey.client.cookies[COOKIE] = handed_out.pop()
    pass_time(hours=1)
    assert enter(journey.client)[0]


@pytest.mark.django_db(transaction=True)
def test_a26_no_foreign_key_holds_the_user_before_last_login_is_written(
    journey, outbox, monkeypatch
):
    """Logins at the same instant would end in a deadlock; which comes first is the site's order."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    alex = PhoneFactory(user=UserFactory(username="alex")).user
    journey.enter_password(alex)
    journey.enter_code(trust="on")

    with CaptureQueriesContext(connection) as captured:
        assert enter(copies(journey, 1)[0])[0]

    asked = [query["sql"] for query in captured]
    noted = next(n for n, sql in enumerate(asked) if "INTO" in sql and "_activity" in sql)
    assert "COMMIT" in asked[:noted]


@pytest.mark.django_db(transaction=True)
def test_a26_a_theft_that_two_requests_see_is_told_once(journey, outbox, caplog):
    alex = PhoneFactory(user=UserFactory(username="alex")).user
    journey.enter_password(alex)
    journey.enter_code(trust="on")
    tabs = copies(journey, 4)
    journey.client.post("/logout/")
    journey.enter_password(alex)
    assert journey.is_in
    pass_time(hours=1)

    answers = at_once([partial(enter, tab) for tab in tabs])

    assert [free for free, _ in answers] == [False] * len(tabs)
    assert len(events(caplog, "browser_stolen")) == 1
    assert journey.is_nobody
