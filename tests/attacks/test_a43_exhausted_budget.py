"""A43: use up a budget that other people need."""

from __future__ import annotations

import json
from functools import partial

import pytest
from django.test import Client, TestCase

from django_otp_channels.models import ChannelDevice
from django_otp_channels.models.budgets import DEFAULT_LIMITS
from tests.clock import let_pass
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, LOGIN, Journey

from .threads import at_once

pytestmark = pytest.mark.django_db

AUDIT = "django_otp_channels.audit"


@pytest.mark.parametrize("number", ["+12025550123", "+12025550177"], ids=["number", "prefix"])
@pytest.mark.guard("django_otp_channels.models.budgets.part_of")
def test_a43_strangers_who_enrol_somebodys_number_leave_its_login_alone(
    journey, alex, phone, settings, number
):
    settings.OTP_CHANNELS_LIMITS = {"login.prefix": {3600: 3}, "login.site": {3600: 3}}
    for _ in range(12):
        stranger = Journey(Client(), journey.outbox, PASSWORD)
        stranger.enter_password(UserFactory())
        stranger.client.post(ADD_PHONE, {"number": number, "channel": "sms"})
    assert len(journey.outbox) == 3
    let_pass(61)

    journey.log_in(alex)

    assert journey.is_in


@pytest.mark.guard("django_otp_channels.models.budgets.part_of")
def test_a43_sign_ups_that_used_up_the_sites_budget_leave_logins_alone(
    journey, alex, phone, settings
):
    settings.OTP_CHANNELS_LIMITS = {"enrol.site": {3600: 1}, "login.site": {3600: 1}}
    stranger = Journey(Client(), journey.outbox, PASSWORD)
    stranger.enter_password(UserFactory())
    stranger.client.post(ADD_PHONE, {"number": "+12125550100", "channel": "sms"})

    journey.log_in(alex)

    assert journey.is_in


def test_a43_whom_no_text_can_reach_gets_a_call(journey, alex, phone, settings):
    settings.OTP_CHANNELS_LIMITS = {"login.number": {600: 1}}
    journey.enter_password(alex)
    journey.enter_password(alex)
    assert len(journey.outbox) == 1

    journey.ask(channel="voice")
    journey.enter_code()

    assert [message.channel for message in journey.outbox] == ["sms", "voice"]
    assert journey.is_in


CROWD = 20


def enter_password(phone: ChannelDevice) -> int:
    data = {"username": phone.user.get_username(), "password": PASSWORD}
    return Client().post(LOGIN, data).status_code


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bucket", ["login.site", "login.country"])
@pytest.mark.guard("django_otp_channels.models.budgets.Charge.passed")
def test_a43_staff_hear_once_that_a_budget_runs_out_however_many_use_it_up_at_once(
    outbox, settings, caplog, bucket
):
    endless = {name: {86400: 10_000} for name in DEFAULT_LIMITS}
    settings.OTP_CHANNELS_LIMITS = {**endless, bucket: {3600: 10}}
    phones = [PhoneFactory(address=f"+120255501{n:02d}") for n in range(CROWD)]

    at_once([partial(enter_password, phone) for phone in phones])

    events = [json.loads(record.message) for record in caplog.records if record.name == AUDIT]
    told = [event for event in events if event["event"] == "budget_running_out"]
    assert len(outbox) == 10
    assert [(event["bucket"], event["window"]) for event in told] == [(bucket, 3600)] * 2
    assert sorted(event["percent"] for event in told) == [50, 80]


@pytest.mark.guard("django_otp_channels.models.budgets.Charge.passed")
def test_a43_the_word_comes_before_anybody_is_shut_out(journey, alex, phone, settings, caplog):
    settings.OTP_CHANNELS_LIMITS = {"login.site": {86400: 2}}

    with TestCase.captureOnCommitCallbacks(execute=True):
        journey.log_in(alex)

    assert journey.is_in
    assert '"budget_running_out"' in caplog.text
