"""What webhooks lost, Shopify still knows: it is found, and taken in as if it had come."""

import copy
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from flask.testing import FlaskCliRunner
from hypothesis import given
from hypothesis import strategies as st

from app import assemble
from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    Clock,
    Shop,
    Storefront,
    deliver,
    instant,
    notes,
    order,
    pinned,
    refund,
)
from tests.changed_orders import CHANGES
from tests.conftest import BuildService
from tests.orders import VARIANTS, line
from tests.standins.pinterest import FakePinterest
from tests.standins.shopify_admin import (
    ADMIN_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    SHOP,
    TOKEN_SECONDS,
    FakeShopifyAdmin,
)
from tests.standins.shopify_nodes import order_node
from tests.store_contents import everything, rows, state
from tracking.clients import shopify_orders
from tracking.clients.shopify_access import ShopAccess, accesses_of, missing_settings
from tracking.clients.shopify_admin import FetchedOrder, ShopifyAdmin
from tracking.clients.shopify_graphql import MAX_ATTEMPTS
from tracking.clients.shopify_http import ShopifyError
from tracking.destinations.pinterest import Pinterest
from tracking.domain.attribution import Rules
from tracking.domain.conversion import Policy
from tracking.domain.identity import hashed
from tracking.domain.shopify_order import order_of
from tracking.domain.validation import ValidationError
from tracking.receive.planner import Planner
from tracking.receive.reconcile import (
    FRESH_SECONDS,
    OrderDifference,
    Reconciler,
    order_from,
    since_of,
)
from tracking.service import Service

SINCE = int(NOW - 2 * DAY)
LAPTOP = "laptop-browser-1"


@pytest.fixture
def shopify(clock: Clock) -> Iterator[FakeShopifyAdmin]:
    """Shopify with a shop, an hour after the orders of these tests."""
    clock.tick(hours=1)
    with FakeShopifyAdmin(clock) as server:
        yield server


@pytest.fixture
def admin(shopify: FakeShopifyAdmin, clock: Clock) -> Iterator[ShopifyAdmin]:
    """The shop's Admin API, opened by the app. Pauses pass on the tests' clock."""
    access = ShopAccess(SHOP, shopify.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    found = ShopifyAdmin(access, clock, lambda seconds: clock.tick(seconds=seconds))
    yield found
    found.close()


@pytest.fixture
def lite(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service on SQLite that sends every order to the stand-in."""
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


Look = Callable[..., list[OrderDifference]]


@pytest.fixture
def look(admin: ShopifyAdmin) -> Look:
    """Compares a service with the shop and repairs it: `look(service)`."""

    def at(service: Service, since: int = SINCE, *, repairs: bool = True) -> list[OrderDifference]:
        return list(Reconciler(service.tracker, admin).differences(since, repairs=repairs))

    return at


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def order_ids(service: Service) -> set[str]:
    return {row["id"] for row in rows(service.store, "orders")}


def repaired(lack: Any, number: int = 5_001, name: str = "#1001") -> OrderDifference:
    return OrderDifference(str(number), name, lack)


# --- What is found and repaired


def test_an_order_whose_webhook_was_lost_is_taken_in_and_told_to_pinterest(
    service: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shopify.has(order(landing_site=pinned()))

    assert look(service) == [repaired("missing")]
    deliver(service)
    assert set(pinterest.accepted) == {"checkout-5001"}
    (campaign,) = [
        c
        for c in shop_of(service).reads("/roi-analysis")["campaigns"]
        if c["campaign_id"] == "626735565838"
    ]
    assert (campaign["orders"], campaign["revenue"]) == (1, "40.00")


def test_an_order_that_only_a_setting_held_back_is_put_in_line(
    build_service: BuildService,
    database_url: str,
    shopify: FakeShopifyAdmin,
    look: Look,
    pinterest: FakePinterest,
) -> None:
    other = {"id": 5_002, "email": "bob@example.com", "customer": None, "billing_address": None}
    bodies = order(landing_site=pinned()), order(**other, landing_site="/", contact_email=None)
    shopify.has(*bodies)
    reporting = build_service(database_url)
    for body in bodies:
        shop_of(reporting).sends("orders/create", body)
    service = build_service(database_url, pinterest=pinterest)

    (seen,) = look(service, repairs=False)
    assert (seen.kind, deliver(service)) == ("unsent", 0)
    assert look(service) == [repaired("unsent")]
    assert deliver(service) == 1
    assert look(service) == []
    assert pinterest.accepted == {"checkout-5001": 1}


def test_an_order_too_old_for_pinterest_is_left_held_back(
    build_service: BuildService,
    sqlite_url: str,
    shopify: FakeShopifyAdmin,
    look: Look,
    pinterest: FakePinterest,
    clock: Clock,
) -> None:
    shopify.has(order(landing_site=pinned()))
    shop_of(build_service(sqlite_url)).sends("orders/create", order(landing_site=pinned()))
    clock.tick(days=7)

    assert look(build_service(sqlite_url, pinterest=pinterest)) == []


def test_a_second_look_changes_nothing(
    service: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(refunds=[refund()]), order(id=5_002, landing_site=pinned()))
    look(service)
    before = everything(service.store)

    assert look(service) == []
    assert everything(service.store) == before


def test_an_order_that_webhooks_told_is_left_as_it_is(
    service: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    body = order(landing_site=pinned(), refunds=[refund()])
    shop_of(service).sends("orders/create", body)
    shopify.has(body)
    before = everything(service.store)

    assert look(service) == []
    assert everything(service.store) == before
    assert shopify.asked("order") == []


@pytest.mark.parametrize("first", ["webhook", "reconcile"])
def test_one_order_told_both_ways_is_one_purchase_and_the_webhook_has_the_last_word(
    service: Service,
    shopify: FakeShopifyAdmin,
    look: Look,
    first: str,
) -> None:
    body = order(landing_site=pinned())
    shopify.has(body)
    if first == "reconcile":
        look(service)
    shop_of(service).sends("orders/create", body)
    look(service)

    waiting = state(service.store)["waiting"]
    assert [row["event_id"] for row in waiting] == ["checkout-5001"]
    assert json.loads(waiting[0]["payload"])["user_data"]["client_user_agent"]
    assert len(rows(service.store, "conversions")) == 1


@pytest.mark.parametrize(
    "news",
    [
        {"cancelled_at": instant(NOW + 600), "financial_status": "voided"},
        {"refunds": [refund()], "financial_status": "partially_refunded"},
        {"financial_status": "refunded", "refunds": [refund(), refund(id=7_002)]},
    ],
)
def test_a_lost_change_of_a_known_order_ends_as_its_webhook_would_have(
    service: Service,
    shopify: FakeShopifyAdmin,
    look: Look,
    news: dict[str, Any],
) -> None:
    newer = order(landing_site=pinned(), updated_at=instant(NOW + 600), **news)
    shop_of(service).sends("orders/create", order(landing_site=pinned()))
    shopify.has(newer)
    by_reconciling = look(service)
    reconciled = comparable(service)

    shop_of(service).sends("orders/updated", newer)

    assert by_reconciling == [repaired("older")]
    assert comparable(service) == reconciled


def comparable(service: Service) -> Any:
    """All that is known, but which of two bodies told it."""
    found = state(service.store)
    for row in found["orders"]:
        row["version"] = row["version"][:19]
    return found


def test_an_order_cancelled_while_its_event_waits_is_held_back(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shop_of(lite).sends("orders/create", order())
    shopify.has(order(cancelled_at=instant(NOW + 60), updated_at=instant(NOW + 60)))

    look(lite)

    deliver(lite)
    assert pinterest.accepted == {}


def test_an_order_whose_payment_was_missed_is_a_purchase_once_that_is_known(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    shopify: FakeShopifyAdmin,
    look: Look,
) -> None:
    paid = {"PURCHASE_ON": "paid", "PINTEREST_SEND": "all"}
    service = build_service(sqlite_url, pinterest=pinterest, **paid)
    shop_of(service).sends("orders/create", order(financial_status="pending"))
    shopify.has(order(updated_at=instant(NOW + 600)))

    assert look(service) == [repaired("older")]
    deliver(service)
    assert set(pinterest.accepted) == {"checkout-5001"}


def test_a_test_order_is_recorded_and_not_sent(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shopify.has(order(test=True))

    look(lite)

    deliver(lite)
    assert order_ids(lite) == {"5001"}
    assert pinterest.accepted == {}


def test_an_order_older_than_pinterest_takes_is_recorded_and_not_sent(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shopify.has(order(created_at=instant(NOW - 8 * DAY), processed_at=instant(NOW - 8 * DAY)))

    look(lite)

    assert [row["reason"] for row in rows(lite.store, "conversions")] == ["expired"]


def test_a_dry_run_tells_what_is_missing_and_changes_nothing(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shop_of(lite).sends("orders/create", order())
    shopify.has(order(updated_at=instant(NOW + 9)), order(id=5_002, name="#1002"))
    before = everything(lite.store)

    found = look(lite, repairs=False)

    assert [(f.order_id, f.kind, bool(f.error)) for f in found] == [
        ("5002", "missing", True),
        ("5001", "older", True),
    ]
    assert everything(lite.store) == before


def test_an_order_of_this_very_moment_is_left_to_its_webhook(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, clock: Clock
) -> None:
    shopify.has(order(updated_at=instant(clock() - FRESH_SECONDS + 1)))

    assert look(lite) == []
    clock.tick(seconds=2)
    assert look(lite) == [repaired("missing")]


def test_only_what_changed_since_is_asked_for(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(), order(id=5_002, updated_at=instant(SINCE - 1)))

    look(lite)

    assert order_ids(lite) == {"5001"}


def test_more_orders_than_a_page_are_all_found(
    lite: Service, shopify: FakeShopifyAdmin, admin: ShopifyAdmin
) -> None:
    shopify.has(*(order(id=n, updated_at=instant(NOW - n)) for n in range(1, 251)))

    heads = list(admin.orders(SINCE))

    assert [int(head.id) for head in heads] == list(range(250, 0, -1))
    assert len(shopify.asked("orders")) == 3


def test_an_order_that_changes_while_it_is_looked_for_counts_once(
    lite: Service, shopify: FakeShopifyAdmin, admin: ShopifyAdmin, clock: Clock
) -> None:
    shopify.has(*(order(id=n, updated_at=instant(NOW - n)) for n in range(1, 151)))

    def change_one() -> None:
        if len(shopify.asked("orders")) == 1:
            shopify.has(order(id=150, updated_at=instant(clock())))

    shopify.meanwhile = change_one
    reconciler = Reconciler(lite.tracker, admin)
    found = list(reconciler.differences(SINCE, repairs=False))

    assert reconciler.counts.found == 150
    assert len(found) == 150


# --- The same order, told by the API and by a webhook


def told_by_api(admin: ShopifyAdmin, body: dict[str, Any]) -> Any:
    return order_from(admin.order(f"gid://shopify/Order/{body['id']}"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_order_is_the_same_whoever_tells_it(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, variant: str
) -> None:
    body = order(**VARIANTS[variant])
    shopify.has(body)

    by_webhook = order_of(json.dumps(body).encode())
    by_api = told_by_api(admin, body)

    assert plain(by_api) == plain(by_webhook)


def plain(found: Any) -> dict[str, Any]:
    """An order's fields, without what the API never tells and without its digest."""
    fields = msgspec.structs.asdict(found)
    told = {**msgspec.structs.asdict(found.browser), "user_agent": ""}
    buyer = {name: repr_of(value) for name, value in msgspec.structs.asdict(found.buyer).items()}
    return {**fields, "digest": "", "browser": told, "buyer": buyer}


def repr_of(value: Any) -> Any:
    """A value that shows what differs: the product's own shows nothing of a person."""
    if isinstance(value, tuple):
        return [repr_of(one) for one in value]
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value


@pytest.fixture(scope="module")
def planner() -> Iterator[Planner]:
    """Decides for a shop that tells Pinterest of every order."""
    account = Pinterest("a-token-of-the-tests", "549755885175")
    yield Planner({"pinterest": account}, Policy(send="all"), Rules.of(30, 24), "last_touch")
    account.close()


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_order_is_decided_alike_whoever_tells_it(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, planner: Planner, variant: str
) -> None:
    body = order(**VARIANTS[variant])
    shopify.has(body)

    by_webhook = rows_of(planner, order_of(json.dumps(body).encode()))
    by_api = rows_of(planner, told_by_api(admin, body))

    assert by_api == by_webhook


def rows_of(planner: Planner, found: Any) -> Any:
    """What is decided of an order; of its browser no more than the address, as the API tells it."""
    browser = msgspec.structs.replace(found.browser, user_agent="")
    draft = planner.facts_of(msgspec.structs.replace(found, browser=browser, digest=""))
    plan = planner.rows_of(draft, int(NOW))
    payloads = {name: json.loads(payload) for name, payload in plan.payloads.items()}
    return plan.order, plan.credits, plan.conversion, payloads


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_order_is_the_same_whoever_tells_it(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, planner: Planner, change: str
) -> None:
    _, body = CHANGES[change].told(5_001)
    shopify.has(body)

    by_webhook, by_api = order_of(json.dumps(body).encode()), told_by_api(admin, body)

    assert plain(by_api) == plain(by_webhook)
    assert rows_of(planner, by_api) == rows_of(planner, by_webhook)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("first", ["webhook", "reconcile"])
def test_the_money_of_a_changed_order_is_the_same_whoever_tells_it(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, change: str, first: str
) -> None:
    shop = shop_of(lite)
    sold, told_by_webhook = CHANGES[change].told(5_001)
    shop.sends("orders/create", sold)
    shop.sends("orders/updated", told_by_webhook)
    by_webhook = money_of(lite, 5_001)
    sold, told_by_shopify = CHANGES[change].told(5_002)
    shopify.has(told_by_shopify)

    if first == "webhook":
        shop.sends("orders/create", sold)
    look(lite)
    if first == "reconcile":
        shop.sends("orders/create", sold)

    assert by_webhook[0] == (CHANGES[change].gross, CHANGES[change].refunds, 0)
    assert money_of(lite, 5_002) == by_webhook
    shop.sends("orders/updated", told_by_shopify)
    assert money_of(lite, 5_002) == by_webhook


def money_of(service: Service, number: int) -> Any:
    """Gross, refunds and cancellations of an order, and the money and the contents of its event."""
    (row,) = (row for row in rows(service.store, "orders") if row["id"] == str(number))
    figures = tuple(row[name] for name in ("gross", "refunds", "cancellations"))
    events = [
        (event["state"], {**json.loads(event["payload"])["custom_data"], "order_id": ""})
        for event in rows(service.store, "outbox")
        if event["event_id"] == f"checkout-{number}"
    ]
    return figures, events


cents = st.integers(0, 10**9)


@given(price=cents, quantity=st.integers(1, 9), currency=st.sampled_from(["USD", "JPY", "BHD"]))
def test_no_amount_loses_a_digit(price: int, quantity: int, currency: str) -> None:
    text = f"{price // 1000}.{price % 1000:03d}" if currency == "BHD" else f"{price / 100:.2f}"
    text = str(price) if currency == "JPY" else text
    body = order(
        currency=currency,
        subtotal_price=text,
        total_price=text,
        line_items=[line(price=text, quantity=quantity)],
    )
    by_webhook = order_of(json.dumps(body).encode())

    by_api = order_from(told_from(order_node(body)))

    assert (by_api.net, by_api.total, by_api.lines) == (
        by_webhook.net,
        by_webhook.total,
        by_webhook.lines,
    )


def told_from(node: dict[str, Any]) -> FetchedOrder:
    """What the API tells of an order, without the API."""
    pages = {name: node[name](None, first=50) for name in ("lineItems", "shippingLines")}
    shown = copy.copy(node) | pages
    shown["customerJourneySummary"] = None
    whole = msgspec.convert(shown, shopify_orders.OrderNode, strict=False)
    return FetchedOrder(shopify_orders.body_of(whole, whole.line_items.nodes, []), [])


# --- What Shopify knows of the visits


def visit(hours_before: float, landing: str = "", referrer: str | None = None) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/CustomerVisit/{hours_before}",
        "occurredAt": instant(NOW - hours_before * HOUR),
        "landingPage": f"https://shop.example{landing}" if landing else None,
        "referrerUrl": referrer,
    }


def session_of_order(service: Service, order_id: int = 5_001) -> dict[str, Any]:
    (row,) = (row for row in rows(service.store, "orders") if row["id"] == str(order_id))
    found: dict[str, Any] = json.loads(row["session"])
    return found


def test_a_visit_that_only_shopify_knows_earns_the_order_for_pinterest(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(landing_site="/"))
    shopify.visits["5001"] = [visit(30, pinned("77", epik="dj0yJnU9abcdefgh"))]

    look(lite)

    session = session_of_order(lite)
    assert (session["campaign_id"], session["click_id"]) == ("77", "dj0yJnU9abcdefgh")
    assert dict(session["origins"])["campaign_id"] == "customer_journey"
    assert session["stamped_at"] == NOW - 30 * HOUR
    (touch,) = [row for row in rows(lite.store, "touches") if row["is_pinterest"]]
    assert touch["at"] == NOW - 30 * HOUR


def test_whatever_the_order_says_itself_counts_more_than_shopifys_visits(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(landing_site=pinned("11")))
    shopify.visits["5001"] = [visit(3, pinned("77", utm_content="blue"))]

    look(lite)

    session = session_of_order(lite)
    assert (session["campaign_id"], session["content"]) == ("11", "blue")
    assert dict(session["origins"])["campaign_id"] == "landing_site"


def test_of_several_visits_the_newest_counts_that_came_from_somewhere(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(landing_site="/"))
    shopify.visits["5001"] = [visit(50, pinned("1")), visit(20, pinned("2")), visit(1, "/")]

    look(lite)

    assert session_of_order(lite)["campaign_id"] == "2"


def test_a_visit_after_the_order_did_not_bring_it(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(landing_site="/"))
    shopify.visits["5001"] = [visit(-1, pinned("1"))]

    look(lite)

    assert "campaign_id" not in session_of_order(lite)


def test_a_visit_that_came_from_the_shops_own_pages_came_from_nowhere(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(landing_site="/"))
    own = "https://www.shop.example/blog"
    shopify.visits["5001"] = [visit(9, "/", "https://www.pinterest.com/"), visit(1, "/", own)]

    look(lite)

    assert session_of_order(lite)["referrer"] == "www.pinterest.com"


def test_what_shopify_read_in_the_address_of_a_visit_is_taken_too(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(landing_site="/"))
    utm = {"source": "pinterest", "medium": "cpc", "campaign": "autumn", "term": None}
    shopify.visits["5001"] = [{**visit(9), "utmParameters": utm}]

    look(lite)

    session = session_of_order(lite)
    assert (session["source"], session["campaign"]) == ("pinterest", "autumn")


def test_a_click_id_that_may_have_been_cut_is_evidence_and_is_not_sent(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(landing_site="/"))
    shopify.visits["5001"] = [visit(9, "/p?x=" + "y" * 180 + "&epik=dj0yJnU9" + "a" * 60)]

    look(lite)

    session = session_of_order(lite)
    assert session["is_click_cut"]
    assert "click_id" not in session


@pytest.mark.parametrize(("length", "is_cut"), [(249, False), (250, True), (255, True)])
def test_a_landing_page_counts_as_cut_if_its_whole_address_is_as_long_as_a_cut_one(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, length: int, is_cut: bool
) -> None:
    site = "https://shop.example"
    page = "/p?x=" + "y" * 150 + "&epik=dj0yJnU9"
    shopify.has(order(landing_site=page + "a" * (length - len(site) - len(page))))

    look(lite)

    session = session_of_order(lite)
    assert session.get("is_click_cut", False) is is_cut
    assert ("click_id" in session) is not is_cut


def test_what_the_pixel_saw_of_the_checkout_counts_more_than_shopifys_visits(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    clock: Clock,
    shopify: FakeShopifyAdmin,
    look: Look,
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY)
    shopify.has(order(landing_site="/", checkout_token=CHECKOUT_TOKEN))
    shopify.visits["5001"] = [visit(3, pinned("77"))]
    look(service)
    assert session_of_order(service)["campaign_id"] == "77"

    front = Storefront(service, pinterest, clock)
    told = {"landed_at": instant(NOW - HOUR), "utm_source": "x", "utm_campaign_id": "88"}
    checkout = {"checkout": {"token": CHECKOUT_TOKEN}}
    front.sees("checkout_started", LAPTOP, 1.1 * HOUR, data=checkout, session=told)

    session = session_of_order(service)
    assert session["campaign_id"] == "88"
    assert dict(session["origins"])["campaign_id"] == "pixel"


# --- What the app may not see


HIDDEN = {"customer", "email", "phone", "billingAddress", "shippingAddress"}


def test_without_access_to_personal_data_the_order_is_taken_in_without_it(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, admin: ShopifyAdmin
) -> None:
    shopify.hidden = set(HIDDEN)
    shopify.has(order(landing_site=pinned()))

    assert look(lite) == [repaired("missing")]
    assert admin.hidden == HIDDEN
    assert [row["reason"] for row in rows(lite.store, "conversions")] == ["no_identity"]
    assert [row["gross"] for row in rows(lite.store, "orders")] == [4000]


def test_a_known_order_keeps_its_buyer_where_the_app_may_not_see_one(
    service: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shop_of(service).sends("orders/create", order(landing_site=pinned()))
    links = {row["links"] for row in rows(service.store, "orders")}
    shopify.hidden = set(HIDDEN)
    shopify.has(order(landing_site=pinned(), updated_at=instant(NOW + 60)))

    assert look(service) == [repaired("older")]
    assert {row["links"] for row in rows(service.store, "orders")} == links
    deliver(service)
    told = pinterest.events["checkout-5001"]["user_data"]
    assert told["em"] and told["external_id"]
    assert told["client_user_agent"] == "Mozilla/5.0 (Macintosh)"


def test_a_known_order_keeps_the_session_that_only_its_webhook_told(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shop_of(lite).sends("orders/create", order(landing_site=pinned("11")))
    shopify.has(order(landing_site=None, updated_at=instant(NOW + 60)))
    shopify.visits["5001"] = [visit(1, pinned("77"))]

    look(lite)

    session = session_of_order(lite)
    assert session["campaign_id"] == "11"
    assert dict(session["origins"])["campaign_id"] == "landing_site"


def test_an_event_that_waits_keeps_the_address_that_the_app_may_not_see(
    service: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shop_of(service).sends("orders/create", order(landing_site=pinned()))
    (before,) = state(service.store)["waiting"]
    shopify.hidden = set(HIDDEN)
    shopify.has(order(landing_site=pinned(), updated_at=instant(NOW + 60)))

    assert look(service) == [repaired("older")]
    deliver(service)
    told = pinterest.events["checkout-5001"]["user_data"]
    assert told == json.loads(before["payload"])["user_data"]
    assert {"fn", "ln", "ct", "st", "zp", "country"} <= set(told)


def test_an_address_that_the_app_may_see_counts_more_than_the_one_before(
    lite: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shop_of(lite).sends("orders/create", order())
    moved = {**order()["billing_address"], "city": "Albany", "zip": "12207"}
    shopify.has(order(billing_address=moved, updated_at=instant(NOW + 60)))

    look(lite)

    deliver(lite)
    told = pinterest.events["checkout-5001"]["user_data"]
    assert told["ct"] == [hashed("ct", "Albany")]
    assert told["zp"] == [hashed("zp", "12207")]


@pytest.mark.parametrize("notes_now", [[], notes(__pin_consent="marketing=yes")])
def test_a_refusal_stands_though_shopify_has_lost_it(
    service: Service,
    shopify: FakeShopifyAdmin,
    look: Look,
    pinterest: FakePinterest,
    notes_now: list[dict[str, str]],
) -> None:
    refusal = notes(__pin_consent="marketing=no")
    shop = shop_of(service)
    shop.sends("orders/create", order(landing_site=pinned(), note_attributes=refusal))
    shopify.has(
        order(landing_site=pinned(), note_attributes=notes_now, updated_at=instant(NOW + 60))
    )

    assert look(service) == [repaired("older")]
    deliver(service)
    assert pinterest.accepted == {}


def test_a_webhook_that_comes_after_a_newer_look_still_tells_of_the_visit_and_the_consent(
    service: Service, shopify: FakeShopifyAdmin, look: Look, pinterest: FakePinterest
) -> None:
    shopify.has(order(landing_site="/", updated_at=instant(NOW + 60)))
    look(service)
    told = notes(__pin_epik="dj0yJnU9abcdefgh", __pin_consent="gpc=1")
    shop_of(service).sends("orders/create", order(note_attributes=told))

    deliver(service)
    event = pinterest.events["checkout-5001"]
    assert event["user_data"]["click_id"] == "dj0yJnU9abcdefgh"
    assert event["opt_out"] is True


def test_an_erased_buyer_does_not_come_back(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shop = shop_of(lite)
    shop.sends("orders/create", order())
    person = {"id": 9_001, "email": "ada@example.com", "phone": "+12125550142"}
    asked = {"shop_id": 1, "shop_domain": SHOP, "customer": person, "orders_to_redact": [5_001]}
    assert shop.sends("customers/redact", asked).get_json()["status"] == "accepted"
    shopify.has(order(updated_at=instant(NOW + 60)), order(id=5_002))

    look(lite)

    assert order_ids(lite) == {"5001", "5002"}
    assert {row["links"] for row in rows(lite.store, "orders")} == {""}
    assert not [row for row in rows(lite.store, "outbox") if row["payload"]]


# --- How Shopify is asked


def test_a_token_is_asked_for_once_and_again_before_it_ends(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, clock: Clock
) -> None:
    shopify.has(order())
    list(admin.orders(SINCE))
    list(admin.orders(SINCE))
    assert shopify.issued == 1

    clock.tick(seconds=TOKEN_SECONDS - 30)
    list(admin.orders(SINCE))

    assert shopify.issued == 2


def test_a_token_that_was_taken_back_is_renewed(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin
) -> None:
    list(admin.orders(SINCE))
    shopify.tokens.clear()

    list(admin.orders(SINCE))

    assert shopify.issued == 2


def test_a_shop_can_be_opened_by_a_token_of_its_own(
    shopify: FakeShopifyAdmin, clock: Clock
) -> None:
    shopify.has(order())
    admin = ShopifyAdmin(ShopAccess(SHOP, shopify.url, token=ADMIN_TOKEN), clock)

    assert [head.id for head in admin.orders(SINCE)] == ["5001"]
    assert shopify.issued == 0
    admin.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_secret": "shpss_another_secret"}, "HTTP 401: invalid_client"),
        ({"client_id": "unknown"}, "application_cannot_be_found"),
        ({"token": "shpat_another_token"}, "the credentials are not accepted"),
    ],
)
def test_what_does_not_open_the_shop_is_said_without_a_secret(
    shopify: FakeShopifyAdmin, clock: Clock, changes: dict[str, str], said: str
) -> None:
    access = ShopAccess(SHOP, shopify.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    admin = ShopifyAdmin(replace(access, **changes), clock, lambda s: clock.tick(seconds=s))

    with pytest.raises(ShopifyError) as caught:
        list(admin.orders(SINCE))

    admin.close()
    assert said in str(caught.value)
    assert "another_" not in str(caught.value) + repr(admin) + repr(access)
    assert CLIENT_SECRET not in str(caught.value) + repr(access)


def test_an_app_that_is_not_installed_is_told_by_name(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin
) -> None:
    shopify.is_installed = False

    with pytest.raises(ShopifyError, match=r"app_not_installed \(in the Dev Dashboard, release"):
        list(admin.orders(SINCE))


def test_the_limit_of_queries_is_kept(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, clock: Clock, lite: Service, look: Look
) -> None:
    shopify.has(*(order(id=n, name=f"#{n}") for n in range(1, 13)))
    shopify.available, shopify.restored = 400.0, 20.0
    began = clock()

    assert len(look(lite)) == 12
    assert clock() > began
    throttled = [call for call in shopify.calls if "Throttled" in call.errors]
    assert throttled == []


def test_a_throttled_query_is_asked_again_once_there_is_room(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, clock: Clock
) -> None:
    shopify.has(order())
    shopify.available = 0.0
    began = clock()

    assert [head.id for head in admin.orders(SINCE)] == ["5001"]
    assert 1 <= clock() - began <= 10


def test_a_page_that_would_cost_too_much_is_asked_for_in_parts(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin
) -> None:
    shopify.most_a_query = 60
    shopify.has(*(order(id=n, updated_at=instant(NOW - n)) for n in range(1, 61)))

    assert len(list(admin.orders(SINCE))) == 60
    assert {call.variables["first"] for call in shopify.asked("orders")} == {100, 50}


@pytest.mark.parametrize("trouble", [500, 502, 503, 429, "cut", 408])
def test_trouble_that_passes_is_waited_for(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, trouble: Any
) -> None:
    shopify.has(order())
    shopify.troubles.extend([trouble, trouble])

    assert [head.id for head in admin.orders(SINCE)] == ["5001"]


def test_the_wait_that_shopify_asks_for_is_kept(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, clock: Clock
) -> None:
    list(admin.orders(SINCE))
    shopify.troubles.append((429, {"errors": "Exceeded"}, {"Retry-After": "17"}))
    began = clock()

    list(admin.orders(SINCE))

    assert clock() - began == 17


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (402, "the shop is frozen"),
        (403, "the app may not do this"),
        (404, "there is no such shop"),
        (423, "the shop is locked"),
        ((200, {"errors": "[API] no"}, {}), r"\[API\] no"),
        ((200, {"data": None, "errors": [{"message": "Field 'x' is gone"}]}, {}), "is gone"),
        ((200, {"data": {"orders": {"nodes": 3}}}, {}), "lacks what it promises"),
        ((301, b"", {"Location": "https://elsewhere.example"}), "HTTP 301"),
    ],
)
def test_trouble_that_stays_is_told(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, trouble: Any, said: str
) -> None:
    list(admin.orders(SINCE))
    shopify.troubles.append(trouble)

    with pytest.raises(ShopifyError, match=said):
        list(admin.orders(SINCE))


def test_trouble_that_does_not_end_is_given_up(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin
) -> None:
    list(admin.orders(SINCE))
    before = len(shopify.calls)
    shopify.troubles.extend([503] * 20)

    with pytest.raises(ShopifyError, match="HTTP 503"):
        list(admin.orders(SINCE))

    assert len(shopify.calls) - before == MAX_ATTEMPTS


def test_an_answer_in_another_version_is_warned_of_once(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    shopify.served_version = "2027-01"

    with caplog.at_level(logging.WARNING):
        list(admin.orders(SINCE))
        list(admin.orders(SINCE))

    (record,) = caplog.records
    assert "2027-01" in record.getMessage()


def test_an_order_that_cannot_be_told_whole_stays_missing_and_the_others_do_not(
    lite: Service, shopify: FakeShopifyAdmin, look: Look
) -> None:
    shopify.has(order(updated_at=instant(NOW - 60)), order(id=5_002, name="#1002"))
    vanished: Any = (200, {"data": {"order": None}}, {})
    broken = iter([vanished])

    def break_the_first() -> None:
        if shopify.asked("orders"):
            shopify.troubles.extend(broken)

    shopify.meanwhile = break_the_first
    first, second = look(lite)

    assert (first.order_id, first.kind) == ("5001", "missing")
    assert "does not tell it" in first.error
    assert second == repaired("missing", 5_002, "#1002")


# --- What is set


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "SHOPIFY_STORE_URL and SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET"),
        ({"SHOPIFY_ADMIN_TOKEN": "t"}, "set SHOPIFY_STORE_URL"),
        ({"SHOPIFY_STORE_URL": SHOP, "SHOPIFY_CLIENT_ID": "x"}, "set SHOPIFY_CLIENT_SECRET"),
        (
            {"SHOPIFY_STORE_URL": f"{SHOP},b.myshopify.com", "SHOPIFY_ADMIN_TOKEN": "t"},
            "opens one shop",
        ),
    ],
)
def test_what_is_missing_is_named(
    build_service: BuildService, sqlite_url: str, env: dict[str, str], said: str
) -> None:
    service = build_service(sqlite_url, **env)

    assert said in missing_settings(service.settings)
    assert service.shops == ()


def test_an_app_opens_every_shop_that_is_named(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(
        sqlite_url,
        SHOPIFY_STORE_URL=f"{SHOP},b.myshopify.com",
        SHOPIFY_CLIENT_ID=CLIENT_ID,
        SHOPIFY_CLIENT_SECRET=CLIENT_SECRET,
    )

    assert [one.base for one in accesses_of(service.settings)] == [
        "https://b.myshopify.com",
        f"https://{SHOP}",
    ]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2d", NOW - 2 * DAY),
        ("36h", NOW - 36 * HOUR),
        ("90m", NOW - 5_400),
        ("2026-11-20", NOW - 12 * HOUR - 9 * HOUR),
        ("2026-11-20T10:00:00Z", NOW - 2 * HOUR),
        ("2026-11-20T10:00:00", NOW - 11 * HOUR),
    ],
)
def test_a_time_is_so_long_ago_or_a_day_of_the_shop(text: str, at: float) -> None:
    assert since_of(text, int(NOW), ZoneInfo("Asia/Tokyo")) == at


@pytest.mark.parametrize("text", ["", "2w", "yesterday", "2026-13-01", "-2d", "2026-11-21", "9e9d"])
def test_a_time_that_is_none_or_lies_ahead_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="since"):
        since_of(text, int(NOW), ZoneInfo("UTC"))


# --- On the command line


@pytest.fixture
def operator(
    build_service: BuildService, sqlite_url: str, shopify: FakeShopifyAdmin
) -> FlaskCliRunner:
    """Types commands at a service that can ask the shop."""
    service = build_service(
        sqlite_url,
        SHOPIFY_STORE_URL=SHOP,
        SHOPIFY_CLIENT_ID=CLIENT_ID,
        SHOPIFY_CLIENT_SECRET=CLIENT_SECRET,
    )
    here = tuple(replace(shop, base=shopify.url) for shop in service.shops)
    return assemble(replace(service, shops=here)).test_cli_runner()


def test_the_command_repairs_and_says_what(
    operator: FlaskCliRunner, shopify: FakeShopifyAdmin
) -> None:
    shopify.has(order(), order(id=5_002, name="#1002"))

    result = operator.invoke(args=["reconcile", "--since", "2d"])

    assert result.exit_code == 0, result.output
    assert "#1001 (5001): was missing, taken in" in result.output
    assert "2 orders changed since 2026-11-18T13:00:00Z" in result.output
    assert "2 repaired, 0 left" in result.output


def test_the_command_fails_while_something_is_missing(
    operator: FlaskCliRunner, shopify: FakeShopifyAdmin
) -> None:
    shopify.has(order())

    result = operator.invoke(args=["reconcile", "--dry-run"])

    assert result.exit_code == 1
    assert "#1001 (5001): missing" in result.stdout
    assert result.stderr == "Error: 1 order still missing or out of date\n"


def test_the_command_tells_what_the_app_may_not_see(
    operator: FlaskCliRunner, shopify: FakeShopifyAdmin
) -> None:
    shopify.hidden = {"email", "customer"}
    shopify.has(order())

    result = operator.invoke(args=["reconcile"])

    assert result.exit_code == 0
    assert result.stderr == "the app may not see customer, email\n"


def test_the_command_says_in_one_line_why_it_cannot_work(
    operator: FlaskCliRunner, shopify: FakeShopifyAdmin
) -> None:
    shopify.is_installed = False

    result = operator.invoke(args=["reconcile"])

    assert result.exit_code == 1
    (said,) = result.stderr.splitlines()
    assert said.startswith(f"Error: {SHOP}: no access token: HTTP 400: app_not_installed")


def test_the_command_tells_what_was_done_before_shopify_broke_off(
    operator: FlaskCliRunner, shopify: FakeShopifyAdmin
) -> None:
    shopify.has(*(order(id=n, updated_at=instant(NOW - n)) for n in range(1, 4)))
    shopify.page_size = 2
    gone = iter([404])

    def break_off() -> None:
        if len(shopify.asked("order")) == 2:
            shopify.troubles.extend(gone)

    shopify.meanwhile = break_off
    result = operator.invoke(args=["reconcile"])

    assert result.exit_code == 1
    assert "2 repaired, 0 left" in result.stdout
    (said,) = result.stderr.splitlines()
    assert said.startswith(f"Error: {SHOP}: HTTP 404")


def test_the_command_says_which_settings_it_wants(
    build_service: BuildService, sqlite_url: str
) -> None:
    runner = assemble(build_service(sqlite_url)).test_cli_runner()

    result = runner.invoke(args=["reconcile"])

    assert result.exit_code == 2
    assert "set SHOPIFY_STORE_URL and SHOPIFY_CLIENT_ID" in result.stderr


def test_the_command_says_that_shopify_may_not_show_orders_of_long_ago(
    operator: FlaskCliRunner, shopify: FakeShopifyAdmin
) -> None:
    shopify.has(order(id=1, created_at=instant(NOW - 61 * DAY)))

    result = operator.invoke(args=["reconcile", "--since", "90d"])

    assert result.exit_code == 0
    assert result.stderr == "without read_all_orders Shopify shows the orders of 60 days\n"
    assert "0 orders changed" in result.stdout


def test_the_doctor_tells_which_shop_can_be_asked_and_how(
    operator: FlaskCliRunner, build_service: BuildService, sqlite_url: str
) -> None:
    closed = assemble(build_service(sqlite_url)).test_cli_runner()

    told = operator.invoke(args=["doctor"]).output
    assert f"reconcile and subscribe ask {SHOP} with the app's client id and secret" in told
    assert "SHOPIFY_WEBHOOK_SECRET lacks its client secret" in told
    assert CLIENT_SECRET not in told
    assert "what webhooks lose, only reconcile finds" in closed.invoke(args=["doctor"]).output


def test_the_command_refuses_a_time_it_does_not_understand(operator: FlaskCliRunner) -> None:
    result = operator.invoke(args=["reconcile", "--since", "last week"])

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: since: not understood; accepted: ")


def test_nothing_personal_is_told_or_logged(
    operator: FlaskCliRunner, shopify: FakeShopifyAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    shopify.has(order(), order(id=5_002, currency="US"))

    with caplog.at_level(logging.DEBUG):
        result = operator.invoke(args=["reconcile"])

    said = result.output + caplog.text
    for secret in ("ada@example.com", "Ada", CLIENT_SECRET, "shpca_", "203.0.113.7"):
        assert secret not in said
