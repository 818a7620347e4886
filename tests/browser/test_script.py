"""What the script adds to the code page: the countdown, and what becomes of the message."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from .walking import Visitor

pytestmark = pytest.mark.browser

VERIFY = re.compile(r"/account/verify/$")
STATUS = "**/account/status/"
SENTENCE = "[data-otp-sentence][aria-live=polite]"


def pretend_that_it_is_sending(page: Page) -> list[str]:
    """Show the code page as if the message were still under way; return the methods it is asked by.

    Once only: when the page is loaded again, it says what is true.
    """
    shown: list[str] = []

    def answer(route: Route) -> None:
        shown.append(route.request.method)
        response = route.fetch()
        body = response.text()
        if len(shown) == 1:
            body = body.replace('data-otp="sent"', 'data-otp="sending"')
            body = body.replace("We sent a text", "We are sending a text")
        route.fulfill(response=response, body=body)

    page.route(VERIFY, answer)
    page.goto("/account/verify/")
    return shown


def answer_with(page: Page, *deliveries: str) -> list[dict[str, Any]]:
    """Answer the script's questions in this order, the last one for ever; return what was said."""
    said: list[dict[str, Any]] = []

    def answer(route: Route) -> None:
        delivery = deliveries[min(len(said), len(deliveries) - 1)]
        said.append(
            {
                "state": "open",
                "delivery": delivery,
                "sentence": f"It is {delivery} to the number ending in 23.",
            }
        )
        route.fulfill(json=said[-1])

    page.route(STATUS, answer)
    return said


def test_the_wait_counts_down_and_ends_without_a_reload(
    site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(site)
    alex.give_password()
    wait = alex.page.get_by_role("timer")
    again = alex.page.get_by_role("button", name=re.compile("Send the code again"))
    expect(again).to_be_disabled()
    expect(wait).to_have_text(re.compile(r"^You can ask again in [1-6] seconds?\.$"))
    assert wait.get_attribute("aria-live") is None  # not every second is said
    before = again.bounding_box()
    expect(wait).to_have_text("You can ask for the code again now.")
    expect(wait).to_have_attribute("aria-live", "polite")
    expect(again).to_be_enabled()
    assert again.bounding_box() == before


def test_the_sentence_follows_the_message_and_nothing_moves(
    site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(site)
    alex.give_password()
    said = answer_with(alex.page, "sending", "sent")
    pretend_that_it_is_sending(alex.page)
    sentence = alex.page.locator(SENTENCE)
    expect(sentence).to_contain_text("We are sending a text")
    before = alex.field.bounding_box()
    expect(sentence).to_have_text("It is sent to the number ending in 23.")
    assert alex.field.bounding_box() == before
    assert [answer["delivery"] for answer in said] == ["sending", "sent"]


def test_a_failure_reloads_the_page_once(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.give_password()
    answer_with(alex.page, "failed")
    shown = pretend_that_it_is_sending(alex.page)
    expect(alex.page.locator(SENTENCE)).to_contain_text("We sent a text message")
    assert shown == ["GET", "GET"]


def test_a_failure_takes_nothing_away_that_was_typed(
    site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(site)
    alex.give_password()
    answer_with(alex.page, "failed")
    shown = pretend_that_it_is_sending(alex.page)
    alex.field.fill("12")
    expect(alex.page.locator(SENTENCE)).to_have_text("It is failed to the number ending in 23.")
    expect(alex.field).to_have_value("12")
    assert shown == ["GET"]


def wait_for_fallback(page: Page) -> None:
    """Show the code page as if the site wanted a call a second after a text without a receipt."""

    def answer(route: Route) -> None:
        response = route.fetch()
        call = re.compile(
            r'(action="/account/send/"\s*)(>(?:(?!</form>).)*value="voice")', re.DOTALL
        )
        body = call.sub(r'\1 data-otp-fallback="1" \2', response.text(), count=1)
        route.fulfill(response=response, body=body)

    page.route(VERIFY, answer)
    page.goto("/account/verify/")


def test_without_a_receipt_the_page_asks_for_the_fallback_itself(
    own_site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(own_site)
    alex.give_password()
    expect(alex.page.get_by_text("You can ask for the code again now.")).to_be_visible()
    wait_for_fallback(alex.page)
    expect(alex.page.get_by_text("We are calling the number ending in 23")).to_be_visible()
    alex.enter(alex.answer_call())
    alex.expect_to_be_in()


def test_who_is_typing_is_not_called(own_site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(own_site)
    alex.give_password()
    expect(alex.page.get_by_text("You can ask for the code again now.")).to_be_visible()
    wait_for_fallback(alex.page)
    alex.field.fill("12")
    asked = []
    alex.page.on("request", lambda request: asked.append((request.method, request.url)))
    with alex.page.expect_response(STATUS), alex.page.expect_response(STATUS):
        pass
    with alex.page.expect_response(STATUS):
        pass
    assert {method for method, _url in asked} == {"GET"}
    assert alex.field.input_value() == "12"


def test_a_hidden_tab_asks_nothing(site: str, visit: Callable[..., Visitor]) -> None:
    alex = visit(site)
    alex.page.add_init_script(
        "Object.defineProperty(document, 'visibilityState', "
        "{get: () => window.shownAgain ? 'visible' : 'hidden'});"
    )
    alex.give_password()
    said = answer_with(alex.page, "sent")
    pretend_that_it_is_sending(alex.page)
    wait = alex.page.get_by_role("timer")
    expect(wait).to_have_text("You can ask for the code again now.")  # seconds have passed
    assert said == []
    alex.page.evaluate(
        "window.shownAgain = true; document.dispatchEvent(new Event('visibilitychange'))"
    )
    expect(alex.page.locator(SENTENCE)).to_have_text("It is sent to the number ending in 23.")


def test_the_phone_fills_in_the_code_and_the_person_sends_it(
    site: str, visit: Callable[..., Visitor]
) -> None:
    alex = visit(site)
    alex.page.add_init_script(
        "navigator.credentials.get = async (asked) => "
        "(asked.otp.transport[0] === 'sms' ? { code: '123456' } : null);"
    )
    alex.give_password()
    expect(alex.field).to_have_value("123456")
    expect(alex.page.get_by_role("heading", name="Enter your code")).to_be_visible()


def test_no_question_is_open_when_the_code_is_sent(
    site: str, visit: Callable[..., Visitor]
) -> None:
    """Its answer could come after the new session's cookie, and would be the old session's."""
    alex = visit(site)
    alex.give_password()
    code = alex.read_text()
    happened: list[str] = []
    alex.page.route(STATUS, lambda _route: happened.append("asked"))  # and never answered
    alex.page.on("requestfailed", lambda _request: happened.append("given up"))
    pretend_that_it_is_sending(alex.page)
    with alex.page.expect_request(STATUS):
        pass
    alex.page.on(
        "request", lambda request: request.method == "POST" and happened.append("code sent")
    )
    alex.enter(code)
    alex.expect_to_be_in()
    assert happened == ["asked", "given up", "code sent"]


# -- the end of the code's time ----------------------------------------------------------------

LEFT = "[data-otp-left]"
LIFE = 300  # seconds


@pytest.fixture
def waiting(
    site_like: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
    visit: Callable[..., Visitor],
) -> Visitor:
    """Somebody at the code page, whose clock the test turns; ``/expire/`` ends all codes."""
    alex = visit(
        site_like(
            DJANGO_SETTINGS_MODULE="tests.browser.settings_languages",
            PSEUDO_LOCALE=str(tmp_path_factory.mktemp("none")),
        )
    )
    alex.page.clock.install()
    alex.give_password()
    expect(alex.page.locator(LEFT)).to_have_text("")
    alex.page.wait_for_load_state()  # the script has run
    return alex


def test_the_end_of_the_codes_time_is_said_before_it_comes_and_nothing_moves(
    waiting: Visitor,
) -> None:
    below = waiting.page.get_by_role("heading", name="No code yet?")
    line, place = waiting.page.locator(LEFT), below.bounding_box()
    for seconds, left in ((LIFE - 60, "1 minute"), (30, "30 seconds"), (20, "10 seconds")):
        waiting.page.clock.run_for(seconds * 1000)
        expect(line).to_have_text(f"This code expires in {left}.")
        assert below.bounding_box() == place
    expect(line).to_have_attribute("aria-live", "polite")


def test_an_open_page_says_by_itself_that_its_code_has_expired(waiting: Visitor) -> None:
    answer_with(waiting.page, "sent")
    waiting.page.request.get("/expire/")

    waiting.page.clock.run_for((LIFE + 5) * 1000)

    expect(waiting.page.get_by_role("alert")).to_have_text("This code has expired. Send a new one.")
    expect(waiting.page.get_by_role("button", name="Send a new code")).to_be_enabled()


def test_what_is_typed_stays_when_the_code_expires(waiting: Visitor) -> None:
    waiting.field.fill("123")
    waiting.page.request.get("/expire/")

    waiting.page.clock.run_for((LIFE + 5) * 1000)

    expect(waiting.page.locator(LEFT)).to_have_text("This code has expired.")
    expect(waiting.field).to_have_value("123")


def test_an_expired_page_stays_as_it_is(waiting: Visitor) -> None:
    """Its message may still be under way: it must not be loaded again and again."""
    waiting.page.request.get("/expire/")
    pretend_that_it_is_sending(waiting.page)
    asked = answer_with(waiting.page, "sending")

    waiting.page.clock.run_for(60_000)

    expect(waiting.page.get_by_role("alert")).to_contain_text("has expired")
    assert asked == []


def test_a_phone_that_slept_is_told_the_time_that_is_really_left(waiting: Visitor) -> None:
    waiting.page.clock.fast_forward((LIFE - 45) * 1000)

    expect(waiting.page.locator(LEFT)).to_have_text(re.compile("in 4[345] seconds"))


def test_a_page_whose_code_was_entered_elsewhere_is_loaded_anew(waiting: Visitor) -> None:
    page = waiting.page
    shown = pretend_that_it_is_sending(page)
    answer_with(page, "sending")
    for seconds in (1, 2):
        with page.expect_response(STATUS):
            page.clock.run_for(seconds * 1000)
    page.unroute(STATUS)
    page.route(STATUS, lambda route: route.fulfill(json={"state": "none", "delivery": ""}))

    with page.expect_response(VERIFY):
        page.clock.run_for(3000)

    assert shown == ["GET", "GET"]


def test_a_page_that_was_loaded_just_now_is_not_loaded_again(waiting: Visitor) -> None:
    """Else one that a status does not fit would be loaded without end."""
    page = waiting.page
    shown = pretend_that_it_is_sending(page)
    page.route(STATUS, lambda route: route.fulfill(json={"state": "none", "delivery": ""}))

    with page.expect_response(STATUS):
        page.clock.run_for(1000)
    page.clock.run_for(30_000)

    expect(waiting.field).to_be_visible()
    assert shown == ["GET"]
