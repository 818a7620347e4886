"""The pictures of the README: ``python -m tests.browser.pictures`` takes them anew."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from .conftest import CHECKOUT, PATIENCE, serve
from .walking import Visitor

FOLDER = CHECKOUT / "docs" / "images"


def main() -> None:
    """Walk through the example site, and photograph the code page and the security page."""
    expect.set_options(timeout=PATIENCE)
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder)) as site,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"))

        desktop = {"width": 760, "height": 800}
        alex = Visitor(chromium.new_context(base_url=site, viewport=desktop))
        alex.give_password()
        expect(alex.page.get_by_text("You can ask for the code again now.")).to_be_visible()
        alex.page.screenshot(path=FOLDER / "code-page.png")
        alex.enter(alex.read_text())
        alex.expect_to_be_in()

        phone = {"width": 390, "height": 844}
        dark = Visitor(
            chromium.new_context(base_url=site, viewport=phone, color_scheme="dark", is_mobile=True)
        )
        dark.switch("Text messages")
        dark.give_password()
        expect(dark.page.get_by_text("We could not send a text message")).to_be_visible()
        dark.page.screenshot(path=FOLDER / "code-page-dark.png")
        dark.switch("Text messages")

        alex.page.goto("/account/")
        expect(alex.page.get_by_role("heading", name="What happened lately")).to_be_visible()
        alex.page.get_by_role("link", name=re.compile("Make .*recovery codes")).click()
        alex.press(re.compile("Make .*recovery codes"))
        alex.page.goto("/account/")
        alex.page.set_viewport_size({"width": 760, "height": 720})
        alex.page.screenshot(path=FOLDER / "security-page.png")
        chromium.close()


if __name__ == "__main__":
    main()
