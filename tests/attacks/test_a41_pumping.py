"""A41: earn money with messages to numbers of one's own."""

from __future__ import annotations

import pytest
from django.test import Client

from django_otp_channels.models import Budget, Challenge, ChannelDevice
from django_otp_channels.models.budgets import DEFAULT_LIMITS
from tests.clock import let_pass
from tests.factories import UserFactory
from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db

# Satellite and global networks, premium rate, personal numbers, and countries that nobody allowed.
DEAR = [
    "+881612345678", "+882161234567", "+88312345678", "+979123456789", "+19002345678",
    "+447012345678", "+18762345678", "+224601123456", "+252612345678", "+9607712345",
    "+8001234567", "+808123456789", "+870773111632",
]  # fmt: skip


def sign_up(outbox, number):
    """Let somebody new prove ``number``."""
    client = Client()
    client.force_login(UserFactory())
    client.post(ADD_PHONE, {"number": number, "channel": "sms"})


@pytest.mark.parametrize("number", DEAR)
@pytest.mark.guard("django_otp_channels.phones.parse_reachable")
def test_a41_no_number_that_earns_its_owner_money_is_taken(outbox, number):
    sign_up(outbox, number)

    assert outbox == []
    assert not Challenge.objects.exists()
    assert not ChannelDevice.objects.exists()


@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
def test_a41_a_range_of_numbers_gets_ten_messages_an_hour(outbox):
    for n in range(12):
        sign_up(outbox, f"+120255501{n:02d}")

    assert len(outbox) == DEFAULT_LIMITS["enrol.prefix"][3600]


@pytest.mark.guard("django_otp_channels.models.admission._watch_conversion")
def test_a41_a_country_in_which_nobody_enters_a_code_is_closed(outbox):
    for n in range(21):
        sign_up(outbox, f"+1202{300 + n}0123")

    assert len(outbox) == 20
    assert Budget.objects.filter(bucket="enrol.country", paused_until__isnull=False).exists()
    let_pass(23 * 3600)
    sign_up(outbox, "+12125550123")
    assert len(outbox) == 20


@pytest.mark.guard("django_otp_channels.models.budgets.Budget._charge")
def test_a41_the_worst_that_it_can_cost_is_the_budget_of_the_site(outbox, settings):
    endless = {bucket: {86400: 10_000} for bucket in DEFAULT_LIMITS}
    settings.OTP_CHANNELS_LIMITS = {**endless, "enrol.site": {86400: 7}}
    settings.OTP_CHANNELS_COUNTRIES = ["US", "GB", "DE"]

    for n in range(12):
        sign_up(outbox, [f"+1202{300 + n}0123", f"+4474001234{n:02d}"][n % 2])

    assert len(outbox) == 7
