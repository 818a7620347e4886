"""A33: add a phone of one's own with nothing but somebody's password."""

from __future__ import annotations

import pytest
from django.core import mail

from django_otp_channels.models import ChannelDevice
from django_otp_channels.testing import login_verified
from django_otp_channels.urls import urlpatterns
from tests.factories import PhoneFactory
from tests.journey import ADD_PHONE, DEVICES, SEND, VERIFY

pytestmark = pytest.mark.django_db

MINE = "+12025550199"
# The pages of the login step itself; every other one is for who is all the way in.
NOT_THE_OWNERS = {
    "login", "verify", "send", "status", "cancel", "reauth", "receipt", "remind",
}  # fmt: skip


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
@pytest.mark.guard("django_otp_channels.views.owner.OwnerView.turn_away")
def test_a33_a_password_alone_reaches_no_page_of_devices(parked, alex, phone, method):
    waiting = PhoneFactory(user=alex, address=MINE, confirmed=False)
    urls = [
        "/account/" + str(pattern.pattern).replace("<int:pk>", str(device.pk))
        for pattern in urlpatterns
        if pattern.name not in NOT_THE_OWNERS and "<uuid" not in str(pattern.pattern)
        for device in (phone, waiting)
    ]
    assert len(urls) > 20
    before = list(ChannelDevice.objects.values())

    for url in urls:
        answer = getattr(parked.client, method)(url, {"number": MINE, "token": parked.code})
        assert answer.headers["Location"] == VERIFY, url
        assert MINE not in answer.text
    parked.client.post(SEND, {"device": waiting.pk})

    assert list(ChannelDevice.objects.values()) == before
    assert len(parked.outbox) == 1


@pytest.mark.guard("django_otp_channels.login.owes_code")
def test_a33_a_session_from_before_the_first_phone_manages_none(journey, alex):
    """The decision that it needs no code is still remembered."""
    journey.enter_password(alex)
    assert journey.is_in
    PhoneFactory(user=alex)

    page = journey.client.get(DEVICES)
    journey.client.post(ADD_PHONE, {"number": MINE, "channel": "sms"})

    assert page.status_code == 302
    assert not ChannelDevice.objects.filter(address=MINE).exists()
    assert journey.outbox == []


def test_a33_who_must_enrol_reaches_nothing_else(journey, alex, settings):
    settings.OTP_CHANNELS_POLICY = "everyone"
    journey.enter_password(alex)

    assert journey.client.get(VERIFY).headers["Location"] == ADD_PHONE
    for url in (DEVICES, "/private/", "/verified-only/", "/admin/"):
        assert journey.client.get(url).status_code == 302
    assert journey.is_nobody


def _prove(journey):
    journey.client.post(ADD_PHONE, {"number": MINE, "channel": "sms"})
    device = ChannelDevice.objects.get(address=MINE)
    journey.client.post(f"/account/devices/{device.pk}/confirm/", {"token": journey.code})
    assert ChannelDevice.objects.filter(address=MINE, confirmed=True).exists()


@pytest.mark.guard("django_otp_channels.notices.tell")
def test_a33_the_owner_hears_of_a_first_phone_that_the_password_alone_has_added(
    journey, alex, settings
):
    settings.OTP_CHANNELS_POLICY = "everyone"
    journey.enter_password(alex)

    _prove(journey)

    assert [letter.to for letter in mail.outbox] == [["alex@example.com"]]
    letter = mail.outbox[0]
    assert letter.subject == "Example: A device was added to your account"
    assert "Phone •••• 99" in letter.body


@pytest.mark.guard("django_otp_channels.notices.tell")
def test_a33_every_other_address_hears_of_a_phone_that_a_stolen_session_adds(journey, alex, phone):
    other = PhoneFactory(user=alex, address="+12025550188")
    login_verified(journey.client, alex)

    _prove(journey)

    told = [message.to for message in journey.outbox if not message.token]
    assert sorted(told) == [phone.address, other.address]
    assert len(mail.outbox) == 1
