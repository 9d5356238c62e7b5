"""`python -m tests.screenshots`: the dashboard of the demo's shop and of an empty one, as pictures.

Without a folder it writes the few that the docs show. With one it writes every page in its whole
length there, on a desk and on a phone, light and dark, to be looked at.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from api.dashboard.pages import PAGES
from commands.demo.day import run_day
from commands.demo.month import zone_at
from commands.demo.shop import AUTUMN, LATER_ID
from server.login_links import login_path
from tests.actors import API_TOKEN, SECRET
from tests.browser import PATIENCE, chromium, why_there_is_none
from tests.servers import ROOT, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, StorageState

Scheme = Literal["light", "dark"]
Size = tuple[int, int]

IMAGES = ROOT / "docs/images"
DESK, PHONE = (1280, 800), (390, 844)
CAMPAIGN = f"/campaigns/{AUTUMN.campaign_id}"
ORDER = f"/orders/{LATER_ID}"
OVERVIEW = "?start_date={fortnight_ago}&end_date={today}"
# A sans-serif as wide as those that people have: without a desktop, Debian takes one much wider.
FONT = """<match target="pattern"><test name="family"><string>{}</string></test><edit
name="family" mode="assign" binding="strong"><string>Liberation Sans</string></edit></match>"""
FONTS = f"""<fontconfig><include>/etc/fonts/fonts.conf</include>
{"".join(map(FONT.format, ("system-ui", "sans", "sans-serif")))}</fontconfig>"""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a page, as high as the window, or as the page if it is `whole`."""

    name: str
    page: str
    size: Size = DESK
    scheme: Scheme = "light"
    whole: bool = False


# Fourteen days have as many before them in the demo's month, and so a change.
OF_THE_DEMO = (
    Shot("overview", OVERVIEW),
    Shot("overview-dark", OVERVIEW, scheme="dark"),
    Shot("overview-phone", OVERVIEW, PHONE),
    Shot("campaign", CAMPAIGN),
    Shot("order", ORDER),
    Shot("health", "/health"),
)
OF_AN_EMPTY_SHOP = (Shot("set-up", ""),)


@dataclass(frozen=True, slots=True)
class Photographer:
    """Somebody logged in to a dashboard, with as many windows as pictures are asked for."""

    browser: "Browser"
    address: str
    session: "StorageState"

    def take(self, shot: Shot, folder: Path) -> None:
        """Open the page, and write its picture into the folder."""
        width, height = shot.size
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=shot.scheme,
            storage_state=self.session,
        )
        page = context.new_page()
        answer = page.goto(f"{self.address}/dashboard{_dated(shot.page)}", timeout=PATIENCE * 1000)
        assert answer is not None and answer.ok, shot
        page.screenshot(path=folder / f"{shot.name}.png", full_page=shot.whole)
        context.close()


def _dated(page: str) -> str:
    now = time.time()
    today = datetime.fromtimestamp(now, zone_at(now)).date()
    return page.format(today=today, fortnight_ago=today - timedelta(days=13))


def main() -> int:
    """Take the pictures that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where every page is to go")
    folder = parser.parse_args().folder
    if missing := why_there_is_none():
        sys.exit(missing)
    with _fonts(), chromium() as browser:
        with _demo(browser) as demo:
            _take(demo, OF_THE_DEMO, "demo", folder)
        with _empty_shop(browser) as empty:
            _take(empty, OF_AN_EMPTY_SHOP, "empty", folder)
    return 0


def _take(owner: Photographer, chosen: tuple[Shot, ...], shop: str, folder: Path | None) -> None:
    shots = chosen if folder is None else every_page(shop)
    target = folder or IMAGES
    target.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        owner.take(shot, target)


def every_page(shop: str) -> Iterator[Shot]:
    """Every page in its whole length, of each size and scheme; those of a campaign and an
    order only where there are some."""
    pages = {page.rule.strip("/") or "overview": page.rule for page in PAGES}
    paths = {name: rule for name, rule in pages.items() if "<" not in rule}
    if shop == "demo":
        paths |= {"campaign": CAMPAIGN, "order": ORDER}
    for name, path in paths.items():
        for size_name, size in {"desk": DESK, "phone": PHONE}.items():
            for scheme in ("light", "dark"):
                yield Shot(f"{shop}-{name}-{size_name}-{scheme}", path, size, scheme, whole=True)


@contextmanager
def _fonts() -> Iterator[None]:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as chosen:
        chosen.write(FONTS)
        chosen.flush()
        os.environ["FONTCONFIG_FILE"] = chosen.name
        yield


@contextmanager
def _demo(browser: "Browser") -> Iterator[Photographer]:
    with run_day(None, None) as day:
        yield _logged_in(browser, day.addresses[0])


@contextmanager
def _empty_shop(browser: "Browser") -> Iterator[Photographer]:
    """A service with nothing but the settings it cannot do without, before the first webhook."""
    with ExitStack() as closed:
        folder = Path(closed.enter_context(tempfile.TemporaryDirectory(prefix="screenshots-")))
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": f"sqlite:///{folder}/empty.db",
        }
        server = closed.enter_context(serving(folder, env))
        yield _logged_in(browser, server.url + login_path(API_TOKEN.encode(), time.time()))


def _logged_in(browser: "Browser", link: str) -> Photographer:
    """Follow a login link, and keep the session for all windows."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link, timeout=PATIENCE * 1000)
    address = page.url.partition("/dashboard")[0]
    return Photographer(browser, address, context.storage_state())


if __name__ == "__main__":
    sys.exit(main())
