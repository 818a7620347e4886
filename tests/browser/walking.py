"""What a person does on the example site, and what is asked of every page that they see."""

from __future__ import annotations

import re
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import BrowserContext, Locator, Page, expect

SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"
MIN_TARGET = 44  # CSS pixels

_CODE = re.compile(r"\b[0-9]{6}\b")
_read: set[str] = set()

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Only what is wrong comes back: all that axe has looked at takes longer to tell than to find out.
_LOOK = "options => axe.run(document, options).then(({violations}) => ({violations}))"


class Visitor:
    """One person with a browser, and with the simulated phone in a second window."""

    def __init__(self, context: BrowserContext) -> None:
        self.page = context.new_page()
        self._context = context
        self._phone: Page | None = None

    @property
    def phone(self) -> Page:
        if self._phone is None:
            self._phone = self._context.new_page()
            self._phone.goto("/phone/")
        return self._phone

    def give_password(self, username: str = "alex", password: str = "demo") -> None:
        self.page.goto("/members/")
        self.page.get_by_label("Username").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.press("Continue")

    @property
    def field(self) -> Locator:
        return self.page.get_by_label("Code", exact=True)

    def press(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("button", name=name).click()

    def enter(self, code: str, button: str = "Sign in") -> None:
        self.field.fill(code)
        self.press(button)

    def ask(self, name: str) -> None:
        """Press one of the buttons that send a code, once the wait is over."""
        self.page.get_by_role("button", name=re.compile(name)).click()

    def read_text(self) -> str:
        """Return the code of the text message that comes next."""
        return self._next_code(".sms .text")

    def read_notification(self) -> str:
        return self._next_code(".push .text")

    def _next_code(self, messages: str) -> str:
        """Wait for a code that nobody has read: notices come to the same phone, and older codes."""
        latest = self.phone.locator(messages, has_text=_CODE).first
        if _read:
            expect(latest).not_to_have_text(re.compile("|".join(_read)))
        code = code_in(latest)
        _read.add(code)
        return code

    def answer_call(self) -> str:
        """Answer the phone, press the key, listen, hang up; return the code that was spoken."""
        self.phone.get_by_role("button", name="Answer").click()
        spoken = self.phone.locator(".call .words")
        expect(spoken).to_contain_text("To hear it, press")
        key = re.search(r"press ([1-9])", spoken.inner_text())
        assert key
        self.phone.get_by_role("button", name=key[1], exact=True).click()
        expect(spoken).to_contain_text("Here is your code")
        code = re.sub(r"\D", "", spoken.inner_text().split("\n")[1])
        self.phone.get_by_role("button", name="Hang up").click()
        expect(self.phone.locator(".call")).to_have_count(0)
        return code

    def switch(self, channel: str) -> None:
        """Switch a channel off, or on again."""
        self.phone.get_by_role("switch", name=channel, exact=True).click()

    def expect_to_be_in(self, username: str = "alex") -> None:
        expect(self.page.get_by_role("heading", name=f"Welcome, {username}")).to_be_visible()


def code_in(message: Locator) -> str:
    found = _CODE.search(message.inner_text())
    assert found, message.inner_text()
    return found[0]


def photograph(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def inspect(page: Page, name: str) -> None:
    """Photograph this state, and hold it to WCAG 2.2 AA, its width, and the size of its targets."""
    photograph(page, name)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = AxeResults(page.evaluate(_LOOK, {"runOnly": _RULES, "resultTypes": ["violations"]}))
    assert found.violations_count == 0, f"{name}:\n{found.generate_report()}"
    assert_no_sideways_scroll(page, name)
    if page.locator(".otp-card").count():
        small = page.locator("a, button, input:not([type=hidden], [hidden])").evaluate_all(
            # A box that is ticked is as large as its label.
            "(all, least) => all.map(e => (e.type === 'checkbox' && e.labels[0]) || e)"
            ".filter(e => e.getBoundingClientRect().height < least - 0.5).map(e => e.outerHTML)",
            MIN_TARGET,
        )
        assert small == [], name


def assert_no_sideways_scroll(page: Page, name: str) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{name} is {wide} px too wide"
