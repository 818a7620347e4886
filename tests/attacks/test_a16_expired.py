"""A16: enter a code when its time is up."""

from __future__ import annotations

import pytest

from tests.clock import let_pass
from tests.journey import LOGIN, STATUS, VERIFY

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("seconds", "opens"), [(295, True), (300, False), (301, False)])
@pytest.mark.guard("django_otp_channels.models.challenges._chargeable")
def test_a16_a_code_lives_to_the_second_and_no_look_extends_it(parked, seconds, opens):
    let_pass(seconds)
    parked.client.get(VERIFY)
    parked.client.get(STATUS)

    parked.enter_code()

    assert parked.is_in is opens
    assert parked.is_nobody is not opens


@pytest.mark.guard("django_otp_channels.login.ParkedLogin.alive")
def test_a16_a_young_code_opens_no_old_login(parked):
    session = parked.client.session
    session["otp_channels"]["parked"]["at"] -= 601
    session.save()

    assert parked.enter_code().headers["Location"] == LOGIN
    assert parked.is_nobody


def test_a16_an_expired_code_of_the_stock_api_is_dead(outbox, phone):
    phone.generate_challenge()
    let_pass(301)

    assert not phone.verify_token(str(outbox[-1].token))
