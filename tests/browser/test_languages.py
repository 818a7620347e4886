"""Every page from right to left, and with German's long words: nothing is left untranslated."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from .pseudo import write_catalogues
from .test_looks import LOOKS
from .walking import Visitor, assert_no_sideways_scroll, code_in, inspect, photograph

pytestmark = pytest.mark.browser

DESKTOP = LOOKS["desktop"]["viewport"]
SMALL = LOOKS["small"]["viewport"]
IN = {
    "ar": {**LOOKS["small"], "locale": "ar"},
    "de": {**LOOKS["small"], "locale": "de", "color_scheme": "light"},
}
# No other walk comes to these pages.
ONLY_HERE = {"code-expired", "reauth", "remind", "security-page-empty", "unavailable"}
# What people and sites have named themselves, and what is the same in every language.
NAMES = r"Example Bank app|Example Bank|Printed codes|Phone|alex|kim|Chrome|Linux|UTC"
TEXTS = """() => {
  const card = document.querySelector(".otp-card");
  const walker = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
  const found = [document.title];
  while (walker.nextNode()) {
    const around = walker.currentNode.parentElement;
    if (!around.closest("[dir=ltr], noscript, script")) found.push(walker.currentNode.data);
  }
  for (const e of document.querySelectorAll(".otp-card [aria-label]")) found.push(e.ariaLabel);
  return found;
}"""


@pytest.fixture(scope="session")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("locale")
    write_catalogues(folder)
    return folder


@pytest.fixture
def speaking_site(catalogues: Path, site_like: Callable[..., str]) -> Callable[..., str]:
    """Return a function that starts a site in the languages of the test's catalogues."""
    return lambda **environment: site_like(
        DJANGO_SETTINGS_MODULE="tests.browser.settings_languages",
        PSEUDO_LOCALE=str(catalogues),
        **environment,
    )


def look_at(page: Page, language: str, name: str) -> None:
    """Inspect a page at 320 px, its width on a desktop too, and its words.

    What axe finds depends on the direction and the colours at most. Other walks look at most pages
    from left to right in both schemes, so here the light is left to the pages that they miss.
    """
    expect(page.locator(".otp-card h1")).to_be_visible()
    if language == "ar" or name in ONLY_HERE:
        inspect(page, f"{language}-{name}")
    else:
        photograph(page, f"{language}-{name}")
        assert_no_sideways_scroll(page, f"{language}-{name}")
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
    if language == "ar":
        words = [re.sub(NAMES, "", text) for text in page.evaluate(TEXTS)]
        assert [word.strip() for word in words if re.search("[A-Za-z]", word)] == [], name
    page.set_viewport_size(DESKTOP)
    assert_no_sideways_scroll(page, f"{language}-{name}, wide")
    page.set_viewport_size(SMALL)


def give_password(page: Page, username: str = "alex", password: str = "demo") -> None:
    page.goto("/account/login/?next=/members/")
    page.locator("[name=username]").fill(username)
    page.locator("[name=password]").fill(password)
    page.locator(".otp-primary").click()


def enter(page: Page, code: str) -> None:
    page.locator("[name=token]").fill(code)
    page.locator("form:has([name=token]) button").click()


def send_now(page: Page) -> None:
    page.locator("[data-otp-ways] button:enabled").first.click()


def walk_through_the_pages_of_the_owner(page: Page, language: str) -> None:
    page.goto("/account/devices/1/")
    look_at(page, language, "device")
    page.goto("/account/devices/1/remove/")
    look_at(page, language, "remove-device")
    page.goto("/account/devices/1/change/")
    look_at(page, language, "change-phone")
    page.goto("/account/devices/add/authenticator/")
    look_at(page, language, "add-authenticator")
    page.locator(".otp-primary").click()
    look_at(page, language, "confirm-authenticator")
    page.goto("/account/recovery-codes/")
    look_at(page, language, "recovery-codes")
    page.locator(".otp-primary").click()
    look_at(page, language, "recovery-codes-shown")
    page.goto("/account/devices/add/phone/")
    page.locator("[name=number]").fill("12")
    page.locator(".otp-primary").click()
    look_at(page, language, "add-phone-wrong")
    page.locator("[name=number]").fill("+1 202 555 0177")
    page.locator(".otp-primary").click()
    look_at(page, language, "add-phone-review")
    page.locator(".otp-primary").click()
    enter(page, "12")
    look_at(page, language, "confirm-device-wrong")
    page.goto("/account/")
    look_at(page, language, "security-page")
    page.goto("/age/")
    page.goto("/account/recovery-codes/")
    look_at(page, language, "reauth")
    page.locator("[name=password]").fill("demo")
    page.locator(".otp-primary").click()
    look_at(page, language, "code-again")
    page.goto("/busy/")
    look_at(page, language, "unavailable")


@pytest.mark.parametrize("language", ["ar", "de"])
def test_every_page_in_another_language(
    language: str, speaking_site: Callable[..., str], visit: Callable[..., Visitor]
) -> None:
    site = speaking_site()
    phone = visit(site).phone
    page = visit(site, **IN[language]).page

    give_password(page, password="wrong")
    look_at(page, language, "login-wrong")
    give_password(page)
    look_at(page, language, "code")
    enter(page, "000000")
    look_at(page, language, "code-wrong")
    page.goto("/account/verify/?device=otp_static.staticdevice/1")
    look_at(page, language, "code-other")
    page.goto("/expire/")
    page.goto("/account/verify/")
    look_at(page, language, "code-expired")
    send_now(page)
    page.locator("[name=trust]").check()
    expect(phone.locator(".sms")).to_have_count(2)
    enter(page, code_in(phone.locator(".sms .text").first))
    expect(page.get_by_role("heading", name="Welcome, alex")).to_be_visible()

    walk_through_the_pages_of_the_owner(page, language)


@pytest.mark.parametrize("language", ["ar", "de"])
def test_what_fails_in_another_language(
    language: str, speaking_site: Callable[..., str], visit: Callable[..., Visitor]
) -> None:
    site = speaking_site()
    page = visit(site, **IN[language]).page
    give_password(page, "kim")
    look_at(page, language, "add-phone-newcomer")
    page.context.clear_cookies()
    visit(site).switch("Text messages")
    give_password(page)
    look_at(page, language, "code-failed")
    for _ in range(4):
        enter(page, "000000")
    look_at(page, language, "code-last-try")
    enter(page, "000000")
    look_at(page, language, "code-over")
    page.locator(".otp-cancel button").click()
    give_password(page)
    for _ in range(5):
        enter(page, "000000")
    look_at(page, language, "code-locked")


def test_the_reminder_in_another_language(
    speaking_site: Callable[..., str], visit: Callable[..., Visitor]
) -> None:
    site = speaking_site(PSEUDO_GRACE_DAYS="3")
    for language in ("ar", "de"):
        page = visit(site, **IN[language]).page
        give_password(page, "kim")
        look_at(page, language, "remind")
        page.goto("/account/")
        look_at(page, language, "security-page-empty")
