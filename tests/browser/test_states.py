"""Every state of every page, most of which no walk comes to: accessible, and none too wide."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from tests.journey import STATUS, Journey

from .conftest import hear_complaints
from .states import STATES, Stage
from .walking import assert_no_sideways_scroll, inspect, photograph

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

SITE = "https://testserver"
PHONE: ViewportSize = {"width": 390, "height": 844}
SMALL: ViewportSize = {"width": 320, "height": 640}
ZOOMED: ViewportSize = {"width": 640, "height": 400}  # a desktop's window at 200 %
# Enough of each kind of page to see what only other colours and sizes bring to light.
A_FEW = [
    "code page, a text sent",
    "code page, a wrong code",
    "confirm an authenticator app",
    "security page, everything",
]


@pytest.fixture
def language() -> str:
    return "en"


@pytest.fixture
def stage(
    journey: Journey, alex: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, language: str
) -> Stage:
    return Stage(journey, alex, settings, monkeypatch, language)


@pytest.fixture(scope="module")
def window(chromium: Browser) -> Iterator[tuple[Page, list[str]]]:
    """One page for all states, since to open another takes longer than to look at it."""
    context = chromium.new_context(base_url=SITE, reduced_motion="reduce")
    context.add_init_script(AXE_SCRIPT)
    page, complaints = context.new_page(), list[str]()
    hear_complaints(page, complaints)
    yield page, complaints
    context.close()


@pytest.fixture
def show(window: tuple[Page, list[str]], stage: Stage) -> Iterator[Callable[[str], Page]]:
    """Return a function that reaches a state and shows it. The page may not complain."""
    page, complaints = window
    complaints.clear()
    loads: list[str] = []

    def show(name: str) -> Page:
        answer = STATES[name].reach(stage)
        asked = re.search(r'data-otp-status="(.+?)"', answer.text)
        status = stage.client.get(asked[1] if asked else STATUS)
        loads.clear()
        page.unroute_all()
        page.route("**/*", in_place_of_the_site(answer, status, loads))
        page.set_viewport_size(PHONE)
        page.emulate_media(color_scheme="light", forced_colors="none")
        page.goto(answer.request["PATH_INFO"])
        expect(page.locator(".otp-card h1")).to_be_visible()
        return page

    yield show
    assert complaints == []
    assert len(loads) == 1  # no page has the script load it again and again


def in_place_of_the_site(
    answer: HttpResponse, status: HttpResponse, loads: list[str]
) -> Callable[[Route], None]:
    """Return what answers the browser: this page, each load of which is noted, and its parts."""
    found = {answer.request["PATH_INFO"]: answer, STATUS: status}

    def respond(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path in found:
            if found[path] is answer:
                loads.append(path)
            # A browser's console complains of any other status than 200.
            headers = dict(found[path].items())
            route.fulfill(status=200, headers=headers, body=found[path].content)
        elif file := finders.find(path.removeprefix("/static/")):
            kind, _ = mimetypes.guess_type(path)
            route.fulfill(body=Path(str(file)).read_bytes(), content_type=kind or "")
        else:
            route.abort()

    return respond


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_accessible_in_the_light_and_the_dark_and_from_right_to_left(
    name: str, show: Callable[[str], Page]
) -> None:
    page = show(name)
    expect(page.locator(".otp-card")).to_contain_text(STATES[name].says)
    inspect(page, f"state {name}, light")
    page.set_viewport_size(SMALL)
    page.emulate_media(color_scheme="dark")
    inspect(page, f"state {name}, dark")
    page.emulate_media(color_scheme="light")
    page.evaluate("document.documentElement.dir = 'rtl'")  # quicker than to reach it once more
    inspect(page, f"state {name}, rtl")


@pytest.mark.parametrize("language", ["ar"])
@pytest.mark.parametrize("name", A_FEW)
def test_a_state_of_who_reads_from_right_to_left(
    name: str, language: str, show: Callable[[str], Page]
) -> None:
    page = show(name)
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    inspect(page, f"state {name}, {language}")


@pytest.mark.parametrize("name", A_FEW)
def test_a_state_in_forced_colours(name: str, show: Callable[[str], Page]) -> None:
    page = show(name)
    page.emulate_media(forced_colors="active")
    inspect(page, f"state {name}, forced colours")


@pytest.mark.parametrize("name", A_FEW)
def test_a_state_at_twice_its_size(name: str, show: Callable[[str], Page]) -> None:
    page = show(name)
    page.set_viewport_size(ZOOMED)
    photograph(page, f"state {name}, zoomed")
    assert_no_sideways_scroll(page, name)
