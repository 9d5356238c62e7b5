"""A comparison that adds up stored days tells what the rows tell, whatever changed meanwhile."""

from collections.abc import Iterator
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.actors import DAY, NOW, BuildWorld, World
from tests.shopping import Shopping
from tracking.domain.attribution import MODELS, Rules, bit
from tracking.domain.shop_days import ShopDays
from tracking.domain.waterfall import PinterestSums
from tracking.report.campaigns import CampaignLabel
from tracking.report.compared_shares import order_shares
from tracking.report.compared_sums import compared_shares, dated
from tracking.report.comparison_writer import ComparisonWriter
from tracking.report.share_sums import ComparedShares, ComparedSpan
from tracking.store import compared_figures, report_progress
from tracking.store.credit_figures import FOREVER, ReportDay
from tracking.store.engine.statement import Connection

ZONE = ShopDays(ZoneInfo("America/New_York"))
RULES = Rules()
REPORTS: tuple[ReportDay, ...] = ("order_date", "click_date")
TODAY = ZONE.day_of(int(NOW))


def writer(world: World, zone: ShopDays = ZONE) -> ComparisonWriter:
    return ComparisonWriter(world.service.store, zone, RULES, 400, world.service.clock)


def finish(writer: ComparisonWriter) -> None:
    while writer.step():
        pass


Line = tuple[Any, ...]


def told(found: ComparedShares) -> tuple[dict[Any, Line], dict[Any, set[str]]]:
    """The lines that are not of nothing, and the orders that each part of them names."""
    lines: dict[Any, Line] = {}
    orders: dict[Any, set[str]] = {}
    every = [("totals", found.totals), *found.days.items(), *found.campaigns.items()]
    for key, sums in every:
        parts = sums.waterfall.parts(PinterestSums())
        shares = {code: share for code, share in sums.by_currency.items() if share}
        amounts = [
            (part.name, part.share, part.value, {k: v for k, v in part.reasons.items() if any(v)})
            for part in parts
        ]
        if shares or any(any(amount[1:]) for amount in amounts):
            lines[key] = (sums.waterfall.credited, shares, amounts)
        orders |= {(key, part.name): {*part.order_ids} for part in parts}
    return lines, orders


def by_row(conn: Connection, span: ComparedSpan, zone: ShopDays) -> ComparedShares:
    found = ComparedShares()
    around = (int(NOW) - 99 * DAY, int(NOW) + 99 * DAY)
    for share in order_shares(conn, around, span.bit, RULES, 0):
        found.add(span, share.label, share.currency, dated(share, span.report_by, zone))
    return found


def order_of_names(found: ComparedShares) -> dict[str, list[CampaignLabel]]:
    """The names of each campaign, the newest one last."""
    return {
        id: [label for label in found.labels() if label.campaign_id == id]
        for id in {label.campaign_id for label in found.labels()}
    }


def spans(days: tuple[int, int]) -> Iterator[ComparedSpan]:
    for report_by in REPORTS:
        for model in MODELS:
            yield ComparedSpan(*days, bit("pinterest", model), report_by)


def assert_as_the_rows(
    world: World, days: tuple[int, int] = (TODAY - 2, TODAY), zone: ShopDays = ZONE
) -> None:
    with world.service.store.read() as conn:
        assert report_progress.of(conn, "comparison").through == FOREVER
        for span in spans(days):
            known = world.service.reports.basis.known_rows
            stored = compared_shares(conn, span, zone, RULES, 0, known)
            rows = by_row(conn, span, zone)
            assert order_of_names(stored) == order_of_names(rows), span
            (ours, our_orders), (theirs, their_orders) = told(stored), told(rows)
            assert ours == theirs, span
            for key, order_ids in our_orders.items():
                assert order_ids <= their_orders.get(key, set())


@pytest.mark.parametrize(
    ("seed", "name"), [(0, "America/New_York"), (1, "Pacific/Kiritimati"), (2, "Pacific/Pago_Pago")]
)
def test_stored_days_and_what_they_lack_are_the_rows(
    everywhere: BuildWorld, seed: int, name: str
) -> None:
    world = everywhere(SHOP_TIMEZONE=name, PINTEREST_SEND="all")
    zone = ShopDays(ZoneInfo(name))
    shopping, figures = Shopping(world, Random(seed)), writer(world, zone)
    for _ in range(12):
        shopping.goes_on()
    finish(figures)
    for _ in range(8):
        for _ in range(shopping.random.randrange(5)):
            shopping.goes_on()
        # Days, weeks, and days at their ends; long spans are added up in two parts.
        ahead = shopping.random.choice((range(9), range(22, 36)))
        days = TODAY - shopping.random.randrange(16), TODAY + shopping.random.choice(ahead)
        assert_as_the_rows(world, days, zone)
        if shopping.random.random() < 0.6:
            figures.step()
            assert_as_the_rows(world, days, zone)


def test_the_figures_of_another_zone_are_made_anew(everywhere: BuildWorld) -> None:
    world = everywhere(SHOP_TIMEZONE="America/New_York", PINTEREST_SEND="all")
    shopping = Shopping(world, Random(3))
    for _ in range(9):
        shopping.goes_on()
    finish(writer(world, ShopDays(ZoneInfo("Asia/Kathmandu"))))
    finish(writer(world))
    assert_as_the_rows(world)


def test_figures_of_a_release_without_weeks_are_made_anew(everywhere: BuildWorld) -> None:
    world = everywhere(SHOP_TIMEZONE="America/New_York", PINTEREST_SEND="all")
    shopping = Shopping(world, Random(5))
    for _ in range(9):
        shopping.goes_on()
    finish(writer(world))
    weeks = (TODAY - 20, TODAY + 10)
    assert_as_the_rows(world, weeks)

    def last_release(conn: Connection) -> None:
        known = report_progress.of(conn, "comparison")
        assert report_progress.advance(conn, "comparison", known, known)
        conn.cursor.execute("DELETE FROM compared_days WHERE report_by IN ('order_week')")

    world.service.store.commit(last_release)

    assert_as_the_rows(world, weeks)
    finish(writer(world))
    assert_as_the_rows(world, weeks)


def test_figures_that_are_made_anew_are_the_same(everywhere: BuildWorld) -> None:
    world = everywhere(SHOP_TIMEZONE="America/New_York", PINTEREST_SEND="all")
    shopping, figures = Shopping(world, Random(4)), writer(world)
    for _ in range(9):
        shopping.goes_on()
    finish(figures)
    figures.restart()
    finish(figures)
    assert_as_the_rows(world)
    with world.service.store.read() as conn:
        assert not compared_figures.marks(conn, 1)


def test_a_week_without_orders_is_empty_after_figures_were_made_anew(
    everywhere: BuildWorld,
) -> None:
    world = everywhere(SHOP_TIMEZONE="America/New_York", PINTEREST_SEND="all")
    shopping, figures = Shopping(world, Random(6)), writer(world)
    while not shopping.bodies:
        shopping.goes_on()
    finish(figures)
    assert_as_the_rows(world, (TODAY - 20, TODAY))

    for number in shopping.bodies:
        assert world.shop.sends("orders/delete", {"id": number}).status_code == 200
    figures.restart()
    finish(figures)

    assert_as_the_rows(world, (TODAY - 20, TODAY))
