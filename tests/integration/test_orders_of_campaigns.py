"""The orders of a campaign that an index finds are those that all orders of the days have."""

from itertools import product
from random import Random
from zoneinfo import ZoneInfo

import pytest

from tests.actors import DAY, NOW, BuildWorld, World, instant, order, pinned
from tests.shopping import Shopping
from tracking.domain.attribution import SCOPES, Rules, bit
from tracking.domain.shop_days import ShopDays
from tracking.report import campaign_orders
from tracking.report.comparison_writer import ComparisonWriter
from tracking.store import order_list
from tracking.store.order_list import ListedOrder, OrderFilter, OrderPlace

FOREVER = OrderPlace(2**40, 2**62)
# Ids and names, and one that nothing is called.
CAMPAIGNS = ("11", "22", "spring", "summer", "winter")
MASKS = [bit(scope, model) for scope in SCOPES for model in ("last_touch", "linear")]


def writer(world: World) -> ComparisonWriter:
    zone, store = ShopDays(ZoneInfo("UTC")), world.service.store
    return ComparisonWriter(store, zone, Rules(), 400, world.service.clock)


def assert_as_among_all(world: World, days: int) -> list[ListedOrder]:
    """Every page of two orders of each campaign."""
    found = []
    with world.service.store.read() as conn:
        for campaign, mask, fate in product(CAMPAIGNS, MASKS, ("", "sent", "not_sent")):
            since = int(NOW) - days * DAY
            wanted = OrderFilter(since, int(NOW) - DAY, fate, campaign, mask, "spring")
            page, after = None, FOREVER
            while page is None or len(page) == 2:
                page = campaign_orders.orders_of_campaign(conn, wanted, after, 2, 0)
                assert page == order_list.page(conn, wanted, after, 2, 0), (wanted, after)
                found += page
                after = OrderPlace(page[-1].placed_at, page[-1].number) if page else after
    return found


@pytest.mark.histories(3)
def test_they_are_the_same_whatever_changed_meanwhile(everywhere: BuildWorld, seed: int) -> None:
    world = everywhere(PINTEREST_SEND="all")
    shopping, figures = Shopping(world, Random(seed)), writer(world)
    for _ in range(25):
        shopping.goes_on()
    while figures.step():
        pass

    assert assert_as_among_all(world, 12)
    for _ in range(6):
        for _ in range(shopping.random.randrange(5)):
            shopping.goes_on()
        assert_as_among_all(world, shopping.random.randrange(14))
        figures.step()
        assert_as_among_all(world, shopping.random.randrange(14))


def test_orders_of_one_second_come_once_each_between_pages(everywhere: BuildWorld) -> None:
    world = everywhere(PINTEREST_SEND="all")
    at = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(NOW - 2 * DAY))
    for number in (3, 1, 5, 2, 4):
        body = order(id=number, landing_site=pinned("11"), email=f"{number}@example.com", **at)
        assert world.shop.sends("orders/create", body).status_code == 200
    while writer(world).step():
        pass

    assert len(assert_as_among_all(world, 12)) == 5 * len(MASKS)
