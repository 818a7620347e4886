"""A15: enter a code that a newer one has taken the place of."""

from __future__ import annotations

from functools import partial

import pytest
from django.test import Client

from django_otp_channels.models import Challenge
from tests.clock import let_pass
from tests.factories import PASSWORD, AppFactory
from tests.journey import Journey

from .threads import at_once


@pytest.mark.django_db
@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a15_a_superseded_code_is_a_wrong_one(parked, alex):
    app = AppFactory(user=alex)
    superseded = parked.code
    let_pass(31)
    parked.ask(device=app.pk, channel="push")

    parked.enter_code(superseded)

    assert parked.is_nobody
    assert Challenge.objects.get(state="open").attempts == 1
    parked.enter_code()
    assert parked.is_in


@pytest.mark.django_db(transaction=True)
def test_a15_a_code_opens_or_is_superseded_never_both(parked, alex):
    app = AppFactory(user=alex)
    for _ in range(4):
        first = Journey(Client(), parked.outbox, PASSWORD)
        let_pass(3600)
        first.enter_password(alex)
        let_pass(31)
        second = Journey(Client(), parked.outbox, PASSWORD)
        second.client.cookies = first.client.cookies.copy()
        sent = len(parked.outbox)

        at_once([first.enter_code, partial(second.ask, device=app.pk, channel="push")])

        opened, superseded = first.is_in, len(parked.outbox) > sent
        assert opened is not superseded
