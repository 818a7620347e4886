"""A69: put together the digits that different pages show."""

from __future__ import annotations

import re

import pytest

from tests.clock import let_pass
from tests.journey import ADD_PHONE, DEVICES, STATUS, VERIFY

pytestmark = pytest.mark.django_db

SHOWN = re.compile("(?:•••• |ending in )([0-9]+)")


@pytest.mark.guard("django_otp_channels.phones.last_digits")
def test_a69_every_page_shows_the_same_two_digits(journey, elsewhere, alex, phone):
    journey.enter_password(alex)
    pages = [journey.client.get(VERIFY), journey.enter_code(journey.wrong_code)]
    status = journey.client.get(STATUS).json()["sentence"]
    let_pass(31)
    journey.ask()
    pages.append(journey.client.get(VERIFY))
    journey.enter_code()
    pages += [
        journey.client.get(DEVICES),
        journey.client.get(f"/account/devices/{phone.pk}/remove/"),
        journey.client.post(ADD_PHONE, {"number": phone.address, "channel": "sms"}),
    ]

    hints = set().union(*(SHOWN.findall(page.text) for page in pages), SHOWN.findall(status))
    assert hints == {"23"}
    for page in pages[:5]:
        digits = re.sub(r"[^0-9]", "", page.text)
        assert phone.address[1:] not in digits
        assert phone.address[1:-2] not in digits


def test_a69_nothing_of_a_number_is_shown_before_the_password(client, phone):
    for url in ("/account/login/", "/login/", VERIFY, DEVICES, STATUS):
        answer = client.get(url, follow=True)
        assert "23" not in SHOWN.findall(answer.text)
        assert phone.address[-4:] not in answer.text
