"""What the log and the signal tell of a login: every event once, and no secret in any."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django_otp import verify_token
from django_otp.plugins.otp_static.models import StaticDevice

from django_otp_channels import audit
from django_otp_channels.backends.memory import SMS
from django_otp_channels.exceptions import (
    DeliveryRefused,
    DeliveryUnavailable,
    Reason,
    SendNotAllowed,
)
from django_otp_channels.models import Budget, Challenge, ChannelDevice, Lockout
from django_otp_channels.signals import security_event
from django_otp_channels.testing import login_verified
from tests.attacks.threads import at_once
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, CANCEL, DEVICES, LOGIN, SEND, VERIFY, Journey

NUMBER = "+12025550123"
CLIENT = "8.8.4.4"

pytestmark = pytest.mark.django_db


class Heard(list[dict[str, Any]]):
    """The events that a receiver of the signal has heard, in order."""

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self]

    def only(self, name: str) -> dict[str, Any]:
        (event,) = [event for event in self if event["event"] == name]
        return event


@pytest.fixture
def heard() -> Iterator[Heard]:
    events = Heard()

    def receive(event: str, fields: dict[str, Any], **_kwargs: Any) -> None:
        assert fields["event"] == event
        events.append(dict(fields))

    security_event.connect(receive)
    yield events
    security_event.disconnect(receive)


@pytest.fixture
def client() -> Client:
    return Client(REMOTE_ADDR=CLIENT)


@pytest.fixture
def parked(journey, alex, phone, heard) -> Journey:
    journey.enter_password(alex)
    heard.clear()
    return journey


def about(user: Any, device: ChannelDevice, challenge: Challenge) -> dict[str, Any]:
    return {
        "user": user.pk,
        "device": device.persistent_id,
        "challenge": challenge.pk,
        "client": CLIENT,
    }


# -- a login -----------------------------------------------------------------------------------


def test_a_login_is_told_from_the_password_to_the_code(journey, alex, phone, heard):
    journey.enter_password(alex)
    journey.enter_code(journey.wrong_code)
    journey.enter_code()

    facts = about(alex, phone, Challenge.objects.get()) | {"purpose": "login", "channel": "sms"}
    assert [{name: event[name] for name in event if name != "at"} for event in heard] == [
        {"event": "code_asked", **facts},
        {"event": "code_sent", **facts},
        {"event": "code_failed", "reason": "wrong", **facts},
        {"event": "code_verified", **facts},
    ]


def test_the_log_says_what_the_signal_says_a_json_object_a_line(
    journey, alex, phone, heard, caplog
):
    caplog.set_level(logging.DEBUG, "django_otp_channels.audit")
    journey.log_in(alex)

    lines = [record for record in caplog.records if record.name == "django_otp_channels.audit"]
    assert [json.loads(line.getMessage()) for line in lines] == json.loads(
        json.dumps(heard, default=str)
    )
    assert [line.levelno for line in lines] == [audit.EVENTS[name].level for name in heard.names]


def test_an_event_says_when_in_utc(journey, alex, phone, heard):
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    journey.enter_password(alex)

    moment = datetime.fromisoformat(heard[0]["at"])
    assert moment.utcoffset() == timedelta(0)
    assert before <= moment <= datetime.now(UTC)


def test_the_same_code_again_is_sent_and_not_asked(parked, heard):
    Challenge.objects.update(next_send_at=Now())

    parked.ask(channel="voice")

    assert heard.names == ["code_sent"]
    assert (heard[0]["channel"], heard[0]["client"]) == ("voice", CLIENT)


def test_a_code_for_another_device_is_asked_anew(parked, alex, heard):
    app = AppFactory(user=alex)
    Challenge.objects.update(next_send_at=Now())

    parked.ask(device=app.pk)

    assert heard.names == ["code_asked", "code_sent"]
    assert {event["device"] for event in heard} == {app.persistent_id}


def test_a_code_after_the_last_try_is_told_as_dead(parked, heard):
    for _ in range(6):
        parked.enter_code(parked.wrong_code)

    failures = [event["reason"] for event in heard if event["event"] == "code_failed"]
    assert failures == ["wrong"] * 5 + ["dead"]


def test_an_empty_field_is_no_event(parked, heard):
    parked.enter_code("")

    assert heard == []


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda journey: journey.client.post(CANCEL), "person"),
        (lambda journey: journey.client.post("/logout/"), "logout"),
        (lambda journey: journey.enter_password(PhoneFactory().user), "replaced"),
    ],
    ids=["cancel", "logout", "another login"],
)
def test_a_login_that_is_given_up_is_told_once(parked, alex, heard, act, reason):
    act(parked)

    told = heard.only("login_cancelled")
    assert (told["user"], told["client"], told["reason"]) == (alex.pk, CLIENT, reason)


def test_a_login_over_which_its_account_changed_is_told(parked, alex, heard):
    alex.set_password("another one")
    alex.save()

    parked.client.get(VERIFY)
    parked.client.get(VERIFY)

    assert heard.names == ["login_cancelled"]
    assert heard[0]["reason"] == "ended"


def test_a_login_that_took_too_long_is_told(parked, heard, settings):
    session = parked.client.session
    session["otp_channels"]["parked"]["at"] -= 601
    session.save()

    parked.client.get(VERIFY)

    assert heard.only("login_cancelled")["reason"] == "overdue"


def test_the_code_of_another_plugin_is_told_with_its_device(parked, alex, heard):
    codes = StaticDevice.objects.create(user=alex, name="Recovery codes")
    codes.token_set.create(token="recover-me")

    parked.enter_code("not that", device=codes.persistent_id)
    StaticDevice.objects.update(throttling_failure_timestamp=None)
    parked.enter_code("recover-me", device=codes.persistent_id)

    assert heard.names == ["code_failed", "code_verified"]
    assert {(event["user"], event["device"], event["client"]) for event in heard} == {
        (alex.pk, codes.persistent_id, CLIENT)
    }


@pytest.mark.parametrize(
    "ask",
    [
        lambda journey, device: journey.enter_code("123456", device=device.persistent_id),
        lambda journey, device: journey.enter_code("1234", device="otp_static.staticdevice/1"),
    ],
    ids=["a channel device", "another plugin's"],
)
def test_a_try_at_somebody_elses_device_is_told(parked, alex, heard, ask):
    ask(parked, PhoneFactory())

    told = heard.only("foreign_device")
    assert (told["user"], told["client"]) == (alex.pk, CLIENT)


def test_a_page_of_somebody_elses_device_is_told(journey, alex, phone, heard):
    journey.log_in(alex)
    heard.clear()

    assert journey.client.get(f"{DEVICES}devices/{PhoneFactory().pk}/remove/").status_code == 404

    assert heard.only("foreign_device")["user"] == alex.pk


# -- devices -----------------------------------------------------------------------------------


def test_a_device_is_told_from_its_proof_to_its_removal(journey, alex, heard):
    journey.enter_password(alex)
    answer = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    confirm = answer.headers["Location"]
    journey.client.post(confirm, {"token": journey.wrong_code})
    journey.client.post(confirm, {"token": journey.code})
    device = ChannelDevice.objects.get()
    journey.client.post(f"{DEVICES}devices/{device.pk}/remove/")

    assert heard.names == [
        "code_asked", "code_sent", "code_failed", "code_verified", "device_added",
        "device_removed",
    ]  # fmt: skip
    assert {(event["user"], event["device"], event["client"]) for event in heard} == {
        (alex.pk, device.persistent_id, CLIENT)
    }
    assert {event["purpose"] for event in heard if "purpose" in event} == {"enrol"}
    assert heard.only("device_added")["reason"] == "proven"


def test_a_removal_that_is_refused_is_not_told(journey, alex, phone, heard, settings):
    settings.OTP_CHANNELS_POLICY = "everyone"
    journey.log_in(alex)
    heard.clear()

    journey.client.post(f"{DEVICES}devices/{phone.pk}/remove/")

    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_what_staff_do_is_told_with_their_key(alex, phone, heard, client, settings):
    # So many at once are more than a phone is told.
    settings.OTP_CHANNELS_NOTICES = {"device_changed": (), "device_removed": ()}
    sam = UserFactory(username="sam", staff=True)
    login_verified(client, sam)
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))
    second = PhoneFactory(user=alex)
    url = "/admin/otp_channels/channeldevice/"

    def act(action: str, *devices: ChannelDevice, **more: str) -> None:
        chosen = [device.pk for device in devices]
        client.post(url, {"action": action, "_selected_action": chosen, **more})

    act("unlock", phone, second)
    act("disable", phone)
    act("enable", phone)
    edit = {"name": "Old phone", "channel": "sms", "language": ""}
    client.post(f"{url}{phone.pk}/change/", edit)
    client.post(f"{url}{phone.pk}/change/", edit)  # changes nothing
    client.post(f"{url}{phone.pk}/delete/", {"post": "yes"})
    act("delete_selected", second, post="yes")

    assert [(event["event"], event.get("reason")) for event in heard] == [
        ("account_unlocked", None),
        ("device_changed", "disabled"),
        ("device_changed", "enabled"),
        ("device_changed", "edited"),
        ("device_removed", None),
        ("device_removed", None),
    ]
    assert {(event["user"], event["by"], event["client"]) for event in heard} == {
        (alex.pk, sam.pk, CLIENT)
    }
    assert [event["device"] for event in heard[1:]] == [
        *[phone.persistent_id] * 4, second.persistent_id,
    ]  # fmt: skip


def test_what_is_done_at_the_terminal_is_told(alex, heard):
    call_command("otp_channels", "add_phone", "alex", NUMBER, verbosity=0)
    assert heard == []
    for _ in range(2):
        call_command("otp_channels", "add_phone", "alex", NUMBER, "--confirmed", verbosity=0)
    device = ChannelDevice.objects.get()
    call_command("otp_channels", "reset", "alex", verbosity=0)

    assert heard.names == ["device_added", "factors_reset"]
    assert (heard[0]["device"], heard[0]["reason"]) == (device.persistent_id, "vouched")
    assert {(event["user"], event["by"]) for event in heard} == {(alex.pk, "command")}


# -- sending -----------------------------------------------------------------------------------


def failing(error: Exception) -> Callable[..., Any]:
    def send(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    return send


def test_a_message_that_no_provider_takes_is_told(journey, alex, phone, heard, monkeypatch):
    monkeypatch.setattr(SMS, "send", failing(DeliveryUnavailable(code="429")))

    journey.enter_password(alex)

    assert heard.names == ["code_asked", "code_sent", "send_failed"]
    told = heard.only("send_failed")
    assert (told["user"], told["provider"], told["error_code"]) == (alex.pk, "memory", "429")


def test_an_address_that_is_gone_is_told_as_a_change_of_the_device(
    journey, alex, phone, heard, monkeypatch
):
    monkeypatch.setattr(SMS, "send", failing(DeliveryRefused(code="21211", reason=Reason.GONE)))

    for _ in range(2):
        journey.enter_password(alex)

    changed = heard.only("device_changed")
    assert (changed["device"], changed["reason"]) == (phone.persistent_id, "unregistered")


@pytest.mark.parametrize("enforced", [True, False])
def test_a_limit_that_is_reached_is_told(journey, alex, phone, heard, settings, enforced):
    settings.OTP_CHANNELS_LIMITS = {"login.number": {600: 0}}
    settings.OTP_CHANNELS_LIMITS_ENFORCED = enforced

    journey.enter_password(alex)

    told = heard.only("send_refused")
    assert {name: told[name] for name in told if name != "at"} == {
        "event": "send_refused",
        "user": alex.pk,
        "channel": "sms",
        "bucket": "login.number",
        "region": "US",
        "enforced": enforced,
        "client": CLIENT,
    }
    assert ("code_sent" in heard.names) is not enforced


def test_a_database_that_cannot_decide_is_told(journey, alex, phone, heard, monkeypatch):
    monkeypatch.setattr(Budget, "charge", failing(OperationalError("no")))

    journey.enter_password(alex)

    assert heard.names == ["send_refused"]
    assert heard[0]["bucket"] == "database"


@pytest.mark.parametrize("opaque", ["x", f"{'0' * 32}-0", f"{'0' * 32}-7"])
def test_a_receipt_of_nobody_is_told(heard, client, opaque):
    client.post(f"/account/receipts/sms/twilio/{opaque}/", {"MessageSid": "SM1"})

    assert heard.names == ["receipt_refused"]
    assert heard[0]["client"] == CLIENT
    assert heard[0].keys() == {"event", "at", "client"}  # nothing that a stranger has named


# -- wrong codes -------------------------------------------------------------------------------


def fail(journey: Journey, times: int) -> None:
    for _ in range(times):
        journey.enter_code(journey.wrong_code)


def test_the_third_wrong_code_in_a_row_is_told_once(parked, alex, heard):
    fail(parked, 2)
    assert "third_failure" not in heard.names
    fail(parked, 1)
    assert heard.names[-1] == "third_failure"
    fail(parked, 2)

    told = heard.only("third_failure")
    assert (told["user"], told["client"]) == (alex.pk, CLIENT)


def test_after_a_success_the_next_third_wrong_code_is_told_again(parked, alex, heard):
    for _ in range(2):
        fail(parked, 3)
        parked.enter_code()
        parked.client.post("/logout/")
        parked.enter_password(alex)

    assert heard.names.count("third_failure") == 2


def test_wrong_codes_of_an_enrolment_are_told_alike(journey, alex, heard):
    journey.enter_password(alex)
    confirm = journey.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"}).headers[
        "Location"
    ]
    for _ in range(4):
        journey.client.post(confirm, {"token": journey.wrong_code})

    assert heard.only("third_failure")["client"] == CLIENT


def test_each_lock_is_told_once_with_its_end(parked, alex, heard):
    Lockout.objects.create(user=alex, failures=5, daily_failures=5, warned=True)
    fail(parked, 8)
    for _ in range(3):
        parked.enter_password(alex)
        parked.enter_code("000000")

    told = heard.only("account_locked")
    assert (told["user"], told["client"], told["reason"]) == (alex.pk, CLIENT, "consecutive")
    left = datetime.fromisoformat(told["until"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    assert "third_failure" not in heard.names


def pass_time(**step: int) -> None:
    back = timedelta(**step)
    Lockout.objects.exclude(locked_until=None).update(locked_until=F("locked_until") - back)
    Lockout.objects.update(day_started_at=F("day_started_at") - back)


def test_the_next_lock_is_told_as_well(parked, alex, heard):
    Lockout.objects.create(user=alex, failures=9, warned=True)
    parked.enter_password(alex)
    fail(parked, 1)
    pass_time(hours=1)
    Lockout.objects.update(failures=19)
    parked.enter_password(alex)
    fail(parked, 1)

    locks = [event for event in heard if event["event"] == "account_locked"]
    assert [lock["reason"] for lock in locks] == ["consecutive"] * 2


def test_the_lock_of_a_day_and_the_hard_stop_are_told_as_what_they_are(parked, alex, heard):
    Lockout.objects.create(user=alex, failures=1, daily_failures=19)
    fail(parked, 1)
    assert heard.only("account_locked")["reason"] == "daily"
    Lockout.objects.update(failures=49, locked_until=None, daily_failures=1)
    heard.clear()
    parked.enter_password(alex)
    fail(parked, 1)

    told = heard.only("account_locked")
    assert (told["reason"], "until" in told) == ("stopped", False)


def test_a_lock_that_staff_lifted_is_told_again_when_it_comes_back(parked, alex, heard):
    for _ in range(2):
        Lockout.lift([alex.pk])
        Lockout.objects.filter(user=alex).delete()
        Lockout.objects.create(user=alex, failures=9, warned=True)
        parked.enter_password(alex)
        fail(parked, 1)

    assert heard.names.count("account_locked") == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", [0, 5, 15], ids=["third", "tenth", "the day's twentieth"])
def test_parallel_wrong_codes_tell_each_consequence_once(outbox, heard, before):
    phone = PhoneFactory()
    if before:
        Lockout.objects.create(
            user=phone.user, failures=before % 10, daily_failures=before, warned=True
        )
    parked = Journey(Client(), outbox, PASSWORD)
    parked.enter_password(phone.user)

    def guess(code: str) -> None:
        browser = Client()
        browser.cookies = parked.client.cookies.copy()
        browser.post(VERIFY, {"token": code})

    codes = [f"{(int(parked.code) + n) % 10**6:06d}" for n in range(1, 21)]
    at_once([partial(guess, code) for code in codes])

    assert heard.names.count("code_failed") == 20
    consequence = "account_locked" if before else "third_failure"
    assert heard.only(consequence)["user"] == phone.user.pk


# -- django-otp's own API ----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_stock_api_tells_what_was_committed(outbox, heard):
    device = PhoneFactory()
    with transaction.atomic():
        device.generate_challenge()
        assert "code_asked" not in heard.names  # not yet certain
    assert verify_token(device.user, device.persistent_id, str(outbox[-1].token)) == device

    assert sorted(heard.names) == ["code_asked", "code_sent", "code_verified"]
    assert {event["device"] for event in heard} == {device.persistent_id}


@pytest.mark.django_db(transaction=True)
def test_the_stock_api_tells_no_success_that_was_rolled_back(outbox, heard):
    device = PhoneFactory()
    device.generate_challenge()
    heard.clear()

    with transaction.atomic():
        assert verify_token(device.user, device.persistent_id, str(outbox[-1].token))
        transaction.set_rollback(True)

    assert heard == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failing", ["", "1"], ids=["commit", "rollback"])
def test_wrong_codes_of_the_stock_api_are_told_even_if_rolled_back(
    outbox, heard, monkeypatch, failing
):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    device = PhoneFactory()
    device.generate_challenge()
    client = Client(raise_request_exception=False)
    for _ in range(4):
        client.post(
            "/stock-verify/",
            {
                "username": device.user.username,
                "device": device.persistent_id,
                "token": "000000",
                "fail": failing,
            },
        )
        ChannelDevice.objects.update(throttling_failure_timestamp=None)

    assert heard.names.count("code_failed") == 4
    assert heard.only("third_failure")["user"] == device.user.pk


def test_a_test_code_is_told_as_one(phone, outbox, heard):
    phone.send_test_code()

    assert heard.names == ["code_asked", "code_sent"]
    assert {event["purpose"] for event in heard} == {"test"}


# -- whoever listens ---------------------------------------------------------------------------


def test_a_receiver_that_fails_changes_nothing(journey, alex, phone, heard, caplog):
    def receive(**_kwargs: Any) -> None:
        raise ZeroDivisionError

    security_event.connect(receive)
    try:
        journey.log_in(alex)
    finally:
        security_event.disconnect(receive)

    assert journey.is_in
    assert heard.names == ["code_asked", "code_sent", "code_verified"]


def test_a_receiver_cannot_change_what_the_next_one_hears(journey, alex, phone):
    later: list[str] = []

    def meddle(fields: Any, **_kwargs: Any) -> None:
        fields.clear()

    def receive(fields: Any, **_kwargs: Any) -> None:
        later.append(fields["event"])

    security_event.connect(meddle)
    security_event.connect(receive)
    try:
        journey.enter_password(alex)
    finally:
        security_event.disconnect(meddle)
        security_event.disconnect(receive)

    assert later == ["code_asked", "code_sent"]


@pytest.mark.parametrize(
    ("event", "fields"), [("no_such_event", {}), ("code_sent", {"token": "123456"})]
)
def test_what_the_inventory_does_not_know_is_not_recorded(heard, event, fields):
    with pytest.raises(KeyError):
        audit.record(event, **fields)

    assert heard == []


def test_the_inventory_explains_every_field():
    used = {field for event in audit.EVENTS.values() for field in event.fields}

    assert used | {"event", "at"} == set(audit.FIELDS)


def test_a_message_that_may_not_be_sent_is_not_told_as_sent(journey, alex, phone, heard):
    phone.disable(ChannelDevice.Disabled.STAFF)
    heard.clear()

    journey.enter_password(alex)
    with pytest.raises(SendNotAllowed):
        ChannelDevice.objects.get().generate_challenge()
    journey.client.post(SEND)
    journey.client.get(LOGIN)

    assert heard == []
