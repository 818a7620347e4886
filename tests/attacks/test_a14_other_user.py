"""A14: with somebody's password, use one's own code, phone or challenge."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge
from tests.clock import let_pass
from tests.factories import PhoneFactory, UserFactory
from tests.journey import SEND, VERIFY

pytestmark = pytest.mark.django_db


@pytest.fixture
def attackers(db):
    return PhoneFactory(user=UserFactory(username="mallory"), address="+12025550199")


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a14_the_code_of_another_account_opens_nothing(parked, elsewhere, attackers):
    elsewhere.enter_password(attackers.user)
    own = elsewhere.code

    parked.enter_code(own)

    assert parked.is_nobody
    assert elsewhere.is_nobody


@pytest.mark.parametrize("field", ["device", "device_id", "persistent_id", "challenge", "flow"])
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a14_no_field_names_another_accounts_challenge(parked, elsewhere, attackers, field):
    elsewhere.enter_password(attackers.user)
    theirs = Challenge.objects.get(user=attackers.user)

    for named in (attackers.pk, attackers.persistent_id, theirs.pk, theirs.flow):
        parked.client.post(f"{VERIFY}?{field}={named}", {"token": elsewhere.code, field: named})

    assert parked.is_nobody


@pytest.mark.guard("django_otp_channels.models.devices.ChannelDeviceManager.for_login")
def test_a14_no_message_goes_to_the_phone_of_another_account(parked, phone, attackers):
    for named in (attackers.pk, attackers.persistent_id):
        for channel in ("sms", "voice", ""):
            let_pass(31)
            parked.client.post(SEND, {"device": named, "channel": channel})

    assert {message.to for message in parked.outbox} == {phone.address}
