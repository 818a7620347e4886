"""A person looks after their own second factor, from the first login to the lost phone."""

from __future__ import annotations

import re
from base64 import b32decode
from collections.abc import Callable

import pytest
from django_otp.oath import totp
from playwright.sync_api import expect

from .test_looks import LOOKS
from .walking import Visitor, inspect

pytestmark = pytest.mark.browser

SECURITY = "/account/"


def open_security_page(visitor: Visitor) -> None:
    visitor.page.goto(SECURITY)
    expect(visitor.page.get_by_role("heading", name="How you sign in")).to_be_visible()


@pytest.mark.parametrize("look", ["small"])
def test_phone_app_codes_and_a_lost_phone(
    own_site: str, look: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(own_site, **LOOKS[look])
    alex.give_password()
    alex.enter(alex.read_text())
    alex.expect_to_be_in()
    open_security_page(alex)

    # An authenticator app.
    alex.page.get_by_role("link", name="Add an authenticator app").click()
    inspect(alex.page, f"{look}-add-authenticator")
    alex.press("I have such an app")
    expect(alex.page.locator(".otp-qr svg")).to_be_visible()
    key = alex.page.locator(".otp-key").inner_text().replace(" ", "")
    inspect(alex.page, f"{look}-confirm-authenticator")
    alex.enter("000000", "Confirm")
    expect(alex.field).to_have_attribute("aria-invalid", "true")
    alex.enter(f"{totp(b32decode(key)):06d}", "Confirm")
    expect(alex.page.get_by_role("link", name="Remove Authenticator app")).to_be_visible()

    # Recovery codes: shown once, and saved.
    alex.page.get_by_role("link", name=re.compile("Make .*recovery codes")).click()
    inspect(alex.page, f"{look}-recovery-codes")
    alex.press(re.compile("Make .*recovery codes"))
    codes = alex.page.locator(".otp-codes li").all_inner_texts()
    assert len(codes) == 10
    inspect(alex.page, f"{look}-recovery-codes-shown")
    with alex.page.expect_download() as download:
        alex.press("Download them")
    assert download.value.path().read_text(encoding="utf-8").splitlines()[3:] == codes
    expect(alex.page.get_by_role("button", name="Print them")).to_be_visible()
    open_security_page(alex)
    inspect(alex.page, f"{look}-security-page")

    # The phone is lost: a recovery code, a new number, and the old one is gone.
    lost = visit(own_site, **LOOKS[look])
    lost.give_password()
    expect(lost.field).to_be_visible()
    lost.page.get_by_role("link", name="Recovery codes").click()
    lost.enter(codes[0])
    lost.expect_to_be_in()
    open_security_page(lost)
    expect(lost.page.get_by_text("You have 9 codes left")).to_be_visible()
    lost.page.get_by_role("link", name="Change Phone ending in 23").click()
    lost.page.get_by_role("link", name="Change the number").click()
    lost.page.get_by_label("Country").select_option(label="United States (+1)")
    lost.page.get_by_label("Phone number").fill("(202) 555-0177")
    inspect(lost.page, f"{look}-change-phone")
    lost.press("Continue")
    expect(lost.page.get_by_text("+1 202-555-0177")).to_be_visible()
    lost.press("Text me the code")
    lost.enter(lost.read_text(), "Confirm")
    expect(lost.page.get_by_role("heading", name="Phone ending in 77")).to_be_visible()
    expect(lost.page.get_by_role("heading", name="Phone ending in 23")).to_have_count(0)
    expect(lost.page.get_by_text("A number was changed")).to_be_visible()
    inspect(lost.page, f"{look}-security-page-after")


@pytest.mark.parametrize("look", ["desktop"])
def test_a_browser_is_trusted_and_its_trust_ended_from_another(
    own_site: str, look: str, visit: Callable[..., Visitor]
) -> None:
    alex, elsewhere = visit(own_site, **LOOKS[look]), visit(own_site, **LOOKS["desktop"])
    alex.give_password()
    expect(alex.field).to_be_visible()
    box = alex.page.get_by_role("checkbox")
    expect(box).not_to_be_checked()
    box.check()
    inspect(alex.page, f"{look}-code-trust")
    alex.enter(alex.read_text())
    alex.expect_to_be_in()
    alex.page.context.clear_cookies(name="sessionid")
    alex.give_password()
    alex.expect_to_be_in()

    elsewhere.give_password()
    elsewhere.enter(elsewhere.read_text())
    elsewhere.expect_to_be_in()
    open_security_page(elsewhere)
    inspect(elsewhere.page, f"{look}-security-page-trusted")
    elsewhere.page.get_by_role("button", name=re.compile("^End")).first.click()
    expect(elsewhere.page.get_by_role("heading", name="Trusted browsers")).to_have_count(0)

    alex.page.goto("/members/")
    expect(alex.page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()


def test_the_proof_is_asked_again_and_the_person_comes_back_to_the_act(
    own_site: str, visit: Callable[..., Visitor]
) -> None:
    """A trusted browser has shown no code: the page asks for one before anything is changed."""
    alex = visit(own_site, **LOOKS["phone"])
    alex.give_password()
    alex.page.get_by_role("checkbox").check()
    alex.enter(alex.read_text())
    alex.expect_to_be_in()
    alex.page.context.clear_cookies(name="sessionid")
    alex.give_password()
    alex.expect_to_be_in()

    alex.page.goto("/account/devices/add/phone/")
    alex.page.get_by_role("button", name=re.compile("Text me|Send me|Send the")).first.click()
    expect(alex.field).to_be_visible()
    inspect(alex.page, "phone-code-step-up")
    alex.enter(alex.read_text(), re.compile("Continue|Sign in"))
    expect(alex.page.get_by_role("heading", name="Add a phone")).to_be_visible()
