"""``manage.py otp_channels import``: phones from a file or a model; nobody's factor gets lost.

The tables of other packages, filled by these packages themselves: see ``tests/moving_in``.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import TestCase
from django_otp.plugins.otp_totp.models import TOTPDevice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_otp_channels import takeover
from django_otp_channels.enrolment import MAX_PHONES
from django_otp_channels.models import ChannelDevice
from django_otp_channels.signals import security_event
from django_otp_channels.sources import Row, Spool
from tests.attacks.threads import at_once
from tests.factories import PhoneFactory, UserFactory

pytestmark = pytest.mark.django_db

NUMBER = "+12025550123"
OTHER = "+12025550144"


def run(*arguments: str) -> str:
    """Return what the command says, whether or not it ends with an error."""
    out = io.StringIO()
    try:
        call_command("otp_channels", "import", *arguments, stdout=out, no_color=True)
    except CommandError as error:
        return f"{out.getvalue()}CommandError: {error}\n"
    return out.getvalue()


@contextmanager
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Hear the security events of the block, which come as its transactions are committed."""
    heard: list[tuple[str, dict[str, Any]]] = []

    def hear(event: str, fields: Any, **kwargs: Any) -> None:
        heard.append((event, dict(fields)))

    security_event.connect(hear)
    try:
        with TestCase.captureOnCommitCallbacks(execute=True):
            yield heard
    finally:
        security_event.disconnect(hear)


@pytest.fixture
def people(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a CSV file of these lines, and returns the source's name."""

    def write(*lines: str, header: str = "user,number", encoding: str = "utf-8") -> str:
        path = tmp_path / "people.csv"
        path.write_bytes("\n".join([header, *lines, ""]).encode(encoding))
        return f"csv:{path}"

    return write


def state(**which: Any) -> list[tuple[str, bool, bool]]:
    rows = ChannelDevice.objects.filter(**which).order_by("pk")
    return list(rows.values_list("address", "confirmed", "awaits_proof"))


# -- what a number becomes -------------------------------------------------------------------


def test_a_number_that_nobody_has_proven_is_proven_by_the_first_login(journey, alex, people):
    run(people(f"alex,{NUMBER}"), "--commit")

    assert state() == [(NUMBER, True, True)]
    journey.enter_password(alex)
    assert journey.is_nobody
    assert state() == [(NUMBER, True, True)]
    with events() as told:
        journey.enter_code()
    assert journey.is_in
    assert state() == [(NUMBER, True, False)]
    assert [fields["reason"] for event, fields in told if event == "device_changed"] == ["proven"]


def test_a_wrong_code_proves_nothing(journey, alex, people):
    run(people(f"alex,{NUMBER}"), "--commit")
    journey.enter_password(alex)

    journey.enter_code(journey.wrong_code)

    assert journey.is_nobody
    assert state() == [(NUMBER, True, True)]


def test_djangos_own_api_proves_it_as_well(outbox, alex, people):
    run(people(f"alex,{NUMBER}"), "--commit")
    device = ChannelDevice.objects.get()
    device.generate_challenge()

    assert device.verify_token(str(outbox[-1].token))

    assert state() == [(NUMBER, True, False)]


def test_a_number_that_the_site_vouches_for_is_proven(journey, alex, people):
    said = run(people(f"alex,{NUMBER}"), "--proven", "--commit")

    assert said.startswith("line 2: alex •••• 23: taken over as proven\n")
    assert state() == [(NUMBER, True, False)]
    journey.log_in(alex)
    assert journey.is_in


@pytest.mark.parametrize("proven", ["phone", "totp"])
def test_beside_a_proven_factor_an_unproven_number_is_no_second_way_in(
    journey, alex, people, proven
):
    if proven == "phone":
        PhoneFactory(user=alex, address=OTHER)
    else:
        TOTPDevice.objects.create(user=alex, name="default")

    said = run(people(f"alex,{NUMBER}"), "--commit")

    assert "added unproven: this person has a proven factor already" in said
    assert state(address=NUMBER) == [(NUMBER, False, False)]
    journey.enter_password(alex)
    assert NUMBER not in [message.to for message in journey.outbox]
    assert journey.is_nobody


def test_beside_an_unproven_factor_another_one_may_be_the_right_one(alex, people):
    run(people(f"alex,{NUMBER}", f"alex,{OTHER}"), "--commit")

    assert state() == [(NUMBER, True, True), (OTHER, True, True)]


def test_of_several_unproven_factors_the_first_to_be_proven_ends_the_others(journey, alex, people):
    run(people(f"alex,{NUMBER}", f"alex,{OTHER}"), "--commit")

    journey.log_in(alex)

    assert journey.is_in
    assert state(address=journey.outbox[-1].to) == [(NUMBER, True, False)]
    assert state(address=OTHER) == [(OTHER, False, False)]


def test_what_is_proven_counts_whatever_comes_first_in_the_source():
    with closing(Spool()) as spool:
        spool.fill([Row("1", "alex", NUMBER), Row("2", "alex", OTHER, proven=True)])

        assert [[row.where for row in rows] for rows in spool.users()] == [["2", "1"]]


# -- numbers that no code can go to ----------------------------------------------------------

UNUSABLE = [
    ("rubbish", "rubbish"),
    ("2025550123", "2025550123"),
    ("1.20256E+10", "1.20256E+10"),
    ("+41446681800", "+41446681800"),
    ("+1 900 234 5678", "+19002345678"),
    ("+1202555", "+1202555"),
]


@pytest.mark.parametrize(("number", "kept"), UNUSABLE, ids=[number for number, _ in UNUSABLE])
@pytest.mark.parametrize("proven", [[], ["--proven"]], ids=["unproven", "proven"])
def test_a_number_that_no_code_can_go_to_never_opens_the_account(
    journey, alex, people, number, kept, proven
):
    said = run(people(f"alex,{number}"), *proven, "--commit")

    assert "kept as a factor that no code can go to: this person will need your help" in said
    assert said.endswith("CommandError: 1 row needs your attention.\n")
    assert state() == [(kept, True, not proven)]
    journey.enter_password(alex)
    assert journey.is_nobody
    assert journey.client.get("/account/verify/").status_code == 200
    assert journey.outbox == []


@pytest.mark.parametrize(("number", "kept"), UNUSABLE, ids=[number for number, _ in UNUSABLE])
def test_a_number_that_no_code_can_go_to_is_left_out_where_that_is_wanted(
    alex, people, number, kept
):
    said = run(people(f"alex,{number}"), "--unusable", "skip", "--commit")

    assert "left out (" in said
    assert "CommandError" not in said
    assert state() == []


def test_a_bad_number_beside_a_proven_factor_is_told_and_left_out(alex, phone, people):
    said = run(people("alex,rubbish"), "--commit")

    assert said.startswith("line 2: alex •••• sh: left out (Enter the number with its country code")
    assert state() == [(NUMBER, True, False)]


def test_a_number_that_was_kept_is_repaired_by_a_better_reading(journey, alex, people):
    source = people("alex,(202) 555-0123")
    run(source, "--commit")

    said = run(source, "--commit", "--region", "us")

    assert "kept by an earlier import, can be reached now" in said
    assert state() == [(NUMBER, True, True)]
    journey.log_in(alex)
    assert journey.is_in


@pytest.mark.parametrize(
    ("number", "address", "channel"),
    [
        ("tel:+1-202-555-0123", NUMBER, "sms"),
        (" +1 (202) 555-0123 ", NUMBER, "sms"),
        ("+5215512345678", "+525512345678", "sms"),
        ("+52 1 55 1234 5678", "+525512345678", "sms"),
        ("+44 20 7946 0958", "+442079460958", "voice"),
        ("+12025550123;ext=45", "+12025550123;ext=45", "voice"),
    ],
)
def test_a_number_is_kept_as_it_is_written_today(alex, people, settings, number, address, channel):
    settings.OTP_CHANNELS_COUNTRIES = ["US", "GB", "MX"]

    said = run(people(f'alex,"{number}"'), "--commit")

    assert "taken over, to be proven at the next login" in said
    assert list(ChannelDevice.objects.values_list("address", "channel")) == [(address, channel)]


@pytest.mark.parametrize("proven", [[], ["--proven"]], ids=["unproven", "proven"])
def test_who_has_no_number_in_a_list_had_no_factor_there(journey, alex, people, proven):
    said = run(people("alex,"), *proven, "--commit")

    assert said.startswith("line 2: alex -: left out: there is no number\n")
    assert state() == []


# -- nothing twice ---------------------------------------------------------------------------


def test_a_dry_run_tells_the_same_and_writes_nothing(alex, people):
    UserFactory(username="sam")
    source = people(f"alex,{NUMBER}", f"alex,{NUMBER}", "sam,rubbish", f"nobody,{OTHER}")

    with events() as told:
        dry = run(source)

    assert ChannelDevice.objects.count() == 0
    assert told == []
    assert dry.startswith("A dry run: nothing is written. Add --commit to do it.\n")
    assert "Nothing was written. Add --commit to do it." in dry
    done = run(source, "--commit")
    rows = [line for line in dry.splitlines() if line.startswith("line ")]
    assert rows == [line for line in done.splitlines() if line.startswith("line ")]
    assert len(rows) == 4
    assert state() == [(NUMBER, True, True), ("rubbish", True, True)]


def test_a_second_run_changes_nothing(journey, alex, people):
    source = people(f"alex,{NUMBER}", f"alex,{NUMBER}")
    run(source, "--commit")
    journey.log_in(alex)

    with events() as told:
        said = run(source, "--commit")

    assert said.count("•••• 23: there already\n") == 2
    assert told == []
    assert state() == [(NUMBER, True, False)]


def test_a_phone_that_its_owner_has_removed_does_not_come_back(journey, alex, people):
    source = people(f"alex,{NUMBER}")
    run(source, "--commit")
    ChannelDevice.objects.all().delete()

    said = run(source, "--proven", "--commit")

    assert "taken over before and removed since: left alone" in said
    assert state() == []
    PhoneFactory(user=alex, address=NUMBER, confirmed=False)  # somebody begins to add it again
    run(source, "--proven", "--commit")
    assert state() == [(NUMBER, False, False)]


def test_an_unproven_phone_that_is_there_becomes_what_the_source_says(alex, people):
    PhoneFactory(user=alex, address=NUMBER, confirmed=False)

    with events() as told:
        run(people(f"alex,{NUMBER}"), "--proven", "--commit")

    assert state() == [(NUMBER, True, False)]
    assert [(event, fields["reason"], fields["by"]) for event, fields in told] == [
        ("device_added", "imported", "command")
    ]


def test_a_number_that_another_source_has_proven_is_proven(alex, people):
    run(people(f"alex,{NUMBER}"), "--commit")

    run(people(f"alex,{NUMBER}"), "--proven", "--commit")

    assert state() == [(NUMBER, True, False)]


def test_a_phone_that_staff_have_switched_off_stays_so(alex, people):
    PhoneFactory(user=alex, address=NUMBER, disabled_reason="staff")

    run(people(f"alex,{NUMBER}"), "--proven", "--commit")

    assert ChannelDevice.objects.get().disabled_reason == "staff"


def test_nobody_gets_more_phones_than_one_may_have(alex, people):
    numbers = [f"+120255501{n:02}" for n in range(MAX_PHONES + 1)]

    said = run(people(*(f"alex,{number}" for number in numbers)), "--commit")

    assert [address for address, *_ in state()] == numbers[:MAX_PHONES]
    assert f"line {MAX_PHONES + 2}: alex •••• 05: left out: this person has as many" in said
    assert said.endswith("CommandError: 1 row needs your attention.\n")
    ChannelDevice.objects.first().delete()
    run(people(*(f"alex,{number}" for number in numbers)), "--commit")
    assert [address for address, *_ in state()] == numbers[1:]


def test_a_busy_database_loses_no_row_in_silence(alex, people, monkeypatch):
    from django.db import OperationalError

    def busy(*args: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(takeover.Lockout, "hold", busy)

    said = run(people(f"alex,{NUMBER}"), "--commit")

    assert "not decided: the database was busy. Run this again" in said
    assert said.endswith("CommandError: 1 row needs your attention.\n")


def test_a_number_that_was_to_replace_another_takes_nobodys_place(alex, people):
    old = PhoneFactory(user=alex, address=OTHER)
    PhoneFactory(user=alex, address=NUMBER, confirmed=False, replaces=old)

    run(people(f"alex,{NUMBER}"), "--proven", "--commit")

    assert state() == [(OTHER, True, False), (NUMBER, True, False)]
    assert ChannelDevice.objects.get(address=NUMBER).replaces is None


@pytest.mark.django_db(transaction=True)
def test_of_two_imports_at_once_one_takes_each_phone_over(people):
    UserFactory(username="alex")
    source = people(f"alex,{NUMBER}", f"alex,{OTHER}")

    said = at_once([lambda: run(source, "--commit")] * 4)

    assert [address for address, *_ in state()] == [NUMBER, OTHER]
    assert sum(told.count("taken over, to be proven") for told in said) == 3  # two, and their sum
    assert sum("CommandError" in told for told in said) == 0


# -- whose it is -----------------------------------------------------------------------------


def test_people_are_found_by_what_the_file_holds(alex, people):
    by = {"username": "alex", "email": "ALEX@example.com", "pk": str(alex.pk)}
    for match, text in by.items():
        ChannelDevice.objects.all().delete()
        takeover.TakenOver.objects.all().delete()

        assert "alex •••• 23: taken over" in run(
            people(f"{text},{NUMBER}"), "--match", match, "--commit"
        )
        assert ChannelDevice.objects.get().user == alex


@pytest.mark.parametrize("match", ["username", "email", "pk"])
@pytest.mark.parametrize("text", ["nobody", "", "999999999999999999999", "a\0b", "é", "-1"])
def test_an_unknown_user_is_told(alex, people, match, text):
    said = run(people(f"{text},{NUMBER}"), "--match", match, "--commit")

    assert "left out: there is no such user" in said
    assert said.endswith("CommandError: 1 row needs your attention.\n")
    assert state() == []


def test_an_address_of_several_people_is_nobodys(alex, people):
    UserFactory(username="sam", email=alex.email)

    said = run(people(f"{alex.email},{NUMBER}"), "--match", "email", "--commit")

    assert "left out: there is no such user (Several users have it.)" in said
    assert state() == []


# -- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    ("delimiter", "header", "line"),
    [
        ("comma", "number,name,user", f"{NUMBER},Alex,alex"),
        ("semicolon", "User ; Number", f"alex;{NUMBER}"),
        ("tab", "user\tnumber", f"alex\t{NUMBER}"),
        ("comma", '"user","number"', f'"alex","{NUMBER}"\r'),
    ],
)
def test_a_file_is_read_as_people_save_it(alex, people, delimiter, header, line, encoding):
    source = people(line, "", header=header, encoding=encoding)

    run(source, "--delimiter", delimiter, "--commit")

    assert state() == [(NUMBER, True, True)]


@pytest.mark.parametrize(
    ("header", "lines", "why"),
    [
        ("name,phone", [], "must name the columns user and number"),
        ("user;number", [f"alex;{NUMBER}"], "must name the columns user and number"),
        ("user,number,user", [], "must name the columns user and number"),
        ("", [], "must name the columns user and number"),
    ],
)
def test_a_file_without_the_columns_is_refused(alex, people, header, lines, why):
    assert why in run(people(*lines, header=header), "--commit")
    assert state() == []


def test_a_file_that_is_not_in_utf_8_is_refused_before_anything_is_written(alex, people):
    source = people(f"alex,{NUMBER}", "josé,+12025550144", encoding="latin-1")

    assert "is not in UTF-8" in run(source, "--commit")
    assert state() == []


def test_a_file_that_is_not_there_is_no_traceback(alex, tmp_path):
    assert "No such file" in run(f"csv:{tmp_path}/none.csv")
    assert "Is a directory" in run(f"csv:{tmp_path}")


@pytest.mark.parametrize(
    "line", ["alex", f"alex,{NUMBER},more", f'"alex"x,{NUMBER}', f'"alex,{NUMBER}']
)
def test_a_line_that_cannot_be_read_is_told(alex, people, line):
    UserFactory(username="sam")

    said = run(people(f"sam,{OTHER}", line), "--commit")

    assert "line 3: - -: left out: the row cannot be read (" in said
    assert said.endswith("CommandError: 1 row needs your attention.\n")
    assert state() == [(OTHER, True, True)]


def test_an_empty_file_says_so(people):
    assert "There are no rows.\n" in run(people())


# -- a model ---------------------------------------------------------------------------------


def test_a_model_that_leads_to_the_user_is_read(alex):
    PhoneFactory(user=alex, address=NUMBER)
    ChannelDevice.objects.update(name=NUMBER, address=OTHER)

    said = run("model:otp_channels.ChannelDevice:user:name", "--commit")

    # A django-otp device says itself whether it is proven.
    assert "taken over as proven" in said
    assert state(address=NUMBER) == [(NUMBER, True, False)]


@pytest.mark.parametrize("user", ["pk", "id"])
def test_the_user_model_itself_is_read(user):
    alex = UserFactory(username="alex", first_name=NUMBER)
    label = get_user_model()._meta.label

    run(f"model:{label}:{user}:first_name", "--commit")

    assert list(ChannelDevice.objects.values_list("user", "address")) == [(alex.pk, NUMBER)]


def test_a_path_that_leads_to_the_user_is_no_name_of_another_one(alex):
    """``challenge__user`` is a key: the user who is *called* like that key is not meant."""
    from django_otp_channels.models import Challenge, Delivery

    UserFactory(username=str(alex.pk))
    challenge = Challenge.issue(PhoneFactory(user=alex, address=OTHER), purpose="login")
    ChannelDevice.objects.all().delete()
    Delivery.objects.create(challenge=challenge, channel="sms", provider=NUMBER, status="sent")

    run("model:otp_channels.Delivery:challenge__user:provider", "--commit")

    assert list(ChannelDevice.objects.values_list("user", "address")) == [(alex.pk, NUMBER)]


def test_a_model_that_keeps_names_is_matched_by_name(alex):
    UserFactory(username="sam", first_name="alex", last_name=NUMBER)
    label = get_user_model()._meta.label

    run(f"model:{label}:first_name:last_name", "--commit")

    assert ChannelDevice.objects.get().user == alex


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("model:no.Such:user:number", "names no model"),
        ("model:otp_channels.ChannelDevice", "names no model"),
        ("model:otp_channels.ChannelDevice:owner:address", "has no field named 'owner'"),
        ("model:otp_channels.ChannelDevice:user:phone", "has no field named 'phone'"),
        ("model:otp_channels.Challenge:device:purpose", "device is no user"),
        ("model:otp_channels.ChannelDevice:user:user", "user is no number"),
        ("model:otp_channels.ChannelDevice:user__x__y:address", "has no field named 'x'"),
        ("two_factor", "There is no table two_factor_phonedevice in the database default."),
        ("otp_twilio", "There is no table otp_twilio_twiliosmsdevice in the database default."),
        ("two_factor:x", "Name a source"),
        ("authy", "Name a source"),
        ("csv:", "Name a source"),
        ("", "Name a source"),
    ],
)
def test_a_source_that_cannot_be_read_is_told(source, why):
    said = run(source, "--commit")

    assert said.startswith("CommandError: ")
    assert why in said


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["two_factor", "--proven"], "--proven is for csv and model"),
        (["two_factor", "--database", "none"], "There is no database none."),
        (["two_factor", "--region", "XX"], "ISO 3166"),
    ],
)
def test_an_option_that_makes_no_sense_is_told(arguments, why):
    assert why in run(*arguments)


def test_without_countries_nobody_is_locked_out_by_mistake(alex, people, settings):
    settings.OTP_CHANNELS_COUNTRIES = []

    assert "OTP_CHANNELS_COUNTRIES is empty" in run(people(f"alex,{NUMBER}"), "--commit")
    assert state() == []


# -- the report ------------------------------------------------------------------------------


def test_the_report_adds_up(alex, people):
    said = run(people(f"alex,{NUMBER}", f"alex,{NUMBER}", f"x,{OTHER}", f"y,{OTHER}"), "--commit")

    assert said.endswith(
        "\n\n"
        "        1 taken over, to be proven at the next login\n"
        "        1 there already\n"
        "        2 left out: there is no such user\n"
        "CommandError: 2 rows need your attention.\n"
    )


def test_a_report_for_machines(alex, people):
    source = people(f"alex,{NUMBER}", f"nobody,{OTHER}")

    lines = run(source, "--format", "json").splitlines()
    table = list(csv.DictReader(run(source, "--format", "csv").splitlines()[:3]))

    assert json.loads(lines[0]) == {
        "row": "line 2",
        "user": "alex",
        "user_id": alex.pk if isinstance(alex.pk, int) else str(alex.pk),
        "number": "•••• 23",
        "outcome": "to-prove",
        "needs_attention": False,
        "why": "",
    }
    assert json.loads(lines[1])["outcome"] == "no-user"
    assert [(row["user"], row["outcome"]) for row in table] == [
        ("alex", "to-prove"),
        ("nobody", "no-user"),
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_report_is_a_formula(people, start):
    said = run(people(f'"{start}HYPERLINK(1)",{NUMBER}'), "--format", "csv")

    cell = list(csv.reader(said.splitlines()))[1][1]
    assert cell[0] not in "=+-@\t\r\n"
    assert "HYPERLINK" in cell


@pytest.mark.parametrize("form", ["text", "csv", "json"])
@pytest.mark.parametrize("user", [NUMBER, "2025550123", "\x1b[2Jalex", "x" * 500])
def test_the_report_shows_no_whole_number_and_nothing_that_moves_the_cursor(people, form, user):
    said = run(people(f"{user},{NUMBER}"), "--format", form)

    assert "2025550123" not in said
    assert "\x1b" not in said
    assert "x" * 200 not in said


# -- whatever comes --------------------------------------------------------------------------

cells = st.one_of(
    st.sampled_from(["alex", "sam", NUMBER, OTHER, "", "rubbish", "+41446681800"]),
    st.text(max_size=20),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(st.tuples(cells, cells), max_size=8))
def test_each_row_of_any_file_is_told_once(alex, rows):
    """Rows as a CSV writer writes them, whatever they hold."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        with path.open("w", encoding="utf-8", newline="", errors="replace") as file:
            csv.writer(file).writerows([("user", "number"), *rows])
        said = run(f"csv:{path}", "--format", "json", "--commit")

    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(told) == sum(any(row) for row in rows)
    assert {line["outcome"] for line in told if line["user"] == "alex"} <= {
        "to-prove", "present", "parked", "no-number", "full", "repaired",
    }  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_no_file_makes_a_traceback(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        path.write_bytes(b"user,number\n" + content)

        run(f"csv:{path}", "--format", "csv", "--commit")
