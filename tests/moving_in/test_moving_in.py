"""People of two other packages sign in with what they had there.

The database is the one that :mod:`.filling` has made; each test works on a copy that is migrated.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from django_otp_channels.backends import memory
from django_otp_channels.models import ChannelDevice
from tests.journey import Journey

OLD = os.environ.get("OTP_CHANNELS_OLD_DATABASE", "")
PASSWORD = "correct horse"
UNREACHABLE = "kept as a factor that no code can go to: this person will need your help"
PREMIUM = "This kind of number cannot be used. Use a mobile or landline number."

pytestmark = [
    pytest.mark.skipif(not OLD, reason="tox makes the database: tox run -e import-source,import"),
    pytest.mark.django_db,
]


@pytest.fixture(scope="session")
def django_db_setup(tmp_path_factory: Any, django_db_blocker: Any) -> None:
    copy = tmp_path_factory.mktemp("site") / "site.sqlite3"
    shutil.copy(OLD, copy)
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict["NAME"] = copy
        call_command("migrate", verbosity=0)


@pytest.fixture
def journey() -> Iterator[Journey]:
    memory.outbox.clear()
    yield Journey(Client(), memory.outbox, PASSWORD)
    memory.outbox.clear()


def take_over(*arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command("otp_channels", "import", *arguments, stdout=out, no_color=True)
    except CommandError as error:
        return f"{out.getvalue()}CommandError: {error}\n"
    return out.getvalue()


@pytest.fixture
def moved() -> dict[str, str]:
    """Take both packages' phones over, and return what was said."""
    return {
        "two_factor": take_over("two_factor", "--commit"),
        "otp_twilio": take_over("otp_twilio", "--region", "US", "--commit"),
    }


def person(name: str) -> Any:
    return get_user_model().objects.get(username=name)


def is_in(journey: Journey) -> bool:
    return "_auth_user_id" in journey.client.session


def test_the_database_is_the_packages_own():
    tables = connection.introspection.table_names()

    assert {"two_factor_phonedevice", "otp_twilio_twiliosmsdevice"} <= set(tables)
    assert Path(OLD).exists()


def test_each_row_is_told(moved):
    assert moved["two_factor"].splitlines() == [
        "id 1: alex •••• 23: taken over as proven",
        "id 2: alex •••• 44: taken over as proven",
        "id 3: sam •••• 58: taken over as proven",
        "id 4: kim •••• 55: taken over as proven",
        f"id 5: pat •••• 78: {UNREACHABLE} ({PREMIUM})",
        "id 6: maria •••• 78: taken over as proven",
        "id 7: lee •••• 99: taken over as proven",
        "",
        "        6 taken over as proven",
        f"        1 {UNREACHABLE}",
        "CommandError: 1 row needs your attention.",
    ]
    assert moved["otp_twilio"].splitlines() == [
        "id 1: robin •••• 66: taken over as proven",
        "id 2: jo •••• 77: taken over, to be proven at the next login",
        "id 3: casey •••• 33: taken over as proven",
        "id 4: lee •••• 88: added unproven: this person has a proven factor already",
        "",
        "        2 taken over as proven",
        "        1 taken over, to be proven at the next login",
        "        1 added unproven: this person has a proven factor already",
    ]


@pytest.mark.parametrize(
    ("name", "channel", "number"),
    [
        ("alex", "sms", "+12025550123"),
        ("sam", "voice", "+442079460958"),
        ("kim", "sms", "+12025550155"),
        ("maria", "sms", "+525512345678"),
        ("robin", "sms", "+12025550166"),
        ("jo", "sms", "+12025550177"),
        ("casey", "sms", "+12025550133"),
        ("lee", "sms", "+12025550199"),
    ],
)
@pytest.mark.usefixtures("moved")
def test_a_person_signs_in_with_the_phone_of_before(journey, name, channel, number):
    journey.enter_password(person(name))

    assert not is_in(journey)
    assert [(message.channel, message.to) for message in journey.outbox] == [(channel, number)]
    journey.enter_code()
    assert is_in(journey)
    assert not ChannelDevice.objects.filter(user__username=name, awaits_proof=True).exists()


@pytest.mark.usefixtures("moved")
def test_the_backup_phone_is_offered_second(journey):
    journey.enter_password(person("alex"))
    first, second = ChannelDevice.objects.filter(user__username="alex").order_by("pk")

    assert (first.address, second.address) == ("+12025550123", "+12025550144")
    assert second.channel == "voice"


@pytest.mark.usefixtures("moved")
def test_a_recovery_code_of_before_works(journey):
    kim = person("kim")
    device = kim.staticdevice_set.get()
    journey.enter_password(kim)

    journey.enter_code(device.token_set.first().token, device=device.persistent_id)

    assert is_in(journey)


@pytest.mark.usefixtures("moved")
def test_an_authenticator_app_of_before_works(journey):
    from django_otp.oath import totp

    kim = person("kim")
    device = kim.totpdevice_set.get()
    journey.enter_password(kim)

    journey.enter_code(f"{totp(device.bin_key):06}", device=device.persistent_id)

    assert is_in(journey)


@pytest.mark.usefixtures("moved")
def test_a_factor_that_no_code_can_go_to_keeps_the_account_shut(journey):
    journey.enter_password(person("pat"))

    assert not is_in(journey)
    assert journey.outbox == []
    assert journey.client.get("/account/verify/").status_code == 200


@pytest.mark.usefixtures("moved")
def test_who_had_no_factor_needs_none(journey):
    journey.enter_password(person("nobody"))

    assert is_in(journey)


@pytest.mark.usefixtures("moved")
def test_a_second_run_finds_everything_there():
    before = list(ChannelDevice.objects.values())

    said = take_over("two_factor", "--commit")

    assert said.count("there already") == 8  # seven rows and their sum
    assert list(ChannelDevice.objects.values()) == before


@pytest.mark.usefixtures("moved")
@pytest.mark.skipif(
    "two_factor" in settings.INSTALLED_APPS, reason="only once the old app is taken away"
)
def test_a_session_that_an_old_phone_has_verified_asks_for_one_code(journey):
    journey.client.force_login(person("alex"))
    session = journey.client.session
    session["otp_device_id"] = "phonenumber.phonedevice/1"
    session.save()

    journey.client.get("/account/")

    assert not is_in(journey)
    journey.client.post("/account/send/")
    journey.enter_code()
    assert is_in(journey)


def test_a_dry_run_writes_nothing():
    dry = take_over("two_factor")

    assert not ChannelDevice.objects.exists()
    assert dry.count("taken over as proven") == 7
    assert "Nothing was written." in dry


@pytest.mark.skipif(
    "two_factor" not in settings.INSTALLED_APPS, reason="only while the old app is installed"
)
def test_the_old_login_page_goes_on_working_until_it_is_taken_away(journey, caplog):
    caplog.set_level("INFO", logger="two_factor")
    page, prefix = "/old/account/login/", "login_view"
    journey.client.get(page)
    journey.client.post(
        page,
        {f"{prefix}-current_step": "auth", "auth-username": "alex", "auth-password": PASSWORD},
    )
    code = caplog.records[-1].getMessage().rstrip('"').split()[-1]
    assert not is_in(journey)

    journey.client.post(page, {f"{prefix}-current_step": "token", "token-otp_token": code})

    assert is_in(journey)
    assert journey.client.get("/account/").status_code == 200
    assert journey.outbox == []
