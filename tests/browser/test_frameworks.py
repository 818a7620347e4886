"""A site with Bootstrap or Tailwind overrides the outer template, and every page has its look."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from .conftest import CHECKOUT
from .test_looks import LOOKS
from .walking import Visitor, inspect

pytestmark = pytest.mark.browser

FRAMEWORKS = {"bootstrap": "rgb(13, 110, 253)", "tailwind": "oklch(0.508 0.118 165.612)"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_restyles_every_page_without_a_copy_of_one(
    framework: str, site_like: Callable[..., str], visit: Callable[..., Visitor]
) -> None:
    looks = CHECKOUT / "example_project" / "looks" / framework / "templates" / "otp_channels"
    assert {path.name for path in looks.iterdir()} <= {"base.html", "_field.html"}
    site = site_like(EXAMPLE_LOOK=framework)

    alex = visit(site, **LOOKS["desktop"])
    alex.give_password()
    expect(alex.field).to_be_visible()
    primary = alex.page.get_by_role("button", name="Sign in")
    expect(primary).to_have_css("background-color", FRAMEWORKS[framework])
    alex.enter("000000")
    expect(alex.field).to_have_attribute("aria-invalid", "true")
    inspect(alex.page, f"{framework}-code-wrong")
    alex.enter(alex.read_text())
    alex.expect_to_be_in()
    alex.page.goto("/account/")
    expect(alex.page.get_by_role("heading", name="How you sign in")).to_be_visible()
    inspect(alex.page, f"{framework}-security-page")

    kim = visit(site, **LOOKS["small"])
    kim.give_password("kim")
    expect(kim.page.get_by_label("Phone number")).to_be_visible()
    inspect(kim.page, f"{framework}-small-add-phone")
