"""A03: guess in many sessions at once, and hope that nobody hears of it."""

from __future__ import annotations

from functools import partial

import pytest
from django.core import mail
from django.test import Client

from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import VERIFY, Journey

from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.guard("django_otp_channels.notices.tell")
def test_a03_the_owner_hears_once_of_guesses_over_many_sessions(outbox):
    user = UserFactory(username="alex")
    PhoneFactory(user=user)
    other = PhoneFactory(user=user, address="+12025550199")
    jars = [Journey(Client(), outbox, PASSWORD) for _ in range(3)]
    for jar in jars:
        jar.enter_password(user)
    codes = {str(message.token) for message in outbox}
    wrong = next(f"{n:06d}" for n in range(10**6) if f"{n:06d}" not in codes)

    at_once([partial(jar.client.post, VERIFY, {"token": wrong}) for jar in jars for _ in range(5)])

    assert sorted(letter.subject for letter in mail.outbox) == [
        "Example: Codes are locked after too many wrong ones",
        "Example: Three wrong codes were entered",
    ]
    told = [message for message in outbox if not message.token]
    assert [message.to for message in told] == [other.address] * 2
