"""A75: send what is no code."""

from __future__ import annotations

import json
import time

import pytest

from django_otp_channels.models import Challenge
from tests.journey import VERIFY

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
ODD = {
    "short": "12345", "long": "1234567", "NUL": "1\x0023456", "float": "12345.6", "power": "1e5",
    "negative": "-123456", "a megabyte": "1" * 1_000_000, "letters": "abcdef", "quote": "' OR 1=1",
    "a megabyte of spaces": " " * 999_999 + "1", "list": "[123456]", "hex": "0x1e240",
}  # fmt: skip


@pytest.mark.parametrize("typed", ODD.values(), ids=ODD)
@pytest.mark.guard("django_otp_channels.views.verify.entered_token")
def test_a75_what_is_no_code_costs_a_try_like_a_wrong_one(parked, typed):
    before = time.process_time()

    answer = parked.enter_code(typed)

    assert time.process_time() - before < 1
    assert answer.status_code == 200
    assert Challenge.objects.get().attempts == 1
    assert parked.is_nobody
    parked.enter_code()
    assert parked.is_in


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "  "}, {"code": "1"}], ids=str)
def test_a75_nothing_costs_nothing_and_moves_nothing(parked, data):
    answer = parked.client.post(VERIFY, data)

    assert answer.status_code == 200
    assert Challenge.objects.get().attempts == 0
    assert parked.is_nobody


def test_a75_of_two_codes_none_counts(parked):
    parked.client.post(VERIFY, {"token": [parked.code, parked.wrong_code]})
    parked.client.post(VERIFY, {"token": [parked.wrong_code, parked.code]})

    assert Challenge.objects.get().attempts == 2
    assert parked.is_nobody


@pytest.mark.parametrize("value", [123456, ["123456"], {"$ne": 1}, True, None], ids=str)
def test_a75_a_body_of_json_is_no_form(parked, value):
    answer = parked.client.post(
        VERIFY, json.dumps({"token": value}), content_type="application/json"
    )

    assert answer.status_code == 200
    assert Challenge.objects.get().attempts == 0
    assert parked.is_nobody


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"token=\xff\xfe%ff%fe", FORM),
        (b"&".join(b"a%d=1" % n for n in range(10_000)), FORM),
        (b"--x\r\nContent-Disposition: form-data; name=token", "multipart/form-data; boundary=x"),
        (b"x", "multipart/form-data"),
        (b"token=123456", "text/plain; charset=nonsense"),
    ],
    ids=["invalid UTF-8", "10,000 fields", "half a part", "no boundary", "no such charset"],
)
def test_a75_a_malformed_body_breaks_nothing(parked, body, content_type):
    answer = parked.client.generic("POST", VERIFY, body, content_type=content_type)

    assert answer.status_code in {200, 400, 403}
    assert parked.is_nobody
    parked.enter_code()
    assert parked.is_in
