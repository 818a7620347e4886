"""The README says what is: its settings are those of the code, its commands can be copied."""

from __future__ import annotations

import ast
import logging
import re
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from django_otp_channels import audit, checks, notices, urls
from django_otp_channels.conf import NOTICES, conf
from django_otp_channels.models.budgets import DEFAULT_LIMITS, WINDOWS
from django_otp_channels.models.lockouts import DAILY_LIMIT, HARD_STOP
from django_otp_channels.retention import BATCH, Ages

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SETTINGS = {setting.name: setting for setting in conf.all()}


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """Return what stands under the heading ``## title``, its own subheadings included."""
    parts = re.split(r"^## +(.+?) *$", text, flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert title in bodies, f"README.md has no heading '## {title}'"
    return bodies[title]


def table(text: str) -> dict[str, tuple[str, str]]:
    """Return the rows of the settings table: name → (default, help)."""
    rows: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and cells[0].startswith("`OTP_CHANNELS"):
            assert len(cells) == 3, line
            name = cells[0].strip("`")
            assert name not in rows, f"{name} stands twice in the table"
            rows[name] = (cells[1], cells[2])
    return rows


def console_blocks(text: str) -> list[list[str]]:
    blocks = re.findall(r"^```console\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [[line for line in block.splitlines() if line.strip()] for block in blocks]


# -- the settings table ----------------------------------------------------------------------


def test_the_table_lists_every_setting_in_the_order_of_the_code(readme):
    assert list(table(section(readme, "Settings"))) == list(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_explained_by_the_sentence_of_the_code(readme, name):
    _, explained = table(section(readme, "Settings"))[name]

    assert explained == SETTINGS[name].help


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_in_the_table_is_the_one_in_force(readme, name):
    default, _ = table(section(readme, "Settings"))[name]
    setting = SETTINGS[name]

    assert re.fullmatch(r"`[^`]+`", default), f"{name}: write the default as Python in backticks"
    assert setting.accept(ast.literal_eval(default.strip("`"))) == setting.default


def test_the_table_of_limits_is_the_one_in_force(readme):
    rows = re.findall(r"^\| `((?:login|enrol|notice)\.\w+)` \|(.*)\|$", readme, flags=re.MULTILINE)
    told = {
        bucket: {
            seconds: int(cell.replace(",", ""))
            for seconds, cell in zip(WINDOWS, map(str.strip, cells.split("|")), strict=True)
            if cell
        }
        for bucket, cells in rows
    }

    assert told == DEFAULT_LIMITS


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/events.md",
        "docs/hanging-provider.md",
        "docs/notices.md",
        "docs/pages.md",
        "docs/retention.md",
        "docs/templates.md",
        "docs/trusted-browsers.md",
        "docs/ways-in.md",
    ],
)
def test_no_document_names_a_setting_that_does_not_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"\bOTP_CHANNELS(?:_[A-Z]+)*\b", text))

    environment = {
        "OTP_CHANNELS_MACHINE",
        "OTP_CHANNELS_REQUIRE_BROWSER",
    }  # of the tests, not of a site
    assert named - environment <= set(SETTINGS)


# -- the ways in -----------------------------------------------------------------------------


@cache
def names_of_tests() -> set[str]:
    return {
        node.name
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_way_in_names_a_test_that_holds_it():
    text = (ROOT / "docs" / "ways-in.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    named = [row.rsplit("|", 2)[1].strip() for row in rows if not row.startswith("| way in |")]

    assert len(named) > 20
    assert {name.strip("`") for name in named} <= names_of_tests()


def test_every_way_in_names_a_check_that_exists():
    text = (ROOT / "docs" / "ways-in.md").read_text(encoding="utf-8")
    source = Path(checks.__file__).read_text(encoding="utf-8")

    named = set(re.findall(r"\bW\d{3}\b", text))

    assert named == {f"W{number:03}" for number in range(10, 15)}
    assert named <= set(re.findall(r"otp_channels\.(W\d{3})", source))


# -- SECURITY.md -----------------------------------------------------------------------------


def test_every_requirement_names_a_test_that_holds_it_or_says_not_yet():
    text = section((ROOT / "SECURITY.md").read_text(encoding="utf-8"), "How it is measured")
    rows = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    held_by = [row.strip("|").split(" | ")[2] for row in rows]

    assert len(rows) > 60
    for row, told in zip(rows, held_by, strict=True):
        named = re.findall(r"`(test_\w+)`", told)
        assert named or "not yet" in told, row
        assert set(named) <= names_of_tests(), row


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        ("5 tries", conf.MAX_ATTEMPTS),
        ("within 5 minutes", conf.TOKEN_LIFETIME // 60),
        ("50 tries in a row", HARD_STOP),
        ("20 times each day", DAILY_LIMIT),
        ("6 digits", conf.TOKEN_LENGTH),
    ],
)
def test_what_the_numbers_buy_is_told_of_the_defaults(told, limit):
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")

    assert told in text
    assert str(limit) in told.split()


def test_the_chances_are_those_of_the_numbers():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    codes = 10**conf.TOKEN_LENGTH

    assert f"1 in {codes // conf.MAX_ATTEMPTS:,}" in text
    assert f"1 in {codes // HARD_STOP:,}" in text
    assert f"{100 * (1 - (1 - DAILY_LIMIT / codes) ** 365):.2f} %" in text
    assert f"{100 * (1 - (1 - 99 / codes) ** 365):.1f} %" in text
    assert f"gets into {10_000 * HARD_STOP / codes} accounts" in text


# -- the events ------------------------------------------------------------------------------


def events_table(title: str) -> list[list[str]]:
    text = section((ROOT / "docs" / "events.md").read_text(encoding="utf-8"), title)
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_inventory_of_events_is_the_one_in_force():
    told = [
        (name, level, words, fields) for name, level, words, fields in events_table("The events")
    ]

    assert told == [
        (
            f"`{name}`",
            logging.getLevelName(event.level),
            event.help,
            ", ".join(f"`{field}`" for field in event.fields),
        )
        for name, event in audit.EVENTS.items()
    ]


def test_the_fields_of_events_are_those_in_force():
    assert events_table("The fields") == [[f"`{n}`", words] for n, words in audit.FIELDS.items()]


def test_every_logger_of_the_package_is_listed():
    source = [
        path.read_text(encoding="utf-8") for path in Path(audit.__file__).parent.rglob("*.py")
    ]
    named = re.findall(r"getLogger\((.*?)\)", "\n".join(source))

    # "name": the loggers of SDKs, which are silenced.
    ours = {name.strip('"') for name in named} - {"name"}
    assert ours == {row[0].strip("`") for row in events_table("The loggers")}


# -- the notices -----------------------------------------------------------------------------


def test_the_inventory_of_notices_is_the_one_in_force():
    text = (ROOT / "docs" / "notices.md").read_text(encoding="utf-8")

    told = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE)

    assert told == [(name, str(notice.title)) for name, notice in notices.NOTICES.items()]
    assert list(notices.NOTICES) == list(NOTICES)


# -- pages -----------------------------------------------------------------------------------


@cache
def pages() -> str:
    return (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")


def test_every_page_stands_in_the_document_by_its_name_and_path():
    told = re.findall(r"^\| `(\w+)` \| `(.*?)` \|", pages(), flags=re.MULTILINE)

    assert told == [(url.name, str(url.pattern)) for url in urls.urlpatterns]


# -- retention -------------------------------------------------------------------------------


def test_the_ages_in_the_documents_are_the_defaults():
    text = (ROOT / "docs" / "retention.md").read_text(encoding="utf-8")
    told = re.findall(r"\| (\d+ (?:days|hours)) \| `(--[a-z-]+)` \|", text)
    ages = Ages()

    assert dict(reversed(pair) for pair in told) == {
        "--trail-days": f"{ages.trail.days} days",
        "--secrets-hours": f"{ages.secrets // timedelta(hours=1)} hours",
        "--unproven-hours": f"{ages.unproven // timedelta(hours=1)} hours",
        "--activity-days": f"{ages.activity.days} days",
    }
    assert f"{BATCH} rows at a time" in text


# -- the two commands ------------------------------------------------------------------------


@pytest.mark.parametrize("title", ["Try it", "Test it"])
def test_the_command_stands_alone_to_be_copied(readme, title):
    blocks = console_blocks(section(readme, title))

    assert [len(lines) for lines in blocks] == [1]
    assert blocks[0][0].removeprefix("$ ").strip()


# -- the pictures ----------------------------------------------------------------------------


def test_every_picture_of_a_page_is_there_small_and_told_in_words(readme):
    pictures = re.findall(r"!\[(.*?)\]\(docs/images/([\w-]+\.png)\)", readme)
    words = {name: alt for alt, name in pictures}
    files = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}

    assert set(words) == set(files)
    assert all(len(alt) > 15 for alt in words.values())
    pages = {name: size for name, size in files.items() if "page" in name}
    assert len(pages) == 3
    assert max(pages.values()) < 60_000


# -- the test of the tests above -------------------------------------------------------------


def test_the_table_is_read_as_people_write_it():
    text = """
Words before.

| Setting | Default | Meaning |
|---|---|---|
| `OTP_CHANNELS` | `{}` | For each channel, backends. |
| `OTP_CHANNELS_POLICY` | `"enrolled"` | Who, `(user, request) -> bool`. |
"""

    assert table(text) == {
        "OTP_CHANNELS": ("`{}`", "For each channel, backends."),
        "OTP_CHANNELS_POLICY": ('`"enrolled"`', "Who, `(user, request) -> bool`."),
    }


def test_a_block_of_commands_is_read_as_people_write_it():
    text = "## Try it\n\n```console\n$ docker compose up\n```\n\n## Next\n\n```console\na\nb\n```\n"

    assert console_blocks(section(text, "Try it")) == [["$ docker compose up"]]
    assert console_blocks(section(text, "Next")) == [["a", "b"]]
