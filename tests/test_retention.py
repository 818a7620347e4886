"""``manage.py otp_channels purge``: what is old goes, what somebody needs stays."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, models
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from django_otp_channels import retention
from django_otp_channels.models import (
    Activity,
    Budget,
    Challenge,
    ChannelDevice,
    Delivery,
    Refusal,
)
from django_otp_channels.models.budgets import WINDOWS, Send
from django_otp_channels.retention import Ages, chores
from tests.attacks.threads import at_once
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, Journey

pytestmark = pytest.mark.django_db

KINDS = ("challenges", "secrets", "refusals", "budgets", "browsers", "activity", "devices")


def purge(*options: str) -> dict[str, int]:
    """Run the command; return what it says, by kind."""
    out = io.StringIO()
    call_command("otp_channels", "purge", *options, stdout=out, no_color=True)
    counts = re.findall(r"^ *([\d,]+) ", out.getvalue(), flags=re.MULTILINE)
    return dict(zip(KINDS, (int(count.replace(",", "")) for count in counts), strict=True))


def done(**counts: int) -> dict[str, int]:
    return dict.fromkeys(KINDS, 0) | counts


def age(*rows: models.Model, **step: float) -> None:
    """Let the time ``step`` pass for these rows."""
    for row in rows:
        moments = [
            field.name
            for field in row._meta.concrete_fields
            if isinstance(field, models.DateTimeField)
        ]
        type(row)._default_manager.filter(pk=row.pk).update(
            **{name: F(name) - timedelta(**step) for name in moments}
        )


def login(device: ChannelDevice, outbox: list[Any], *, finish: bool = True) -> Challenge:
    journey = Journey(Client(), outbox, PASSWORD)
    journey.enter_password(device.user)
    if finish:
        journey.enter_code()
    return Challenge.objects.latest("created_at")


# -- challenges --------------------------------------------------------------------------------


def test_challenges_go_with_their_deliveries_after_thirty_days(phone, outbox):
    old, young = login(phone, outbox), login(phone, outbox)
    age(old, days=30, minutes=1)
    age(young, days=29, hours=23)

    assert purge() == done(challenges=1, secrets=1)

    assert Challenge.objects.get() == young
    assert Delivery.objects.get().challenge == young


def test_after_a_day_a_challenge_keeps_its_story_and_none_of_its_secrets(phone, outbox):
    old, young = login(phone, outbox), login(phone, outbox)
    age(old, hours=24, minutes=1)
    age(young, hours=23, minutes=59)
    told = ("user", "device", "purpose", "state", "attempts", "sends", "created_at", "closed_at")
    before = Challenge.objects.filter(pk=old.pk).values(*told).get()

    assert purge() == done(secrets=1)

    assert Challenge.objects.filter(pk=old.pk).values(*told).get() == before
    old.refresh_from_db()
    assert (bytes(old.nonce), old.flow) == (b"", None)
    assert Delivery.objects.filter(challenge=old).count() == 1
    young.refresh_from_db()
    assert young.nonce
    assert young.flow
    assert purge() == done()


def test_the_secrets_of_the_stock_api_go_as_well(phone, outbox):
    phone.generate_challenge()
    challenge = Challenge.objects.get()
    age(challenge, hours=25)

    assert purge() == done(secrets=1)

    challenge.refresh_from_db()
    assert bytes(challenge.nonce) == b""


def test_a_blanked_challenge_opens_nothing(phone, outbox):
    journey = Journey(Client(), outbox, PASSWORD)
    journey.enter_password(phone.user)
    challenge = Challenge.objects.get()
    age(challenge, hours=25)
    purge()
    Challenge.objects.update(expires_at=Now() + timedelta(minutes=5))

    journey.enter_code()

    assert journey.is_nobody


def test_when_a_device_was_used_last_outlives_its_challenges(phone, outbox):
    first, second = login(phone, outbox), login(phone, outbox)
    unused = PhoneFactory(user=phone.user)
    age(first, days=40)
    age(second, days=31)
    last = Challenge.objects.get(pk=second.pk).closed_at

    purge()

    phone.refresh_from_db()
    unused.refresh_from_db()
    assert phone.last_used_at == last
    assert unused.last_used_at is None


def test_a_later_use_of_a_device_is_not_forgotten(phone, outbox):
    old = login(phone, outbox)
    age(old, days=40)
    ChannelDevice.objects.update(last_used_at=Now())
    before = ChannelDevice.objects.get().last_used_at

    purge()

    assert ChannelDevice.objects.get().last_used_at == before


def test_a_login_that_was_never_finished_is_no_use_of_the_device(phone, outbox):
    age(login(phone, outbox, finish=False), days=40)

    assert purge() == done(challenges=1)

    assert ChannelDevice.objects.get().last_used_at is None


# -- refusals and budgets ----------------------------------------------------------------------


def test_refused_messages_go_after_thirty_days(alex):
    send = Send(part="login", channel="sms", user_id=alex.pk, number="+12025550123")
    for limit, days in (("login.user", 31), ("login.site", 29)):
        Refusal.objects.note(send, limit, enforced=True)
        age(Refusal.objects.get(limit=limit), days=days)

    assert purge() == done(refusals=1)

    assert Refusal.objects.get().limit == "login.site"


def budget(bucket: str = "login.user", **passed: float) -> Budget:
    row = Budget.objects.create(bucket=bucket, key="of somebody")
    age(row, **passed)
    return row


def test_budgets_go_when_all_their_windows_are_over(alex):
    budget(days=1, minutes=1)
    kept = budget("login.site", hours=23)

    assert purge() == done(budgets=1)

    assert Budget.objects.get() == kept


@pytest.mark.parametrize(("window", "seconds"), [(name, s) for s, name in WINDOWS.items()])
def test_a_budget_with_a_window_that_counts_is_kept(alex, window, seconds):
    """A bucket without a daily limit never begins its day anew."""
    row = budget(days=3)
    Budget.objects.update(**{f"{window}_since": Now() - timedelta(seconds=seconds - 60)})

    assert purge() == done()

    assert Budget.objects.get() == row


def test_a_paused_budget_is_kept_while_it_is_paused(alex):
    row = budget(days=3)
    Budget.objects.update(paused_until=Now() + timedelta(minutes=1))
    assert purge() == done()
    Budget.objects.update(paused_until=Now() - timedelta(minutes=1))
    assert purge() == done(budgets=1)
    assert not Budget.objects.filter(pk=row.pk).exists()


# -- what happened lately ----------------------------------------------------------------------


def test_what_happened_goes_from_the_owners_page_after_ninety_days(alex):
    old = Activity.objects.create(user=alex, event="codes_made")
    young = Activity.objects.create(user=alex, event="codes_made")
    age(old, days=90, minutes=1)
    age(young, days=89, hours=23)

    assert purge() == done(activity=1)

    assert Activity.objects.get() == young


# -- devices -----------------------------------------------------------------------------------


def test_devices_that_were_never_proven_go_after_a_day(alex):
    old, young = PhoneFactory(user=alex, confirmed=False), PhoneFactory(user=alex, confirmed=False)
    proven = PhoneFactory(user=alex)
    age(old, hours=24, minutes=1)
    age(young, hours=23, minutes=59)
    age(proven, days=400)

    assert purge() == done(devices=1)

    assert set(ChannelDevice.objects.all()) == {young, proven}


def test_a_device_that_was_a_factor_before_its_number_changed_is_kept(phone):
    phone.address = "+12025550199"
    phone.save()
    age(phone, days=400)

    assert purge() == done()


def test_a_device_whose_code_is_under_way_is_kept(journey, alex):
    journey.enter_password(alex)
    device = PhoneFactory(user=alex, address="+12025550123", confirmed=False)
    age(device, days=2)
    answer = journey.client.post(ADD_PHONE, {"number": device.address, "channel": "sms"})
    assert len(journey.outbox) == 1

    assert purge() == done()

    journey.client.post(answer.headers["Location"], {"token": journey.code})
    assert ChannelDevice.objects.get().confirmed


def test_a_device_that_is_proven_in_this_moment_is_kept(alex):
    device = PhoneFactory(user=alex, confirmed=False)
    age(device, days=2)
    chore = chores(Ages())["devices"]
    batch = chore.rows.filter(pk__in=[device.pk])
    device.confirm()

    assert chore.work(batch) == 0

    assert ChannelDevice.objects.get() == device


# -- the command -------------------------------------------------------------------------------


def everything_old(outbox: list[Any]) -> dict[str, int]:
    phone = PhoneFactory()
    rows = [login(phone, outbox) for _ in range(3)]
    age(rows[0], days=31)
    age(rows[1], days=2)
    send = Send(part="login", channel="sms", user_id=phone.user_id, number=phone.address)
    Refusal.objects.note(send, "login.user", enforced=True)
    age(Refusal.objects.get(), days=31)
    budgets = Budget.objects.count()
    age(*Budget.objects.all(), days=2)
    age(PhoneFactory(user=phone.user, confirmed=False), days=2)
    activity = Activity.objects.count()
    age(*Activity.objects.all(), days=91)
    return done(challenges=1, secrets=1, refusals=1, budgets=budgets, activity=activity, devices=1)


def test_a_dry_run_counts_what_would_go_and_touches_nothing(outbox):
    expected = everything_old(outbox)
    tables = (Challenge, Delivery, Refusal, Budget, Activity, ChannelDevice)
    before = [list(table.objects.order_by("pk").values()) for table in tables]

    assert purge("--dry-run") == expected

    assert [list(table.objects.order_by("pk").values()) for table in tables] == before
    assert purge() == expected
    assert purge() == done()


def test_the_ages_can_be_chosen(outbox):
    phone = PhoneFactory()
    age(login(phone, outbox), days=3)
    age(PhoneFactory(user=phone.user, confirmed=False), hours=30)
    age(Activity.objects.get(), days=97)

    assert purge("--dry-run")["devices"] == 1
    assert purge("--unproven-hours=48", "--secrets-hours=96", "--activity-days=101") == done()
    assert purge("--unproven-hours=48", "--secrets-hours=96") == done(activity=1)
    assert purge("--trail-days=2", "--unproven-hours=29") == done(challenges=1, devices=1)


@pytest.mark.parametrize(
    "option", ["--trail-days", "--secrets-hours", "--unproven-hours", "--activity-days"]
)
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "100001"])
def test_an_age_of_nothing_is_refused(option, value):
    with pytest.raises(CommandError, match="whole number"):
        purge(f"{option}={value}")


def test_many_rows_go_in_batches_of_bounded_size(alex, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(retention, "BATCH", 3)
    for n in range(8):
        row = Budget.objects.create(bucket="login.user", key=f"{n}")
        age(row, days=2)
    sizes: list[int] = []
    delete = retention._delete_budgets

    def noted(rows: Any) -> int:
        sizes.append(delete(rows))
        return sizes[-1]

    monkeypatch.setattr(retention, "_delete_budgets", noted)

    assert purge() == done(budgets=8)

    assert sizes == [3, 3, 2]


def test_challenges_are_met_once_each_whatever_their_keys_are(phone, outbox, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(7):
        row = Challenge.issue(phone, purpose="login")
        age(row, days=2)

    assert purge() == done(secrets=7)
    age(*Challenge.objects.all(), days=30)
    assert purge() == done(challenges=7)


@pytest.mark.parametrize("error", [IntegrityError, OperationalError])
def test_a_batch_that_somebody_uses_is_left_or_tried_again(phone, outbox, monkeypatch, error):
    age(login(phone, outbox), days=31)
    delete, tries = retention._delete_challenges, [1]

    def once(rows: Any) -> int:
        if tries.pop():
            tries.append(0)
            raise error
        return delete(rows)

    monkeypatch.setattr(retention, "_delete_challenges", once)

    assert purge()["challenges"] == (1 if error is OperationalError else 0)


def test_a_number_that_is_typed_again_is_as_good_as_new(journey, alex, settings):
    device = PhoneFactory(user=alex, address="+12025550144", confirmed=False)
    age(device, days=2)
    settings.OTP_CHANNELS_LIMITS = {"enrol.number": {600: 0}}  # no code is under way to it
    journey.enter_password(alex)

    journey.client.post(ADD_PHONE, {"number": device.address, "channel": "sms"})

    assert purge()["devices"] == 0
    assert ChannelDevice.objects.get() == device


# -- beside live traffic -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_people_log_in_and_prove_phones_while_it_runs(outbox, settings, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 5)
    everybody = 8
    phones = [PhoneFactory(address=f"+120255501{n:02d}") for n in range(everybody)]
    for phone in phones:
        for _ in range(4):
            age(Challenge.issue(phone, purpose="login"), days=31)
            age(Challenge.issue(phone, purpose="login"), days=2)
    for n in range(20):
        age(Budget.objects.create(bucket="login.user", key=f"{n}"), days=2)
    newcomers = [UserFactory() for _ in range(3)]
    forgotten = [
        PhoneFactory(user=user, address=f"+1202555017{n}", confirmed=False)
        for n, user in enumerate(newcomers)
    ]
    age(*forgotten, days=2)

    def come_in(phone: ChannelDevice) -> bool:
        journey = Journey(Client(raise_request_exception=False), [], PASSWORD)
        journey.enter_password(phone.user)
        (message,) = [each for each in outbox if each.to == phone.address]
        journey.enter_code(str(message.token))
        return journey.is_in

    def prove(device: ChannelDevice) -> bool:
        """The purge may come first, then the number is noted anew; never is it lost half-way."""
        journey = Journey(Client(raise_request_exception=False), [], PASSWORD)
        journey.enter_password(device.user)
        answer = journey.client.post(ADD_PHONE, {"number": device.address, "channel": "sms"})
        (message,) = [each for each in outbox if each.to == device.address]
        journey.client.post(answer.headers["Location"], {"token": str(message.token)})
        return ChannelDevice.objects.filter(user=device.user, confirmed=True).exists()

    def clean() -> bool:
        purge()
        return True

    outcomes = at_once(
        [
            *(partial(come_in, phone) for phone in phones),
            *(partial(prove, device) for device in forgotten),
            clean,
            clean,
        ]
    )

    assert outcomes == [True] * (everybody + len(forgotten) + 2)
    purge()
    assert not Challenge.objects.filter(created_at__lt=Now() - timedelta(days=30)).exists()
    assert Challenge.objects.filter(state="verified").count() == everybody + len(forgotten)
    assert not Budget.objects.filter(day_since__lt=Now() - timedelta(days=1)).exists()
    assert set(ChannelDevice.objects.filter(confirmed=True)) >= set(phones)
