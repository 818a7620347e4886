"""What providers say of a message, in any order, as often as they like."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_otp_channels.messages import Receipt, Status
from django_otp_channels.models import Challenge, Delivery
from tests.factories import PhoneFactory
from tests.hooks import spoken_in

ON_THE_WAY = [Status.SENDING, Status.UNKNOWN, Status.SENT]
ENDED = [Status.ANSWERED, Status.DELIVERED, Status.UNDELIVERED, Status.FAILED]


def after(status: Status, told: Status) -> Status:
    """What a delivery reads as that read as ``status`` when ``told`` arrived."""
    if status in ENDED:
        return status
    if told in ENDED:
        return told
    return max(status, told, key=ON_THE_WAY.index)


@pytest.fixture
def delivery(db) -> Delivery:
    challenge = Challenge.issue(PhoneFactory(), purpose="login")
    return Delivery.objects.create(
        challenge=challenge, channel="sms", provider="twilio", status=Status.SENDING
    )


def receipt(status: Status | None, message_id: str = "SM1", code: str = "") -> Receipt:
    return Receipt(provider="twilio", message_id=message_id, status=status, error_code=code)


@pytest.mark.parametrize(("first", "second"), list(product(Status, repeat=2)))
def test_of_two_receipts_the_later_one_counts_only_if_it_goes_forward(delivery, first, second):
    for status in (first, second):
        delivery.receive(receipt(status))

    delivery.refresh_from_db()
    assert delivery.status == after(after(Status.SENDING, first), second)


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(told=st.lists(st.sampled_from([*Status, None]), max_size=8))
def test_whatever_the_order_a_delivery_never_goes_back(delivery, told):
    Delivery.objects.update(status=Status.SENDING, message_id="", error_code="")
    expected = Status.SENDING
    for number, status in enumerate(told):
        forward = status is not None and after(expected, status) != expected
        assert delivery.receive(receipt(status, code=str(number))) is forward
        expected = after(expected, status) if status is not None else expected
        delivery.refresh_from_db()
        assert delivery.status == expected
        if forward:
            assert delivery.error_code == str(number)


def test_a_receipt_of_another_message_changes_nothing(delivery):
    assert delivery.receive(receipt(Status.SENT, "SM1"))

    assert not delivery.receive(receipt(Status.DELIVERED, "SM2"))
    delivery.refresh_from_db()
    assert (delivery.status, delivery.message_id) == ("sent", "SM1")


# ── Over HTTP, in Twilio's words ────────────────────────────────────────────────────────────────

TEXT = {
    "sent": "sent",
    "delivered": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
}
NO_NEWS = ["accepted", "scheduled", "queued", "sending", "receiving", "received", "", "new-word"]


@pytest.mark.django_db(transaction=True)
def test_a_texts_receipts_may_come_in_any_order_and_twice(over_twilio):
    sent = over_twilio("sms")
    for order in permutations(TEXT):
        Delivery.objects.update(status="sending", message_id="", error_code="", finished_at=None)
        expected = Status.SENDING
        for word in order:
            for _ in range(2):
                answer = sent.tells(sent.status(word, "30008" if word == "failed" else ""))
                assert (answer.status_code, answer.content) == (200, b"")
            expected = after(expected, Status(TEXT[word]))
            assert sent.delivery.status == expected
        first_end = next(word for word in order if word != "sent")
        assert sent.delivery.error_code == ("30008" if first_end == "failed" else "")
        assert sent.delivery.message_id == sent.sid


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("word", "status"),
    [("read", "delivered"), ("partially_delivered", "delivered"), ("canceled", "failed")]
    + [(word, "sent") for word in NO_NEWS],
)
def test_each_word_of_a_text_has_its_meaning(over_twilio, word, status):
    sent = over_twilio("sms")

    assert sent.tells(sent.status(word)).status_code == 200
    assert sent.delivery.status == status


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("word", "status"),
    [(word, "undelivered") for word in ("completed", "busy", "no-answer", "failed", "canceled")]
    + [(word, "sent") for word in ("queued", "initiated", "ringing", "in-progress", "")],
)
def test_each_word_of_a_call_has_its_meaning(over_twilio, word, status):
    sent = over_twilio("voice")

    assert sent.tells(sent.status(word)).status_code == 200
    assert sent.delivery.status == status
    # A call whose code was heard has ended well, whatever its end is called.
    Delivery.objects.update(status="sent", error_code="")
    assert spoken_in(sent.tells(sent.pressed()))
    sent.tells(sent.status(word))
    assert sent.delivery.status == "answered"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("code", "reason", "recorded"),
    [
        ("30003", "", "30003"),
        ("30005", "gone", "30005"),
        ("30006", "no-texts", "30006"),
        ("21610", "opted-out", "21610"),
        ("", "", ""),
        ("+12025550123", "", ""),
        ("<script>", "", ""),
        ("3" * 33, "", ""),
        ("30003\n", "", ""),
    ],
)
def test_a_code_is_recorded_as_staff_can_look_it_up_and_nothing_else(
    over_twilio, code, reason, recorded
):
    sent = over_twilio("sms")

    sent.tells(sent.status("undelivered", code))

    assert (sent.delivery.error_code, sent.delivery.reason) == (recorded, reason)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("code", ["21610", "30003", "30005", "30006"])
def test_no_carriers_word_on_one_message_disables_a_device(over_twilio, code):
    sent = over_twilio("sms")

    sent.tells(sent.status("undelivered", code))

    device = sent.challenge.device
    assert device.disabled_reason == ""
    assert "sms" in device.channels
