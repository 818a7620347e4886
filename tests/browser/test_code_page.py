"""The code page: steady, quick, usable by keys alone, named and ordered for the ears."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from .test_script import SENTENCE, STATUS
from .walking import Visitor

pytestmark = pytest.mark.browser

QUICK = 2_000  # milliseconds until the page can be used, on this machine and from this machine
WATCH = """
window.shifts = [];
new PerformanceObserver((seen) => {
  for (const entry of seen.getEntries()) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""
# What the server says of a text message from its start to its end, in the words of the page.
COURSE = {
    "sending": "We are sending a text message with a code to the number ending in 23 …",
    "sent": "We sent a text message with a code to the number ending in 23.",
    "unknown": "A text message with a code may be on its way to the number ending in 23.",
    "delivered": "A text message with a code has arrived at the number ending in 23.",
}


def shifted(page: Page) -> float:
    """Return the cumulative layout shift of the page that is open."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    total: float = page.evaluate("window.shifts.reduce((sum, each) => sum + each, 0)")
    return total


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_moves_from_the_sending_to_the_arrival_and_the_end_of_the_wait(
    width: int, site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(site, viewport={"width": width, "height": 800})
    alex.page.add_init_script(WATCH)
    course = list(COURSE.items())
    told: list[str] = []

    def tell(route: Route) -> None:
        delivery, sentence = course[min(len(told), len(course) - 1)]
        told.append(delivery)
        route.fulfill(json={"state": "open", "delivery": delivery, "sentence": sentence})

    alex.page.route(STATUS, tell)
    alex.give_password()
    for sentence in COURSE.values():
        expect(alex.page.locator("[data-otp-sentence]")).to_have_text(sentence)
    expect(alex.page.get_by_text("You can ask for the code again now.")).to_be_visible()
    assert told == list(COURSE)
    assert shifted(alex.page) == 0

    timing = alex.page.evaluate(
        "performance.getEntriesByType('navigation').map((e) => [e.domInteractive, e.duration])[0]"
    )
    assert max(timing) < QUICK, timing


def test_the_reading_of_shifts_sees_one(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.page.add_init_script(WATCH)
    alex.give_password()
    expect(alex.field).to_be_visible()
    alex.page.evaluate("document.querySelector('h1').style.paddingBlockEnd = '9rem'")
    assert shifted(alex.page) > 0


def test_the_code_is_large_enough_to_be_compared(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()

    size, height = alex.field.evaluate(
        "e => [parseFloat(getComputedStyle(e).fontSize), e.getBoundingClientRect().height]"
    )

    assert size >= 24
    assert height >= 64


def test_a_page_that_tells_a_failure_is_drawn_at_once(
    own_site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(own_site)
    alex.page.add_init_script(WATCH)
    alex.switch("Text messages get lost")
    alex.give_password()
    expect(
        alex.page.get_by_text("Our text message did not reach the number ending in 23.")
    ).to_be_visible()
    assert shifted(alex.page) == 0


# -- by keys alone ---------------------------------------------------------------------------


def tab_to(page: Page, name: str | re.Pattern[str]) -> None:
    """Press Tab until the button or link of this name has the focus, and can be seen to have it."""
    target = page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name)).first
    for _ in range(15):
        if target.evaluate("e => e === document.activeElement"):
            assert target.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {name}.")


def test_a_whole_login_by_keys_alone(own_site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(own_site)
    keys = alex.page.keyboard
    alex.page.goto("/members/")
    expect(alex.page.get_by_label("Username")).to_be_focused()
    keys.type("alex")
    keys.press("Tab")
    keys.type("demo")
    keys.press("Enter")

    expect(alex.field).to_be_focused()
    keys.type("000000")
    keys.press("Enter")
    expect(alex.field).to_have_attribute("aria-invalid", "true")
    expect(alex.page.get_by_text("You can ask for the code again now.")).to_be_visible()
    tab_to(alex.page, re.compile("Call me"))
    keys.press("Enter")
    expect(alex.page.get_by_text("We are calling")).to_be_visible()
    code = alex.answer_call()
    alex.page.bring_to_front()
    expect(alex.field).to_be_focused()
    keys.type(code)
    keys.press("Tab")
    keys.press("Space")
    expect(alex.page.get_by_role("checkbox")).to_be_checked()
    tab_to(alex.page, "Sign in")
    keys.press("Space")
    alex.expect_to_be_in()


# -- what a screen reader meets --------------------------------------------------------------


def hear(page: Page, *lines: str) -> None:
    """Hold the main part of the page to these lines of its accessibility tree, in this order."""
    heard = page.get_by_role("main").aria_snapshot()
    place = -1
    for line in lines:
        found = re.search(line, heard[place + 1 :])
        assert found, f"After {lines[: lines.index(line)]} comes no {line!r} in:\n{heard}"
        place += 1 + found.start()


def test_the_code_page_is_heard_in_order(own_site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(own_site)
    alex.give_password()
    field = 'textbox "Code"'
    hear(  # empty
        alex.page,
        r'heading "Enter your code" \[level=1\]',
        "We sent a text message with a code to the number ending in 23.",
        field,
        'checkbox "Do not ask on this browser for 30 days"',
        'button "Sign in"',
        r'heading "No code yet\?" \[level=2\]',
        "timer: You can ask again in",
        r'button "Send the code again : the number ending in 23" \[disabled\]',
        r'button "Call me : the number ending in 23" \[disabled\]',
        r'heading "Other ways" \[level=2\]',
        'link "Printed codes"',
        'button "Start over"',
    )
    alex.enter("000000")
    hear(alex.page, field, "This code is not right or no longer valid.", 'button "Sign in"')
    expect(alex.field).to_have_accessible_description(re.compile("This code is not right"))
    assert alex.page.get_by_role("main").aria_snapshot().count("This code is not right") == 1


def test_the_arrival_of_a_code_is_heard(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    delivered = {"state": "open", "delivery": "delivered", "sentence": COURSE["delivered"]}
    alex.page.route(STATUS, lambda route: route.fulfill(json=delivered))
    alex.give_password()
    expect(alex.page.locator(SENTENCE)).to_have_text(COURSE["delivered"])
    hear(alex.page, "Enter your code", "has arrived at the number ending in 23.", 'textbox "Code"')


def test_failures_and_ends_are_heard_first(own_site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(own_site)
    alex.switch("Text messages get lost")
    alex.give_password()
    expect(
        alex.page.get_by_text("Our text message did not reach the number ending in 23.")
    ).to_be_visible()
    hear(  # undelivered: the next way comes before the field
        alex.page,
        r'heading "Confirm that it is you" \[level=1\]',
        "Our text message did not reach the number ending in 23.",
        r'heading "Get a code" \[level=2\]',
        'button "Call me instead',
        r'heading "Have a code already\?" \[level=2\]',
        'textbox "Code"',
    )
    for _ in range(2):
        for _ in range(5):
            alex.enter("000000")
        ended = alex.page.get_by_role("alert").inner_text()
        assert ended.startswith("Too many wrong codes.")
        if "try again in" in ended:
            break
        alex.press("Start over")
        alex.give_password()
    hear(  # locked: other ways are still there
        alex.page,
        r'heading "Confirm that it is you" \[level=1\]',
        "alert: Too many wrong codes. You can try again in 15 minutes.",
        'link "Printed codes"',
        'button "Start over"',
    )
    assert "textbox" not in alex.page.get_by_role("main").aria_snapshot()


def test_an_expired_code_is_heard(
    site_like: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
    visit: Callable[..., Visitor],
) -> None:
    site = site_like(
        DJANGO_SETTINGS_MODULE="tests.browser.settings_languages",
        PSEUDO_LOCALE=str(tmp_path_factory.mktemp("none")),
    )
    alex = visit(site)
    alex.give_password()
    alex.page.goto("/expire/")
    alex.page.goto("/account/verify/")
    hear(
        alex.page,
        r'heading "Confirm that it is you" \[level=1\]',
        "alert: This code has expired. Send a new one.",
        r'heading "Get a code" \[level=2\]',
        'button "Send a new code : the number ending in 23"',
        'button "Call me',
        'link "Printed codes"',
    )
