"""A13: enter a code of another purpose."""

from __future__ import annotations

import pytest

from django_otp_channels.models import ChannelDevice
from tests.clock import let_pass
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db

NEW = "+12025550188"


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a13_a_code_that_proves_a_number_opens_no_login(journey, elsewhere, alex, phone):
    journey.log_in(alex)
    elsewhere.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": NEW, "channel": "sms"})

    elsewhere.enter_code()  # the latest one, of the proof

    assert elsewhere.is_nobody


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a13_a_login_code_proves_no_number(journey, elsewhere, alex, phone):
    journey.log_in(alex)
    journey.client.post(ADD_PHONE, {"number": NEW, "channel": "sms"})
    device = ChannelDevice.objects.get(address=NEW)
    elsewhere.enter_password(alex)

    journey.client.post(f"/account/devices/{device.pk}/confirm/", {"token": elsewhere.code})

    device.refresh_from_db()
    assert device.confirmed is False


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a13_a_test_code_of_staff_opens_no_login_and_no_api(parked, phone):
    let_pass(31)
    phone.send_test_code()

    parked.enter_code()

    assert parked.is_nobody
    assert not phone.verify_token(parked.code)


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a13_the_proof_of_one_number_proves_no_other(journey, alex):
    journey.enter_password(alex)
    journey.client.post(ADD_PHONE, {"number": "+12025550123", "channel": "sms"})
    first = journey.code
    let_pass(31)
    journey.client.post(ADD_PHONE, {"number": NEW, "channel": "sms"})
    second = ChannelDevice.objects.get(address=NEW)

    journey.client.post(f"/account/devices/{second.pk}/confirm/", {"token": first})

    assert not ChannelDevice.objects.filter(confirmed=True).exists()
