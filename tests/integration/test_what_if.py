"""The report with other windows is the one that a service makes whose windows they are."""

import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    Clock,
    Shop,
    Storefront,
    instant,
    notes,
    pinned,
)
from tests.conftest import BuildService
from tests.messages import Fact, pixel
from tests.random_shop import messages_of
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.domain.attribution import MODELS, SCOPES, Rules, Touch, bit
from tracking.report.credit_sums import CreditSpan
from tracking.service import Service
from tracking.store import credited_orders, identity_graph, touches
from tracking.store.credit_figures import ReportDay
from tracking.store.identity_graph import PersonSearch
from tracking.store.touches import TouchSearch

YEAR = {"start_date": "2026-01-01", "end_date": "2026-12-31"}
DATES: tuple[ReportDay, ...] = ("order_date", "click_date")
CONFIGURED = (2, 12)
# By the seed of a shop: longer and shorter clicks (days) and views (hours), and none of either.
OTHERS = {1: [(5, 48), (1, 3), (0, 12)], 3: [(2, 48), (5, 0), (3, 3)]}


def build(
    build_service: BuildService, url: str, pinterest: FakePinterest, windows: tuple[int, int]
) -> Service:
    days, hours = map(str, windows)
    env = {"CLICK_WINDOW_DAYS": days, "VIEW_WINDOW_HOURS": hours, "COLLECTOR_KEY": COLLECTOR_KEY}
    return build_service(url, pinterest, **env)


def visits_of(seed: int, browsers: Sequence[str]) -> list[tuple[int, Fact]]:
    """Visits and views of the days before, each with how many days ago it is told."""
    random = Random(seed)
    found = []
    for days_ago, browser in product((5, 4, 3, 2, 1), browsers):
        ago = days_ago * DAY + random.randint(0, 20 * HOUR)
        if random.random() < 0.4:
            page = random.choice((pinned("11"), pinned("22"), "/?utm_source=newsletter", "/"))
            found.append((days_ago, pixel("page_viewed", browser, ago, page)))
        elif random.random() < 0.3:
            seen = {"utm_campaign_id": "33"}
            found.append((days_ago, pixel("ad_viewed", browser, ago, data=seen)))
    return found


def tell(service: Service, clock: Clock, seed: int) -> Shop:
    """Have a service told the history of a shop: visits of days, orders, edits and refunds."""
    shop = Shop(assemble(service).test_client())
    facts = messages_of(seed)
    browsers = sorted({fact.body["visitor"] for fact in facts if "visitor" in fact.body})
    for days_ago, fact in visits_of(seed, browsers):
        clock.now = NOW - days_ago * DAY
        fact.tell(service, shop)
    clock.now = NOW
    for fact in facts:
        fact.tell(service, shop)
    while service.tracker.pixel.record_waiting():
        pass  # What takes long is recorded in the background.
    for campaign, amount in (("11", "7.00"), ("22", "9.50")):
        row = {"date": instant(NOW)[:10], "campaign_id": campaign, "currency": "USD"}
        assert shop.spends({**row, "campaign": "", "spend": amount}).status_code == 200
    return shop


def reports_of(service: Service) -> dict[str, Any]:
    """The report by every model, scope and date."""
    told = ("start_date", "end_date", "timezone", "model", "report_by")
    found = {}
    for model, scope, by in product(MODELS, SCOPES, DATES):
        report = service.reports.roi(**YEAR, model=model, scope=scope, report_by=by)
        found[f"{model}, {scope}, {by}"] = {k: v for k, v in report.items() if k not in told}
    return found


def what_if_of(service: Service, windows: tuple[int, int]) -> dict[str, Any]:
    """The same reports with other windows."""
    days, rules = service.reports.days(**YEAR), service.reports.basis.rules
    ends = days.start.toordinal(), days.end.toordinal()
    found = {}
    for model, scope, by in product(MODELS, SCOPES, DATES):
        longest = max(rules.click_window, rules.view_window)
        span = CreditSpan(*ends, bit(scope, model), by, longest)
        told = service.what_if.report(days, span, Rules.of(*windows))
        found[f"{model}, {scope}, {by}"] = told.report
    return found


def assert_buyers_are_found_as_one_by_one(service: Service) -> None:
    """The person and the touches of each order's buyer, searched for with all others."""
    with service.store.read() as conn:
        orders = credited_orders.page(conn, 0, "", 2**40, 1_000)
        spans = [(order.placed_at - n % 6 * DAY, order.placed_at) for n, order in enumerate(orders)]
        searches = [
            PersonSearch(frozenset(order.links.split()), order.visitor, span)
            for order, span in zip(orders, spans, strict=True)
        ]
        before = conn.executed
        persons = identity_graph.persons_of(conn, searches)
        statements = conn.executed - before
        assert identity_graph.persons_of(conn, searches * 20) == persons * 20
        assert conn.executed - before == 2 * statements
        wanted = [
            TouchSearch(*each) for each in zip(persons, *zip(*spans, strict=True), strict=True)
        ]
        found = touches.seen_by_each(conn, wanted)
        for search, person, seen in zip(searches, persons, found, strict=True):
            assert person == identity_graph.person_of(conn, *search)
            assert by_age(seen) == by_age(touches.seen_by(conn, person, *search.span))
    assert any(len(person) > 1 for person in persons) and any(found)


def by_age(seen: list[Touch]) -> list[Touch]:
    return sorted(seen, key=lambda touch: (touch.at, touch.key, touch.visitor))


def figures_in(report: Any) -> dict[str, Any]:
    """The figures of a report, but for the names of campaigns, which stay those of the real one."""
    campaigns = {
        line["campaign_id"] or line["campaign"]: {**line, "campaign": ""}
        for line in report["campaigns"]
    }
    return {**report, "currencies": len(report["currencies"]), "campaigns": campaigns}


def test_by_the_configured_windows_it_is_the_report_itself(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    clock: Clock,
) -> None:
    service = build(build_service, database_url, pinterest, CONFIGURED)
    tell(service, clock, 1)

    for is_summed in (False, True):
        if is_summed:
            service.figures.finish()
        found = what_if_of(service, CONFIGURED)
        for name, report in reports_of(service).items():
            assert found[name] == report, name


def test_a_click_that_is_told_again_inside_a_shorter_window_counts(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    clock: Clock,
) -> None:
    service = build(build_service, database_url, pinterest, CONFIGURED)
    front = Storefront(service, pinterest, clock)
    for hours_ago, campaign, click in ((30, "11", "b25l"), (28, "22", "dHdv"), (3, "11", "b25l")):
        clock.now = NOW - hours_ago * HOUR
        page = pinned(campaign, epik=f"dj0yJnU9{click}")
        front.sees("page_viewed", "visitor-0001", page=page)
    clock.now = NOW
    front.sells(note_attributes=notes(pin_vid="visitor-0001"))
    days = service.reports.days(**YEAR)
    ends = days.start.toordinal(), days.end.toordinal()
    span = CreditSpan(*ends, bit("pinterest", "last_touch"), "order_date", 2 * DAY)

    for windows, credited in ((CONFIGURED, "22"), ((1, 12), "11")):
        report = service.what_if.report(days, span, Rules.of(*windows)).report
        assert report is not None
        orders = {line["campaign_id"]: line["orders"] for line in report["campaigns"]}
        assert {id for id, count in orders.items() if count} == {credited}


def test_orders_whose_visits_are_forgotten_stay_as_they_are_credited(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    clock: Clock,
) -> None:
    service = build(build_service, database_url, pinterest, CONFIGURED)
    tell(service, clock, 1)
    with service.store.read() as conn:
        number = credited_orders.count(conn, 0, 2**40, 1_000)

    service.store.commit(lambda conn: conn.cursor.execute("UPDATE orders SET path = ''"))

    for windows in (CONFIGURED, *OTHERS[1]):
        found = what_if_of(service, windows)
        for name, report in reports_of(service).items():
            assert found[name] == report, (windows, name)
    days, rules = service.reports.days(**YEAR), Rules.of(*OTHERS[1][0])
    span = CreditSpan(days.start.toordinal(), days.end.toordinal(), 1, "order_date", DAY)
    assert service.what_if.report(days, span, rules).forgotten == number > 0


@pytest.mark.parametrize("seed", OTHERS)
def test_by_other_windows_it_is_the_report_of_a_service_that_has_them(
    build_service: BuildService,
    database_url: str,
    sqlite_template: Path,
    tmp_path: Path,
    pinterest: FakePinterest,
    clock: Clock,
    seed: int,
) -> None:
    service = build(build_service, database_url, pinterest, CONFIGURED)
    tell(service, clock, seed)
    before = rows(service.store, "credits")

    for windows in OTHERS[seed]:
        copy = tmp_path / f"{windows}.db"
        shutil.copy(sqlite_template, copy)
        other = build(build_service, f"sqlite:///{copy}", pinterest, windows)
        tell(other, clock, seed)
        found = what_if_of(service, windows)
        for name, report in reports_of(other).items():
            assert figures_in(found[name]) == figures_in(report), (windows, name)
    assert rows(service.store, "credits") == before
    assert_buyers_are_found_as_one_by_one(service)
