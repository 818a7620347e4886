"""A04: guess a little on each channel: they share one count."""

from __future__ import annotations

import pytest
from django_otp.plugins.otp_static.models import StaticDevice

from django_otp_channels.models import Lockout
from tests.clock import let_pass
from tests.factories import AppFactory

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("endless_budgets")
@pytest.mark.guard("django_otp_channels.models.lockouts.Lockout.record_failure")
def test_a04_texts_calls_and_notifications_share_one_count(parked, alex, phone, compared):
    recovery = StaticDevice.objects.create(user=alex, name="Recovery codes")
    recovery.token_set.create(token="abcd2345")
    app = AppFactory(user=alex)

    for device, channel in ((phone, "sms"), (phone, "voice"), (app, "push"), (phone, "voice")):
        parked.enter_password(alex)
        let_pass(31)
        parked.ask(device=device.pk, channel=channel)
        for _ in range(4):
            parked.enter_code(parked.wrong_code)

    assert len(compared) == 10
    assert Lockout.objects.get().failures == 10
    parked.enter_password(alex)
    parked.enter_code()
    assert parked.is_nobody
    parked.enter_code("abcd2345", device=recovery.persistent_id)
    assert parked.is_in
