"""A76: give a number that is none, or another one than it seems."""

from __future__ import annotations

import pytest

from django_otp_channels.models import ChannelDevice
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db

NONE = [
    "", "+", "+0123456789", "00", "+1234567890123456", "+1202555", "+1-800-FLOWERS", "112", "911",
    "+447012345678", "+44 20 7946 0958 x123", "+44 (0)20 7946 0958", "＋12025550123",
    "+١٢٠٢٥٥٥٠١٢٣", "+12025550123\x00", "+1 202 555 0123 / +1 202 555 0124", "-12025550123",
    "+12025550123;ext=9;ext=8", "1" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("number", NONE, ids=lambda number: ascii(number[:24]))
@pytest.mark.guard("django_otp_channels.phones.parse")
def test_a76_what_is_no_number_is_refused_before_anything_is_kept_or_sent(journey, alex, number):
    journey.client.force_login(alex)

    answer = journey.client.post(ADD_PHONE, {"number": number, "channel": "sms"})

    assert answer.status_code == 200
    assert answer.context["form"].errors["number"]
    assert journey.outbox == []
    assert not ChannelDevice.objects.exists()


@pytest.mark.parametrize(
    ("number", "stored", "countries"),
    [
        ("+39 06 1234 5678", "+390612345678", ["IT"]),
        ("+7 701 234 5678", "+77012345678", ["KZ"]),
        ("+1 (202) 555-0123", "+12025550123", ["US"]),
        ("+44.7400.123456", "+447400123456", ["GB"]),
    ],
)
def test_a76_what_is_one_is_kept_in_its_one_form_and_of_its_own_country(
    journey, alex, settings, number, stored, countries
):
    settings.OTP_CHANNELS_COUNTRIES = countries
    journey.client.force_login(alex)

    # A call, which the landline among them takes as well.
    journey.client.post(ADD_PHONE, {"number": number, "channel": "voice"})

    assert ChannelDevice.objects.get().address == stored
    assert [message.to for message in journey.outbox] == [stored]


@pytest.mark.parametrize("number", ["+7 701 234 5678", "+39 06 698 12345"])
@pytest.mark.guard("django_otp_channels.phones.parse_reachable")
def test_a76_a_shared_country_code_admits_no_neighbour(journey, alex, settings, number):
    settings.OTP_CHANNELS_COUNTRIES = ["RU", "IT"]
    journey.client.force_login(alex)

    journey.client.post(ADD_PHONE, {"number": number, "channel": "sms"})

    assert journey.outbox == []
    assert not ChannelDevice.objects.exists()
