"""A53: show somebody a page of one's own, and pass on what they type."""

from __future__ import annotations

import pytest

from tests.journey import ADD_PHONE

pytestmark = pytest.mark.django_db


def test_a53_a_message_says_what_its_code_does_and_where_it_belongs(journey, alex, phone):
    journey.log_in(alex)
    journey.client.post(ADD_PHONE, {"number": "+12025550188", "channel": "sms"})

    login, proof = (message.text for message in journey.outbox)
    assert "to sign in to Example" in login
    assert "to add this number to Example" in proof
    for message in journey.outbox:
        assert "Never share it" in message.text
        # Browsers fill it in on this host only.
        assert message.text.splitlines()[-1] == f"@www.example.com #{message.token}"


@pytest.mark.parametrize("host", ["evil.example", "www.example.com.evil.example"])
def test_a53_the_host_of_the_message_is_the_sites_own_whatever_the_request_says(
    journey, alex, phone, settings, host
):
    settings.ALLOWED_HOSTS = ["*"]
    journey.client.defaults["HTTP_HOST"] = host
    journey.client.defaults["HTTP_X_FORWARDED_HOST"] = host

    journey.enter_password(alex)

    assert host not in journey.outbox[-1].text
    assert journey.outbox[-1].text.splitlines()[-1].startswith("@www.example.com #")
