"""What the tests of a site have to hand."""

from __future__ import annotations

import pytest
from django.test import Client, TestCase
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from django_otp_channels.backends import memory
from django_otp_channels.models import Challenge, ChannelDevice
from django_otp_channels.testing import login_verified
from tests.factories import PASSWORD, AppFactory, PhoneFactory, UserFactory
from tests.journey import LOGIN, VERIFY, Journey

pytestmark = pytest.mark.django_db


def verified_page(client: Client) -> str:
    answer = client.get("/verified-only/")
    return answer.text if answer.status_code == 200 else ""


def test_the_session_counts_as_verified(client, alex, phone):
    device = login_verified(client, alex)

    assert device == phone
    assert verified_page(client) == "verified page of alex"
    assert client.get("/whoami/").json() == {"user": "alex", "key": str(alex.pk), "verified": True}
    assert client.get("/awhoami/").json()["verified"] is True


def test_it_lasts_for_the_session_and_for_this_client_only(client, alex, phone):
    login_verified(client, alex)

    assert all(verified_page(client) for _ in range(3))
    assert verified_page(Client()) == ""
    client.logout()
    assert verified_page(client) == ""


def test_a_person_without_a_device_gets_one(client, alex):
    device = login_verified(client, alex)

    assert ChannelDevice.objects.get() == device
    assert (device.user, device.confirmed) == (alex, True)
    assert verified_page(client) == "verified page of alex"


def test_an_unproven_device_does_not_count(client, alex):
    unproven = PhoneFactory(user=alex, confirmed=False)

    device = login_verified(client, alex)

    assert device != unproven
    assert device.confirmed
    unproven.refresh_from_db()
    assert not unproven.confirmed


@pytest.mark.parametrize("model", [TOTPDevice, StaticDevice])
def test_any_device_of_django_otp_will_do(client, alex, model):
    given = model.objects.create(user=alex, name="Given")

    assert login_verified(client, alex, given) == given
    assert verified_page(client) == "verified page of alex"
    assert client.session["otp_device_id"] == given.persistent_id
    assert not ChannelDevice.objects.exists()


def test_the_given_one_of_several_counts(client, alex, phone):
    app = AppFactory(user=alex)

    assert login_verified(client, alex, app) == app
    assert client.session["otp_device_id"] == app.persistent_id


def test_another_persons_device_counts_for_nothing(client, alex, phone):
    strangers = PhoneFactory(address="+12025550177")

    login_verified(client, alex, strangers)

    assert verified_page(client) == ""
    assert client.get("/private/").status_code == 302


def test_nothing_is_sent_and_nothing_is_parked(client, alex, phone, outbox):
    login_verified(client, alex)

    assert outbox == []
    assert not Challenge.objects.exists()
    assert set(client.session["otp_channels"]) == {"given"}
    assert client.get(VERIFY).headers["Location"] == "/private/"


def test_a_parked_login_of_the_same_client_is_over(journey, alex, phone):
    journey.enter_password(alex)

    login_verified(journey.client, alex)

    assert verified_page(journey.client) == "verified page of alex"


def test_another_person_can_log_in_over_it(client, alex, phone):
    login_verified(client, alex)

    login_verified(client, UserFactory(username="sam"))

    assert verified_page(client) == "verified page of sam"


@pytest.mark.parametrize("policy", ["enrolled", "staff", "everyone"])
def test_it_works_under_every_policy(client, settings, policy):
    settings.OTP_CHANNELS_POLICY = policy

    login_verified(client, UserFactory(username="sam", staff=True))

    assert verified_page(client) == "verified page of sam"
    assert client.get("/admin/").status_code == 200


def test_the_person_is_left_as_they_were(client, alex, phone):
    login_verified(client, alex)

    assert not hasattr(alex, "otp_device")
    Journey(Client(), memory.outbox, PASSWORD).enter_password(alex)
    assert Challenge.objects.get().user == alex


class TestOfASite(TestCase):
    """As the documentation shows it: a plain Django test, without any fixture of ours."""

    def setUp(self):
        memory.outbox.clear()
        self.addCleanup(memory.outbox.clear)
        self.phone = PhoneFactory(user=UserFactory(username="alex"), address="+12025550123")

    def test_a_login_with_the_code_from_the_outbox(self):
        self.client.post(LOGIN, {"username": "alex", "password": PASSWORD})

        (message,) = memory.outbox
        assert (message.channel, message.to) == ("sms", "+12025550123")
        assert message.token in message.text
        answer = self.client.post(VERIFY, {"token": message.token})

        self.assertRedirects(answer, "/private/")
        assert verified_page(self.client) == "verified page of alex"

    def test_a_page_behind_the_code(self):
        login_verified(self.client, self.phone.user)

        self.assertContains(self.client.get("/verified-only/"), "verified page of alex")
