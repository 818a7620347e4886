"""A67: learn from the device pages whose number is known here."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, Journey

pytestmark = pytest.mark.django_db

NUMBER = "+12025550188"


def what_a_stranger_sees(outbox):
    """Enrol the number as somebody new; return all that comes back, without what is one's own."""
    stranger = Journey(Client(), outbox, PASSWORD)
    stranger.enter_password(UserFactory())
    answer = stranger.client.post(ADD_PHONE, {"number": NUMBER, "channel": "sms"})
    page = stranger.client.get(answer.headers["Location"])
    text = page.context["page"].sentence + page.context["page"].notice
    return answer.status_code, sorted(answer.headers), text


@pytest.mark.parametrize("owners", [1, 6])
@pytest.mark.parametrize("proven", [True, False])
def test_a67_a_known_number_is_answered_like_an_unknown_one(outbox, owners, proven):
    unknown = what_a_stranger_sees(outbox)
    for _ in range(owners):
        PhoneFactory(address=NUMBER, confirmed=proven)

    assert what_a_stranger_sees(outbox) == unknown
    assert len(outbox) == 2


@pytest.mark.parametrize(
    "number", ["+12025550188", "+4930123456", "+33612345678", "+19002345678", "+1202555"]
)
def test_a67_what_is_refused_is_refused_whoever_has_it(journey, outbox, alex, number):
    """By its country and kind, of which everybody knows."""
    journey.enter_password(alex)
    first = journey.client.post(ADD_PHONE, {"number": number, "channel": "sms"}).status_code
    PhoneFactory(address=number)
    stranger = Journey(Client(), outbox, PASSWORD)
    stranger.enter_password(UserFactory())

    assert (
        stranger.client.post(ADD_PHONE, {"number": number, "channel": "sms"}).status_code == first
    )
