"""docs/templates.md names what each page is given and each block, as they are in the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import singledispatch
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.template.base import FilterExpression, Node, Template, TokenType, Variable
from django.template.defaulttags import TemplateLiteral
from django.template.loader import get_template
from django.template.loader_tags import BlockNode, IncludeNode
from django.template.smartif import TokenBase
from django.test.signals import template_rendered

import django_otp_channels
from django_otp_channels.outage import unavailable
from tests.factories import PhoneFactory, UserFactory
from tests.journey import ADD_PHONE, DEVICES, REAUTH, VERIFY, Journey

ROOT = Path(__file__).parent.parent
FOLDER = Path(django_otp_channels.__file__).parent / "templates" / "otp_channels"
PAGES = sorted(path.name for path in FOLDER.glob("[!_]*.html"))
OF_EVERY_PAGE = "base.html"
OF_THE_LANGUAGE = {"True", "False", "None", "block", "LANGUAGE_CODE", "LANGUAGE_BIDI"}
# What a part asks for that some of the pages which include it do not have.
OPTIONAL = {"code", "unfocused", "page"}
# They fill a block of base.html, and are told there.
OUTER = {"title", "extra_head", "content"}


# -- what the document says ------------------------------------------------------------------


def part(page: str) -> str:
    text = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
    parts = re.split(r"^### `(.+?)`$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[page]


def told_names(page: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", part(page), flags=re.MULTILINE))


def told_blocks(page: str) -> list[str]:
    (line,) = re.findall(r"^Blocks: (.+?)\.$", part(page), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`(\w+)`", line)


# -- what the templates use ------------------------------------------------------------------


def compiled(name: str) -> Template:
    return get_template(f"otp_channels/{name}").template  # type: ignore[attr-defined]


@singledispatch
def used(_thing: Any) -> Iterator[str]:
    """Yield the names, with their attributes, that a compiled template reads from its context."""
    return iter(())


@used.register
def _(variable: Variable) -> Iterator[str]:
    return iter([".".join(variable.lookups)] if variable.lookups else [])


@used.register
def _(expression: FilterExpression) -> Iterator[str]:
    return used([expression.var, [arguments for _filter, arguments in expression.filters]])


@used.register
def _(literal: TemplateLiteral) -> Iterator[str]:
    return used(literal.value)


@used.register
def _(operator: TokenBase) -> Iterator[str]:
    return used([operator.first, operator.second])


@used.register
def _(include: IncludeNode) -> Iterator[str]:
    included = get_template(include.template.var).template.nodelist  # type: ignore[attr-defined]
    yield from outside(used(included), set(include.extra_context))
    yield from used(include.extra_context)


@used.register
def _(node: Node) -> Iterator[str]:
    bound = {"forloop", *getattr(node, "loopvars", ()), *getattr(node, "extra_context", {})}
    bound |= {getattr(node, "variable", None), getattr(node, "countervar", None)}
    words = [*getattr(node, "singular", ()), *getattr(node, "plural", ())]
    yield from outside((t.contents for t in words if t.token_type == TokenType.VAR), bound)
    yield from outside(used(vars(node)), bound)
    yield from used(getattr(node, "extra_context", ()))


@used.register
def _(pairs: dict) -> Iterator[str]:  # type: ignore[type-arg]
    return used(list(pairs.values()))


@used.register(list)
@used.register(tuple)
def _(things: Any) -> Iterator[str]:
    return chain.from_iterable(used(each) for each in things)


def outside(names: Iterator[str], bound: set[Any]) -> Iterator[str]:
    """Leave out the names that a tag binds for what stands in it."""
    return (name for name in names if name.split(".")[0] not in bound)


def used_names(page: str) -> set[str]:
    names = {name.split(".")[0] for name in used(compiled(page).nodelist)}
    return names - OF_THE_LANGUAGE


def blocks(page: str) -> list[str]:
    return [node.name for node in compiled(page).nodelist.get_nodes_by_type(BlockNode)]  # type: ignore[attr-defined]


# -- the document is true --------------------------------------------------------------------


def test_every_page_has_its_part():
    text = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
    told = re.findall(r"^### `(.+?\.html)`$", text, flags=re.MULTILINE)

    assert sorted(told) == PAGES


@pytest.mark.parametrize("template", PAGES)
def test_every_name_that_a_page_uses_is_told(template):
    shared = set() if template == OF_EVERY_PAGE else told_names(OF_EVERY_PAGE)

    assert used_names(template) - shared - told_names(template) <= OPTIONAL
    assert told_names(template) <= used_names(template)


@pytest.mark.parametrize("template", PAGES)
def test_every_block_of_a_page_is_told(template):
    outer = set() if template == OF_EVERY_PAGE else OUTER

    assert told_blocks(template) == [block for block in blocks(template) if block not in outer]


def test_what_the_code_page_may_ask_of_its_facts_is_told():
    asked = {
        name.split(".")[1]
        for page in PAGES
        for name in used(compiled(page).nodelist)
        if name.startswith("page.")
    }

    assert asked == told_names("page")


@pytest.fixture
def given() -> Iterator[dict[str, set[str]]]:
    """For each page that is rendered during the test, the names that it was given."""
    names: dict[str, set[str]] = {}

    def note(template: Any, context: Any, **_kwargs: Any) -> None:
        page = (template.name or "").removeprefix("otp_channels/")
        names.setdefault(page, set()).update(context.flatten())

    template_rendered.connect(note)
    yield names
    template_rendered.disconnect(note)


def test_every_name_that_is_told_is_given(
    journey: Journey, alex: Any, phone: Any, settings: Any, given: Any, rf: Any
) -> None:
    client, other = journey.client, PhoneFactory(user=alex, address="+12025550144", confirmed=False)
    client.get("/account/login/?next=/private/")
    journey.enter_password(alex)
    client.get(VERIFY)
    journey.enter_code()
    device = f"/account/devices/{phone.pk}/"
    for url in (
        DEVICES,
        device,
        f"{device}remove/",
        f"/account/devices/{other.pk}/confirm/",
        ADD_PHONE,
        "/account/devices/add/authenticator/",
        "/account/recovery-codes/",
    ):
        assert client.get(url).status_code == 200, url
    client.post(ADD_PHONE, {"number": "+12025550177", "country": "US"})
    client.post("/account/recovery-codes/")
    client.post("/account/devices/add/authenticator/", follow=True)
    settings.OTP_CHANNELS_POLICY = "everyone"
    client.post(f"{device}remove/")
    app = alex.totpdevice_set.create(name="App")
    client.get(f"/account/authenticators/{app.pk}/remove/")
    journey.let_proof_age()
    client.get(f"{device}remove/", follow=True)
    client.get(REAUTH)
    settings.OTP_CHANNELS_GRACE = datetime.now(UTC) + timedelta(days=3)
    client.logout()
    client.post(
        "/account/login/", {"username": UserFactory().username, "password": "correct horse"}
    )
    client.get("/account/reminder/")
    unavailable(rf.get("/"), OperationalError())

    everywhere = told_names(OF_EVERY_PAGE) - {"form", "wide"}
    for page in PAGES:
        if page != OF_EVERY_PAGE:
            assert everywhere | told_names(page) <= given[page], page
    assert "wide" in given["devices.html"]
