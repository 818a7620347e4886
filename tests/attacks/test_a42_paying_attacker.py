"""A42: have messages sent and enter each code, so that all looks well."""

from __future__ import annotations

import pytest
from django.test import Client

from django_otp_channels.models import ChannelDevice
from tests.clock import let_pass
from tests.factories import PASSWORD
from tests.journey import ADD_PHONE, Journey

pytestmark = pytest.mark.django_db


@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
def test_a42_a_right_code_refunds_no_message(outbox, alex, phone):
    for _ in range(24):
        browser = Journey(Client(), outbox, PASSWORD)
        browser.enter_password(alex)
        if outbox:
            browser.enter_code()
        let_pass(900)

    # At most five texts an hour would be thirty by now; a day has ten.
    assert len(outbox) == 10


@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
def test_a42_to_remove_and_to_add_a_number_again_refunds_nothing(journey, alex):
    journey.enter_password(alex)
    for _ in range(9):
        journey.client.post(ADD_PHONE, {"number": "+12025550123", "channel": "sms"})
        device = ChannelDevice.objects.get()
        journey.client.post(f"/account/devices/{device.pk}/confirm/", {"token": journey.code})
        journey.client.post(f"/account/devices/{device.pk}/remove/")
        ChannelDevice.objects.all().delete()
        let_pass(61)

    assert len([message for message in journey.outbox if message.token]) == 3
    assert len([message for message in journey.outbox if not message.token]) <= 3


@pytest.mark.guard("django_otp_channels.models.devices.ChannelDevice._reserve_generation")
def test_a42_the_stock_api_refunds_no_cooldown_either(outbox, phone):
    for _ in range(5):
        try:
            phone.generate_challenge()
        except Exception:  # noqa: BLE001, S112 - refused: what counts is the outbox
            continue
        assert phone.verify_token(str(outbox[-1].token))

    assert len(outbox) == 1
