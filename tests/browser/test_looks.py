"""Every page and state: accessible, in the light and the dark, on a desktop and at 320 px."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from .walking import SCREENSHOTS, Visitor, assert_no_sideways_scroll, inspect

pytestmark = pytest.mark.browser

LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "desktop-dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "small": {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"},
}


@pytest.fixture(params=["phone", "desktop-dark"])
def look(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_way_in(site: str, look: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site, **LOOKS[look])
    alex.page.goto("/")
    inspect(alex.page, f"{look}-home")
    alex.give_password(password="wrong")
    expect(alex.page.get_by_role("alert")).to_be_visible()
    inspect(alex.page, f"{look}-login-wrong")
    alex.give_password()
    expect(alex.field).to_be_visible()
    inspect(alex.page, f"{look}-code-waiting")
    alex.enter("000000")
    expect(alex.field).to_have_attribute("aria-invalid", "true")
    expect(alex.page.get_by_role("button", name=re.compile("Call me"))).to_be_enabled()
    inspect(alex.page, f"{look}-code-wrong")
    alex.page.get_by_role("link", name="Printed codes").click()
    expect(alex.page.get_by_text("Enter a code from")).to_be_visible()
    inspect(alex.page, f"{look}-code-other")
    alex.page.get_by_role("link", name="Use another way").click()
    alex.ask("Call me")
    expect(alex.page.get_by_text("We are calling")).to_be_visible()
    inspect(alex.page, f"{look}-code-calling")
    alex.phone.get_by_role("button", name="Answer").wait_for()
    inspect(alex.phone, f"{look}-phone-rings")
    code = alex.answer_call()
    inspect(alex.phone, f"{look}-phone")

    alex.enter(code)
    alex.expect_to_be_in()
    inspect(alex.page, f"{look}-members")
    alex.page.get_by_role("link", name="How you sign in").click()
    expect(alex.page.get_by_role("heading", name="How you sign in")).to_be_visible()
    inspect(alex.page, f"{look}-devices")
    alex.page.get_by_role("link", name="Change Phone ending in 23").click()
    expect(alex.page.get_by_role("heading", name="Where your codes go first")).to_be_visible()
    inspect(alex.page, f"{look}-device")
    alex.page.get_by_role("link", name="Remove").click()
    expect(alex.page.get_by_role("heading", name="Remove Phone ending in 23?")).to_be_visible()
    inspect(alex.page, f"{look}-remove-device")


@pytest.mark.parametrize("look", ["desktop", "small"], indirect=True)
def test_enrolment(own_site: str, look: str, visit: Callable[..., Visitor]) -> None:
    kim = visit(own_site, **LOOKS[look])
    kim.give_password("kim")
    kim.page.get_by_label("Phone number").fill("+33 1 99 00 12 34")
    kim.press("Continue")
    expect(kim.page.get_by_label("Phone number")).to_have_attribute("aria-invalid", "true")
    inspect(kim.page, f"{look}-add-phone")
    kim.page.get_by_label("Phone number").fill("+1 202 555 0125")
    kim.press("Continue")
    expect(kim.page.get_by_role("heading", name="Is this your number?")).to_be_visible()
    inspect(kim.page, f"{look}-review-phone")
    kim.press("Text me the code")
    expect(kim.field).to_be_visible()
    inspect(kim.page, f"{look}-confirm-device")
    kim.enter(kim.read_text(), "Confirm")
    kim.expect_to_be_in("kim")
    kim.page.goto("/account/devices/add/phone/")
    inspect(kim.page, f"{look}-add-another-phone")


@pytest.mark.parametrize("look", ["desktop", "small"], indirect=True)
def test_when_things_fail(own_site: str, look: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(own_site, **LOOKS[look])
    alex.switch("Text messages")
    inspect(alex.phone, f"{look}-phone-empty")
    alex.give_password()
    expect(alex.page.get_by_text("We could not send a text message")).to_be_visible()
    inspect(alex.page, f"{look}-code-failed")
    first = alex.page.locator("[data-otp-ways] button").first
    expect(first).to_contain_text("Call me")
    call, field = first.bounding_box(), alex.field.bounding_box()
    assert call
    assert field
    assert call["y"] < field["y"]
    expect(alex.field).not_to_be_focused()
    expect(alex.page.get_by_role("heading", name="Have a code already?")).to_be_visible()

    for tries in range(5):
        expect(alex.page.get_by_text(re.compile("left"))).to_have_count(int(tries > 2))
        if tries == 4:
            inspect(alex.page, f"{look}-code-last-try")
        alex.enter("000000")
    expect(alex.page.get_by_text("Too many wrong codes. Please start over.")).to_be_visible()
    inspect(alex.page, f"{look}-code-over")
    alex.press("Start over")

    alex.give_password()
    for _ in range(5):
        alex.enter("000000")
    expect(alex.page.get_by_text("You can try again in 15 minutes.")).to_be_visible()
    inspect(alex.page, f"{look}-code-locked")
    alex.press("Start over")
    alex.give_password()
    expect(alex.page.get_by_text("You can try again in 15 minutes.")).to_be_visible()


def test_a_button_that_has_to_wait_keeps_its_border(
    site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(site, **LOOKS["phone"])
    alex.give_password()
    first = alex.page.locator("[data-otp-ways] button").first
    expect(first).to_be_disabled()
    color = first.evaluate("e => getComputedStyle(e).borderTopColor")
    first.evaluate("e => e.classList.add('otp-primary')")
    expect(first).to_have_css("border-top-color", color)
    assert not color.endswith(", 0)")


def test_the_admin_of_the_example(own_site: str, visit: Callable[..., Visitor]) -> None:
    sam = visit(own_site, **LOOKS["desktop"])
    sam.page.goto("/admin/")
    sam.page.get_by_label("Username").fill("sam")
    sam.page.get_by_label("Password").fill("demo")
    sam.press("Log in")
    sam.enter(sam.read_text())
    expect(sam.page.get_by_role("heading", name="Site administration")).to_be_visible()
    sam.page.goto("/admin/otp_channels/challenge/")
    sam.page.locator("#result_list tbody th a").first.click()
    expect(sam.page.locator("#deliveries-group .field-way")).to_contain_text("text message")
    expect(sam.page.locator("#deliveries-group .original p")).to_be_hidden()
    SCREENSHOTS.mkdir(exist_ok=True)
    sam.page.screenshot(path=SCREENSHOTS / "admin-challenge.png", full_page=True)
    sam.page.goto("/admin/otp_channels/channeldevice/")
    sam.page.screenshot(path=SCREENSHOTS / "admin-devices.png", full_page=True)
    sam.page.goto("/admin/auth/user/")
    sam.page.get_by_role("link", name="alex", exact=True).click()
    expect(sam.page.locator("#channeldevice_set-group")).to_contain_text("•••• 23")
    assert sam.page.request.head("/").status == 200


def test_a_long_name_makes_no_page_wide(own_site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(own_site, **LOOKS["small"])
    alex.give_password()
    alex.enter(alex.read_text())
    alex.expect_to_be_in()
    alex.page.goto("/account/")
    alex.page.get_by_role("link", name="Change Example Bank app").click()
    alex.page.get_by_label("Name").fill("W" * 64)
    alex.press("Save the name")
    expect(alex.page.get_by_role("heading", name="How you sign in")).to_be_visible()
    inspect(alex.page, "small-security-page-long-name")
    alex.page.context.clear_cookies()
    alex.give_password()
    expect(alex.page.get_by_role("button", name=re.compile("Use the app"))).to_be_visible()
    inspect(alex.page, "small-code-long-name")


def test_right_to_left(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site, **LOOKS["small"])
    alex.give_password()
    alex.page.evaluate("document.documentElement.dir = 'rtl'")
    inspect(alex.page, "rtl-code")
    button = alex.page.get_by_role("button", name=re.compile("Call me"))
    where = button.locator(".otp-where").bounding_box()
    box = button.bounding_box()
    assert where
    assert box
    assert where["x"] < box["x"] + box["width"] / 2
    expect(button.locator(".otp-where")).to_have_css("direction", "ltr")


def test_high_contrast(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site, **LOOKS["phone"], forced_colors="active")
    alex.give_password()
    inspect(alex.page, "forced-colors-code")


def test_large_text(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site, **LOOKS["phone"])
    alex.give_password()
    alex.page.evaluate("document.documentElement.style.fontSize = '200%'")
    alex.page.screenshot()
    assert_no_sideways_scroll(alex.page, "text at 200 %")
