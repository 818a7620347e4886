"""A27: log in by resetting the password, with somebody's mailbox."""

from __future__ import annotations

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from tests.journey import VERIFY

pytestmark = pytest.mark.django_db


def reset_password(client, user):
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = default_token_generator.make_token(user)
    form = client.get(f"/reset/{uid}/{token}/")
    new = "a wholly new passphrase"
    return client.post(form.headers["Location"], {"new_password1": new, "new_password2": new})


@pytest.mark.guard("django_otp_channels.login.needs_code")
def test_a27_a_reset_that_logs_in_asks_for_the_code(journey, alex, phone):
    answer = reset_password(journey.client, alex)

    assert answer.headers["Location"] == VERIFY
    assert journey.is_nobody


@pytest.mark.guard("django_otp_channels.login.may_resume")
def test_a27_a_reset_ends_the_logins_that_are_parked(parked, elsewhere, alex):
    code = parked.code
    alex.refresh_from_db()

    reset_password(elsewhere.client, alex)
    parked.enter_code(code)

    assert parked.is_nobody
