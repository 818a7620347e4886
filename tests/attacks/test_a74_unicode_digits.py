"""A74: write the right code in digits that are not 0 to 9."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

ASCII = "0123456789"
SCRIPTS = {
    "Arabic": "٠١٢٣٤٥٦٧٨٩",
    "Persian": "۰۱۲۳۴۵۶۷۸۹",
    "full-width": "０１２３４５６７８９",
    "superscript": "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "Devanagari": "०१२३४५६७८९",
    "mathematical": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
    "circled": "⓪①②③④⑤⑥⑦⑧⑨",
}
AROUND = {
    "joined": "{0[0]}\u200d{0}",
    "from the right": "\u202e{0}",
    "keycaps": "{0[0]}\ufe0f\u20e3{0}",
    "underscore": "{0[0]}_{0}",
    "plus": "+{0}",
    "mark": "\ufeff{0}",
}


@pytest.mark.parametrize("digits", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.guard("django_otp_channels.forms.TokenForm.clean_token")
def test_a74_only_the_ten_ascii_digits_are_a_code(parked, digits):
    typed = parked.code.translate(str.maketrans(ASCII, digits))

    answer = parked.enter_code(typed)

    assert answer.status_code == 200
    assert "has 6 digits, 0 to 9" in answer.text
    assert Challenge.objects.get().attempts == 1
    assert parked.is_nobody


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_a74_what_stands_around_the_digits_is_not_overlooked(parked, around):
    answer = parked.client.post(VERIFY, {"token": around.format(parked.code)})

    assert answer.status_code == 200
    assert Challenge.objects.get().attempts == 1
    assert parked.is_nobody
