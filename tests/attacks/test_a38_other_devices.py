"""A38: close somebody's other factors by wrong tries at one."""

from __future__ import annotations

import pytest
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("endless_budgets")
def test_a38_wrong_codes_at_one_device_throttle_no_other(journey, alex, phone):
    app = TOTPDevice.objects.create(user=alex, name="Authenticator")
    recovery = StaticDevice.objects.create(user=alex, name="Recovery codes")
    recovery.token_set.create(token="abcd2345")
    for _ in range(4):
        journey.enter_password(alex)
        for _ in range(5):
            journey.enter_code(journey.wrong_code)

    for device in (app, recovery):
        device.refresh_from_db()
        assert device.throttling_failure_count == 0
    journey.enter_password(alex)
    journey.enter_code("abcd2345", device=recovery.persistent_id)
    assert journey.is_in


def test_a38_wrong_codes_of_an_authenticator_cost_the_phone_nothing(parked, alex):
    app = TOTPDevice.objects.create(user=alex, name="Authenticator")
    wrong = f"{(totp(app.bin_key) + 1) % 10**6:06d}"
    for _ in range(5):
        parked.enter_code(wrong, device=app.persistent_id)

    parked.enter_code()

    assert parked.is_in
