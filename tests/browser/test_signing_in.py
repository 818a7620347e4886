"""A person signs in to the example site: by text, call, app and recovery code, and after slips."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from .walking import Visitor, inspect

pytestmark = pytest.mark.browser


def test_the_code_of_a_text_message_lets_in(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    expect(
        alex.page.get_by_text("We sent a text message with a code to the number ending in 23.")
    ).to_be_visible()
    expect(alex.field).to_be_focused()
    alex.enter(alex.read_text())
    alex.expect_to_be_in()


def test_a_call_speaks_the_code(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    texted = alex.read_text()
    alex.ask("Call me")
    expect(alex.page.get_by_text("We are calling the number ending in 23")).to_be_visible()
    spoken = alex.answer_call()
    assert spoken == texted
    alex.enter(spoken)
    alex.expect_to_be_in()


def test_a_text_that_gets_lost_is_told_at_once_and_a_call_helps(
    own_site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(own_site)
    alex.switch("Text messages get lost")
    alex.give_password()
    expect(
        alex.page.get_by_text("We sent a text message with a code to the number ending in 23.")
    ).to_be_visible()
    expect(
        alex.page.get_by_text("Our text message did not reach the number ending in 23.")
    ).to_be_visible()
    first = alex.page.locator("[data-otp-ways] button").first
    expect(first).to_have_accessible_name(re.compile("Call me instead"))
    expect(first).to_be_enabled()
    inspect(alex.page, "code-undelivered")
    first.click()
    spoken = alex.answer_call()
    expect(
        alex.page.get_by_text("We have read out a code on the number ending in 23.")
    ).to_be_visible()
    alex.enter(spoken)
    alex.expect_to_be_in()


def test_the_app_shows_the_code(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    alex.ask("Use the app")
    expect(alex.page.get_by_text("We sent a notification with a code to your app.")).to_be_visible()
    alex.enter(alex.read_notification())
    alex.expect_to_be_in()


def test_a_recovery_code_lets_in_without_a_phone(
    own_site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(own_site)
    alex.give_password()
    alex.page.get_by_role("link", name="Printed codes").click()
    alex.enter("maple-1")
    alex.expect_to_be_in()


def test_a_wrong_recovery_code_leads_back_to_the_other_ways(
    own_site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(own_site)
    alex.give_password()
    alex.page.get_by_role("link", name="Printed codes").click()
    alex.enter("wrong")
    expect(alex.field).to_have_accessible_description(re.compile("not right"))
    alex.page.get_by_role("link", name="Use another way").click()
    alex.enter(alex.read_text())
    alex.expect_to_be_in()


def test_a_pasted_code_with_a_space_will_do(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    code = alex.read_text()
    alex.enter(f"{code[:3]} {code[3:]}")
    alex.expect_to_be_in()


def test_a_wrong_code_is_said_beside_the_field(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    code = alex.read_text()
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    alex.enter(wrong)

    expect(alex.field).to_have_attribute("aria-invalid", "true")
    expect(alex.field).to_have_accessible_description(re.compile("This code is not right"))
    expect(alex.page).to_have_title(re.compile("^Error:"))
    error = alex.page.get_by_text("This code is not right").bounding_box()
    field = alex.field.bounding_box()
    assert error
    assert field
    assert 0 <= error["y"] - (field["y"] + field["height"]) < 16

    expect(alex.field).to_be_focused()
    alex.page.keyboard.type(code)  # replaces the wrong one, which is selected
    alex.page.keyboard.press("Enter")
    alex.expect_to_be_in()


def test_a_double_click_is_one_click(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    alex.field.fill(alex.read_text())
    alex.page.get_by_role("button", name="Sign in").dblclick()
    alex.expect_to_be_in()


def test_a_newcomer_adds_a_phone_before_anything_else(
    own_site: str, visit: Callable[..., Visitor]
) -> None:
    kim = visit(own_site)
    kim.give_password("kim")
    expect(kim.page.get_by_role("heading", name="Add a phone")).to_be_visible()
    kim.page.get_by_label("Phone number").fill("+1 202 555 0125")
    kim.press("Continue")
    kim.press("Text me the code")
    kim.enter(kim.read_text(), "Confirm")
    kim.expect_to_be_in("kim")


def test_staff_need_a_code_for_the_admin(site: str, visit: Callable[..., Visitor]) -> None:
    sam = visit(site)
    sam.page.goto("/admin/")
    sam.page.get_by_label("Username").fill("sam")
    sam.page.get_by_label("Password").fill("demo")
    sam.press("Log in")
    sam.enter(sam.read_text())
    expect(sam.page.get_by_role("heading", name="Site administration")).to_be_visible()


def test_no_script_is_needed(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site, java_script_enabled=False)
    alex.give_password()
    expect(alex.page.get_by_text("You can ask again in")).to_be_visible()
    expect(alex.page.get_by_role("button", name=re.compile("Call me"))).to_be_disabled()
    alex.enter(alex.read_text())
    alex.expect_to_be_in()


def test_starting_over_leads_to_the_password(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    alex.press("Start over")
    expect(alex.page.get_by_label("Password")).to_be_visible()
