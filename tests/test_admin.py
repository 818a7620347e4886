"""What support staff see and can do in the admin, and what they cannot."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core import mail
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_otp_channels.admin import ChannelDeviceInline
from django_otp_channels.backends import memory
from django_otp_channels.breaker import Breaker
from django_otp_channels.exceptions import DeliveryUnavailable
from django_otp_channels.messages import Message, Receipt
from django_otp_channels.models import Challenge, ChannelDevice, Delivery, Lockout
from django_otp_channels.testing import login_verified
from tests.factories import AppFactory, PhoneFactory, UserFactory
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

DEVICES = "/admin/otp_channels/channeldevice/"
CHALLENGES = "/admin/otp_channels/challenge/"
DELIVERIES = "/admin/otp_channels/delivery/"
HEALTH = f"{DELIVERIES}health/"


class Desk:
    """One member of staff at the admin, over HTTP."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self.client = Client()
        login_verified(self.client, user)

    def open(self, url: str, **query: Any) -> str:
        answer = self.client.get(url, query)
        assert answer.status_code == 200, url
        return answer.text

    def listed(self, **query: Any) -> list[ChannelDevice]:
        answer = self.client.get(DEVICES, query)
        assert answer.status_code == 200
        return list(answer.context["cl"].result_list)

    def act(self, action: str, *devices: ChannelDevice, url: str = DEVICES, **extra: Any) -> str:
        answer = self.client.post(
            url,
            {"action": action, "_selected_action": [device.pk for device in devices], **extra},
            follow=True,
        )
        assert answer.status_code == 200
        return answer.text

    def add(self, **data: Any) -> Any:
        return self.client.post(
            f"{DEVICES}add/",
            {"name": "Phone", "kind": "phone", "channel": "sms", "language": "", **data},
        )

    def change(self, device: ChannelDevice, **data: Any) -> Any:
        return self.client.post(
            f"{DEVICES}{device.pk}/change/",
            {"name": device.name, "channel": device.channel, "language": "", **data},
        )


@pytest.fixture
def desk(db) -> Desk:
    """Sam, who may do everything."""
    return Desk(UserFactory(username="sam", staff=True))


def clerk(*permissions: str) -> Desk:
    """A member of staff with these permissions only."""
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return Desk(user)


@pytest.fixture
def parked(journey, alex, phone):
    """Alex has entered the password and is asked for the code."""
    journey.enter_password(alex)
    return journey


def log(device: ChannelDevice) -> list[str]:
    entries = LogEntry.objects.filter(object_id=str(device.pk)).order_by("pk")
    return [entry.get_change_message() for entry in entries]


# -- what is shown ---------------------------------------------------------------------------


def test_no_page_shows_a_whole_number(desk, parked, phone):
    phone = ChannelDevice.objects.get(pk=phone.pk)
    desk.act("disable", phone)
    desk.act("enable", phone)
    desk.act("send_test_code", phone)
    challenge = Challenge.objects.first()

    pages = [
        desk.open(DEVICES),
        desk.open(DEVICES, q="alex"),
        desk.open(DEVICES, kind__exact="phone"),
        desk.open(f"{DEVICES}{phone.pk}/change/"),
        desk.open(f"{DEVICES}{phone.pk}/history/"),
        desk.open(f"{DEVICES}{phone.pk}/delete/"),
        desk.act("delete_selected", phone),
        desk.open(CHALLENGES),
        desk.open(f"{CHALLENGES}{challenge.pk}/change/"),
        desk.open("/admin/"),
    ]

    for page in pages:
        assert "alex" in page or "Phone •••• 23" in page
        for number in ("2025550123", "202 555 0123", "202-555-0123", "5550123"):
            assert number not in page
    assert sum("•••• 23" in page for page in pages) == len(pages)


def test_no_page_shows_a_code_or_what_it_is_derived_from(desk, parked, phone):
    desk.act("send_test_code", phone)
    challenges = list(Challenge.objects.all())
    assert len(challenges) == 2

    pages = [desk.open(CHALLENGES), desk.open(DEVICES), desk.open("/admin/")]
    pages += [desk.open(f"{CHALLENGES}{challenge.pk}/change/") for challenge in challenges]
    pages += [desk.open(f"{CHALLENGES}{challenge.pk}/history/") for challenge in challenges]
    pages += [desk.open(f"{DEVICES}{phone.pk}/{page}/") for page in ("change", "history", "delete")]

    secrets = [str(message.token) for message in parked.outbox]
    for challenge in challenges:
        nonce = bytes(challenge.nonce)
        secrets += [nonce.hex(), repr(nonce)[2:-1], challenge.key_id, challenge.flow or "nothing"]
    session_flow = parked.client.session["otp_channels"]["parked"]["flow"]
    for page in pages:
        for secret in [*secrets, session_flow]:
            assert secret not in page
        for name in ("nonce", "key_id", 'name="flow"'):
            assert name not in page


def test_an_app_is_shown_without_its_address(desk, alex):
    app = AppFactory(user=alex)

    for page in (desk.open(DEVICES), desk.open(f"{DEVICES}{app.pk}/change/")):
        assert app.address not in page
        assert "App app" in page or ">app<" in page


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({}, "ready"),
        ({"failures": 3}, "account: 3 wrong codes in a row"),
        ({"failures": 1}, "account: 1 wrong code in a row"),
        (
            {"failures": 10, "locked_until": Now() + timedelta(minutes=5)},
            "account: locked for a while",
        ),
        (
            {"failures": 10, "locked_until": Now() - timedelta(minutes=5)},
            "account: 10 wrong codes in a row",
        ),
        ({"failures": 50, "stopped_at": Now()}, "account: stopped after too many wrong codes"),
    ],
    ids=["fresh", "three", "one", "locked", "no longer locked", "stopped"],
)
def test_the_state_says_whether_codes_get_through(desk, phone, state, shown):
    if state:
        Lockout.objects.create(user=phone.user, **state)

    assert f">{shown}</td>" in desk.open(DEVICES)
    assert shown in desk.open(f"{DEVICES}{phone.pk}/change/")


def test_the_state_says_that_no_channel_reaches_a_device(desk, phone, settings):
    settings.OTP_CHANNELS_COUNTRIES = ["DE"]

    assert "cannot be reached by any configured channel" in desk.open(DEVICES)


@pytest.mark.parametrize("failures", [0, 3])
def test_the_state_of_an_unproven_number_says_what_it_waits_for(desk, phone, failures):
    Lockout.objects.create(user=phone.user, failures=failures)
    ChannelDevice.objects.filter(pk=phone.pk).update(confirmed=False)

    for page in (desk.open(DEVICES), desk.open(f"{DEVICES}{phone.pk}/change/")):
        assert "waits for its owner&#x27;s code" in page
        assert "wrong code" not in page


def test_devices_stand_by_their_owners_name(desk, phone):
    last = PhoneFactory(user=UserFactory(username="zoe"), address="+12025550110")
    first = PhoneFactory(user=UserFactory(username="ada"), address="+12025550111")
    second = PhoneFactory(user=phone.user, address="+12025550112")

    listed = [device for device in desk.listed() if device.user != desk.user]

    assert listed == [first, phone, second, last]


def test_the_last_use_is_told_in_the_readers_time_zone(desk, parked, phone):
    used = datetime(2026, 7, 1, 20, 30, tzinfo=UTC)
    for page in (desk.open(DEVICES), desk.open(f"{DEVICES}{phone.pk}/change/")):
        assert "None" not in page
    ChannelDevice.objects.filter(pk=phone.pk).update(last_used_at=used)

    for page in (desk.open(DEVICES), desk.open(f"{DEVICES}{phone.pk}/change/")):
        assert "July 1, 2026, 10:30 p.m." in page  # in Berlin
        assert "+00:00" not in page


def test_the_last_use_is_the_last_verified_code(desk, parked, phone):
    assert desk.listed(q="alex")[0].last_verified is None

    parked.enter_code()

    assert desk.listed(q="alex")[0].last_verified == Challenge.objects.get().closed_at


def test_a_longer_list_costs_no_more_statements(desk):
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            desk.open(DEVICES)
        return len(captured)

    PhoneFactory(address="+12025550110")
    few = cost()
    for number in range(20, 30):
        Lockout.objects.create(user=PhoneFactory(address=f"+120255501{number}").user, failures=1)

    assert cost() == few


# -- search ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "term", ["alex", "ale", "+12025550123", "+1 202 555 0123", "+1 (202) 555-0123"]
)
def test_a_device_is_found_by_its_owner_or_its_whole_number(desk, phone, term):
    PhoneFactory(user=UserFactory(username="robin"), address="+12025550177")

    assert desk.listed(q=term) == [phone]


@pytest.mark.parametrize("term", ["+1202555012", "5550123", "0123", "23", "2025550123", "+1"])
def test_a_part_of_a_number_finds_nothing(desk, phone, term):
    assert desk.listed(q=term) == []


@pytest.mark.parametrize(
    "lookup",
    [
        "address",
        "address__startswith",
        "address__contains",
        "address__regex",
        "address__gt",
        "app_address__startswith",
        "app_address__isnull",
        "challenges__flow__startswith",
        "challenges__nonce",
    ],
)
def test_the_address_line_of_the_browser_reveals_no_number_either(desk, phone, lookup):
    answer = desk.client.get(DEVICES, {lookup: "+1202"})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "lookup",
    [
        "flow__startswith",
        "nonce__gt",
        "key_id",
        "device__address__startswith",
        "device__app_address",
        "user__password__startswith",
    ],
)
def test_challenges_cannot_be_probed_by_what_they_keep_to_themselves(desk, parked, lookup):
    assert desk.client.get(CHALLENGES, {lookup: "a"}).status_code == 400


# -- adding and changing ---------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["+1 202 555 0177", "+1 (202) 555-0177", "+12025550177"])
def test_a_number_that_staff_add_is_canonical_and_unproven(desk, alex, typed):
    answer = desk.add(user=alex.pk, address=typed)

    assert answer.status_code == 302
    device = ChannelDevice.objects.get(user=alex)
    assert (device.address, device.confirmed, device.version) == ("+12025550177", False, 1)
    entry = LogEntry.objects.get()
    assert (entry.user, str(entry.object_repr)) == (desk.user, "Phone •••• 77")


@pytest.mark.parametrize(
    "typed",
    [
        "rubbish",
        "202 555 0123",
        "+1 202 555 0123 x5",
        "+1-800-FLOWERS",
        "+44 (0)20 7946 0958",
        "+1 900 234 5678",
        "+979 123 456 789",
        "+41 44 668 18 00",
        "' OR 1=1 --",
        "<script>alert(1)</script>",
    ],
)
def test_what_no_code_can_be_sent_to_is_refused_with_a_sentence(desk, alex, typed):
    answer = desk.add(user=alex.pk, address=typed)

    assert answer.status_code == 200
    (sentence,) = answer.context["adminform"].form.errors["address"]
    assert sentence in answer.text
    assert sentence.endswith(".")
    assert "<script>alert" not in answer.text
    assert not ChannelDevice.objects.filter(user=alex).exists()


def test_extra_fields_of_a_new_device_are_ignored(desk, alex):
    other = UserFactory()

    desk.add(
        user=alex.pk,
        address="+12025550177",
        confirmed="1",
        version="7",
        id="4711",
        disabled_reason="staff",
        user_id=other.pk,
        throttling_failure_count="9",
        app_address="x",
        proven="on",
        last_used_at_0="2020-01-01",
    )

    device = ChannelDevice.objects.exclude(user=desk.user).get()
    assert device.user == alex
    assert device.pk != 4711
    assert (device.confirmed, device.version, device.disabled_reason) == (False, 1, "")
    assert (device.throttling_failure_count, device.last_used_at) == (0, None)


def test_an_unproven_number_asks_nobody_for_a_code(desk, alex, journey):
    desk.add(user=alex.pk, address="+12025550177")

    journey.enter_password(alex)

    assert journey.is_in
    assert journey.outbox == []


def test_an_app_belongs_to_one_device_only(desk, alex):
    app = AppFactory()

    answer = desk.add(user=alex.pk, kind="app", channel="push", address=app.address)

    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["address"]
    assert ChannelDevice.objects.filter(kind="app").count() == 1


def test_a_name_can_be_changed_and_nothing_that_decides_who_gets_in(desk, phone):
    unproven = PhoneFactory(user=phone.user, address="+12025550155", confirmed=False)
    before = ChannelDevice.objects.filter(pk=unproven.pk).values().get()

    answer = desk.change(
        unproven,
        name="Old phone",
        address="+12025550166",
        masked="+12025550166",
        confirmed="on",
        proven="on",
        user=str(desk.user.pk),
        kind="app",
        version="9",
        disabled_reason="staff",
        state="x",
    )

    assert answer.status_code == 302
    after = ChannelDevice.objects.filter(pk=unproven.pk).values().get()
    assert after == {**before, "name": "Old phone"}
    assert log(unproven) == ["Changed Name."]


def test_a_device_whose_number_is_no_longer_valid_can_still_be_renamed(desk, phone):
    """Numbering plans change, and a device may have come from elsewhere."""
    ChannelDevice.objects.filter(pk=phone.pk).update(address="+447700900123")

    answer = desk.change(phone, name="Old phone")

    assert answer.status_code == 302
    phone.refresh_from_db()
    assert (phone.name, phone.address) == ("Old phone", "+447700900123")


def test_the_form_of_a_device_has_no_field_for_its_address(desk, phone):
    page = desk.open(f"{DEVICES}{phone.pk}/change/")

    assert 'name="name"' in page
    for name in ("address", "confirmed", "user", "kind", "disabled_reason", "version"):
        assert f'name="{name}"' not in page


# -- actions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_a_test_code_goes_out_the_preferred_way_and_says_that_it_is_one(
    desk, phone, outbox, channel
):
    ChannelDevice.objects.filter(pk=phone.pk).update(channel=channel)

    page = desk.act("send_test_code", phone)

    (message,) = outbox
    assert (message.channel, message.to) == (channel, phone.address)
    assert "A test code is on its way to Phone •••• 23. It signs nobody in." in page
    assert str(message.token) not in page
    if channel == "sms":
        assert "It signs nobody in." in message.text
    assert log(phone) == ["Sent a test code."]


def test_a_test_code_opens_nothing(desk, parked, phone):
    desk.act("send_test_code", phone)
    test_code, own_code = str(parked.outbox[1].token), str(parked.outbox[0].token)
    assert test_code != own_code

    assert parked.enter_code(test_code).status_code == 200
    assert parked.is_nobody
    assert phone.verify_token(test_code) is False
    phone.refresh_from_db()
    assert Challenge.objects.get(purpose="test").state == "open"

    parked.enter_code(own_code)
    assert parked.is_in


def test_a_test_code_proves_no_new_number(desk, alex, outbox):
    device = PhoneFactory(user=alex, address="+12025550144", confirmed=False)
    desk.act("send_test_code", device)
    owner = Client()
    login_verified(owner, alex)

    owner.post(f"/account/devices/{device.pk}/confirm/", {"token": str(outbox[0].token)})

    device.refresh_from_db()
    assert device.confirmed is False


def test_a_test_code_for_a_device_that_cannot_be_reached_is_not_sent(desk, phone, outbox):
    ChannelDevice.objects.filter(pk=phone.pk).update(disabled_reason="staff")

    page = desk.act("send_test_code", phone)

    assert "Phone •••• 23: This way is not available." in page
    assert outbox == []
    assert not Challenge.objects.exists()
    assert log(phone) == []


class Broken(memory.SMS):
    def send(self, message: Message, *, timeout: float) -> Receipt:
        raise DeliveryUnavailable(code="no-signal-4711")


def test_a_test_code_that_could_not_be_sent_says_so(desk, phone, settings):
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": f"{__name__}.Broken"}]}

    for _ in range(2):  # and may be asked for again at once
        page = desk.act("send_test_code", phone)

        assert "The test code could not be sent to Phone •••• 23." in page
        assert "on its way" not in page
        assert "4711" not in page
    assert log(phone) == ["Sent a test code."] * 2


def test_a_test_code_that_the_second_provider_sent_is_on_its_way(desk, phone, settings, outbox):
    settings.OTP_CHANNELS = {
        "sms": [
            {"BACKEND": f"{__name__}.Broken"},
            {"BACKEND": "django_otp_channels.backends.memory.SMS"},
        ]
    }

    assert "A test code is on its way to Phone •••• 23." in desk.act("send_test_code", phone)
    assert len(outbox) == 1


def test_a_second_test_code_has_to_wait(desk, phone, outbox):
    other = PhoneFactory(address="+12025550177")
    desk.act("send_test_code", phone)

    page = desk.act("send_test_code", phone, other)

    assert "Phone •••• 23: A code was sent a moment ago." in page
    assert "A test code is on its way to Phone •••• 77." in page
    assert [message.to for message in outbox] == [phone.address, other.address]
    assert log(phone) == ["Sent a test code."]

    ChannelDevice.objects.update(last_generated_timestamp=None)
    assert "on its way to Phone •••• 23" in desk.act("send_test_code", phone)


def test_a_login_under_way_delays_no_test_code(desk, parked, phone):
    assert "on its way" in desk.act("send_test_code", phone)


def test_unlock_lifts_the_lock_of_the_owner_and_of_nobody_else(desk, parked, phone, alex):
    other = PhoneFactory(address="+12025550177")
    for user in (alex, other.user):
        Lockout.objects.create(
            user=user,
            failures=50,
            daily_failures=20,
            locked_until=Now() + timedelta(hours=1),
            stopped_at=Now(),
        )
    ChannelDevice.objects.update(throttling_failure_count=4)
    parked.enter_code()
    assert parked.is_nobody

    desk.act("unlock", phone)

    lockout = Lockout.objects.get(user=alex)
    assert (lockout.failures, lockout.daily_failures) == (0, 0)
    assert Lockout.objects.get(Lockout.closed()).user == other.user
    phone.refresh_from_db()
    other.refresh_from_db()
    assert (phone.throttling_failure_count, other.throttling_failure_count) == (0, 4)
    assert log(phone) == ["Unlocked the owner."]
    parked.enter_code()
    assert parked.is_in


def test_a_disabled_device_gets_nothing_and_still_asks_for_a_code(desk, journey, alex, phone):
    desk.act("disable", phone)

    answer = journey.enter_password(alex)

    assert answer.headers["Location"] == VERIFY
    assert journey.outbox == []
    assert journey.is_nobody
    assert "Switched off by staff." in desk.open(DEVICES)
    assert log(phone) == ["Disabled."]


def test_an_enabled_device_gets_codes_again(desk, journey, alex, phone):
    desk.act("disable", phone)
    desk.act("enable", phone)

    journey.log_in(alex)

    assert journey.is_in
    assert log(phone) == ["Disabled.", "Enabled."]


def test_an_action_on_a_filtered_list_is_logged_for_every_device_it_changed(desk, phone):
    other = PhoneFactory(address="+12025550177")
    ChannelDevice.objects.filter(pk__in=[phone.pk, other.pk]).update(disabled_reason="staff")

    page = desk.act("enable", phone, other, url=f"{DEVICES}?disabled_reason__exact=staff")

    assert not ChannelDevice.objects.exclude(disabled_reason="").exists()
    assert "2 devices changed." in page
    assert log(phone) == log(other) == ["Enabled."]


def test_devices_are_deleted_only_after_a_confirmation(desk, journey, alex, phone):
    other = PhoneFactory(user=UserFactory(username="robin"), address="+12025550123")
    question = desk.act("delete_selected", phone, other)
    assert "Are you sure" in question
    assert "Phone •••• 23</a> (alex)" in question
    assert "Phone •••• 23</a> (robin)" in question
    assert "Phone •••• 23</a> (alex)" in desk.open(f"{DEVICES}{phone.pk}/delete/")
    assert ChannelDevice.objects.filter(pk=phone.pk).exists()

    desk.act("delete_selected", phone, post="yes")

    assert not ChannelDevice.objects.filter(pk=phone.pk).exists()
    entry = LogEntry.objects.get(object_id=str(phone.pk))
    assert (entry.is_deletion(), entry.object_repr) == (True, "Phone •••• 23")


def test_a_deleted_device_takes_its_codes_with_it_and_leaves_the_trail(desk, parked, phone):
    code = parked.code

    desk.client.post(f"{DEVICES}{phone.pk}/delete/", {"post": "yes"})

    parked.enter_code(code)
    assert parked.is_nobody
    assert Challenge.objects.get().device is None
    assert "alex" in desk.open(CHALLENGES)


# -- the trail -------------------------------------------------------------------------------


def test_the_trail_shows_how_a_code_went_out_and_how_it_ended(desk, parked, settings):
    parked.enter_code(parked.wrong_code)
    parked.enter_code()
    challenge = Challenge.objects.get()
    Delivery.objects.create(
        challenge=challenge, channel="sms", provider="other", status="failed", error_code="30003"
    )

    page = desk.open(f"{CHALLENGES}{challenge.pk}/change/")

    for shown in (
        "alex", "login", "verified", "text message", "memory", "sent", "US", "failed", "30003",
    ):  # fmt: skip
        assert shown in page
    assert "memory-1" not in page
    assert "otp_channels/admin.css" in page
    assert "verified" in desk.open(CHALLENGES)


def test_a_challenge_whose_time_is_over_is_shown_as_expired(desk, parked):
    challenge = Challenge.objects.get()
    url = f"{CHALLENGES}{challenge.pk}/change/"
    for page in (desk.open(CHALLENGES), desk.open(url)):
        assert re.search(r">\s*open\s*</(?:td|div)>", page)

    Challenge.objects.update(expires_at=Now() - timedelta(seconds=1))

    for page in (desk.open(CHALLENGES), desk.open(url)):
        assert re.search(r">\s*expired\s*</(?:td|div)>", page)
    Challenge.objects.update(state="verified")
    assert "expired</td>" not in desk.open(CHALLENGES)


def test_nobody_can_write_the_trail(desk, parked):
    challenge = Challenge.objects.get()
    before = Challenge.objects.filter(pk=challenge.pk).values().get()

    answers = [
        desk.client.post(f"{CHALLENGES}{challenge.pk}/change/", {"state": "verified"}),
        desk.client.post(f"{CHALLENGES}{challenge.pk}/delete/", {"post": "yes"}),
        desk.client.post(f"{CHALLENGES}add/", {"purpose": "login"}),
        desk.client.get(f"{CHALLENGES}add/"),
        desk.client.get(f"{CHALLENGES}{challenge.pk}/delete/"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 5
    desk.client.post(
        CHALLENGES,
        {"action": "delete_selected", "_selected_action": [str(challenge.pk)], "post": "yes"},
    )
    assert Challenge.objects.filter(pk=challenge.pk).values().get() == before
    page = desk.open(f"{CHALLENGES}{challenge.pk}/change/")
    assert 'name="_save"' not in page
    assert "deleteform" not in page
    assert "delete_selected" not in desk.open(CHALLENGES)


@pytest.mark.parametrize("bulk", [False, True], ids=["one", "selected"])
def test_a_user_with_a_trail_can_be_deleted(desk, parked, alex, bulk):
    """Whose account goes, their trail goes: read-only rows must not hold it up."""
    url = "/admin/auth/user/" if bulk else f"/admin/auth/user/{alex.pk}/delete/"
    selection = {"action": "delete_selected", "_selected_action": [str(alex.pk)]} if bulk else {}

    desk.client.post(url, {"post": "yes", **selection})

    assert not get_user_model().objects.filter(pk=alex.pk).exists()
    assert not Challenge.objects.exists()


def test_whoever_may_delete_a_user_and_their_challenges_may_delete_the_rest(parked, alex):
    permissions = ["view_user", "delete_user", "delete_channeldevice"]
    url = f"/admin/auth/user/{alex.pk}/delete/"
    assert clerk(*permissions).client.post(url, {"post": "yes"}).status_code == 403

    clerk(*permissions, "delete_challenge").client.post(url, {"post": "yes"})

    assert not get_user_model().objects.filter(pk=alex.pk).exists()
    assert not Delivery.objects.exists()


# -- the messages and their providers --------------------------------------------------------


def test_the_list_shows_what_became_of_each_message(desk, parked):
    challenge = Challenge.objects.get()
    Delivery.objects.create(
        challenge=challenge, channel="voice", provider="other", status="failed",
        error_code="21211", reason="gone", region="GB",
    )  # fmt: skip

    page = desk.open(DELIVERIES)

    for shown in (
        "alex", "text message", "memory", ">sent<", ">US<",
        "phone call", "other", ">failed<", "21211", "no longer in use", ">GB<",
    ):  # fmt: skip
        assert shown in page
    for hidden in ("2025550123", parked.code, Delivery.objects.first().reference):
        assert hidden not in page


def test_one_message_is_shown_with_what_the_provider_calls_it(desk, parked):
    delivery = Delivery.objects.get()

    page = desk.open(f"{DELIVERIES}{delivery.pk}/change/")

    for shown in ("alex", "text message", "memory-1", "sent"):
        assert shown in page
    assert 'name="_save"' not in page
    for hidden in ("2025550123", parked.code, delivery.reference):
        assert hidden not in page


def test_a_send_that_is_overdue_is_shown_as_unknown(desk, parked):
    Delivery.objects.update(status="sending")
    delivery = Delivery.objects.get()
    pages = (
        DELIVERIES,
        f"{DELIVERIES}{delivery.pk}/change/",
        f"{CHALLENGES}{delivery.challenge_id}/change/",
    )
    status = re.compile(r">\s*(sending|unknown)\s*</(?:td|div|p)>")
    assert [status.findall(desk.open(url)) for url in pages] == [["sending"]] * 3

    Delivery.objects.update(created_at=Now() - timedelta(seconds=11))

    assert [status.findall(desk.open(url)) for url in pages] == [["unknown"]] * 3


def test_the_trail_of_a_challenge_says_what_is_wrong_with_the_address(desk, parked):
    Delivery.objects.update(status="failed", reason="opted-out")

    page = desk.open(f"{CHALLENGES}{Challenge.objects.get().pk}/change/")

    assert "has opted out" in page


def test_messages_are_found_by_user_or_by_the_providers_id(desk, parked):
    def found(**query: Any) -> int:
        answer = desk.client.get(DELIVERIES, query)
        assert answer.status_code == 200
        return len(answer.context["cl"].result_list)

    assert [found(q=term) for term in ("alex", "memory-1", "memory-", "nobody")] == [1, 1, 0, 0]
    assert [found(channel="sms"), found(channel="voice")] == [1, 0]
    assert [found(status__exact="sent"), found(status__exact="failed")] == [1, 0]


@pytest.mark.parametrize(
    "lookup",
    [
        "reference__startswith",
        "prefix__startswith",
        "challenge__nonce__gt",
        "challenge__flow__startswith",
    ],
)
def test_messages_cannot_be_probed_by_what_they_keep_to_themselves(desk, parked, lookup):
    assert desk.client.get(DELIVERIES, {lookup: "0"}).status_code == 400


def test_more_messages_cost_no_more_statements(desk, parked):
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            desk.open(DELIVERIES)
        return len(captured)

    before = statements()
    for _ in range(5):
        challenge = Challenge.issue(PhoneFactory(), purpose="login")
        Delivery.objects.create(
            challenge=challenge, channel="sms", provider="memory", status="sent", region="US"
        )

    assert statements() == before


def test_nobody_can_write_what_became_of_a_message(desk, parked):
    url = f"{DELIVERIES}{Delivery.objects.get().pk}/"
    before = Delivery.objects.values().get()

    answers = [
        desk.client.post(f"{url}change/", {"status": "delivered"}),
        desk.client.post(f"{url}delete/", {"post": "yes"}),
        desk.client.post(f"{DELIVERIES}add/", {"status": "sent"}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert Delivery.objects.values().get() == before
    assert "delete_selected" not in desk.open(DELIVERIES)


def test_the_health_of_the_providers_is_one_click_from_the_messages(desk):
    assert f'<a href="{HEALTH}">Provider health</a>' in desk.open(DELIVERIES)
    assert f'href="{DELIVERIES}"' in desk.open(HEALTH)
    assert "/otp-admin/otp_channels/delivery/health/" in desk.open(
        "/otp-admin/otp_channels/delivery/"
    )


def test_the_health_page_tells_what_the_doctor_tells(desk, parked, settings):
    settings.OTP_CHANNELS = {
        **settings.OTP_CHANNELS,
        "voice": [{"BACKEND": "no.such.Thing"}],
        "push": [{"BACKEND": f"{__name__}.Pigeon"}],
    }
    Delivery.objects.create(
        challenge=Challenge.objects.get(), channel="push", provider="pigeon", status="failed",
        error_code="QUOTA", reason="gone",
    )  # fmt: skip
    switch = Breaker("push", 0, "pigeon")
    for _ in range(5):
        switch.failed(switch.admit())
    settings.OTP_CHANNELS_LIMITS = {"login.site": {3600: 1}}

    page = re.sub(r"\s+", " ", desk.open(HEALTH))

    for shown in (
        "<caption>Text message</caption>", "ready", "1 sent", "https://www.example.com",
        "DE, GB, US", "the cache is not shared",
        "<caption>Phone call</caption>", "cannot send", "no.such.Thing cannot be imported",
        "<caption>App notification</caption>", "paused", "open: it failed again and again",
        "failed, no longer in use, code QUOTA", "1 failed", "none within 7 days", "nothing",
        "login.site: 100 percent of 1 in an hour",
    ):  # fmt: skip
        assert shown in page, shown
    for hidden in ("2025550123", parked.code):
        assert hidden not in page
    assert "<style" not in page
    assert 'style="' not in page


@pytest.mark.parametrize("trusted", [0, 1])
def test_the_health_page_sees_the_proxies_between_staff_and_itself(desk, settings, trusted):
    settings.OTP_CHANNELS_TRUSTED_PROXY_COUNT = trusted
    desk.client.defaults["HTTP_X_FORWARDED_FOR"] = "198.18.0.7"

    page = desk.open(HEALTH)

    assert ("OTP_CHANNELS_TRUSTED_PROXY_COUNT is 0" in page) is (trusted == 0)
    assert ("1 trusted proxy" in page) is (trusted == 1)


def test_the_health_page_survives_settings_out_of_bounds(desk, settings):
    settings.OTP_CHANNELS_ANDROID_APP_HASH = "short"

    assert "OTP_CHANNELS_ANDROID_APP_HASH: must be the 11 characters" in desk.open(HEALTH)


def test_the_health_page_says_that_nobody_can_be_reached(desk, settings):
    settings.OTP_CHANNELS_COUNTRIES = []
    settings.OTP_CHANNELS = {"sms": settings.OTP_CHANNELS["sms"]}

    page = desk.open(HEALTH)

    assert "No channel can be used: nobody gets a code." in page
    assert "No country is allowed, so nothing leaves." in page


class Pigeon(memory.Push):
    """A provider with a network."""

    provider = "pigeon"
    inline = False


# -- who may do what -------------------------------------------------------------------------

ACTIONS = ("send_test_code", "unlock", "disable", "enable", "delete_selected")


def test_staff_without_permission_see_nothing(phone):
    nobody = clerk()

    for url in (
        DEVICES, f"{DEVICES}{phone.pk}/change/", CHALLENGES, f"{DEVICES}add/", DELIVERIES, HEALTH,
    ):  # fmt: skip
        assert nobody.client.get(url).status_code == 403


def test_staff_who_may_look_at_messages_see_the_health_of_the_providers(phone):
    viewer = clerk("view_delivery")

    assert "Provider health" in viewer.open(HEALTH)
    assert viewer.client.post(HEALTH).status_code == 405
    assert clerk("view_challenge").client.get(HEALTH).status_code == 403


@pytest.mark.parametrize("action", ACTIONS)
def test_staff_who_may_only_look_have_no_actions(phone, outbox, action):
    viewer = clerk("view_channeldevice")
    before = ChannelDevice.objects.filter(pk=phone.pk).values().get()
    assert f'value="{action}"' not in viewer.open(DEVICES)

    viewer.act(action, phone, post="yes")

    assert ChannelDevice.objects.filter(pk=phone.pk).values().get() == before
    assert outbox == []
    assert viewer.change(phone, name="x").status_code == 403
    assert viewer.client.get(f"{DEVICES}add/").status_code == 403


def test_staff_who_may_change_cannot_delete(phone):
    editor = clerk("change_channeldevice")

    page = editor.open(DEVICES)

    assert all(f'value="{action}"' in page for action in ACTIONS[:-1])
    assert 'value="delete_selected"' not in page
    assert editor.client.post(f"{DEVICES}{phone.pk}/delete/", {"post": "yes"}).status_code == 403
    editor.act("disable", phone)
    phone.refresh_from_db()
    assert phone.disabled_reason == "staff"


@pytest.mark.parametrize("url", [DEVICES, CHALLENGES, DELIVERIES, HEALTH])
def test_a_person_who_is_not_staff_sees_no_admin(alex, phone, url):
    client = Client()
    login_verified(client, alex)

    assert client.get(url).status_code == 302


# -- what the owner hears --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("disable", "A device of your account was changed"),
        ("enable", "A device of your account was changed"),
        ("delete_selected", "A device was removed from your account"),
        ("unlock", None),
    ],
)
def test_the_owner_hears_of_what_staff_do_to_a_factor(
    desk, alex, phone, outbox, action, told, django_capture_on_commit_callbacks
):
    PhoneFactory(user=alex, address="+12025550144")

    with django_capture_on_commit_callbacks(execute=True):
        desk.act(action, phone, post="yes")

    assert [letter.subject for letter in mail.outbox] == ([f"Example: {told}"] if told else [])
    others = {"+12025550144"} | ({"+12025550123"} if action == "delete_selected" else set())
    assert {message.to for message in outbox} == (others if told else set())
    for letter in mail.outbox:
        assert "the support of Example" in letter.body


def test_the_owner_hears_of_a_device_that_is_deleted_on_its_own_page(
    desk, alex, phone, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        desk.client.post(f"{DEVICES}{phone.pk}/delete/", {"post": "yes"})

    assert [letter.to for letter in mail.outbox] == [["alex@example.com"]]
    assert "•••• 23" in mail.outbox[0].body


def test_a_new_name_is_no_news(desk, phone, outbox, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        desk.change(phone, name="Work")

    phone.refresh_from_db()
    assert phone.name == "Work"
    assert (mail.outbox, outbox) == ([], [])


# -- on the user's page, and on django-otp's own site ----------------------------------------


def test_the_inline_shows_the_devices_on_the_users_page(desk, phone, alex, monkeypatch):
    users = admin.site.get_model_admin(get_user_model())
    monkeypatch.setattr(users, "inlines", [ChannelDeviceInline])

    page = desk.open(f"/admin/auth/user/{alex.pk}/change/")

    assert "•••• 23" in page
    assert "2025550123" not in page
    assert f"{DEVICES}{phone.pk}/change/" in page
    for name in ("address", "confirmed", "DELETE"):
        assert f'name="channeldevice_set-0-{name}"' not in page


def test_a_user_is_saved_with_the_inline_and_their_devices_stay_as_they_are(
    desk, phone, alex, monkeypatch
):
    users = admin.site.get_model_admin(get_user_model())
    monkeypatch.setattr(users, "inlines", [ChannelDeviceInline])
    before = ChannelDevice.objects.filter(pk=phone.pk).values().get()

    answer = desk.client.post(
        f"/admin/auth/user/{alex.pk}/change/",
        {
            "username": "alex",
            "first_name": "Alex",
            "is_active": "on",
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00:00",
            "channeldevice_set-TOTAL_FORMS": "1",
            "channeldevice_set-INITIAL_FORMS": "1",
            "channeldevice_set-0-id": str(phone.pk),
            "channeldevice_set-0-user": str(alex.pk),
            "channeldevice_set-0-name": "hijacked",
            "channeldevice_set-0-address": "+12025550166",
            "channeldevice_set-0-DELETE": "on",
        },
    )

    assert answer.status_code == 302
    alex.refresh_from_db()
    assert alex.first_name == "Alex"
    assert ChannelDevice.objects.filter(pk=phone.pk).values().get() == before


def test_the_admin_works_on_a_second_site_that_asks_for_a_code_itself(desk, phone):
    url = "/otp-admin/otp_channels/channeldevice/"

    assert "•••• 23" in desk.open(url)
    desk.act("disable", phone, url=url)

    phone.refresh_from_db()
    assert phone.disabled_reason == "staff"


def test_the_second_site_lets_nobody_in_without_a_code(db):
    client = Client()
    client.force_login(UserFactory(staff=True))

    answer = client.get("/otp-admin/otp_channels/channeldevice/")

    assert answer.status_code == 302
    assert "/otp-admin/login/" in answer.headers["Location"]
