"""How many messages go where in which time, and what a person and the staff are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F, QuerySet
from django.test import Client

from django_otp_channels.exceptions import SendNotAllowed
from django_otp_channels.models import Budget, Challenge, Delivery, Refusal
from django_otp_channels.models.admission import admit
from django_otp_channels.models.budgets import DEFAULT_LIMITS, WINDOWS, OverBudget, Send
from django_otp_channels.signals import security_event
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, VERIFY, Journey

pytestmark = pytest.mark.django_db

NUMBER = "+12025550123"


def text(**changes: object) -> Send:
    facts = {"part": "login", "channel": "sms", "user_id": 1, "number": NUMBER, **changes}
    return Send(**facts)  # type: ignore[arg-type]


def only(settings, **limits: object) -> None:
    """Put one limit alone in force: ``login_number={600: 1}``."""
    endless = {bucket: {86400: 10_000} for bucket in DEFAULT_LIMITS}
    settings.OTP_CHANNELS_LIMITS = endless | {
        name.replace("_", "."): limit for name, limit in limits.items()
    }


def pass_time(seconds: int) -> None:
    step = timedelta(seconds=seconds)
    Budget.objects.update(
        **{f"{name}_since": F(f"{name}_since") - step for name in WINDOWS.values()}
    )
    Budget.objects.exclude(paused_until=None).update(paused_until=F("paused_until") - step)


def taken(send: Send, most: int = 50) -> int:
    """Charge until it is refused; return how often it was not."""
    for count in range(most):
        try:
            Budget.charge(send)
        except OverBudget:
            return count
    return most


# -- the buckets -------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("bucket", ["number", "user", "client", "prefix"])
def test_a_bucket_takes_its_limit_and_begins_anew_when_its_window_is_over(settings, bucket, window):
    only(settings, **{f"enrol_{bucket}": {window: 3}})
    send = text(part="enrol", client="192.0.2.7")

    assert taken(send) == 3
    pass_time(window - 60)
    assert taken(send) == 0
    pass_time(61)
    assert taken(send) == 3


def test_the_windows_of_a_bucket_hold_together(settings):
    only(settings, login_number={600: 2, 3600: 3, 86400: 4})

    assert taken(text()) == 2
    pass_time(601)
    assert taken(text()) == 1
    pass_time(3601)
    assert taken(text()) == 1
    pass_time(3601)
    assert taken(text()) == 0


@pytest.mark.parametrize(
    ("bucket", "other"),
    [
        ("number", {"number": "+12025550124"}),
        ("user", {"user_id": 2}),
        ("client", {"client": "192.0.2.8"}),
        ("prefix", {"number": "+12025590123"}),
        ("country", {"number": "+447400123456"}),
    ],
)
def test_one_full_bucket_closes_no_other(settings, bucket, other):
    only(settings, **{f"enrol_{bucket}": {3600: 1}})
    send = text(part="enrol", client="192.0.2.7")

    assert taken(send) == 1
    assert taken(text(**{"part": "enrol", "client": "192.0.2.7", **other}), most=1) == 1


def test_enrolments_and_logins_are_counted_apart(settings):
    only(settings, enrol_number={600: 1}, enrol_site={3600: 1}, login_number={600: 1})

    assert taken(text(part="enrol")) == 1
    assert taken(text(part="login")) == 1


def test_texts_and_calls_to_a_number_are_counted_apart_so_that_one_backs_up_the_other(settings):
    only(settings, login_number={600: 1})

    assert taken(text()) == 1
    assert taken(text(channel="voice"), most=1) == 1


@pytest.mark.parametrize(
    ("channel", "number", "allowed"), [("sms", NUMBER, 10), ("voice", NUMBER, 2), ("push", "", 50)]
)
def test_the_sites_money_is_counted_by_what_a_message_costs(settings, channel, number, allowed):
    only(settings, login_site={3600: 10})

    assert taken(text(channel=channel, number=number)) == allowed


def test_a_refused_message_is_charged_nowhere(settings):
    only(settings, login_number={600: 5}, login_site={3600: 1})
    user = UserFactory()
    phone = PhoneFactory(user=user, address=NUMBER)

    Challenge.open_flow(phone, "sms", purpose="login", flow="one")
    with pytest.raises(OverBudget):
        Challenge.open_flow(phone, "sms", purpose="login", flow="two")

    assert set(Budget.objects.exclude(ten_minutes_used=0).values_list("ten_minutes_used")) == {
        (10,)
    }
    assert Challenge.objects.count() == 1


def test_a_row_that_another_send_makes_in_this_moment_is_charged(settings, monkeypatch):
    only(settings, enrol_site={3600: 2})
    send, exists = text(part="enrol"), QuerySet.exists
    site = next(charge for charge in send.charges() if charge.bucket == "enrol.site")

    def made_meanwhile(rows: Any) -> bool:
        if rows.model is Budget and site.digest in str(rows.query):
            Budget.objects.create(bucket=site.bucket, key=site.digest, hour_used=10)
        return exists(rows)

    monkeypatch.setattr(QuerySet, "exists", made_meanwhile)

    assert taken(send, most=1) == 1
    assert Budget.objects.get(bucket="enrol.site").hour_used == 20


def test_no_counter_tells_whose_it_is(settings):
    Budget.charge(text(client="192.0.2.7"))

    told = " ".join(f"{row.bucket} {row.key}" for row in Budget.objects.all())
    for secret in (NUMBER, NUMBER[1:], NUMBER[:-4], "192.0.2.7"):
        assert secret not in told


@pytest.mark.parametrize(("channel", "window"), [("sms", 3600), ("voice", 86400)])
def test_a_limit_that_takes_none_takes_none_in_a_later_window_either(settings, channel, window):
    only(settings, login_site={window: 100})
    assert taken(text(channel=channel), most=1) == 1
    only(settings, login_site={window: 4 if channel == "voice" else 0})
    pass_time(window + 1)

    assert taken(text(channel=channel), most=1) == 0


# -- how much is left --------------------------------------------------------------------------


@pytest.fixture
def warnings() -> Iterator[list[tuple[Any, ...]]]:
    """What staff hear: bucket, country, window and percent of each warning."""
    heard: list[tuple[Any, ...]] = []

    def receive(event: str, fields: Any, **_kwargs: Any) -> None:
        if event == "budget_running_out":
            names = ("bucket", "region", "window", "percent")
            heard.append(tuple(fields.get(name) for name in names))

    security_event.connect(receive)
    yield heard
    security_event.disconnect(receive)


def sent(count: int, channel: str = "sms", number: str = NUMBER) -> None:
    somebody = UserFactory().pk
    for n in range(count):
        send = text(channel=channel, number=f"{number[:-4]}{n:04d}", user_id=somebody)
        with suppress(SendNotAllowed):
            admit(send, lambda: None, durable=False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("channel", "texts", "heard"),
    [
        ("sms", 4, []),
        ("sms", 5, [50]),
        ("sms", 7, [50]),
        ("sms", 8, [50, 80]),
        ("sms", 30, [50, 80]),
        ("push", 49, []),
        ("push", 50, [50]),
        ("voice", 1, [50]),
        ("voice", 2, [50, 80]),
    ],
)
@pytest.mark.parametrize("window", WINDOWS)
def test_half_and_four_fifths_of_the_sites_money_are_told_once_each(
    settings, warnings, window, channel, texts, heard
):
    only(settings, login_site={window: 10})

    sent(texts, channel, "" if channel == "push" else NUMBER)

    assert warnings == [("login.site", None, window, percent) for percent in heard]


@pytest.mark.django_db(transaction=True)
def test_one_message_may_pass_both_marks_of_all_windows(settings, warnings):
    only(settings, enrol_site={3600: 1, 86400: 1})

    admit(text(part="enrol"), lambda: None)

    assert warnings == [
        ("enrol.site", None, window, percent) for window in (3600, 86400) for percent in (50, 80)
    ]


@pytest.mark.django_db(transaction=True)
def test_each_country_is_told_of_by_itself(settings, warnings):
    only(settings, login_country={86400: 4})

    sent(2)
    sent(1, number="+447400123456")

    assert warnings == [("login.country", "US", 86400, 50)]


@pytest.mark.django_db(transaction=True)
def test_each_window_begins_to_tell_anew(settings, warnings):
    only(settings, login_site={3600: 2, 86400: 100})
    for _ in range(2):
        sent(3)
        pass_time(3601)

    assert warnings == 2 * [("login.site", None, 3600, percent) for percent in (50, 80)]


@pytest.mark.django_db(transaction=True)
def test_what_is_refused_or_taken_back_passes_no_mark(settings, warnings):
    only(settings, login_country={86400: 2}, login_site={86400: 0})
    sent(1)
    only(settings, login_site={86400: 2})

    def broken() -> None:
        raise LookupError

    with suppress(LookupError):
        admit(text(), broken)
    with suppress(LookupError), transaction.atomic():
        admit(text(), lambda: None, durable=False)
        raise LookupError

    assert warnings == []


@pytest.mark.parametrize("bucket", ["number", "user", "client", "prefix"])
@pytest.mark.django_db(transaction=True)
def test_a_bucket_that_costs_the_site_nothing_tells_nobody(settings, warnings, alex, bucket):
    only(settings, **{f"login_{bucket}": {3600: 2}})
    for _ in range(3):
        with suppress(SendNotAllowed):
            admit(text(user_id=alex.pk, client="192.0.2.7"), lambda: None)

    assert warnings == []


def test_a_charge_that_passes_no_mark_costs_one_statement(settings, django_assert_num_queries):
    only(settings, login_site={3600: 10})
    (charge,) = [each for each in text().charges() if each.bucket == "login.site"]
    Budget._charge(charge)

    with django_assert_num_queries(1):
        assert Budget._charge(charge) == ()


# -- through the front door --------------------------------------------------------------------


def test_a_person_over_the_limit_is_told_and_not_let_in(journey, alex, phone, settings):
    only(settings, login_number={600: 1})
    journey.log_in(alex)
    browser = Journey(Client(), journey.outbox, PASSWORD)

    assert browser.enter_password(alex).headers["Location"] == VERIFY
    page = browser.client.get(VERIFY)

    assert "Too many codes have been sent." in page.text
    assert len(journey.outbox) == 1
    assert browser.is_nobody
    refusal = Refusal.objects.get()
    assert (refusal.user, refusal.limit, refusal.region, refusal.enforced) == (
        alex, "login.number", "US", True,
    )  # fmt: skip


def test_over_the_limit_another_way_still_helps(journey, alex, phone, settings):
    app = AppFactory(user=alex)
    only(settings, login_number={600: 1})
    journey.log_in(alex)
    browser = Journey(Client(), journey.outbox, PASSWORD)
    browser.enter_password(alex)

    browser.ask(device=app.pk, channel="push")
    browser.enter_code()

    assert browser.is_in


def test_a_success_gives_nothing_back(journey, alex, phone, settings):
    only(settings, login_user={3600: 3})
    for _ in range(3):
        Journey(Client(), journey.outbox, PASSWORD).log_in(alex)

    Journey(Client(), journey.outbox, PASSWORD).enter_password(alex)

    assert len(journey.outbox) == 3


def test_whoever_shares_an_address_presses_a_button_more_and_gets_in(outbox, settings):
    only(settings, login_client={3600: 2})
    for n in range(4):
        user = PhoneFactory(address=f"+1202555010{n}").user
        browser = Journey(Client(REMOTE_ADDR="8.8.8.8"), outbox, PASSWORD)
        browser.enter_password(user)
        if len(outbox) == n:  # over the limit: nothing is sent by itself
            assert n >= 2
            browser.ask()
        browser.enter_code()
        assert browser.is_in
    assert len(outbox) == 4


def test_an_enrolment_over_the_limit_is_refused_beside_the_field(client, journey, settings):
    only(settings, enrol_prefix={3600: 1})
    for n, sent in ((1, 1), (2, 1)):
        browser = Journey(Client(), journey.outbox, PASSWORD)
        browser.enter_password(UserFactory())
        answer = browser.client.post(ADD_PHONE, {"number": f"+1202555012{n}", "channel": "sms"})
        assert len(journey.outbox) == sent
    assert "Too many codes have been sent." in answer.text


def test_limits_may_be_only_recorded(journey, alex, phone, settings):
    only(settings, login_number={600: 1})
    settings.OTP_CHANNELS_LIMITS_ENFORCED = False
    for _ in range(3):
        Journey(Client(), journey.outbox, PASSWORD).log_in(alex)

    assert len(journey.outbox) == 3
    refusal = Refusal.objects.get()
    assert (refusal.count, refusal.enforced) == (2, False)


def test_the_stock_api_is_charged_too(alex, phone, outbox, settings):
    only(settings, login_number={600: 0})

    with pytest.raises(SendNotAllowed):
        phone.generate_challenge()

    assert outbox == []


# -- who sends and never verifies --------------------------------------------------------------


def enrolments(count: int, *, verified: int = 0, number: str = NUMBER) -> None:
    """Send ``count`` codes for the proof of phones of one prefix, ``verified`` of them entered."""
    for n in range(count):
        phone = PhoneFactory(address=f"{number[:-4]}{n:04d}", confirmed=False)
        challenge = Challenge.open_flow(phone, "sms", purpose="enrol", flow=f"flow {number} {n}")
        if n < verified:
            Challenge.objects.filter(pk=challenge.pk).update(state="verified")


@pytest.mark.parametrize(("verified", "sent"), [(3, 20), (4, 21)])
def test_a_range_of_numbers_that_verifies_nothing_is_closed_for_a_day(
    settings, outbox, verified, sent, caplog
):
    only(settings)
    enrolments(20, verified=verified)
    victim = PhoneFactory(address="+12025559999", confirmed=False)

    with suppress(OverBudget):
        Challenge.open_flow(victim, "sms", purpose="enrol", flow="the next one")

    assert len(outbox) == sent
    assert ("sends_paused" in caplog.text) is (sent == 20)


def test_a_closed_country_opens_after_a_day_and_closes_no_login(settings, outbox):
    only(settings)
    enrolments(20)
    phone = PhoneFactory(address="+12025559999")
    with pytest.raises(OverBudget):
        Challenge.open_flow(phone, "sms", purpose="enrol", flow="the next one")

    Challenge.open_flow(phone, "sms", purpose="login", flow="a login")
    pass_time(86401)
    Delivery.objects.update(created_at=F("created_at") - timedelta(days=1))
    Challenge.open_flow(phone, "sms", purpose="enrol", flow="a day later")

    assert len(outbox) == 22


@pytest.mark.parametrize("status", ["unknown", "sending", "failed", "undelivered"])
def test_an_outage_closes_nothing(settings, outbox, status):
    only(settings)
    enrolments(20)
    Delivery.objects.update(status=status)
    phone = PhoneFactory(address="+12025559999", confirmed=False)

    Challenge.open_flow(phone, "sms", purpose="enrol", flow="the next one")

    assert len(outbox) == 21


def test_many_logins_of_one_minute_close_nothing(settings, outbox):
    only(settings)
    for n in range(30):
        phone = PhoneFactory(address=f"+120255501{n:02d}")
        Challenge.open_flow(phone, "sms", purpose="login", flow=f"login {n}")

    assert len(outbox) == 30


def test_a_few_people_who_cannot_be_reached_close_no_login(settings, outbox):
    only(settings)
    phones = [PhoneFactory(address=f"+120255501{n:02d}") for n in range(5)]
    for n in range(40):
        Challenge.open_flow(phones[n % 5], "sms", purpose="login", flow=f"login {n}")
        Delivery.objects.update(created_at=F("created_at") - timedelta(seconds=61))

    assert len(outbox) == 40


def test_many_people_who_never_verify_close_the_logins_too(settings, outbox):
    only(settings)
    phones = [PhoneFactory(address=f"+120255501{n:02d}") for n in range(10)]
    for n in range(20):
        Challenge.open_flow(phones[n % 10], "sms", purpose="login", flow=f"login {n}")
    Delivery.objects.update(created_at=F("created_at") - timedelta(seconds=61))

    with pytest.raises(OverBudget):
        Challenge.open_flow(phones[0], "sms", purpose="login", flow="one more")


# -- the site's own word -----------------------------------------------------------------------


def refuse_voice(send: Send) -> None:
    if send.channel == "voice":
        raise SendNotAllowed("Calls are closed at night.")


def crash(_send: Send) -> None:
    message = "the score server is down"
    raise ConnectionError(message)


def test_where_the_site_cannot_say_nothing_is_sent_and_nobody_is_in(
    journey, alex, phone, settings, caplog
):
    settings.OTP_CHANNELS_BEFORE_SEND = "tests.test_budgets.crash"

    assert journey.enter_password(alex).headers["Location"] == VERIFY
    assert journey.ask().status_code == 302

    assert "A code cannot be sent right now." in journey.client.get(VERIFY).text
    assert journey.outbox == []
    assert journey.is_nobody
    assert "OTP_CHANNELS_BEFORE_SEND has failed (ConnectionError)" in caplog.text


def test_the_site_may_refuse_a_message_in_its_own_words(journey, alex, phone, settings):
    settings.OTP_CHANNELS_BEFORE_SEND = "tests.test_budgets.refuse_voice"
    journey.enter_password(alex)
    Challenge.objects.update(next_send_at=F("next_send_at") - timedelta(seconds=31))

    journey.ask(channel="voice")

    assert "Calls are closed at night." in journey.client.get(VERIFY).text
    assert [message.channel for message in journey.outbox] == ["sms"]
    assert Refusal.objects.get().limit == "hook"


def test_a_new_secret_key_begins_no_count_anew_while_the_old_one_is_kept(settings):
    only(settings, login_number={600: 1}, login_prefix={3600: 1})
    assert taken(text()) == 1
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [old, ""]

    assert taken(text(), most=1) == 0
