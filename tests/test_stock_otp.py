"""django-otp stays itself: its own verbs, forms, middleware and test mixins with our devices."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.test import TestCase, override_settings
from django_otp import devices_for_user, match_token, user_has_device, verify_token
from django_otp.forms import OTPTokenForm
from django_otp.models import Device
from django_otp.test_utils import CooldownTestMixin, ThrottlingTestMixin, TimestampTestMixin

from django_otp_channels.backends.memory import outbox
from django_otp_channels.exceptions import SendNotAllowed
from django_otp_channels.models import Challenge, ChannelDevice, Delivery
from django_otp_channels.models.budgets import DEFAULT_LIMITS
from tests.clock import let_pass
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.journey import VERIFY


class StockCase(TestCase):
    """A device with a code on its way, as the mixins of django-otp want it."""

    def setUp(self) -> None:
        super().setUp()
        outbox.clear()
        self.device = PhoneFactory()

    def valid_token(self) -> str:
        if not outbox:
            self.device.generate_challenge()
        return str(outbox[-1].token)

    def invalid_token(self) -> str:
        return f"{(int(self.valid_token()) + 1) % 10**6:06d}"


class TimestampTest(StockCase, TimestampTestMixin):
    """The mixin's promises, for our device."""


class ThrottlingTest(StockCase, ThrottlingTestMixin):
    """The mixin's promises, for our device."""


@override_settings(OTP_CHANNELS_SEND_COOLDOWNS=(10, 60))
class CooldownTest(StockCase, CooldownTestMixin):
    """The mixin's promises, for our device."""

    def test_valid_token_verification_resets_cooldown(self) -> None:
        """It does not here: a success that refunded a message could be farmed for messages."""
        self.device.generate_challenge()
        assert self.device.verify_token(self.valid_token())
        self.device.refresh_from_db()
        assert self.device.generate_is_allowed()[0] is False


pytestmark = pytest.mark.django_db


@pytest.fixture
def device(phone, outbox):
    return phone


def test_a_stock_challenge_is_sent_and_verified_once(device, outbox):
    assert "•••• 23" in device.generate_challenge()
    code = str(outbox[-1].token)

    assert verify_token(device.user, device.persistent_id, code) == device
    assert verify_token(device.user, device.persistent_id, code) is None


def test_match_token_finds_the_device(device, outbox):
    device.generate_challenge()

    assert match_token(device.user, str(outbox[-1].token)) == device


def test_our_devices_are_listed_by_django_otp(device):
    AppFactory(user=device.user, confirmed=False)

    assert list(devices_for_user(device.user)) == [device]
    assert user_has_device(device.user)
    assert Device.from_persistent_id(device.persistent_id) == device
    assert device.is_interactive()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_unproven_device_verifies_nothing(device, outbox, when):
    if when == "before":
        device.generate_challenge()
    ChannelDevice.objects.update(confirmed=False)
    device.refresh_from_db()
    if when == "after":
        with pytest.raises(SendNotAllowed):
            device.generate_challenge()
        assert outbox == []
        return

    assert verify_token(device.user, device.persistent_id, str(outbox[-1].token)) is None


def test_a_code_of_the_login_step_does_not_verify_through_the_stock_api(journey, device):
    journey.enter_password(device.user)

    assert device.verify_token(journey.code) is False


def test_a_stock_code_does_not_verify_at_the_login_step(journey, device):
    device.generate_challenge()
    stock = journey.code
    journey.enter_password(device.user)

    assert journey.enter_code(stock).status_code == 200
    assert journey.is_nobody


def test_a_stock_code_comes_again_after_the_wait_and_stays_the_same(device, outbox):
    device.generate_challenge()
    with pytest.raises(SendNotAllowed):
        device.generate_challenge()
    let_pass(31)

    ChannelDevice.objects.get().generate_challenge()

    first, second = outbox
    assert first.token == second.token


def test_five_wrong_codes_end_a_stock_challenge(device, outbox):
    device.generate_challenge()
    code = str(outbox[-1].token)
    for _ in range(5):
        assert device.verify_token("000000") is False
        ChannelDevice.objects.update(throttling_failure_timestamp=None)
        device.refresh_from_db()

    assert device.verify_token(code) is False
    assert Challenge.objects.get().attempts == 5


@pytest.mark.parametrize("token", ["", "x", "１２３４５６", "1" * 10_000, "\x00", 123456])
def test_the_stock_api_refuses_what_cannot_be_a_code(device, outbox, token):
    device.generate_challenge()

    assert device.verify_token(token) is False


def test_the_stock_token_form_logs_a_person_in(client, device, outbox):
    form = OTPTokenForm(
        device.user, None, {"otp_device": device.persistent_id, "otp_challenge": "1"}
    )
    assert not form.is_valid()
    assert "on its way" in str(form.errors)
    form = OTPTokenForm(
        device.user,
        None,
        {"otp_device": device.persistent_id, "otp_token": str(outbox[-1].token)},
    )
    assert form.is_valid()


def test_the_stock_form_shows_a_refusal_in_our_words(device, outbox):
    data = {"otp_device": device.persistent_id, "otp_challenge": "1"}
    OTPTokenForm(device.user, None, data).is_valid()

    form = OTPTokenForm(device.user, None, data)

    assert not form.is_valid()
    assert "a moment ago" in str(form.errors)


def test_the_stock_admin_asks_for_a_code_and_its_login_is_verified(client, outbox):
    """OTPAdminSite's own login form: password, challenge and code on one page."""
    staff = UserFactory(username="sam", staff=True)
    device = PhoneFactory(user=staff)
    password: dict[str, Any] = {"username": "sam", "password": PASSWORD}
    page = client.post(
        "/otp-admin/login/",
        {**password, "otp_device": device.persistent_id, "otp_challenge": "1"},
    )
    assert page.status_code == 200
    assert len(outbox) == 1

    answer = client.post(
        "/otp-admin/login/?next=/otp-admin/",
        {**password, "otp_device": device.persistent_id, "otp_token": str(outbox[-1].token)},
    )

    assert answer.status_code == 302
    assert answer.headers["Location"] != VERIFY
    assert client.get("/otp-admin/").status_code == 200
    assert len(outbox) == 1


@pytest.mark.django_db
def test_a_code_that_goes_out_again_counts_as_another_message(phone, settings):
    settings.OTP_CHANNELS_LIMITS = {bucket: {86400: 100} for bucket in DEFAULT_LIMITS}
    outbox.clear()
    for _ in range(9):
        with suppress(SendNotAllowed):
            ChannelDevice.objects.get(pk=phone.pk).generate_challenge()
        let_pass(31)

    assert len({str(message.token) for message in outbox}) == 1
    assert len(outbox) == 4  # each with a longer wait, as on the code page
    assert Challenge.objects.get().sends == 4
    assert list(Delivery.objects.order_by("pk").values_list("number", flat=True)) == [1, 2, 3, 4]
