"""Storefront events are deleted after a time, and what the reports count of them stays."""

from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app import assemble
from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    HOUR,
    Clock,
    Operator,
    Storefront,
    instant,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.pixel_events import DATA
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.domain.shop_days import ShopDays
from tracking.report.figures_by_day import FiguresByDay
from tracking.report.funnel_span import FunnelSpan, StageCounts
from tracking.report.funnel_writer import FunnelWriter
from tracking.service import Service
from tracking.store import conversions, report_progress
from tracking.store.conversions import ConversionRow

KEPT_DAYS = 30
Front = Callable[..., Storefront]


@pytest.fixture
def front(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> Front:
    """The shop, whose storefront events are kept for thirty days."""

    def build(**env: str) -> Storefront:
        kept = {"COLLECTOR_KEY": COLLECTOR_KEY, "EVENT_RETENTION_DAYS": str(KEPT_DAYS)}
        service = build_service(database_url, pinterest=pinterest, **kept | env)
        return Storefront(service, pinterest, clock)

    return build


def purges(service: Service) -> dict[str, int]:
    return {count.kind: count.rows for count in service.retention.purge()}


def a_day(shop: Storefront, number: int) -> None:
    """Two look around, of whom one comes every day, and one buys."""
    for visitor in ("browser-daily-1", f"browser-{number:06}"):
        shop.sees("page_viewed", visitor, page=pinned("11", utm_campaign="summer"))
        shop.sees("product_viewed", visitor, 1, "/products/mug", DATA["product_viewed"])
    shop.sells(id=number, email=f"buyer-{number}@example.com", contact_email=None, customer=None)
    shop.sent()
    shop.clock.tick(days=1)


def days_go_by(shop: Storefront, first: int, days: int) -> None:
    for number in range(first, first + days):
        a_day(shop, number)


def funnel_since(shop: Storefront, begun: float) -> Any:
    days = {"start_date": instant(begun)[:10], "end_date": instant(shop.clock())[:10]}
    return shop.shop.reads("/conversion-funnel", traffic="all", **days)


def without_closed(report: Any) -> Any:
    return {key: told for key, told in report.items() if not key.startswith("closed_")}


def test_reports_before_and_after_a_purge_are_the_same(front: Front, clock: Clock) -> None:
    shop, begun = front(), clock.now
    days_go_by(shop, 1, 5)
    clock.tick(days=KEPT_DAYS - 3)
    days_go_by(shop, 6, 2)
    before = funnel_since(shop, begun)
    assert before.keys().isdisjoint({"closed_through", "closed_timezone"})
    shop.service.figures.finish()

    assert purges(shop.service)["events of the storefront"] > 0

    after = funnel_since(shop, begun)
    assert without_closed(after) == without_closed(before)
    assert after["closed_through"] == instant(clock.now - (KEPT_DAYS + 1) * DAY)[:10]
    assert after["closed_timezone"] == "UTC"
    oldest = min(
        row["at"] for row in rows(shop.service.store, "conversions") if row["stage"] != "purchase"
    )
    assert oldest >= clock.now // DAY * DAY - KEPT_DAYS * DAY
    assert len(rows(shop.service.store, "orders")) == 7


def test_nothing_of_a_deleted_event_stays_in_the_outbox(front: Front, clock: Clock) -> None:
    shop = front(PINTEREST_SEND="all")
    days_go_by(shop, 1, 1)
    events = {row["event_id"] for row in rows(shop.service.store, "conversions")}
    assert {row["event_id"] for row in rows(shop.service.store, "outbox")} == events
    clock.tick(days=KEPT_DAYS)
    shop.service.figures.finish()
    purges(shop.service)

    (left,) = rows(shop.service.store, "conversions")
    assert left["stage"] == "purchase"
    for table in ("outbox", "attempts"):
        assert {row["event_id"] for row in rows(shop.service.store, table)} == {left["event_id"]}


def test_no_event_is_deleted_before_the_figures_count_it(front: Front, clock: Clock) -> None:
    shop, begun = front(), clock.now
    days_go_by(shop, 1, 3)
    clock.tick(days=KEPT_DAYS)
    before = funnel_since(shop, begun)

    assert purges(shop.service)["events of the storefront"] == 0

    assert funnel_since(shop, begun) == before
    shop.service.figures.finish()
    assert purges(shop.service)["events of the storefront"] > 0


def test_who_comes_again_after_their_events_were_deleted_is_the_same_visitor(
    front: Front, clock: Clock
) -> None:
    shop, begun = front(), clock.now
    days_go_by(shop, 1, 1)
    clock.tick(days=KEPT_DAYS)
    shop.service.figures.finish()
    purges(shop.service)
    days_go_by(shop, 2, 1)
    shop.service.figures.finish()

    (views, *_) = funnel_since(shop, begun)["stages"]
    assert (views["events"], views["visitors"]) == (4, 3)


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/New_York", "UTC"])
def test_closed_days_stay_as_they_are_when_the_others_are_counted_anew(
    front: Front, clock: Clock, zone: str
) -> None:
    shop, begun = front(), clock.now
    days_go_by(shop, 1, 4)
    clock.tick(days=KEPT_DAYS - 2)
    shop.service.figures.finish()
    purges(shop.service)
    before = funnel_since(shop, begun - DAY)

    moved = front(SHOP_TIMEZONE=zone)
    Operator(assemble(moved.service)).reads("rebuild-reports")
    Operator(assemble(moved.service)).reads("rebuild-reports")

    after = funnel_since(moved, begun - DAY)
    assert after["stages"] == before["stages"]
    assert after["by_campaign"] == before["by_campaign"]
    assert after["timezone"] == zone
    assert (after["closed_through"], after["closed_timezone"]) == (before["closed_through"], "UTC")


def test_an_order_of_a_closed_day_that_changes_is_counted_anew(front: Front, clock: Clock) -> None:
    shop, begun = front(), clock.now
    days_go_by(shop, 1, 1)
    clock.tick(days=KEPT_DAYS)
    shop.service.figures.finish()
    purges(shop.service)
    assert shop.stages(start_date=instant(begun)[:10], traffic="all")["purchase"] == (1, 1)

    changed = order(id=1, test=True, updated_at=instant(clock.now), created_at=instant(begun))
    assert shop.shop.sends("orders/updated", changed).status_code == 200

    for _ in range(2):
        stages = shop.stages(start_date=instant(begun)[:10], traffic="all")
        assert stages["purchase"] == (0, 0)
        assert stages["product_view"] == (2, 2)
        shop.service.figures.finish()


def test_a_shops_erasure_forgets_the_visitors_of_closed_days(front: Front, clock: Clock) -> None:
    shop, begun = front(), clock.now
    days_go_by(shop, 1, 2)
    clock.tick(days=KEPT_DAYS)
    shop.service.figures.finish()
    purges(shop.service)
    days_go_by(shop, 3, 1)
    shop.service.figures.finish()
    before = funnel_since(shop, begun)
    assert "browser-000001" in repr(rows(shop.service.store, "report_visitors"))

    asked = {"shop_id": 1, "shop_domain": "a.myshopify.com"}
    assert shop.shop.sends("shop/redact", asked).status_code == 200
    (held,) = shop.service.pending_erasures.held()
    assert shop.service.pending_erasures.confirm(held.id)

    assert "browser-" not in repr(rows(shop.service.store, "report_visitors"))
    assert funnel_since(shop, begun)["stages"] == before["stages"]


def totals_since(shop: Storefront, begun: float) -> StageCounts:
    """The totals of the funnel since an instant."""
    first, last = (int(at) // DAY + date(1970, 1, 1).toordinal() for at in (begun, shop.clock()))
    with shop.service.store.read() as conn:
        progress = report_progress.of(conn, "funnel")
        span = FunnelSpan(first, last, all_traffic=True)
        return FiguresByDay(conn, span, ShopDays(ZoneInfo("UTC")), progress).total()


def test_a_funnel_of_closed_days_stays_the_same_while_the_figures_of_the_others_are_made_anew(
    front: Front, clock: Clock
) -> None:
    shop, begun = front(), clock.now
    days_go_by(shop, 1, 1)
    clock.tick(days=KEPT_DAYS)
    shop.service.figures.finish()
    purges(shop.service)
    days_go_by(shop, 2, 1)
    shop.service.figures.finish()
    before = totals_since(shop, begun)
    writer = FunnelWriter(shop.service.store, ShopDays(ZoneInfo("UTC")))
    writer.restart()

    told = [totals_since(shop, begun)]
    while writer.step():
        told.append(totals_since(shop, begun))

    assert len(told) > 2
    assert {repr(counts) for counts in told} == {repr(before)}


def views(shop: Storefront, instants: Iterable[float]) -> None:
    """A product view of somebody new at each instant."""
    for at in map(int, instants):
        names = (f"e{at}", "product_view", "", f"v{at}")
        row = ConversionRow(*names, at, 1, 0, "", "", "", 0, "", "", at)
        shop.service.store.commit(partial(conversions.put, row=row))


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
def test_figures_stay_when_more_days_are_closed_in_another_zone(
    front: Front, clock: Clock, zone: str
) -> None:
    shop, begun = front(), clock.now // DAY * DAY
    views(shop, (begun + hour * HOUR for hour in range(0, 96, 3)))
    clock.now = begun + (KEPT_DAYS + 2) * DAY + 20 * HOUR
    shop.service.figures.finish()
    purges(shop.service)

    moved = front(SHOP_TIMEZONE=zone)
    moved.service.figures.finish()
    span = {"start_date": instant(begun - 2 * DAY)[:10], "end_date": instant(clock.now)[:10]}
    before = moved.stages(traffic="all", **span)
    assert before["product_view"] == (32, 32)
    for _ in range(8):
        purges(moved.service)
        Operator(assemble(moved.service)).reads("rebuild-reports")
        assert moved.stages(traffic="all", **span) == before
        clock.tick(hours=6)
    assert len(rows(moved.service.store, "conversions")) < 8


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
def test_new_events_of_the_first_open_day_count_where_the_figures_count_them(
    front: Front, clock: Clock, zone: str
) -> None:
    shop, begun = front(), clock.now // DAY * DAY
    views(shop, [begun])
    clock.now = begun + (KEPT_DAYS + 1) * DAY
    shop.service.figures.finish()
    purges(shop.service)
    moved = front(SHOP_TIMEZONE=zone)
    moved.service.figures.finish()
    dates = [instant(begun + n * DAY)[:10] for n in range(-2, 4)]
    spans = [
        {"start_date": first, "end_date": last, "traffic": "all"}
        for n, first in enumerate(dates)
        for last in dates[n:]
    ]
    views(moved, (begun + DAY + hour * HOUR for hour in (1, 6, 12, 30)))

    new = [moved.stages(**span) for span in spans]
    moved.service.figures.finish()

    assert [moved.stages(**span) for span in spans] == new
