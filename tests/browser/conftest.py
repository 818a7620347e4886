"""The example site, served to a real Chromium.

The site runs in a process of its own, so no test here needs a database. pytest-playwright's own
fixtures live as long as the session, and while Playwright's loop runs Django refuses to use the
database: the browser here closes with the last test of this package. Until then the database is
let be used beside the loop, for the one test thread that runs at all; it gets a connection of its
own, so each test opens the browser before its database.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from .walking import Visitor

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 30_000  # milliseconds, for a busy machine

MANAGE = CHECKOUT / "example_project" / "manage.py"
DATABASE = "example.sqlite3"
UNSAFE = "DJANGO_ALLOW_ASYNC_UNSAFE"


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("OTP_CHANNELS_REQUIRE_BROWSER") == "1":
            pytest.fail("Chromium is missing.")
        pytest.skip("Chromium is missing.")
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as beside_the_loop:
        beside_the_loop.setenv(UNSAFE, "1")
        expect.set_options(timeout=PATIENCE)
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()
        connections.close_all()


@contextmanager
def serve(folder: Path, **own: str) -> Iterator[str]:
    """Start ``manage.py demo`` with the database of ``folder``; yield its URL once it listens."""
    environment = {**os.environ, "EXAMPLE_DB": str(folder / DATABASE), **own}
    environment.pop(UNSAFE, None)
    if "DJANGO_SETTINGS_MODULE" not in own:
        environment.pop("DJANGO_SETTINGS_MODULE", None)
    log = folder / "server.log"
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, "-u", "-W", "error", str(MANAGE), "demo", "--port", "0"],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            said = ""
            for line in server.stdout:
                said += line
                if ready := re.search(r"is ready:\s+(http://\S+)", line):
                    yield ready[1]
                    break
            else:
                pytest.fail(f"The demo did not start:\n{said}{log.read_text(encoding='utf-8')}")
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the people of the demo in it: hashing their passwords takes a while."""
    folder = tmp_path_factory.mktemp("prepared")
    with serve(folder):
        pass
    return folder / DATABASE


@pytest.fixture(scope="session")
def site(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the example site. Its people and their devices stay as they are."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(prepared, folder)
    with serve(folder) as url:
        yield url


@pytest.fixture
def own_site(prepared: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of a site for one test alone, which may lock people out and switch channels off."""
    shutil.copy(prepared, tmp_path)
    with serve(tmp_path) as url:
        yield url


@pytest.fixture
def site_like(prepared: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that starts a site of one test alone in an environment, and tells its URL.

    ``site_like(EXAMPLE_LOOK="bootstrap")``
    """
    shutil.copy(prepared, tmp_path)
    with ExitStack() as stack:
        yield lambda **environment: stack.enter_context(serve(tmp_path, **environment))


def hear_complaints(page: Page, complaints: list[str]) -> None:
    """Have what the page complains of in the browser's console added to ``complaints``."""

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a fresh browser at a site. No page may complain."""
    complaints: list[str] = []

    with ExitStack() as stack:

        def visit(url: str, **options: Any) -> Visitor:
            context: BrowserContext = chromium.new_context(
                **{"base_url": url, "reduced_motion": "reduce", **options}
            )
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE)
            context.on("page", lambda page: hear_complaints(page, complaints))
            return Visitor(context)

        yield visit
    assert complaints == []
