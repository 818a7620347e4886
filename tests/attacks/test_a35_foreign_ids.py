"""A35: name the device of somebody else."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.models import ChannelDevice, TrustedBrowser
from django_otp_channels.urls import urlpatterns
from tests.factories import PhoneFactory, TrustedBrowserFactory, UserFactory
from tests.journey import SEND

pytestmark = pytest.mark.django_db

NOBODYS = 987_654_321


@pytest.fixture(params=[True, False], ids=["proven", "unproven"])
def theirs(request, db):
    return PhoneFactory(
        user=UserFactory(username="sam"), address="+12025550188", confirmed=request.param
    )


# Every page of a device, so that no new one goes without.
ACTS = [
    str(pattern.pattern).removeprefix("devices/<int:pk>/")
    for pattern in urlpatterns
    if str(pattern.pattern).startswith("devices/<int:pk>/")
]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.guard("django_otp_channels.views.owner.OwnerView.own_device")
def test_a35_the_device_of_somebody_else_is_none(journey, alex, phone, theirs, act, method):
    journey.log_in(alex)
    before = list(ChannelDevice.objects.values())

    answers = [
        getattr(journey.client, method)(
            f"/account/devices/{pk}/{act}",
            {"token": journey.code, "name": "Mine", "number": "+12025550177", "channel": "sms"},
        )
        for pk in (theirs.pk, NOBODYS)
    ]

    assert [answer.status_code for answer in answers] in ([404, 404], [405, 405])
    assert answers[0].content == answers[1].content
    assert list(ChannelDevice.objects.values()) == before


@pytest.mark.guard("django_otp_channels.enrolment.unproven_device")
def test_a35_no_code_goes_to_the_device_of_somebody_else(journey, alex, phone, theirs):
    journey.log_in(alex)
    answers = set()

    for named in (theirs.pk, theirs.persistent_id, NOBODYS, f"{theirs.pk} ", f"0{theirs.pk}"):
        answers.add(journey.client.post(SEND, {"device": named}).headers["Location"])

    assert len(answers) == 1
    assert [message.to for message in journey.outbox] == [phone.address]


def test_a35_a_browser_or_an_app_of_somebody_else_is_none(journey, alex, phone, settings):
    settings.OTP_CHANNELS_TRUST_DAYS = 30
    sam = UserFactory(username="sam")
    app = TOTPDevice.objects.create(user=sam, name="Theirs")
    browser = TrustedBrowserFactory(user=sam)
    journey.log_in(alex)

    for ids in ((app.pk, browser.pk), (NOBODYS, uuid4())):
        for url in (
            f"/account/authenticators/{ids[0]}/remove/",
            f"/account/authenticators/{ids[0]}/confirm/",
            f"/account/browsers/{ids[1]}/revoke/",
        ):
            assert journey.client.post(url, {"token": "123456"}).status_code == 404
    assert TOTPDevice.objects.filter(pk=app.pk).exists()
    assert TrustedBrowser.objects.filter(pk=browser.pk).exists()
