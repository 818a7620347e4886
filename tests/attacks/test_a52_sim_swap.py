"""A52: own the number meanwhile: what a site can look up stops the message."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from django_otp_channels.exceptions import SendNotAllowed
from django_otp_channels.models import Challenge, ChannelDevice, Refusal
from tests.clock import let_pass
from tests.factories import PASSWORD, AppFactory
from tests.journey import ADD_PHONE, SEND, VERIFY, Journey

pytestmark = pytest.mark.django_db

SWAPPED = "+12025550123"


def look_up(send):
    """A site's hook, which has asked the network about the number."""
    if send.number == SWAPPED:
        raise SendNotAllowed


@pytest.mark.guard("django_otp_channels.models.admission._ask_site")
def test_a52_nothing_goes_to_a_number_that_the_site_refuses(journey, alex, phone, settings):
    settings.OTP_CHANNELS_BEFORE_SEND = f"{__name__}.look_up"

    journey.enter_password(alex)
    for channel in ("sms", "voice", ""):
        journey.ask(channel=channel)
    phone.delete()
    journey.client.post(ADD_PHONE, {"number": SWAPPED, "channel": "sms"})

    assert journey.outbox == []
    assert journey.is_nobody
    assert not Challenge.objects.exists()
    assert Refusal.objects.exists()


def test_a52_another_factor_is_offered(journey, alex, phone, settings):
    settings.OTP_CHANNELS_BEFORE_SEND = f"{__name__}.look_up"
    app = AppFactory(user=alex)

    journey.enter_password(alex)
    assert app.name in journey.client.get(VERIFY).text
    journey.client.post(SEND, {"device": app.pk, "channel": "push"})

    assert [message.to for message in journey.outbox] == [app.address]
    journey.enter_code()
    assert journey.is_in


@pytest.mark.provider
@pytest.mark.guard("django_otp_channels.lookup._why_not")
def test_a52_no_code_goes_to_a_sim_that_twilio_knows_to_be_new(
    journey, alex, phone, settings, twilio_api
):
    cache.clear()
    settings.OTP_CHANNELS_BEFORE_SEND = "django_otp_channels.lookup.before_send"
    settings.OTP_CHANNELS_LOOKUP = {"sim_swap_hours": 72} | {
        name: twilio_api.options[name] for name in ("account_sid", "auth_token")
    }
    twilio_api.swaps[phone.address] = {"last_sim_swap_date": None, "swapped_in_period": True}

    journey.enter_password(alex)
    for channel in ("sms", "voice"):
        journey.ask(channel=channel)

    assert journey.outbox == []
    assert journey.is_nobody
    assert Refusal.objects.filter(limit="hook").exists()


def broken_look_up(send):
    raise RuntimeError


@pytest.mark.guard("django_otp_channels.models.admission._ask_site")
def test_a52_a_look_up_that_fails_sends_nothing_and_lets_nobody_in(journey, alex, phone, settings):
    settings.OTP_CHANNELS_BEFORE_SEND = f"{__name__}.broken_look_up"
    journey.client.raise_request_exception = False

    journey.enter_password(alex)
    let_pass(60)
    journey.ask()

    assert journey.outbox == []
    assert journey.is_nobody


def refuse_what_was_proven_long_ago(send):
    """A site's hook: carriers give a number away some months after its owner has left."""
    if send.part == "login" and send.channel != "push":
        long_ago = timezone.now() - timedelta(days=180)
        if send.proven_at is None or send.proven_at < long_ago:
            raise SendNotAllowed


@pytest.fixture
def old_proofs_are_refused(settings):
    settings.OTP_CHANNELS_BEFORE_SEND = f"{__name__}.refuse_what_was_proven_long_ago"


def let_days_pass(days):
    step = timedelta(days=days)
    let_pass(days * 86_400)
    for rows, name in ((Challenge.objects, "closed_at"), (ChannelDevice.objects, "last_used_at")):
        rows.exclude(**{name: None}).update(**{name: F(name) - step})


@pytest.mark.parametrize("purged", [False, True], ids=["", "purged"])
@pytest.mark.parametrize(("days", "sent"), [(100, 1), (181, 0)])
@pytest.mark.guard("django_otp_channels.models.challenges.last_proof")
def test_a52_a_number_that_was_proven_long_ago_gets_no_code(
    journey, alex, phone, settings, old_proofs_are_refused, days, sent, purged
):
    prove(phone)
    let_days_pass(days)
    if purged:
        call_command("otp_channels", "purge", stdout=StringIO())

    journey.enter_password(alex)

    assert len(journey.outbox) == sent


def prove(device):
    challenge = Challenge.issue(device, purpose="enrol", flow="the proof")
    Challenge.objects.filter(pk=challenge.pk).update(state="verified", closed_at=Now())


def test_a52_each_right_code_proves_the_number_anew(journey, alex, phone, old_proofs_are_refused):
    prove(phone)
    for _ in range(3):
        let_days_pass(100)
        Journey(type(journey.client)(), journey.outbox, PASSWORD).log_in(alex)

    assert len(journey.outbox) == 3


@pytest.mark.guard("django_otp_channels.models.challenges.last_proof")
def test_a52_neither_the_word_of_staff_nor_the_proof_of_another_number_is_one(
    journey, alex, phone, old_proofs_are_refused
):
    journey.enter_password(alex)
    assert journey.outbox == []
    prove(phone)
    phone.set_last_used_timestamp()
    phone.address = "+12025550188"
    phone.save()
    ChannelDevice.objects.filter(pk=phone.pk).update(confirmed=True)  # vouched for by staff

    journey.enter_password(alex)

    assert journey.outbox == []
