"""A51: a code is read once, to the listener of that call, for the announced key, while it lives."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from django.db.models import F
from django.test import Client

from django_otp_channels.models import Challenge, ChannelDevice, Lockout
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.hooks import code_in, everything, sends_are_over, spoken_in
from tests.journey import CANCEL, Journey
from tests.providers.twilio import sign

from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

SAME_AND_MORE = ["{}\0", "{}#", "{} ", " {}", "{0}{0}", "0{}", "+{}", "{}.0", "{}\n"]


def other_keys(key: str) -> list[str]:
    return [digit for digit in "0123456789*#" if digit != key]


def test_a51_the_right_key_is_read_the_code_twice_in_one_answer(over_twilio):
    sent = over_twilio("voice")

    lines = spoken_in(sent.tells(sent.pressed()))

    code = code_in(lines)
    assert len(lines) == 5
    sent.journey.enter_code(code)
    assert sent.journey.is_in
    assert (sent.delivery.status, sent.delivery.message_id) == ("answered", sent.sid)


def assert_spent(sent) -> None:
    """A call has one try: the tone in a greeting must not come round to the right key."""
    assert (sent.delivery.status, sent.delivery.error_code) == ("undelivered", "wrong-key")
    assert spoken_in(sent.tells(sent.pressed())) == []


@pytest.mark.parametrize("spelling", SAME_AND_MORE)
def test_a51_only_the_announced_digit_itself_counts(over_twilio, spelling):
    sent = over_twilio("voice")

    assert spoken_in(sent.tells(sent.pressed(spelling.format(sent.key)))) == []
    assert_spent(sent)


def test_a51_a_digit_of_another_script_is_another_key(over_twilio):
    sent = over_twilio("voice")
    for zero in ("٠", "０", "०"):
        assert spoken_in(sent.tells(sent.pressed(chr(ord(zero) + int(sent.key))))) == []


def test_a51_fifty_wrong_presses_hear_nothing(over_twilio):
    sent = over_twilio("voice")

    for number in range(50):
        wrong = ["", *other_keys(sent.key)][number % 12]
        assert spoken_in(sent.tells(sent.pressed(wrong))) == []
    assert_spent(sent)


@pytest.mark.guard("django_otp_channels.models.deliveries.Delivery.receive")
def test_a51_fifty_right_presses_hear_the_code_once(over_twilio):
    sent = over_twilio("voice")

    heard = [spoken_in(sent.tells(sent.pressed())) for _ in range(50)]

    assert [len(lines) for lines in heard] == [5] + [0] * 49


def test_a51_what_was_said_aloud_is_not_listened_to(over_twilio):
    sent = over_twilio("voice")
    press = sent.pressed()
    fields = {name: value for name, value in press.fields.items() if name != "Digits"}
    before = everything()

    for words in (sent.key, "four", "read me the code", ""):
        spoken = {**fields, "SpeechResult": words, "Confidence": "1.0"}
        answer = sent.tells(replace(press, fields=spoken, signature=sign(press.url, spoken)))
        assert (answer.status_code, answer.content) == (200, b"")
    assert everything() == before


@pytest.mark.parametrize(
    "by", ["machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax"]
)
def test_a51_a_machine_that_plays_the_tone_hears_nothing(over_twilio, by):
    sent = over_twilio("voice")

    assert spoken_in(sent.tells(sent.pressed(AnsweredBy=by))) == []
    assert_spent(sent)


@pytest.mark.parametrize("by", ["human", "unknown"])
def test_a51_whoever_may_be_a_person_hears_the_code(over_twilio, by):
    sent = over_twilio("voice")

    assert code_in(spoken_in(sent.tells(sent.pressed(AnsweredBy=by))))


def test_a51_another_call_hears_nothing_of_this_one(over_twilio):
    sent = over_twilio("voice")
    before = everything()

    assert spoken_in(sent.tells(sent.pressed(CallSid="CA" + "0" * 32))) == []
    assert everything() == before
    assert code_in(spoken_in(sent.tells(sent.pressed())))


@pytest.mark.guard("django_otp_channels.codes.key_to_press")
def test_a51_the_key_of_one_call_is_not_the_key_of_the_next(over_twilio):
    """A greeting that plays one tone hears one call in nine at best."""
    first = over_twilio("voice")
    keys = {first.key}
    for _ in range(30):
        walker = Journey(Client(), [], PASSWORD)
        walker.enter_password(first.challenge.user)
        sends_are_over()
        keys.add(replace(first, request=first.api.calls.requests[-1]).key)
        if len(keys) > 1:
            return
    pytest.fail("Thirty calls had the same key.")


def expired(sent) -> None:
    Challenge.objects.update(expires_at=F("created_at"))


def verified(sent) -> None:
    Challenge.objects.update(state="verified", closed_at=F("created_at"))


def cancelled(sent) -> None:
    sent.journey.client.post(CANCEL)


def failed(sent) -> None:
    for number in range(5):
        sent.journey.enter_code(f"{number}" * 6)


def locked(sent) -> None:
    user = sent.challenge.user
    for _ in range(10):
        Lockout.record_failure(user.pk, exists=Lockout.objects.filter(user=user).exists())


def removed(sent) -> None:
    ChannelDevice.objects.all().delete()


def number_changed(sent) -> None:
    ChannelDevice.objects.update(version=F("version") + 1)


def switched_off(sent) -> None:
    ChannelDevice.objects.update(disabled_reason="staff")


def outnumbered(sent) -> None:
    """The tries that newer logins were granted leave none for this one."""
    for _ in range(2):
        Journey(Client(), [], PASSWORD).enter_password(sent.challenge.user)
        sends_are_over()


def over(sent) -> None:
    sent.tells(sent.status("completed"))


@pytest.mark.parametrize(
    "happens",
    [
        expired, verified, cancelled, failed, locked, outnumbered, removed, number_changed,
        switched_off, over,
    ],
)  # fmt: skip
def test_a51_a_key_pressed_too_late_hears_nothing(over_twilio, happens):
    sent = over_twilio("voice")
    press = sent.pressed()
    happens(sent)
    before = everything()

    assert spoken_in(sent.tells(press)) == []
    assert everything() == before


def test_a51_a_key_pressed_after_the_secret_has_gone_hears_nothing(over_twilio, settings):
    sent = over_twilio("voice")
    press = sent.pressed()
    settings.SECRET_KEY = "a-new-one-without-a-fallback"
    before = everything()

    assert spoken_in(sent.tells(press)) == []
    assert everything() == before


def test_a51_of_parallel_presses_one_hears_the_code(over_twilio):
    sent = over_twilio("voice")
    presses = [sent.pressed(AnsweredBy="human", Attempt=str(number)) for number in range(20)]

    heard = at_once([partial(sent.tells, press) for press in presses])

    assert sorted(len(spoken_in(answer)) for answer in heard) == [0] * 19 + [5]


def test_a51_a_code_for_one_call_is_of_its_own_login(over_twilio):
    first = over_twilio("voice")
    other = PhoneFactory(user=UserFactory(username="sam"), channel="voice", address="+12025550124")
    second = Journey(Client(), [], PASSWORD)
    second.enter_password(other.user)
    sends_are_over()
    before = second.whoami()

    code = code_in(spoken_in(first.tells(first.pressed())))

    assert second.whoami() == before
    second.enter_code(code)
    assert second.is_nobody
    first.journey.enter_code(code)
    assert first.journey.is_in


def test_a51_a_key_press_logs_nobody_in(over_twilio):
    sent = over_twilio("voice")

    answer = sent.tells(sent.pressed())

    assert sent.journey.is_nobody
    assert not answer.cookies
