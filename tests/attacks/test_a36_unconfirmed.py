"""A36: use a device that nobody has proven."""

from __future__ import annotations

import pytest
from django_otp import devices_for_user, verify_token

from django_otp_channels.exceptions import SendNotAllowed
from django_otp_channels.models import Challenge
from tests.factories import PhoneFactory
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db


@pytest.mark.guard("django_otp_channels.models.devices.ChannelDevice.verify_token")
def test_a36_the_stock_api_verifies_no_unproven_device(outbox, phone):
    phone.generate_challenge()
    phone.confirmed = False
    phone.save()

    assert verify_token(phone.user, phone.persistent_id, str(outbox[-1].token)) is None


def test_a36_the_stock_api_sends_nothing_to_an_unproven_device(outbox, alex):
    device = PhoneFactory(user=alex, confirmed=False)

    with pytest.raises(SendNotAllowed):
        device.generate_challenge()
    assert outbox == []
    assert list(devices_for_user(alex)) == []


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a36_a_number_under_proof_opens_no_login(journey, elsewhere, alex, phone):
    journey.log_in(alex)
    journey.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})
    unproven, code = Challenge.objects.get(purpose="enrol").device, journey.code
    elsewhere.enter_password(alex)

    elsewhere.enter_code(code)
    elsewhere.enter_code(code, device=unproven.persistent_id)

    assert elsewhere.is_nobody


def test_a36_an_unproven_device_marks_no_session_as_verified(journey, alex, settings):
    device = PhoneFactory(user=alex, confirmed=False)
    session = journey.client.session
    session["otp_device_id"] = device.persistent_id
    session.save()
    journey.client.cookies["sessionid"] = session.session_key
    settings.OTP_CHANNELS_POLICY = "everyone"

    journey.enter_password(alex, "/custom-login/")

    assert journey.is_nobody
