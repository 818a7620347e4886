"""A64: no way to print, pickle or serialize what the package keeps shows a code."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from django.apps import apps
from django.core import serializers
from django.db.models import Model
from django.forms import model_to_dict
from django.test import Client

from django_otp_channels import exceptions
from django_otp_channels.models import Challenge
from django_otp_channels.testing import login_verified
from tests.factories import UserFactory
from tests.journey import VERIFY

from .leaks import code_of, found

pytestmark = pytest.mark.django_db

NUMBER = "+12025550123"


@pytest.fixture
def parked(journey, alex, phone):
    journey.enter_password(alex)
    journey.enter_code(journey.wrong_code)
    return journey


def rows() -> list[Model]:
    """Return every row of the package, and the challenge as the code page has it."""
    models = apps.get_app_config("otp_channels").get_models()
    kept = [row for model in models for row in model._default_manager.all()]
    loaded = Challenge.objects.with_owner().with_rivals().with_delivery().get()
    return [*kept, loaded]


def told(row: Model) -> dict[str, str]:
    return {
        "repr": repr(row),
        "str": str(row),
        "vars": repr(vars(row)),
        "pickle": pickle.dumps(row).decode("latin-1"),
        "model_to_dict": repr(model_to_dict(row)),
        "json": serializers.serialize("json", [row]),
        "xml": serializers.serialize("xml", [row]),
    }


def test_a64_no_row_tells_a_code_however_it_is_printed(parked):
    code, guess = parked.code, parked.wrong_code
    kinds = {type(row).__name__ for row in rows()}
    assert {"Challenge", "ChannelDevice", "Delivery", "Lockout", "Budget"} <= kinds

    for row in rows():
        row.__dict__.pop("_prefetched_objects_cache", None)
        for way, text in told(row).items():
            for secret in (code, guess):
                assert found(secret, text) == [], (type(row), way)


def test_a64_no_row_shows_a_number_or_a_secret_in_passing(parked):
    """``repr`` and ``str`` are what a log or a page prints without being asked to."""
    challenge = Challenge.objects.get()
    secrets = (bytes(challenge.nonce).hex(), str(bytes(challenge.nonce)), challenge.flow)

    for row in rows():
        for text in (repr(row), str(row)):
            assert found(NUMBER, text) == []
            assert not any(secret in text for secret in secrets)


@pytest.mark.guard("django_otp_channels.codes.Token.__repr__")
def test_a64_a_message_prints_neither_code_nor_number(parked):
    message = parked.outbox[-1]

    for text in (repr(message), str(message), repr([message]), f"{message}", repr(message.token)):
        for secret in (parked.code, NUMBER):
            assert found(secret, text) == []


def every_error() -> list[type[BaseException]]:
    return [
        error
        for error in vars(exceptions).values()
        if isinstance(error, type) and issubclass(error, BaseException)
    ]


def test_a64_the_sentence_of_an_error_is_ours():
    """Whatever a provider has said, only the code of its error can come along."""
    assert len(every_error()) > 5
    for error in every_error():
        if issubclass(error, exceptions.DeliveryError):
            raised = error(code="21211")
            assert found(NUMBER, f"{raised} {raised!r} {vars(raised)}") == []
            with pytest.raises(TypeError):
                error("The provider's own words", NUMBER, "of what went wrong", parked)


@pytest.mark.parametrize(
    "page",
    [
        "channeldevice/", "channeldevice/{device}/change/", "channeldevice/{device}/history/",
        "channeldevice/{device}/delete/", "challenge/", "challenge/{challenge}/change/",
        "challenge/{challenge}/history/", "delivery/", "delivery/{delivery}/change/",
        "refusal/", "delivery/health/",
    ],
)  # fmt: skip
def test_a64_no_page_of_the_admin_shows_a_code_or_a_number(parked, phone, page):
    challenge = Challenge.objects.get()
    delivery = challenge.deliveries.get()
    staff = Client()
    login_verified(staff, UserFactory(staff=True))
    url = page.format(device=phone.pk, challenge=challenge.pk, delivery=delivery.pk)

    answer = staff.get(f"/admin/otp_channels/{url}")

    assert answer.status_code == 200
    text = answer.content.decode()
    for secret in (code_of(challenge), parked.wrong_code, NUMBER):
        assert found(secret, text) == []
    for kept in (bytes(challenge.nonce).hex(), challenge.flow, challenge.key_id):
        assert kept not in text


def test_a64_the_parked_page_has_nothing_of_the_challenge_in_it(parked):
    challenge = Challenge.objects.get()
    answer: Any = parked.client.get(VERIFY)

    for kept in (str(challenge.pk), challenge.flow, challenge.key_id, challenge.nonce.hex()):
        assert kept not in answer.content.decode()
