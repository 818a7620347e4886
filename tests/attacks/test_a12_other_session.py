"""A12: enter the code that somebody's other session has asked for."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Challenge

pytestmark = pytest.mark.django_db


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a12_a_code_opens_only_the_session_that_asked_for_it(parked, elsewhere, alex):
    owners = parked.code
    elsewhere.enter_password(alex)

    elsewhere.enter_code(owners)

    assert elsewhere.is_nobody
    assert Challenge.objects.order_by("created_at").last().attempts == 1
    parked.enter_code(owners)
    assert parked.is_in
    assert elsewhere.is_nobody


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a12_a_code_of_the_stock_api_opens_no_session(parked, phone):
    phone.generate_challenge()

    parked.enter_code()

    assert parked.is_nobody


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._token")
def test_a12_a_code_of_a_session_is_none_of_the_stock_api(parked, phone):
    code = parked.code
    phone.generate_challenge()

    assert not phone.verify_token(code)
