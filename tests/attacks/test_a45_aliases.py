"""A45: spell one number in many ways, each with a budget of its own."""

from __future__ import annotations

import pytest

from django_otp_channels.models import ChannelDevice
from tests.clock import let_pass
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db

SPELLINGS = {
    "+447400123456": [
        "+44 7400 123456", "+44 (0)7400 123456", "+4407400123456", "00447400123456",
        "+44\u00a07400\u00a0123456", "+44-7400-123456", "+447400123456x12",
        "+447400123456 ext 12", "＋447400123456", "tel:+447400123456", "+44 74 00 12 34 56 ",
        "٠٠٤٤٧٤٠٠١٢٣٤٥٦",
    ],
    "+525512345678": ["+52 55 1234 5678", "+52 1 55 1234 5678", "+5215512345678"],
    "+5491123456789": ["+54 9 11 2345 6789", "+54 11 15 2345 6789", "+5401123456789"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("number", "spelling"),
    [(number, spelling) for number, spellings in SPELLINGS.items() for spelling in spellings],
)
@pytest.mark.guard("django_otp_channels.phones._canonical")
def test_a45_a_spelling_is_the_same_number_or_none(journey, alex, settings, number, spelling):
    settings.OTP_CHANNELS_COUNTRIES = ["GB", "MX", "AR"]
    settings.OTP_CHANNELS_LIMITS = {"enrol.number": {3600: 1}}
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": number, "channel": "sms"})
    assert [message.to for message in journey.outbox] == [number]
    ChannelDevice.objects.all().delete()
    let_pass(61)

    journey.client.post(ADD_PHONE, {"number": spelling, "channel": "sms"})

    assert len(journey.outbox) == 1
    assert set(ChannelDevice.objects.values_list("address", flat=True)) <= {number}


@pytest.mark.guard("django_otp_channels.phones.split_extension")
def test_a45_the_extensions_of_a_line_share_its_budget(journey, alex, settings):
    settings.OTP_CHANNELS_LIMITS = {"enrol.number": {3600: 1}}
    journey.enter_password(alex)

    for extension in range(1, 5):
        data = {"number": f"+493012345678;ext={extension}", "channel": "voice"}
        journey.client.post(ADD_PHONE, data)
        let_pass(61)

    assert len(journey.outbox) == 1
