"""A02: guess, ask again, guess on: a new message gives no new tries."""

from __future__ import annotations

import pytest

from django_otp_channels.models import ChannelDevice, Lockout
from tests.clock import let_pass

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("endless_budgets")
@pytest.mark.guard("django_otp_channels.models.lockouts.Lockout.record_failure")
def test_a02_no_message_and_no_new_login_lowers_the_count_of_failures(parked, alex, compared):
    counts = []
    for _ in range(5):
        for _ in range(4):
            parked.enter_code(parked.wrong_code)
        let_pass(31)
        parked.ask()
        counts.append(sum(Lockout.objects.values_list("failures", flat=True)))
        parked.enter_password(alex)

    assert counts == [4, 8, 10, 10, 10]
    assert len(compared) == 10
    sent = len(parked.outbox)
    parked.ask()
    assert len(parked.outbox) == sent
    assert parked.is_nobody


@pytest.mark.guard("django_otp_channels.models.devices.ChannelDevice._changed")
def test_a02_a_stale_device_that_asks_again_saves_no_old_count(outbox, phone):
    """As django-otp's own devices did: their whole row is saved."""
    stale = ChannelDevice.objects.get()
    ChannelDevice.objects.update(throttling_failure_count=4)

    stale.generate_challenge()
    stale.name = "My phone"
    stale.save()

    assert ChannelDevice.objects.get().throttling_failure_count == 4
    assert ChannelDevice.objects.get().name == "My phone"
