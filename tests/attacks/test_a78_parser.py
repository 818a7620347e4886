"""A78: say one thing to whoever checks the number, and another to whoever sends."""

from __future__ import annotations

import pytest

from django_otp_channels.models import ChannelDevice
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db

TRICKS = [
    "Tel: +1 202 555 0123 xyz", "tel:0123;phone-context=+1202555", "tel:+12025550123",
    "+12025550123;phone-context=evil.example", "+12025550123, +979123456789", "⁺12025550123",
    "+12025550123#31#", "*#21#+12025550123", "+1202555o123", "+12025550123\n+979123456789",
    "+12025550123\u202e", "+1202" + " " * 250 + "5550123", "+12025550123;ext=1;phone-context=+979",
]  # fmt: skip


@pytest.mark.parametrize("text", TRICKS, ids=lambda text: ascii(text[:24]))
@pytest.mark.guard("django_otp_channels.phones.parse")
def test_a78_a_number_with_something_to_it_is_no_number(journey, alex, text):
    journey.client.force_login(alex)

    answer = journey.client.post(ADD_PHONE, {"number": text, "channel": "sms"})

    assert answer.status_code == 200
    assert answer.context["form"].errors["number"]
    assert journey.outbox == []
    assert not ChannelDevice.objects.exists()
