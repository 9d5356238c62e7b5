"""Another Python program tells of sales and visits: by the words of the contract, as they stand."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app import assemble
from tests.actors import NOW, Clock, Shop, instant, order
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, rows
from tracking import (
    PinterestConversionTracker,
    track_pinterest_add_to_cart,
    track_pinterest_checkout,
    track_pinterest_product_view,
)
from tracking.domain.conversion import Content
from tracking.domain.validation import ValidationError
from tracking.python_api import Recorded
from tracking.service import Service

ROOT = Path(__file__).parents[2]


# --- With a service of its own


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def tracker(service: Service) -> PinterestConversionTracker:
    return PinterestConversionTracker(service)


@pytest.mark.parametrize(
    "id",
    [
        "5.90123E+12",
        "5901230000000.0",
        "\\N",
        "nan",
        "None",
        "0",
        "#N/A",
        "{order_id}",
        "a@b.example",
    ],
)
def test_an_order_id_that_names_no_order_is_refused(service: Service, id: str) -> None:
    with pytest.raises(ValidationError, match="order_id"):
        PinterestConversionTracker(service).track_purchase(id, "10.00")
    assert rows(service.store, "orders") == []


def test_a_purchase_told_again_changes_nothing(
    service: Service, tracker: PinterestConversionTracker, clock: Clock
) -> None:
    tracker.track_purchase("A-1", "59.98", customer_email="test@example.com")
    before = everything(service.store)
    clock.tick(hours=1)
    assert tracker.track_purchase("A-1", "59.98", customer_email="test@example.com")
    assert everything(service.store) == before


def test_whatever_shopify_says_of_the_same_order_is_newer(
    service: Service, tracker: PinterestConversionTracker
) -> None:
    tracker.track_purchase("5001", "1.00", customer_email="test@example.com")
    shop = Shop(assemble(service).test_client())
    body = order(updated_at=instant(NOW - 86_400))
    assert shop.sends("orders/create", body).json == {"status": "accepted", "order_id": "5001"}
    assert tracker.track_purchase("5001", "2.00")
    assert tracker.get_roi_analysis()["total_revenue"] == "40.00"


def test_a_global_order_id_is_the_order_of_its_number(
    service: Service, tracker: PinterestConversionTracker
) -> None:
    tracker.track_purchase("gid://shopify/Order/5001", "1.00", customer_email="test@example.com")
    assert [row["event_id"] for row in rows(service.store, "conversions")] == ["checkout-5001"]


@pytest.mark.parametrize(
    ("value", "revenue"),
    [
        (59.98, "59.98"),
        ("59.98", "59.98"),
        (60, "60.00"),
        (Decimal("59.98"), "59.98"),
        (Decimal("1E+2"), "100.00"),
        (1.1 * 3, "3.30"),
        (0, "0.00"),
    ],
)
def test_an_amount_may_be_any_number(
    tracker: PinterestConversionTracker, value: Any, revenue: str
) -> None:
    tracker.track_purchase("A-1", value, [{"product_id": "1", "price": value, "quantity": 2.0}])
    assert tracker.get_roi_analysis()["total_revenue"] == revenue


def test_a_session_that_is_another_visitors_name_joins_the_stages(
    tracker: PinterestConversionTracker,
) -> None:
    session = {"utm_source": "pinterest", "session_id": "session-1"}
    for _ in range(3):
        tracker.track_stage("product_view", (Content("1"),), 5, session)
    tracker.track_purchase("A-1", 5, session_data=session)
    stages = tracker.get_conversion_funnel_analysis()["stages"]
    assert [(s["events"], s["visitors"]) for s in (stages[0], stages[3])] == [(3, 1), (1, 1)]


@pytest.mark.parametrize(
    ("address", "sent"),
    [("::ffff:203.0.113.9", "203.0.113.9"), (" 203.0.113.9 ", "203.0.113.9"), ("10.0.0.1", None)],
)
def test_only_a_public_address_is_sent(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    address: str,
    sent: str | None,
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")
    tracker = PinterestConversionTracker(service)
    session = {"client_ip_address": address, "client_user_agent": "Mozilla/5.0"}
    tracker.track_stage("product_view", (Content("1"),), 5, {**session, "email": "a@example.com"})
    tracker.track_purchase("A-1", 5, session_data=session, customer_email="a@example.com")

    people = [json.loads(row["payload"])["user_data"] for row in rows(service.store, "outbox")]
    assert [person.get("client_ip_address") for person in people] == [sent, sent]


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (
            "https://shop.example/products/mug?id=7&utm_id=9#x",
            "https://shop.example/products/mug?utm_id=9",
        ),
        ("https://shop.example/account/reset/1/secret", "https://shop.example/account"),
        ("https://shop.example/u/ada@example.com", None),
        ("the mug", None),
    ],
)
def test_a_page_is_sent_without_what_may_name_a_person(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    url: str,
    sent: str | None,
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")
    tracker = PinterestConversionTracker(service)
    tracker.track_stage("product_view", (Content("1"),), 5, {"email": "a@example.com"}, url)

    (row,) = rows(service.store, "outbox")
    assert json.loads(row["payload"]).get("event_source_url") == sent


@pytest.mark.parametrize(
    ("unknown", "opt_out"), [("send", None), ("limit", True)], ids=["send", "limit"]
)
def test_visits_of_unknown_consent_are_told_as_the_shop_decided(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    unknown: str,
    opt_out: bool | None,
) -> None:
    service = build_service(
        sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", CONSENT_UNKNOWN=unknown
    )
    session = {"email": "test@example.com"}
    PinterestConversionTracker(service).track_stage("product_view", (Content("1"),), 5, session)
    (row,) = rows(service.store, "outbox")
    event = json.loads(row["payload"])
    assert event.get("opt_out") is opt_out
    assert event["custom_data"].get("opt_out_type") == ("LDP" if opt_out else None)


# --- What cannot be used

WRONG: dict[str, Mapping[str, Any]] = {
    "order_id": {"order_id": "  "},
    "order_value": {"order_value": "much"},
    "currency": {"currency": "dollars"},
    "order_items/0/price": {"order_items": [{"price": "free"}]},
    "order_items/1/quantity": {"order_items": [{"price": 1}, {"quantity": "two"}]},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_purchase_that_cannot_be_used_names_the_field_and_stores_nothing(
    service: Service, tracker: PinterestConversionTracker, field: str
) -> None:
    told = {"order_id": "A-1", "order_value": 5, **WRONG[field]}
    with pytest.raises(ValidationError) as refused:
        tracker.track_purchase(**told)
    assert [fault.field for fault in refused.value.errors] == [field]
    assert rows(service.store, "orders") == []


@pytest.mark.parametrize(
    "value", [-1, "-0.01", "", "1,50", float("nan"), float("inf"), 1e300, None]
)
def test_a_value_that_is_no_amount_is_refused(
    tracker: PinterestConversionTracker, value: Any
) -> None:
    with pytest.raises(ValidationError, match="order_value"):
        tracker.track_purchase("A-1", value)
    with pytest.raises(ValidationError, match="value"):
        tracker.track_stage("product_view", (), value)


Call = Callable[[], bool]


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("product_price", lambda: track_pinterest_product_view("1", product_price="cheap")),
        ("product_price", lambda: track_pinterest_add_to_cart("1", product_price=-1)),
        ("quantity", lambda: track_pinterest_add_to_cart("1", quantity="two")),  # type: ignore[arg-type]
        ("quantity", lambda: track_pinterest_add_to_cart("1", quantity=-2)),
        ("cart_value", lambda: track_pinterest_checkout("much")),
        ("cart_items/0/price", lambda: track_pinterest_checkout(1, [{"price": "x"}])),
        ("cart_items/0/quantity", lambda: track_pinterest_checkout(1, [{"quantity": "x"}])),
    ],
)
def test_a_visit_that_cannot_be_used_names_the_field(field: str, call: Call) -> None:
    with pytest.raises(ValidationError) as refused:
        call()
    assert [fault.field for fault in refused.value.errors] == [field]


# --- The result, and what the visitor decided

VISIT = {"client_ip_address": "203.0.113.7", "client_user_agent": "Mozilla/5.0 (Macintosh)"}


def views(tracker: PinterestConversionTracker, url: str = "", **session: str) -> Recorded:
    return tracker.track_stage("product_view", (Content("1"),), "10.00", VISIT | session, url)


def test_a_result_is_equal_to_true_and_says_that_the_event_is_sent(
    tracker: PinterestConversionTracker,
) -> None:
    result = views(tracker)

    told: object = result
    assert told == bool(1)
    assert (result.is_sent, result.reason, result.left_out) == (True, "", ())
    assert isinstance(result, int)
    assert json.dumps([result]) == "[1]"


def test_a_result_says_why_an_event_is_not_sent_and_what_was_left_out(
    tracker: PinterestConversionTracker,
) -> None:
    result = views(tracker, "no address", client_ip_address="10.0.0.1", email="none")

    assert (result.is_sent, result.reason) == (False, "no_identity")
    assert result.why.startswith("Nothing Pinterest could match")
    assert set(result.left_out) == {"product_url", "client_ip_address", "email"}
    sold = tracker.track_purchase("A1", "10.00", customer_email="none", customer_phone="x")
    assert (sold.reason, set(sold.left_out)) == (
        "no_identity",
        {"customer_email", "customer_phone"},
    )


def test_a_result_names_what_names_nothing_in_items_and_visits(
    tracker: PinterestConversionTracker,
) -> None:
    item = {"product_id": "undefined", "title": "(not set)", "sku": "MUG-1", "price": 5}
    visit = VISIT | {"epik": "{epik}", "utm_campaign": "{{campaign.name}}", "utm_term": None}

    sold = tracker.track_purchase("A1", "10.00", [{"product_id": "1"}, item], visit)
    assert set(sold.left_out) == {
        *("order_items/1/product_id", "order_items/1/title", "epik", "utm_campaign")
    }
    assert set(views(tracker, epik="null", visitor_id="\\N").left_out) == {"epik", "visitor_id"}


@pytest.mark.parametrize("told", ["usd", " USD ", "Usd"])
def test_a_currency_is_read_in_any_case(
    tracker: PinterestConversionTracker, service: Service, told: str
) -> None:
    tracker.track_purchase("A1", "10.00", customer_email="ann@example.com", currency=told)
    tracker.track_stage("product_view", (Content("1"),), 5, VISIT, currency=told)

    payloads = [json.loads(bytes(row["payload"])) for row in rows(service.store, "outbox")]
    assert [told["custom_data"]["currency"] for told in payloads] == ["USD", "USD"]


@pytest.mark.parametrize(
    ("told", "reason"),
    [("marketing=no", "consent_refused"), ("marketing=yes", ""), ("sale_of_data=no", "")],
)
def test_a_visit_heeds_the_consent_that_it_is_told_with(
    tracker: PinterestConversionTracker, service: Service, told: str, reason: str
) -> None:
    assert views(tracker, pin_consent=told, email="ann@example.com").reason == reason

    payloads = [json.loads(bytes(row["payload"])) for row in rows(service.store, "outbox")]
    assert len(payloads) == (not reason)
    assert all(bool(p.get("opt_out")) is ("sale" in told) for p in payloads)
    assert bool(rows(service.store, "told_links")) is not (told == "marketing=no")


def test_a_crawler_is_no_visitor(tracker: PinterestConversionTracker) -> None:
    assert views(tracker, client_user_agent="Googlebot/2.1").reason == "bot"


def test_no_address_or_referrer_that_names_a_person_is_kept(
    tracker: PinterestConversionTracker, service: Service
) -> None:
    mail = "ann@example.com"
    views(tracker, f"https://s.example/p?email={mail}", referrer=f"https://m.example/?to={mail}")
    views(tracker, f"https://s.example/u/{mail}/p")
    session = VISIT | {"referrer": f"https://m.example/{mail}"}
    tracker.track_purchase("A1", "10.00", session_data=session)

    assert mail not in str(everything(service.store))
    assert mail.replace("@", "%40") not in str(everything(service.store))
