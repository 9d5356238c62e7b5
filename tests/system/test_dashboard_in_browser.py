"""The dashboard in a real browser: login, days, hostile names under the policy, accessibility."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import pytest
import requests

from api.dashboard.pages import PAGES
from tests.actors import API_TOKEN, SECRET, bearer, instant, order, pinned
from tests.browser import PATIENCE, QUICKEST, Visitor, chromium, visitor_of, why_there_is_none
from tests.servers import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.skipif(bool(why_there_is_none()), reason=why_there_is_none())

HOSTILE = '"><script>document.title="gone"</script><img src=x onerror=alert(1)> مبيعات'
PROXY = "127.0.0.2"
PHONE, DESK = (390, 844), (1280, 900)
MOST_ON_FIRST_VIEW = 60_000
# What axe finds of these kinds keeps somebody from using a page.
SERIOUS = {"serious", "critical"}
# WCAG 2.2, levels A and AA.
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
# Reported by the browser: each thing that the policy of a page forbids, and how far what is there
# moved while the page was built up (a jump of all of it is 1).
_WATCHES = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    window.shift = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
        window.shift += entry.value;
    })).observe({ type: "layout-shift", buffered: true });
"""
MOST_SHIFT = 0.01


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One Chromium for all; each owner has a profile of their own in it."""
    with chromium(QUICKEST) as started:
        yield started


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A shop that sold something every day of a week, by a campaign with a hostile name."""
    folder = tmp_path_factory.mktemp("dashboard")
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{folder}/tracking.db",
        "WEB_CONCURRENCY": "1",
        "DASHBOARD_AUTH_HEADER": "X-Forwarded-User",
        "DASHBOARD_AUTH_PEERS": PROXY,
    }
    with serving(folder, env) as running:
        for n in range(7):
            _sell(running, n)
        yield running


def _sell(service: Server, days_ago: int) -> None:
    at = instant(time.time() - days_ago * 86_400 - 60)
    placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
    page = pinned("626735565838", utm_campaign=quote(HOSTILE))
    names = {"name": f"#{1001 + days_ago} {HOSTILE}", "currency": "EUR" if days_ago == 6 else "USD"}
    body = order(id=7001 + days_ago, landing_site=page, **placed, **names)
    assert service.sends("orders/create", json.dumps(body).encode()).status_code == 200
    day = (datetime.now(UTC) - timedelta(days=days_ago)).date().isoformat()
    row = {"date": day, "campaign_id": "626735565838", "campaign": HOSTILE, "spend": "5.00"}
    spend = {"rows": [{**row, "currency": "USD"}]}
    sent = requests.post(f"{service.url}/spend", json=spend, headers=bearer(), timeout=PATIENCE)
    assert sent.status_code == 200


Scheme = Literal["light", "dark"]


class Watcher(Visitor):
    """An owner whose browser tells what a page's policy forbids, and what its scripts throw."""

    def look(self, url: str) -> None:
        """Open a page; nothing in it may be forbidden or throw."""
        self.visits(url)
        assert self.page.evaluate("window.violations") == [], url
        assert self.errors == [], url


@contextmanager
def owner_of(
    browser: "Browser", service: Server, size: tuple[int, int] = DESK, scheme: Scheme = "light"
) -> Iterator[Watcher]:
    """The shop's owner, logged in by the form."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.add_init_script(_WATCHES)
    owner = Watcher(context)
    owner.look(f"{service.url}/dashboard/funnel")
    owner.page.fill("#token", API_TOKEN)
    owner.clicks("main button")
    owner.page.wait_for_url("**/dashboard/funnel?start_date=**")
    yield owner
    context.close()


def addresses(service: Server) -> list[str]:
    """Every page that needs no more than its days."""
    return [f"{service.url}/dashboard{page.rule}" for page in PAGES if "<" not in page.rule]


def test_an_owner_logs_in_chooses_days_and_logs_out(browser: "Browser", service: Server) -> None:
    with owner_of(browser, service) as owner:
        page = owner.page
        assert page.text_content("h1") == "Funnel"

        before = page.url
        owner.clicks("text=7 days")
        page.wait_for_url(lambda url: url != before)
        # The days of the page, not those of today: it may be midnight.
        first, last = (page.input_value(f"[name={name}]") for name in ("start_date", "end_date"))
        assert date.fromisoformat(last) - date.fromisoformat(first) == timedelta(days=6)
        shown = page.text_content("section:has(#stages) tbody tr:last-child td:nth-child(3)")
        report = service.reads(f"/conversion-funnel?start_date={first}&end_date={last}")
        assert shown is not None
        assert shown.strip() == str(report["stages"][-1]["visitors"])

        page.fill("[name=end_date]", first)
        owner.clicks("text=Show")
        page.wait_for_url(f"**start_date={first}&end_date={first}")

        owner.clicks("text=Log out")
        page.wait_for_url(f"{service.url}/dashboard/login")
        owner.look(f"{service.url}/dashboard/funnel")
        assert page.locator("#token").is_visible()


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk, light", "phone, dark"]
)
def test_every_page_can_be_used_by_everybody(
    browser: "Browser", service: Server, size: tuple[int, int], scheme: Scheme
) -> None:
    with owner_of(browser, service, size, scheme) as owner:
        asked: set[str] = set()
        owner.page.on("request", lambda request: asked.add(request.url))
        for address in addresses(service):
            owner.look(address)
            assert owner.page.title() != "gone"
            assert _serious_findings(owner.page) == [], address
            wide = "document.documentElement.scrollWidth > window.innerWidth"
            assert not owner.page.evaluate(wide), f"{address} is wider than the screen"
            assert owner.page.evaluate("window.shift") < MOST_SHIFT, address
        assert {url for url in asked if not url.startswith(f"{service.url}/")} == set()


def test_the_door_can_be_used_by_everybody(browser: "Browser", service: Server) -> None:
    with visitor_of(browser) as stranger:
        stranger.visits(f"{service.url}/dashboard")
        assert _serious_findings(stranger.page) == []


def test_a_chart_is_drawn_from_the_table_beside_it(browser: "Browser", service: Server) -> None:
    with owner_of(browser, service) as owner:
        owner.look(f"{service.url}/dashboard")
        chart = owner.page.locator("figure:has(#by-day-USD)")
        assert chart.locator("canvas").count() == 1

        chart.locator(".u-over").hover()
        chart.locator(".tip").wait_for()
        tip = str(chart.locator(".tip").text_content())
        chart.locator("summary").click()
        row = chart.locator(f"tr:has-text('{tip[:10]}')").text_content()
        assert row is not None
        for figure in re.findall(r"[0-9.]+(?= USD)", tip):
            assert figure in row


def test_a_slider_computes_other_windows_beside_the_real_figures(
    browser: "Browser", service: Server
) -> None:
    with owner_of(browser, service) as owner:
        page = owner.page
        owner.look(f"{service.url}/dashboard/campaigns")
        page.click("summary")
        page.focus("#click_days")
        page.keyboard.press("Home")
        page.wait_for_url("**click_days=0**")

        assert page.text_content("output[for=click_days]") == "0 days"
        assert page.locator("text=nothing is changed or sent").count() == 1
        days = re.findall(r"(?:start|end)_date=[\d-]+", page.url)
        report = service.reads(f"/roi-analysis?{'&'.join(days)}")
        for each in report["currencies"]:
            (line,) = each["campaigns"]
            row = page.locator(f"tbody tr:has-text('{each['currency']}')").first
            figures = row.locator("td.figure").evaluate_all("all => all.map(c => c.dataset.value)")
            assert figures[:4] == [str(line["orders"]), "0", line["revenue"], "0.00"]
        assert _serious_findings(page) == []
        assert page.evaluate("window.violations") == []


def test_a_page_works_without_scripts(browser: "Browser", service: Server) -> None:
    context = browser.new_context(java_script_enabled=False)
    owner = Visitor(context)
    owner.visits(f"{service.url}/dashboard/funnel")
    owner.page.fill("#token", API_TOKEN)
    owner.clicks("main button")
    owner.clicks("text=All traffic")
    owner.page.wait_for_url("**traffic=all**")
    context.close()


def test_the_first_view_is_light(browser: "Browser", service: Server) -> None:
    with owner_of(browser, service) as owner:
        sizes: list[int] = []
        session = owner.context.new_cdp_session(owner.page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        session.on("Network.loadingFinished", lambda told: sizes.append(_length(told)))
        owner.look(f"{service.url}/dashboard")
        owner.page.wait_for_load_state("networkidle")

        assert len(sizes) > 3
        assert sum(sizes) < MOST_ON_FIRST_VIEW


def _length(told: Any) -> int:
    return int(told["encodedDataLength"])


def _serious_findings(page: Any) -> list[str]:
    # It is only there where browsers are tested.
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], "runOnly": list(_RULES)}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    ("headers", "peer", "status"),
    [
        ([("X-Forwarded-User", "ada")], PROXY, 303),
        ([("X-Forwarded-User", "ada")], "127.0.0.1", 401),
        ([("X-Forwarded-User", "ada"), ("X-Forwarded-For", PROXY)], "127.0.0.1", 401),
        ([("X-Forwarded-User", "ada"), ("x-forwarded-user", "eve")], PROXY, 401),
        ([("X-Forwarded-User", ""), ("X-Forwarded-User", "eve")], PROXY, 401),
        ([("X_Forwarded_User", "ada")], PROXY, 401),
        ([], PROXY, 401),
    ],
)
def test_whom_a_proxy_signs_in_over_a_real_connection(
    service: Server, headers: list[tuple[str, str]], peer: str, status: int
) -> None:
    connection = HTTPConnection("127.0.0.1", service.port, PATIENCE, source_address=(peer, 0))
    connection.putrequest("GET", "/dashboard")
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    with closing(connection):
        assert connection.getresponse().status == status
