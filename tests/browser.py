"""A real browser and whoever sits at it: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

CHROMIUM = Path("/usr/bin/chromium")
# The same engine without what makes it a browser for people: a page takes a third of the processor
# time. It knows no preferences.
_HEADLESS_SHELL = Path("/usr/bin/chromium-headless-shell")
QUICKEST = _HEADLESS_SHELL if _HEADLESS_SHELL.exists() else CHROMIUM
# On a machine that is busy with other things a page takes its time.
PATIENCE = 30.0

# Chromium has no setting for Global Privacy Control; browsers that have it say it in this place.
_GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
_NO_COOKIES = {"profile": {"default_content_setting_values": {"cookies": 2}}}


def why_there_is_none() -> str:
    """Why no browser can be started here; "" if one can, or if it has to (CI is set)."""
    if os.environ.get("CI"):
        return ""
    if importlib.util.find_spec("playwright") is None:
        return "no browser: playwright is not installed (requirements-dev.txt)"
    return "" if CHROMIUM.exists() else f"no browser: {CHROMIUM} is missing (Debian's chromium)"


class Visitor:
    """Somebody with a browser of their own. `errors` are what any of its pages threw."""

    def __init__(self, context: BrowserContext) -> None:
        context.set_default_timeout(PATIENCE * 1000)
        self.errors: list[str] = []
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.context = context
        self.page: Page = context.pages[0] if context.pages else context.new_page()

    def visits(self, url: str, referrer: str = "") -> None:
        """Open an address, by a link of another site if there is a `referrer`."""
        self.page.goto(url, referer=referrer or None)

    def clicks(self, selector: str) -> None:
        """Click, and wait for the page that this leads to, if it leads to one."""
        self.page.click(selector)
        self.page.wait_for_load_state()

    @property
    def cookies(self) -> dict[str, str]:
        """All cookies by name, decoded."""
        return {str(c.get("name")): unquote(str(c.get("value"))) for c in self.context.cookies()}

    @property
    def visit(self) -> Any:
        """What the browser keeps of the visit under way."""
        return json.loads(self.cookies["_pin_visit"])

    def wait_until(self, holds: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Wait for a condition, while the browser goes on.

        Raises:
            AssertionError: it did not come true.
        """
        deadline = time.monotonic() + timeout
        while not holds():
            assert time.monotonic() < deadline, f"not within {timeout} s"
            self.page.wait_for_timeout(10)


@contextmanager
def chromium(program: Path = CHROMIUM) -> Iterator[Browser]:
    """The browser itself, without anybody."""
    with _playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@contextmanager
def visitor_of(browser: Browser, *, gpc: bool = False) -> Iterator[Visitor]:
    """Somebody new. With `gpc` the browser asks sites not to sell what they learn."""
    context = browser.new_context()
    if gpc:
        context.add_init_script(_GPC)
    yield Visitor(context)
    context.close()


@contextmanager
def visitor_without_storage(browser: Browser, profile: Path) -> Iterator[Visitor]:
    """Somebody whose browser keeps no cookies, and lets no page store anything else either."""
    (profile / "Default").mkdir(parents=True)
    (profile / "Default/Preferences").write_text(json.dumps(_NO_COOKIES), "utf-8")
    context = browser.browser_type.launch_persistent_context(
        profile, executable_path=CHROMIUM, headless=True
    )
    yield Visitor(context)
    context.close()


@contextmanager
def _playwright() -> Iterator[Playwright]:
    # It may be missing where these tests are skipped.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright
