"""``manage.py otp_channels``: a phone for somebody, a fresh start, and the providers' health."""

from __future__ import annotations

import builtins
import io
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models.functions import Now
from django_otp import devices_for_user
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.backends.base import Backend
from django_otp_channels.breaker import Breaker
from django_otp_channels.exceptions import DeliveryRefused, DeliveryUnavailable, DeliveryUnknown
from django_otp_channels.management.commands.otp_channels import Command
from django_otp_channels.messages import Message, Receipt
from django_otp_channels.models import Challenge, ChannelDevice, Delivery, Lockout
from tests.factories import AppFactory, PhoneFactory, UserFactory

pytestmark = pytest.mark.django_db

NUMBER = "+12025550123"


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("otp_channels", *arguments, stdout=out, stderr=out, no_color=True)
    return out.getvalue()


def refusal(*arguments: str) -> str:
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    return str(refused.value)


# -- add_phone -------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [NUMBER, "+1 202 555 0123", "+1 (202) 555-0123"])
def test_a_phone_is_unproven_until_its_owner_enters_a_code(journey, alex, typed):
    said = run("add_phone", "alex", typed)

    device = ChannelDevice.objects.get()
    assert (device.user, device.address, device.kind) == (alex, NUMBER, "phone")
    assert (device.name, device.channel, device.confirmed) == ("Phone", "sms", False)
    assert said == "Added •••• 23 (unproven until a code is entered)\n"
    journey.enter_password(alex)
    assert journey.is_in
    assert journey.outbox == []


def test_a_phone_that_staff_vouch_for_counts_at_once(journey, alex):
    said = run("add_phone", "alex", NUMBER, "--confirmed")

    assert said == "Added •••• 23 (confirmed)\n"
    journey.enter_password(alex)
    assert journey.is_nobody
    assert [message.to for message in journey.outbox] == [NUMBER]
    journey.enter_code()
    assert journey.is_in


def test_a_landline_is_called(journey, alex):
    run("add_phone", "alex", "+44 20 7946 0958", "--confirmed")

    journey.enter_password(alex)

    assert [message.channel for message in journey.outbox] == ["voice"]


def test_the_same_phone_is_added_once(alex):
    run("add_phone", "alex", NUMBER)

    assert run("add_phone", "alex", "+1 202-555-0123") == (
        "Already there: •••• 23 (unproven until a code is entered)\n"
    )
    assert run("add_phone", "alex", NUMBER, "--confirmed") == "Already there: •••• 23 (confirmed)\n"
    assert run("add_phone", "alex", NUMBER) == "Already there: •••• 23 (confirmed)\n"
    device = ChannelDevice.objects.get()
    assert (device.confirmed, device.version) == (True, 1)


def test_a_phone_that_is_there_twice_is_no_traceback(alex):
    PhoneFactory(user=alex, address=NUMBER, confirmed=False)
    PhoneFactory(user=alex, address=NUMBER)

    assert run("add_phone", "alex", NUMBER) == "Already there: •••• 23 (confirmed)\n"
    assert ChannelDevice.objects.count() == 2


def test_two_people_may_share_a_phone(alex, phone):
    sam = UserFactory(username="sam")

    run("add_phone", "sam", NUMBER)

    assert set(ChannelDevice.objects.values_list("user", "confirmed")) == {
        (alex.pk, True),
        (sam.pk, False),
    }


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("rubbish", "Enter the number with its country code, for example +1 202 555 0123."),
        ("2025550123", "Enter the number with its country code, for example +1 202 555 0123."),
        ("+1 202 555 0123 x5", "Enter the number with its country code"),
        ("+1 202 555 01", "This is not a valid phone number."),
        ("+41 44 668 18 00", "Numbers of this country cannot be used here."),
        ("+979 123 456 789", "Numbers of this country cannot be used here."),
        ("+1 900 234 5678", "This kind of number cannot be used."),
    ],
)
@pytest.mark.parametrize("vouched", [[], ["--confirmed"]], ids=["", "confirmed"])
def test_a_number_that_no_code_can_go_to_is_refused_with_the_reason(alex, typed, sentence, vouched):
    assert sentence in refusal("add_phone", "alex", typed, *vouched)
    assert not ChannelDevice.objects.exists()


def test_without_countries_no_phone_is_added(alex, settings):
    settings.OTP_CHANNELS_COUNTRIES = []

    assert "country" in refusal("add_phone", "alex", NUMBER)


@pytest.mark.parametrize("name", ["nobody", "alexandra", "", "1"])
@pytest.mark.parametrize("action", [["reset"], ["add_phone"]], ids=["reset", "add_phone"])
def test_an_unknown_user_is_named(alex, phone, name, action):
    number = [NUMBER] if action == ["add_phone"] else []

    assert refusal(*action, name, *number) == f"There is no user {name}."
    assert ChannelDevice.objects.get() == phone


@pytest.mark.parametrize("arguments", [[], ["add_phone"], ["add_phone", "alex"], ["remove"]])
def test_an_incomplete_command_is_refused(alex, arguments):
    assert refusal(*arguments)


@pytest.mark.parametrize(
    "options",
    [
        ["-v", "2"],
        ["--verbosity=0"],
        ["--settings", "tests.settings"],
        ["--pythonpath", "."],
        ["--traceback"],
        ["--no-color"],
        ["--skip-checks"],
    ],
    ids=lambda options: options[0],
)
@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_djangos_own_options_stand_before_the_action_or_after_it(
    alex, capsys, options, first, monkeypatch
):
    monkeypatch.setattr(connections, "close_all", lambda: None)  # the test's own
    seen = {}
    handle = Command.handle
    monkeypatch.setattr(
        Command, "handle", lambda self, **given: handle(self, **seen.setdefault("options", given))
    )
    action = ["add_phone", "alex", NUMBER]
    arguments = [*options, *action] if first else [*action, *options]

    Command().run_from_argv(["manage.py", "otp_channels", *arguments])

    assert ChannelDevice.objects.get().address == NUMBER
    assert "•••• 23" in capsys.readouterr().out
    name, _, value = options[0].lstrip("-").replace("-", "_").partition("=")
    value = value or (options[1] if len(options) > 1 else "True")
    assert str(seen["options"]["verbosity" if name == "v" else name]) == value


def test_the_help_of_an_action_names_djangos_options(capsys):
    with pytest.raises(SystemExit):
        Command().run_from_argv(["manage.py", "otp_channels", "reset", "--help"])

    said = capsys.readouterr().out
    assert "--settings" in said
    assert said.index("user") < said.index("--version  ")


# -- reset -----------------------------------------------------------------------------------


def test_reset_removes_every_factor_and_the_lock_of_one_person(journey, alex, phone):
    AppFactory(user=alex)
    PhoneFactory(user=alex, address="+12025550144", confirmed=False)
    TOTPDevice.objects.create(user=alex, name="Authenticator")
    StaticDevice.objects.create(user=alex, name="Recovery codes").token_set.create(token="abcd2345")
    other = PhoneFactory(address="+12025550177")
    for user in (alex, other.user):
        Lockout.objects.create(
            user=user,
            failures=50,
            daily_failures=20,
            locked_until=Now() + timedelta(hours=1),
            stopped_at=Now(),
        )

    said = run("reset", "alex")

    assert said == "Removed 5 device(s) and lifted any lock.\n"
    assert list(devices_for_user(alex, confirmed=None)) == []
    assert list(devices_for_user(other.user, confirmed=None)) == [other]
    assert Lockout.objects.get(Lockout.closed()).user == other.user
    assert Lockout.objects.get(user=alex).failures == 0
    journey.enter_password(alex)
    assert journey.is_in


def test_reset_of_somebody_without_anything_says_so(alex):
    assert run("reset", "alex") == "Removed 0 device(s) and lifted any lock.\n"


def test_a_code_under_way_dies_with_the_reset(journey, alex, phone):
    journey.enter_password(alex)

    run("reset", "alex")

    journey.enter_code()
    assert journey.is_nobody


def test_a_reset_is_told_to_the_owner_and_keeps_its_reason(alex, phone, outbox, caplog):
    PhoneFactory(user=alex, address="+12025550144", confirmed=False)

    run("reset", "alex", "--reason", "Lost the phone")

    (letter,) = mail.outbox
    assert letter.subject == "Example: Your ways to confirm a sign-in were removed"
    assert [message.to for message in outbox] == [NUMBER]
    assert '"by": "command", "reason": "Lost the phone"' in caplog.text


def test_a_phone_that_staff_vouch_for_is_told_to_the_owner(alex, phone, outbox):
    run("add_phone", "alex", "+12025550144")
    assert mail.outbox == []

    run("add_phone", "alex", "+12025550144", "--confirmed")

    (letter,) = mail.outbox
    assert letter.subject == "Example: A device was added to your account"
    assert [message.to for message in outbox] == [NUMBER]


# -- status ----------------------------------------------------------------------------------


def test_the_status_tells_all_there_is_and_no_secret(journey, alex, phone):
    journey.log_in(alex)
    AppFactory(user=alex)
    PhoneFactory(user=alex, address="+12025550144", confirmed=False)
    TOTPDevice.objects.create(user=alex, name="Authenticator\x1b[2J")
    StaticDevice.objects.create(user=alex, name="Recovery codes").token_set.create(token="abcd2345")
    Lockout.objects.update_or_create(user=alex, defaults={"failures": 2})

    said = run("status", "alex")

    for line in (
        r"alex: has a second factor",
        r"  phone number •••• 23: ready; last right code: \w+\. \d+.*",
        r"  app app: .*; last right code: never",
        r"  phone number •••• 44: waits for its owner's code; last right code: never",
        r"  Authenticator�\[2J \(TOTP device\)",
        r"  Recovery codes \(static device\): 1 code left",
        r"Lock: none; 2 wrong codes in a row",
        r"  \w+\. \d+, \d{4}.* •••• 23",
    ):
        assert re.search(f"^{line}$", said, re.MULTILINE), (line, said)
    for secret in ("2025550", "abcd2345", "APA91b", TOTPDevice.objects.get().key, journey.code):
        assert secret not in said


def test_the_status_says_until_when_an_account_is_locked(alex, phone):
    Lockout.objects.create(user=alex, failures=10, locked_until=Now() + timedelta(minutes=15))

    said = run("status", "alex")

    assert re.search(r"(?m)^Lock: locked for a while, until \w+.*; 10 wrong codes", said)


def test_the_status_of_somebody_without_anything_says_so(alex):
    assert run("status", "alex").splitlines() == [
        "alex: has no second factor",
        "Devices: none",
        "Other factors: none",
        "Lock: none",
        "Trusted browsers: none",
        "Last sign-ins with a code: none",
    ]


def test_the_status_changes_nothing_and_sends_nothing(alex, phone, outbox):
    before = list(ChannelDevice.objects.values())

    run("status", "alex")

    assert list(ChannelDevice.objects.values()) == before
    assert (mail.outbox, outbox) == ([], [])


# -- what is printed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["add_phone", "alex", NUMBER], ["add_phone", "alex", NUMBER, "--confirmed"]]
)
@pytest.mark.parametrize("verbosity", ["0", "3"])
def test_the_whole_number_is_never_printed(alex, capsys, arguments, verbosity):
    for _ in range(2):
        said = run("--verbosity", verbosity, *arguments)
        assert "2025550123" not in said + "".join(capsys.readouterr())
    assert "•••• 23" in said


# -- doctor ----------------------------------------------------------------------------------

MEMORY = "django_otp_channels.backends.memory"


class Pigeon(Backend):
    """A provider with a network, which does as told."""

    provider = "pigeon"
    channels = frozenset({"sms", "voice", "push"})
    error: Exception | None = None
    sent: list[Message] = []  # noqa: RUF012

    def send(self, message: Message, *, timeout: float) -> Receipt:
        if self.error is not None:
            raise self.error
        self.sent.append(message)
        return Receipt(provider=self.provider, message_id=f"coo-{len(self.sent)}")


class Second(Pigeon):
    provider = "second"


@pytest.fixture
def pigeon(settings, monkeypatch) -> type[Pigeon]:
    """One provider carries every channel."""
    entry = {"BACKEND": f"{__name__}.Pigeon"}
    settings.OTP_CHANNELS = {name: [entry] for name in ("sms", "voice", "push")}
    monkeypatch.setattr(Pigeon, "sent", [])
    monkeypatch.setattr(Pigeon, "error", None)
    return Pigeon


def told_and_refused(*arguments: str) -> tuple[str, str]:
    out = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("otp_channels", *arguments, stdout=out, no_color=True)
    assert refused.value.returncode == 1
    return out.getvalue(), str(refused.value)


def test_the_doctor_tells_all_there_is_to_know(pigeon, phone):
    challenge = Challenge.issue(phone, purpose="login")
    for status, code in [("delivered", ""), ("failed", "20429"), ("failed", "paused")]:
        Delivery.objects.create(
            challenge=challenge, channel="sms", provider="pigeon", status=status, error_code=code
        )
    for _ in range(5):
        switch = Breaker("voice", 0, "pigeon")
        switch.failed(switch.admit())

    said = run("doctor")

    sms, voice, push = said.split("\n\n")[1:4]
    assert said.startswith("Base URL: https://www.example.com\nCountries: DE, GB, US\n")
    assert "Failing providers are known: to each process by itself: the cache is not shared" in said
    assert sms.startswith("text message (sms)\n  1. pigeon: ready\n")
    assert "Circuit breaker: closed, as far as this process knows\n" in sms
    assert " ago: delivered\n" in sms
    assert " ago: failed, code 20429\n" in sms
    assert "Last 24 hours: 1 sent, 1 known to have arrived, 1 failed, 1 skipped\n" in sms
    assert "Receipts: no" in sms
    assert voice.startswith("phone call (voice)\n  1. pigeon: paused\n")
    assert "Circuit breaker: open: it failed again and again, and is skipped for " in voice
    assert "Last success: none within 7 days\n" in push
    assert "Last 24 hours: nothing\n" in push
    assert said.endswith("\n\nCodes can be sent, but not by: phone call.\n")
    assert "2025550123" not in said
    assert Pigeon.sent == []


@pytest.mark.parametrize(
    ("setting", "value", "told", "refused"),
    [
        (
            "OTP_CHANNELS",
            {"sms": [{"BACKEND": "no.such.Thing"}], "push": [{"BACKEND": f"{MEMORY}.Push"}]},
            "1. no.such.Thing: cannot send\n     OTP_CHANNELS['sms'][0]: no.such.Thing cannot be",
            "Something is broken",
        ),
        ("OTP_CHANNELS_MAX_SENDS", 99, "OTP_CHANNELS_MAX_SENDS: must be", "Something is broken"),
        ("OTP_CHANNELS", {}, "Countries: DE, GB, US", "No channel can be used"),
        (
            "OTP_CHANNELS",
            {"sms": [{"BACKEND": "django_otp_channels.backends.twilio.SMS",
                      "OPTIONS": {"sender": "+12025550100"}}]},
            "needs attention\n     Twilio's credentials are missing. (otp_channels.W102)\n      ",
            "No channel can be used",
        ),
    ],
    ids=["an error", "settings out of bounds", "no channel", "no credentials"],
)  # fmt: skip
def test_the_doctor_ends_with_one_where_something_is_broken(
    settings, setting, value, told, refused, monkeypatch
):
    monkeypatch.delenv("TWILIO_ACCOUNT_SID", raising=False)
    setattr(settings, setting, value)

    said, why = told_and_refused("doctor")

    assert told in said
    assert why.startswith(refused)


def test_the_doctor_says_why_no_phone_is_reached(settings):
    settings.OTP_CHANNELS_COUNTRIES = []

    said = run("doctor")  # push still works

    assert "text message (sms)\n  No country is allowed, so nothing leaves.\n" in said
    assert "Countries: none\n" in said


@pytest.mark.parametrize("action", [["doctor"], ["reset", "alex"]], ids=["doctor", "reset"])
def test_unsound_settings_stop_every_action_but_the_doctor(
    alex, settings, monkeypatch, capsys, action
):
    monkeypatch.setattr(connections, "close_all", lambda: None)  # the test's own
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": "no.such.Thing"}]}

    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "otp_channels", *action])

    assert ended.value.code == 1
    said = capsys.readouterr()
    assert ("System check identified" in said.err) is (action != ["doctor"])
    assert ("1. no.such.Thing: cannot send" in said.out) is (action == ["doctor"])


# -- send_test -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "address", "shown", "says"),
    [
        ("sms", "+1 202-555-0123", "One text message to •••• 23, through pigeon:", "test code"),
        ("voice", NUMBER, "One phone call to •••• 23, through pigeon:", "•, •, •, •, •, •."),
        ("push", "app-token-1:APA91b", "One app notification to the app, through pigeon:", "Never"),
    ],
)
def test_a_test_message_goes_out_and_each_step_is_told(pigeon, channel, address, shown, says):
    said = run("send_test", channel, address, "--yes")

    (message,) = pigeon.sent
    assert message.channel == channel
    assert message.to == (address if channel == "push" else NUMBER)
    assert len(message.token) == 6
    assert message.callback == message.key == ""
    lines = said.splitlines()
    assert lines[0] == shown
    assert says in said
    assert "pigeon: sent after 0." in lines[-2]
    assert ", id coo-1" in lines[-2]
    assert lines[-1] == "The provider has taken it."
    for secret in (str(message.token), ", ".join(message.token), "2025550123", "APA91b"):
        assert secret not in said


def test_a_test_message_leaves_nothing_that_a_code_could_open(pigeon, phone):
    run("send_test", "sms", NUMBER, "--yes")
    run("send_test", "sms", NUMBER, "--yes")

    first, second = pigeon.sent
    assert "It signs nobody in." in first.text
    assert first.token != second.token
    assert first.reference != second.reference
    assert not Challenge.objects.exists()
    assert not Delivery.objects.exists()
    assert ChannelDevice.objects.get() == phone
    assert get_user_model().objects.count() == 1


def test_a_text_message_tells_how_many_parts_it_costs(pigeon):
    assert "Parts that the provider charges for: 1.\n" in run("send_test", "sms", NUMBER, "--yes")


@pytest.mark.parametrize(
    ("error", "step", "refused"),
    [
        (DeliveryUnavailable(code="20429"), "failed after 0.0 s, code 20429", "It was not sent."),
        (
            DeliveryRefused(code="21614", reason="no-texts"),
            "failed after 0.0 s, takes no text messages, code 21614",
            "It was not sent.",
        ),
        (
            DeliveryUnknown(code="ReadTimeout"),
            "unknown after 0.0 s, code ReadTimeout",
            "Whether it was sent is not known: look at the phone.",
        ),
    ],
    ids=["unavailable", "refused", "unknown"],
)
def test_a_test_message_that_is_not_sent_ends_with_one(pigeon, monkeypatch, error, step, refused):
    monkeypatch.setattr(pigeon, "error", error)

    said, why = told_and_refused("send_test", "sms", NUMBER, "--yes")

    assert f"1. pigeon: {step}\n" in said
    assert why == refused


def test_each_provider_that_is_tried_is_told(pigeon, settings, monkeypatch):
    first, second = ({"BACKEND": f"{__name__}.{name}"} for name in ("Pigeon", "Second"))
    settings.OTP_CHANNELS = {"sms": [first, second]}
    monkeypatch.setattr(Second, "error", None)
    monkeypatch.setattr(pigeon, "error", DeliveryUnavailable(code="429"))

    for _ in range(5):
        said = run("send_test", "sms", NUMBER, "--yes")
    assert "through pigeon, then second:" in said
    assert "1. pigeon: failed after 0.0 s, code 429\n2. second: sent after 0.0 s" in said
    assert "1. pigeon: skipped, since it has failed again and again\n2. second: sent" in run(
        "send_test", "sms", NUMBER, "--yes"
    )


def test_a_provider_that_gives_no_answer_is_not_waited_for_without_end(
    pigeon, settings, monkeypatch
):
    from django_otp_channels.management.actions import send_test

    monkeypatch.setattr(send_test, "SPARE", -0.9)
    settings.OTP_CHANNELS_SEND_TIMEOUT = 1
    let_go = threading.Event()

    def send(*args: Any, **kwargs: Any) -> Receipt:
        assert let_go.wait(5)
        return Receipt(provider="pigeon", message_id="late")

    monkeypatch.setattr(pigeon, "send", send)

    _said, why = told_and_refused("send_test", "sms", NUMBER, "--yes")

    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "otp-channels-pigeon":
            thread.join(5)
    assert why == "Whether it was sent is not known: look at the phone."


@pytest.mark.parametrize(
    ("channel", "address", "refused"),
    [
        ("sms", "+41 44 668 18 00", "Numbers of this country cannot be used here."),
        ("sms", "2025550123", "Enter the number with its country code"),
        ("sms", "+1 900 234 5678", "This kind of number cannot be used."),
        ("sms", "+44 20 7946 0958", "This channel does not reach this address."),
        ("push", "", "This channel does not reach this address."),
        ("fax", NUMBER, "The channel fax is not configured. Configured are: sms, voice, push."),
    ],
)
def test_a_test_message_goes_only_where_codes_may_go(pigeon, channel, address, refused):
    said, why = told_and_refused("send_test", channel, address, "--yes")

    assert why.startswith(refused)
    assert said == ""
    assert pigeon.sent == []


def test_an_entry_that_cannot_be_built_is_told_instead_of_sent(settings):
    settings.OTP_CHANNELS = {"sms": [{"BACKEND": "no.such.Thing"}]}

    assert "no.such.Thing cannot be imported" in refusal("send_test", "sms", NUMBER, "--yes")


@pytest.mark.parametrize(
    ("answer", "sends"),
    [("y", True), ("YES", True), (" y ", True), ("", False), ("n", False), ("yonder", False)],
)
def test_what_costs_money_is_asked_first(pigeon, monkeypatch, answer, sends):
    asked: list[Any] = []
    monkeypatch.setattr(builtins, "input", lambda prompt: asked.append(prompt) or answer)

    if sends:
        run("send_test", "sms", NUMBER)
    else:
        assert refusal("send_test", "sms", NUMBER) == "Nothing was sent."

    assert asked == ["This may cost money. Send it? [y/N] "]
    assert len(pigeon.sent) == sends


def test_where_nobody_can_be_asked_nothing_is_sent(pigeon, monkeypatch):
    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(builtins, "input", nobody)

    assert "--yes" in refusal("send_test", "sms", NUMBER)
    assert pigeon.sent == []
