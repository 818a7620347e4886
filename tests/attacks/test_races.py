"""Counters and one-shots under forty parallel requests, with and without ATOMIC_REQUESTS."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.db import connections
from django.db.models import F
from django.test import Client
from django_otp import verify_token

from django_otp_channels.models import Challenge, ChannelDevice, Lockout
from tests.factories import PASSWORD, PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, SEND, VERIFY, Journey

from .threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 40


@pytest.fixture(params=[False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def atomic_requests(request, monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", request.param)


@pytest.fixture
def parked(outbox):
    user = UserFactory(username="alex")
    PhoneFactory(user=user, address="+12025550123")
    journey = Journey(Client(), outbox, PASSWORD)
    journey.enter_password(user)
    return journey


def same_browser(journey: Journey) -> Client:
    client = Client()
    client.cookies = journey.client.cookies.copy()
    return client


def post(client: Client, url: str, data: dict[str, str]) -> int:
    return client.post(url, data).status_code


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._charge")
@pytest.mark.usefixtures("atomic_requests")
def test_a07_forty_parallel_wrong_codes_spend_exactly_the_allowed_tries(parked):
    wrong = [f"{(int(parked.code) + n) % 10**6:06d}" for n in range(1, CROWD + 1)]

    answers = at_once(
        [partial(post, same_browser(parked), VERIFY, {"token": code}) for code in wrong]
    )

    assert answers == [200] * CROWD
    challenge = Challenge.objects.get()
    assert (challenge.attempts, challenge.state) == (5, "failed")
    assert Lockout.objects.get().failures == 5
    assert parked.enter_code().status_code == 200
    assert parked.is_nobody


@pytest.mark.usefixtures("atomic_requests")
def test_a10_forty_parallel_right_codes_open_exactly_one_door(parked):
    answers = at_once(
        [partial(post, same_browser(parked), VERIFY, {"token": parked.code}) for _ in range(CROWD)]
    )

    assert answers.count(302) >= 1
    verified = Challenge.objects.get()
    assert verified.state == "verified"
    assert Lockout.objects.filter(failures__gt=0).count() == 0


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._close_verified")
def test_a10_of_forty_parallel_compares_one_closes_the_challenge(parked):
    flow = parked.client.session["otp_channels"]["parked"]["flow"]
    code = parked.code

    def verify() -> bool:
        return Challenge.current(flow).verify(code)

    assert at_once([verify] * CROWD).count(True) == 1


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._reserve_send")
def test_a39_forty_parallel_requests_for_another_message_send_one(parked):
    step = timedelta(seconds=31)
    Challenge.objects.update(next_send_at=F("next_send_at") - step)

    at_once([partial(post, same_browser(parked), SEND, {}) for _ in range(CROWD)])

    assert len(parked.outbox) == 2
    assert Challenge.objects.get().sends == 2


def test_a39_forty_parallel_requests_for_the_first_message_send_one(outbox):
    user = UserFactory(username="alex")
    PhoneFactory(user=user)
    journey = Journey(Client(), outbox, PASSWORD)
    journey.client.force_login(user)  # parked, and nothing sent yet
    assert journey.client.get(VERIFY).status_code == 200
    assert outbox == []

    at_once([partial(post, same_browser(journey), SEND, {}) for _ in range(CROWD)])

    assert len(outbox) == 1


def test_a39_forty_parallel_enrolments_of_one_session_send_one(outbox):
    user = UserFactory(username="alex")
    journey = Journey(Client(), outbox, PASSWORD)
    journey.enter_password(user)

    at_once(
        [
            partial(
                post, same_browser(journey), ADD_PHONE, {"number": "+12025550123", "channel": "sms"}
            )
            for _ in range(CROWD)
        ]
    )

    assert len(outbox) == 1


@pytest.mark.guard("django_otp_channels.models.devices.ChannelDevice._reserve_generation")
def test_a39_forty_parallel_stock_challenges_send_one(outbox):
    device = PhoneFactory()

    def generate() -> bool:
        fresh = ChannelDevice.objects.get(pk=device.pk)
        try:
            fresh.generate_challenge()
        except Exception:  # noqa: BLE001 - any refusal will do: what counts is the outbox
            return False
        return True

    assert at_once([generate] * CROWD).count(True) == 1
    assert len(outbox) == 1


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._close_verified")
def test_a10_forty_parallel_stock_verifications_accept_one(outbox):
    device = PhoneFactory()
    device.generate_challenge()
    code = str(outbox[-1].token)

    def verify() -> bool:
        return verify_token(device.user, device.persistent_id, code) is not None

    assert at_once([verify] * 10).count(True) == 1


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._within_allowance")
def test_a03_guesses_over_many_sessions_are_bounded_by_the_account(outbox):
    user = UserFactory(username="alex")
    PhoneFactory(user=user)
    jars = [Journey(Client(), outbox, PASSWORD) for _ in range(8)]
    for jar in jars:
        jar.enter_password(user)
    codes = {str(message.token) for message in outbox}
    wrong = next(f"{n:06d}" for n in range(10**6) if f"{n:06d}" not in codes)

    at_once([partial(post, jar.client, VERIFY, {"token": wrong}) for jar in jars for _ in range(5)])

    assert sum(Challenge.objects.values_list("attempts", flat=True)) == 10
    assert Lockout.objects.get().failures == 10


@pytest.mark.guard("django_otp_channels.models.ledger.settle")
@pytest.mark.parametrize("failing", [False, True])
def test_a08_a_rollback_refunds_no_try_of_the_stock_api(outbox, monkeypatch, settings, failing):
    """django-otp verifies inside a transaction; the middleware makes a lost charge good."""
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    device = PhoneFactory()
    device.generate_challenge()
    client = Client(raise_request_exception=False)

    for _ in range(3):
        client.post(
            "/stock-verify/",
            {
                "username": device.user.username,
                "device": device.persistent_id,
                "token": "000000",
                "fail": "1" if failing else "",
            },
        )
        ChannelDevice.objects.update(throttling_failure_timestamp=None)

    assert Challenge.objects.get().attempts == 3


@pytest.mark.guard("django_otp_channels.models.challenges.Challenge._within_allowance")
@pytest.mark.parametrize("earlier", [3, 5, 7, 9])
def test_a03_earlier_failures_leave_fewer_guesses_over_many_sessions(outbox, earlier):
    user = UserFactory(username="alex")
    PhoneFactory(user=user)
    Lockout.objects.create(user=user, failures=earlier)
    jars = [Journey(Client(), outbox, PASSWORD) for _ in range(6)]
    for jar in jars:
        jar.enter_password(user)
    codes = {str(message.token) for message in outbox}
    wrong = next(f"{n:06d}" for n in range(10**6) if f"{n:06d}" not in codes)

    at_once([partial(post, jar.client, VERIFY, {"token": wrong}) for jar in jars for _ in range(5)])

    assert sum(Challenge.objects.values_list("attempts", flat=True)) <= 10 - earlier
    assert Lockout.objects.get().failures <= 10


@pytest.mark.usefixtures("atomic_requests")
def test_two_removals_at_once_leave_the_last_factor(outbox, settings):
    settings.OTP_CHANNELS_POLICY = "everyone"
    user = UserFactory(username="alex")
    phones = [PhoneFactory(user=user, address=f"+1202555012{digit}") for digit in range(2)]
    journey = Journey(Client(), outbox, PASSWORD)
    journey.log_in(user)

    at_once(
        [
            partial(post, same_browser(journey), f"/account/devices/{phone.pk}/remove/", {})
            for phone in phones
        ]
    )

    assert ChannelDevice.objects.count() == 1
