"""Shopify is told once where its webhooks go, and told again where it went astray."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskCliRunner

from app import assemble
from tests.actors import SECRET, Clock
from tests.conftest import BuildService
from tests.standins.shopify_admin import CLIENT_ID, CLIENT_SECRET, SHOP, FakeShopifyAdmin
from tracking.clients.shopify_access import ShopAccess
from tracking.clients.shopify_admin import ShopifyAdmin
from tracking.clients.shopify_http import ShopifyError
from tracking.operate.webhook_subscriptions import COMPLIANCE, SubscriptionCheck, subscribe
from webhooks.shopify import TOPICS

URL = "https://track.mug.example"
WANTED = [topic for topic in TOPICS if topic not in COMPLIANCE]


@pytest.fixture
def shopify(clock: Clock) -> Iterator[FakeShopifyAdmin]:
    with FakeShopifyAdmin(clock) as server:
        yield server


@pytest.fixture
def admin(shopify: FakeShopifyAdmin, clock: Clock) -> Iterator[ShopifyAdmin]:
    access = ShopAccess(SHOP, shopify.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    found = ShopifyAdmin(access, clock, lambda seconds: clock.tick(seconds=seconds))
    yield found
    found.close()


Checks = Callable[..., SubscriptionCheck]


@pytest.fixture
def check(admin: ShopifyAdmin) -> Checks:
    """Has the subscriptions made or mended: `check()`."""
    return lambda repairs=True, url=URL: subscribe(admin, TOPICS, url, repairs=repairs)


def has(shopify: FakeShopifyAdmin, topic: str, uri: str, **more: Any) -> dict[str, Any]:
    """A subscription that the app made earlier."""
    known = {
        "id": f"gid://shopify/WebhookSubscription/{len(shopify.subscriptions) + 1}",
        "topic": topic,
        "uri": uri,
        "format": "JSON",
        "name": None,
        "filter": None,
        "includeFields": [],
        **more,
    }
    shopify.subscriptions.append(known)
    return known


def states(checked: SubscriptionCheck) -> dict[str, str]:
    return {one.topic: one.state for one in checked.topics}


def test_every_topic_that_is_taken_is_subscribed_to_at_its_own_address(
    shopify: FakeShopifyAdmin, check: Checks
) -> None:
    found = check()

    assert states(found) == dict.fromkeys(WANTED, "created")
    assert not any(one.error for one in found.topics)
    assert {one["uri"] for one in shopify.subscriptions} == {f"{URL}/webhooks/{t}" for t in WANTED}
    assert {one["topic"] for one in shopify.subscriptions} == {
        *("ORDERS_CREATE", "ORDERS_PAID", "ORDERS_UPDATED", "ORDERS_CANCELLED"),
        *("ORDERS_DELETE", "REFUNDS_CREATE", "APP_UNINSTALLED"),
        *("CHECKOUTS_CREATE", "CHECKOUTS_UPDATE"),
    }
    assert {one["format"] for one in shopify.subscriptions} == {"JSON"}


def test_compliance_topics_are_not_asked_for(shopify: FakeShopifyAdmin, check: Checks) -> None:
    check()

    asked = {call.variables["topic"] for call in shopify.asked("subscribe")}
    assert {"customers/data_request", "customers/redact", "shop/redact"} == COMPLIANCE
    assert not [topic for topic in asked if topic.startswith(("CUSTOMERS_", "SHOP_"))]


def test_a_second_time_changes_nothing(shopify: FakeShopifyAdmin, check: Checks) -> None:
    check()
    before = len(shopify.calls)

    assert states(check()) == dict.fromkeys(WANTED, "fine")
    assert [call.name for call in shopify.calls[before:]] == ["subscriptions"]


@pytest.mark.parametrize(
    ("astray", "because"),
    [
        ({"format": "XML"}, "was in XML"),
        ({"includeFields": ["id"]}, "told only some of the fields"),
        ({"filter": "total_price:>100"}, "was filtered by total_price:>100"),
    ],
)
def test_a_subscription_that_would_tell_too_little_is_mended(
    shopify: FakeShopifyAdmin, check: Checks, astray: dict[str, Any], because: str
) -> None:
    known = has(shopify, "ORDERS_CREATE", f"{URL}/webhooks/orders/create", **astray)

    first = check().topics[0]

    assert (first.topic, first.state, first.reason) == ("orders/create", "repaired", because)
    assert (known["format"], known["includeFields"], known["filter"]) == ("JSON", [], "")


def test_our_own_subscription_follows_to_a_new_address(
    shopify: FakeShopifyAdmin, check: Checks
) -> None:
    check(url="https://old.mug.example")

    found = check()

    assert states(found) == dict.fromkeys(WANTED, "repaired")
    assert found.topics[0].reason == "went to https://old.mug.example/webhooks/orders/create"
    assert {one["uri"] for one in shopify.subscriptions} == {f"{URL}/webhooks/{t}" for t in WANTED}


def test_what_is_not_ours_is_left_as_it_is_and_told(
    shopify: FakeShopifyAdmin, check: Checks
) -> None:
    theirs = has(shopify, "ORDERS_CREATE", "https://erp.example/hook", filter="x:1")
    unrelated = has(shopify, "CARTS_CREATE", "https://erp.example/carts")
    before = [dict(theirs), dict(unrelated)]

    found = check()

    assert states(found) == dict.fromkeys(WANTED, "created")
    assert [one.uri for one in found.elsewhere] == ["https://erp.example/hook"]
    assert [theirs, unrelated] == before
    assert len(shopify.subscriptions) == 2 + len(WANTED)


def test_a_dry_run_changes_nothing(shopify: FakeShopifyAdmin, check: Checks) -> None:
    has(shopify, "ORDERS_PAID", f"{URL}/webhooks/orders/paid")

    found = states(check(repairs=False))

    assert (found["orders/paid"], found["orders/create"]) == ("fine", "created")
    assert len(shopify.subscriptions) == 1


def test_what_shopify_refuses_is_told_and_the_rest_is_made(
    shopify: FakeShopifyAdmin, check: Checks
) -> None:
    shopify.ungranted = {"ORDERS_PAID"}

    troubles = {one.topic: one.error for one in check().topics if one.error}

    assert troubles == {
        "orders/paid": "You cannot create a webhook subscription with the specified topic"
    }
    assert len(shopify.subscriptions) == len(WANTED) - 1


def test_an_answer_that_got_lost_makes_no_second_subscription(
    shopify: FakeShopifyAdmin, check: Checks
) -> None:
    lost = iter(["cut"])

    def lose_one() -> None:
        # It is made, and its answer is not heard.
        if len(shopify.asked("subscribe")) == 1 and next(lost, ""):
            topic, uri = "ORDERS_PAID", f"{URL}/webhooks/orders/paid"
            has(shopify, topic, uri)
            shopify.troubles.append("cut")

    shopify.meanwhile = lose_one
    found = check()

    assert not any(one.error for one in found.topics)
    assert len(shopify.subscriptions) == len(WANTED)


def test_more_subscriptions_than_a_page_are_all_looked_at(
    shopify: FakeShopifyAdmin, check: Checks
) -> None:
    for n in range(120):
        has(shopify, "CARTS_CREATE", f"https://erp.example/{n}")
    has(shopify, "ORDERS_CREATE", f"{URL}/webhooks/orders/create")

    assert states(check())["orders/create"] == "fine"


def test_an_app_without_access_is_told_so(
    admin: ShopifyAdmin, shopify: FakeShopifyAdmin, check: Checks
) -> None:
    denied = [{"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}, "path": ["x"]}]
    check(repairs=False)
    shopify.troubles.append((200, {"data": None, "errors": denied}, {}))

    with pytest.raises(ShopifyError, match="Access denied"):
        check()


# --- On the command line


@pytest.fixture
def run(
    build_service: BuildService, sqlite_url: str, shopify: FakeShopifyAdmin
) -> Callable[..., FlaskCliRunner]:
    """A command line at a service that can ask the shop, with other settings if wanted."""

    def of(**env: str) -> FlaskCliRunner:
        known = {
            "SHOPIFY_STORE_URL": SHOP,
            "SHOPIFY_CLIENT_ID": CLIENT_ID,
            "SHOPIFY_CLIENT_SECRET": CLIENT_SECRET,
            "SHOPIFY_WEBHOOK_SECRET": f"{SECRET},{CLIENT_SECRET}",
            "PUBLIC_URL": URL,
        }
        service = build_service(sqlite_url, **known | env)
        here = tuple(replace(shop, base=shopify.url) for shop in service.shops)
        return assemble(replace(service, shops=here)).test_cli_runner()

    return of


def test_the_command_tells_each_topic_and_what_it_cannot_do(
    run: Callable[..., FlaskCliRunner], shopify: FakeShopifyAdmin
) -> None:
    has(shopify, "ORDERS_PAID", f"{URL}/webhooks/orders/paid", format="XML")
    has(shopify, "ORDERS_UPDATED", f"{URL}/webhooks/orders/updated")

    result = run().invoke(args=["subscribe"])

    assert result.exit_code == 0, result.output
    told = [" ".join(text.split()) for text in result.stdout.splitlines()]
    assert told[0] == SHOP
    assert f"orders/create created {URL}/webhooks/orders/create" in told
    assert f"orders/paid repaired (was in XML) {URL}/webhooks/orders/paid" in told
    assert f"orders/updated fine {URL}/webhooks/orders/updated" in told
    assert told[-1].startswith("customers/data_request, customers/redact, shop/redact: set in")


def test_the_command_fails_while_a_subscription_is_not_as_needed(
    run: Callable[..., FlaskCliRunner], shopify: FakeShopifyAdmin
) -> None:
    runner = run()

    assert runner.invoke(args=["subscribe", "--dry-run"]).exit_code == 1
    assert runner.invoke(args=["subscribe"]).exit_code == 0
    assert runner.invoke(args=["subscribe", "--dry-run"]).exit_code == 0


def test_webhooks_that_could_not_be_verified_are_not_asked_for(
    run: Callable[..., FlaskCliRunner], shopify: FakeShopifyAdmin
) -> None:
    result = run(SHOPIFY_WEBHOOK_SECRET=SECRET).invoke(args=["subscribe"])

    assert result.exit_code == 2
    assert "add it to SHOPIFY_WEBHOOK_SECRET" in result.stderr
    assert CLIENT_SECRET not in result.output
    assert shopify.calls == []


@pytest.mark.parametrize("url", ["", "http://localhost:8000"])
def test_shopify_sends_only_to_https(run: Callable[..., FlaskCliRunner], url: str) -> None:
    result = run(PUBLIC_URL=url).invoke(args=["subscribe"])

    assert result.exit_code == 2
    assert "set PUBLIC_URL to the https address" in result.stderr
