"""A49: a signature has no time and holds for ever: a captured key press is worth nothing."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.db.models import F

from django_otp_channels.models import Challenge
from tests.hooks import code_in, everything, sends_are_over, spoken_in

from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

AGES = {"10 s": timedelta(seconds=10), "1 h": timedelta(hours=1), "1 day": timedelta(days=1)}


@pytest.mark.parametrize("age", AGES.values(), ids=AGES.keys())
@pytest.mark.guard("django_otp_channels.models.deliveries.Delivery.receive")
def test_a49_a_replayed_key_press_reads_nothing(over_twilio, age):
    sent = over_twilio("voice")
    captured = sent.pressed()
    assert code_in(spoken_in(sent.tells(captured)))
    Challenge.objects.update(created_at=F("created_at") - age, expires_at=F("expires_at") - age)
    before = everything()

    for _ in range(3):
        assert spoken_in(sent.tells(captured)) == []
    assert everything() == before


@pytest.mark.parametrize("age", [AGES["1 h"], AGES["1 day"]], ids=["1 h", "1 day"])
def test_a49_a_key_press_that_never_arrived_is_worth_nothing_later(over_twilio, age):
    sent = over_twilio("voice")
    captured = sent.pressed()
    Challenge.objects.update(expires_at=F("expires_at") - age)
    before = everything()

    assert spoken_in(sent.tells(captured)) == []
    assert everything() == before


def test_a49_a_replay_reads_nothing_of_a_later_call_of_the_same_login(over_twilio):
    sent = over_twilio("voice")
    captured = sent.pressed()
    spoken_in(sent.tells(captured))
    Challenge.objects.update(next_send_at=F("created_at"))
    sent.journey.ask(channel="voice")
    sends_are_over()
    assert len(sent.api.calls.requests) == 2

    assert spoken_in(sent.tells(captured)) == []


@pytest.mark.guard("django_otp_channels.models.deliveries.Delivery.receive")
def test_a49_of_many_at_once_one_is_read_the_code(over_twilio):
    sent = over_twilio("voice")
    captured = sent.pressed()

    heard = at_once([partial(sent.tells, captured) for _ in range(20)])

    assert sorted(len(spoken_in(answer)) for answer in heard) == [0] * 19 + [5]
    assert sent.delivery.status == "answered"


def test_a49_a_replayed_receipt_moves_nothing(over_twilio):
    sent = over_twilio("sms")
    captured = sent.status("undelivered", "30003")
    sent.tells(captured)
    before = everything()

    for _ in range(3):
        assert sent.tells(captured).status_code == 200
    assert everything() == before
