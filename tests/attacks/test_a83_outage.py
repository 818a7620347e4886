"""A83: log in while a provider is down."""

from __future__ import annotations

import pytest

from django_otp_channels.models import Budget, Delivery
from tests.hooks import sends_are_over
from tests.journey import VERIFY
from tests.providers.loopback import Reply

pytestmark = pytest.mark.django_db(transaction=True)

MARKER = "internal-marker-of-the-provider"


@pytest.fixture(params=["refuses", "impostor", "500"])
def down(request, twilio, provider_network):
    """No text gets through: no connection, somebody else's certificate, or an error."""
    if request.param == "500":
        twilio.messages.always(Reply(500, {"code": 20500, "message": MARKER, "status": 500}))
    else:
        provider_network.way = "impostor" if request.param == "impostor" else "no-tunnel"
    return twilio


def test_a83_the_login_stays_parked_and_says_so_in_our_words(down, journey, alex, phone):
    journey.enter_password(alex)
    sends_are_over()

    page = journey.client.get(VERIFY)
    assert page.status_code == 200
    assert Delivery.objects.get().status in {"failed", "unknown"}
    assert MARKER not in page.text
    assert "Twilio" not in page.text
    assert "Call me" in page.text
    assert journey.is_nobody


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge.send_at_once")
def test_a83_what_was_not_sent_frees_the_wait_and_not_the_budget(
    twilio, provider_network, journey, alex, phone
):
    provider_network.way = "no-tunnel"
    journey.enter_password(alex)
    sends_are_over()
    provider_network.way = ""

    journey.ask(channel="voice")
    sends_are_over()

    assert len(twilio.calls.requests) == 1
    assert Budget.objects.get(bucket="login.user").hour_used == 20
