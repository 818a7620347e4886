"""A39: many at once get no more messages than one after the other would."""

from __future__ import annotations

from functools import partial

import pytest
from django.test import Client

from django_otp_channels.models import Budget, ChannelDevice
from django_otp_channels.models.budgets import DEFAULT_LIMITS
from tests.factories import PASSWORD, PhoneFactory
from tests.journey import LOGIN

from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 20


def enter_password(device: ChannelDevice) -> int:
    data = {"username": device.user.get_username(), "password": PASSWORD}
    return Client(raise_request_exception=False).post(LOGIN, data).status_code


@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
@pytest.mark.parametrize("limit", [1, 5])
@pytest.mark.parametrize("bucket", ["login.site", "login.country", "login.prefix"])
def test_a39_many_people_at_once_use_up_a_budget_exactly(outbox, settings, bucket, limit):
    endless = {name: {86400: 10_000} for name in DEFAULT_LIMITS}
    settings.OTP_CHANNELS_LIMITS = {**endless, bucket: {3600: limit}}
    phones = [PhoneFactory(address=f"+120255501{n:02d}") for n in range(CROWD)]

    answers = at_once([partial(enter_password, phone) for phone in phones])

    assert answers == [302] * CROWD
    assert len(outbox) == limit
    assert Budget.objects.get(bucket=bucket).hour_used == limit * 10


@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
def test_a39_one_person_in_many_browsers_gets_what_one_number_may_have(outbox):
    phone = PhoneFactory()

    answers = at_once([partial(enter_password, phone) for _ in range(CROWD)])

    assert answers == [302] * CROWD
    assert len(outbox) == DEFAULT_LIMITS["login.number"][600]
