"""From the signed order to the cent in the report and the bytes at Pinterest, by hand-made sums."""

import hashlib
import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tests.actors import (
    DAY,
    HOUR,
    NOW,
    TODAY,
    BuildWorld,
    World,
    at_once,
    instant,
    notes,
    order,
    pinned,
    refund,
)
from tracking.domain.attribution import MODELS
from tracking.receive.order_facts import OrderFacts
from tracking.receive.planner import Planner
from tracking.receive.receipt import Receipt
from tracking.store import StoreUnavailable
from tracking.store.new_orders import OrderRows

NOBODY = "(not attributed)"
EPIK = "dj0yJnU9ZVRLd2FpdGhlcGlr"


def visit(days_ago: float, number: int, campaign_id: str = "", **changes: Any) -> dict[str, Any]:
    """An earlier order of the same buyer, which is also a visit: by a pin, or a direct one."""
    at = NOW - days_ago * DAY
    landing = pinned(campaign_id) if campaign_id else "/"
    instants = {"created_at": instant(at), "processed_at": instant(at), "updated_at": instant(at)}
    return {"id": number, **instants, "landing_site": landing, **changes}


def worth(amount: str, **changes: Any) -> dict[str, Any]:
    """An order whose goods cost this much, and nothing else does."""
    return {"subtotal_price": amount, "total_price": amount, "total_tax": "0.00", **changes}


# --- Attribution, in cents

# Pins of campaigns 11 (7 days before), 22 (3.5 days before) and 33 (in the visit of the order),
# over 100.01 USD. Decay weighs them 1/2, 1/sqrt(2) and 1.
THREE_PINS = {
    "first_touch": {"11": "100.01"},
    "last_touch": {"33": "100.01"},
    "last_non_direct": {"33": "100.01"},
    "linear": {"11": "33.34", "22": "33.34", "33": "33.33"},
    "position_based": {"11": "40.01", "22": "20.00", "33": "40.00"},
    "time_decay": {"11": "22.66", "22": "32.04", "33": "45.31"},
    "view_through": {NOBODY: "100.01"},
}


@pytest.fixture
def three_pins(everywhere: BuildWorld) -> World:
    found = everywhere()
    found.sells(**visit(7, 1, "11"))
    found.sells(**visit(3.5, 2, "22"))
    found.sells(**worth("100.01", id=3, landing_site=pinned("33")))
    return found


def test_every_model_shares_three_pins_to_the_cent(three_pins: World) -> None:
    assert {model: three_pins.credits(model) for model in MODELS} == THREE_PINS


def test_the_order_of_arrival_does_not_change_the_shares(everywhere: BuildWorld) -> None:
    found = everywhere()
    found.sells(**worth("100.01", id=3, landing_site=pinned("33")))
    found.sells(**visit(3.5, 2, "22"))
    found.sells(**visit(7, 1, "11"))
    assert {model: found.credits(model) for model in MODELS} == THREE_PINS


def test_a_refund_is_shared_as_the_order_was(three_pins: World) -> None:
    three_pins.shop.sends("refunds/create", refund(order_id=3))
    # Of 90.01 left: 40 % is 36.004, and the spare cent goes to the older end.
    assert three_pins.credits("position_based") == {"11": "36.01", "22": "18.00", "33": "36.00"}
    assert three_pins.credits("linear") == {"11": "30.01", "22": "30.00", "33": "30.00"}


def test_a_cancelled_order_earned_nobody_anything(three_pins: World) -> None:
    cancelled = worth("100.01", id=3, landing_site=pinned("33"), cancelled_at=instant(NOW + 60))
    three_pins.shop.sends("orders/cancelled", order(updated_at=instant(NOW + 60), **cancelled))
    assert three_pins.credits("linear") == {}
    report = three_pins.shop.reads("/roi-analysis", **TODAY)
    assert (report["gross_revenue"], report["cancellations"]) == ("100.01", "100.01")


@pytest.mark.parametrize(
    "before", ["https://www.shop.example/products/mug", "https://www.paypal.com/checkoutnow"]
)
def test_the_shop_itself_or_a_payment_is_no_source_that_stands_before_a_pin(
    everywhere: BuildWorld, before: str
) -> None:
    found = everywhere()
    found.sells(**visit(2, 1, "11"))
    status = "https://checkout.shop.example/1/orders/abc/authenticate?key=x"
    direct = {"landing_site": "/cart/c/x", "order_status_url": status, "referring_site": before}
    found.sells(**worth("100.01", id=3, **direct))
    assert found.credits("last_non_direct", scope="all") == {"11": "100.01"}


def test_a_medium_that_the_shop_added_is_pinterests(everywhere: BuildWorld) -> None:
    landing = "/?utm_source=pinterest&utm_medium=In-fluencer&utm_campaign_id=11"
    found = everywhere(PINTEREST_MEDIUMS="email, influencer")
    found.sells(landing_site=landing)
    assert found.credits("last_touch") == {"11": "40.00"}


# A pin 7 days before, a search advertisement of another network 2 days before, then directly.
GOOGLE = "/?utm_source=google&utm_medium=cpc&utm_campaign=brand"
MIXED = {
    ("pinterest", "last_touch"): {"11": "90.00"},
    ("pinterest", "linear"): {"11": "90.00"},
    ("all", "first_touch"): {"11": "90.00"},
    ("all", "last_touch"): {NOBODY: "90.00"},
    ("all", "last_non_direct"): {"brand": "90.00"},
    ("all", "linear"): {"11": "30.00", "brand": "30.00", NOBODY: "30.00"},
    ("all", "position_based"): {"11": "36.00", "brand": "18.00", NOBODY: "36.00"},
}


@pytest.mark.parametrize(("scope", "model"), MIXED)
def test_a_shop_sees_what_pinterest_claims_and_what_it_shares(
    everywhere: BuildWorld, scope: str, model: str
) -> None:
    found = everywhere()
    found.sells(**visit(7, 1, "11"))
    found.sells(**visit(2, 2, landing_site=GOOGLE))
    found.sells(**worth("90.00", id=3))
    assert found.credits(model, scope=scope) == MIXED[scope, model]


@pytest.mark.parametrize(("seconds", "earns"), [(30 * DAY, True), (30 * DAY + 1, False)])
def test_a_pin_earns_an_order_until_the_last_second_of_its_window(
    world: BuildWorld, seconds: int, earns: bool
) -> None:
    found = world()
    found.sells(**visit(seconds / DAY, 1, "11"))
    found.sells(id=2)
    assert found.credits("last_touch") == ({"11": "40.00"} if earns else {NOBODY: "40.00"})


def test_a_pin_after_the_order_earns_nothing_of_it(world: BuildWorld) -> None:
    found = world()
    found.sells(id=2)
    found.sells(**visit(-1 / DAY, 3, "11", **worth("0.00")))
    assert found.credits("last_touch") == {NOBODY: "40.00"}


def test_a_stamp_in_the_order_says_when_the_visit_was(world: BuildWorld) -> None:
    found = world()
    stamp = instant(NOW - 10 * DAY)
    found.sells(landing_site=pinned("11"), note_attributes=notes(track_ai_timestamp=stamp))
    by_click = {"report_by": "click_date", "start_date": "2026-11-10", "end_date": "2026-11-10"}
    assert found.credits("last_touch", **by_click) == {"11": "40.00"}
    assert found.credits("last_touch", report_by="click_date") == {}
    assert found.credits("last_touch") == {"11": "40.00"}


@pytest.mark.parametrize(
    ("stamp", "campaign"),
    [
        (instant(NOW - 31 * DAY), NOBODY),
        (instant(NOW + HOUR), "11"),
        ("yesterday", "11"),
        (str(NOW - DAY), "11"),
    ],
)
def test_a_stamp_counts_if_it_can_be_read_and_is_not_after_the_order(
    world: BuildWorld, stamp: str, campaign: str
) -> None:
    found = world()
    found.sells(landing_site=pinned("11"), note_attributes=notes(track_ai_timestamp=stamp))
    assert found.credits("last_touch") == {campaign: "40.00"}


def test_with_clicks_switched_off_no_pin_earns_anything(world: BuildWorld) -> None:
    found = world(CLICK_WINDOW_DAYS="0")
    found.sells(landing_site=pinned("11"))
    assert found.credits("last_touch") == {NOBODY: "40.00"}
    assert found.reason() == "not_attributed"


def test_a_shorter_window_forgets_sooner(world: BuildWorld) -> None:
    found = world(CLICK_WINDOW_DAYS="7")
    found.sells(**visit(8, 1, "11"))
    found.sells(id=2)
    assert found.credits("last_touch") == {NOBODY: "40.00"}


@pytest.mark.parametrize(
    "shared",
    [
        {"email": "ada@example.com", "contact_email": None, "customer": None},
        {"phone": "+1 212 555 0142", "email": None, "contact_email": None, "customer": None},
        {"customer": {"id": 9_001}, "email": None, "contact_email": None},
    ],
    ids=["email", "phone", "customer"],
)
def test_one_buyer_on_two_devices_is_known_by_any_one_of_three_things(
    everywhere: BuildWorld, shared: dict[str, Any]
) -> None:
    found = everywhere()
    others = {"billing_address": None, **shared}
    found.sells(**visit(3, 1, "11", note_attributes=notes(pin_vid="telephone-1"), **others))
    found.sells(id=2, note_attributes=notes(pin_vid="notebook-22"), **others)
    assert found.credits("last_touch") == {"11": "40.00"}


def test_two_strangers_share_nothing(everywhere: BuildWorld) -> None:
    found = everywhere()
    eve = {"email": "eve@example.com", "contact_email": None, "customer": None}
    found.sells(**visit(3, 1, "11", billing_address=None, **eve))
    found.sells(id=2)
    assert found.credits("last_touch") == {NOBODY: "40.00"}


@pytest.mark.parametrize("value", ["net", "total"])
def test_the_value_of_a_sale_is_what_the_shop_measures_by(world: BuildWorld, value: str) -> None:
    found = world(CONVERSION_VALUE=value)
    found.sells(landing_site=pinned("11"))
    amount = {"net": "40.00", "total": "50.00"}[value]
    assert found.credits("last_touch") == {"11": amount}
    assert found.event()["custom_data"]["value"] == amount


@pytest.mark.parametrize(
    ("value", "gross", "given_back"), [("net", "40.00", "10.00"), ("total", "50.00", "18.50")]
)
def test_a_refund_is_measured_as_the_sale_was(
    world: BuildWorld, value: str, gross: str, given_back: str
) -> None:
    found = world(CONVERSION_VALUE=value)
    found.sells(landing_site=pinned("11"))
    paid = {"kind": "refund", "status": "success", "amount": "18.50", "currency": "USD"}
    body = refund(
        refund_line_items=[{"id": 1, "quantity": 1, "subtotal": 10.0, "total_tax": 1.5}],
        order_adjustments=[{"kind": "shipping_refund", "amount": "-7.00", "tax_amount": "0.00"}],
        transactions=[paid],
    )
    found.shop.sends("refunds/create", body)
    report = found.shop.reads("/roi-analysis")
    assert (report["gross_revenue"], report["refunds"]) == (gross, given_back)


# --- Several at once


def test_orders_of_one_buyer_that_come_at_once_share_as_if_they_had_come_one_by_one(
    everywhere: BuildWorld,
) -> None:
    found = everywhere()
    sales = [
        visit(7, 1, "11"),
        visit(3.5, 2, "22"),
        worth("100.01", id=3, landing_site=pinned("33")),
    ]
    take = found.service.tracker.receive_order
    bodies = [json.dumps(order(**sale)).encode() for sale in sales]
    receipts = at_once(
        found.service.store, [partial(take, body, "orders/create") for body in bodies]
    )
    assert {receipt.result().status for receipt in receipts} == {"accepted"}
    assert {model: found.credits(model) for model in MODELS} == THREE_PINS


def test_of_many_orders_that_come_at_once_each_is_counted_and_sent_once(
    everywhere: BuildWorld,
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    strangers = {"contact_email": None, "customer": None, "billing_address": None}
    sales = [order(id=n, email=f"buyer-{n}@example.com", **strangers) for n in range(1, 25)]

    def take(body: bytes) -> Receipt:
        while True:
            # A busy machine may not store all of them in time: Shopify sends those again.
            with suppress(StoreUnavailable):
                return found.service.tracker.receive_order(body, "orders/create")

    bodies = [json.dumps(sale).encode() for sale in sales]
    receipts = at_once(found.service.store, [partial(take, body) for body in bodies * 2])
    statuses = [receipt.result().status for receipt in receipts]
    assert sorted(statuses) == ["accepted"] * 24 + ["duplicate"] * 24
    ids = [receipt.result().order_id for receipt in receipts]
    assert ids == [str(n) for n in range(1, 25)] * 2
    assert found.shop.reads("/roi-analysis")["orders"] == 24
    assert set(found.told()) == set(ids)
    assert set(found.pinterest.accepted.values()) == {1}


# --- What Pinterest is told


@pytest.mark.parametrize(
    ("send", "landing", "reason"),
    [
        ("attributed", pinned(), ""),
        ("attributed", "/", "not_attributed"),
        ("all", pinned(), ""),
        ("all", "/", ""),
        ("off", pinned(), "off"),
        ("off", "/", "off"),
    ],
)
def test_who_is_sent_is_the_shops_choice(
    world: BuildWorld, send: str, landing: str, reason: str
) -> None:
    found = world(PINTEREST_SEND=send)
    found.sells(landing_site=landing)
    assert found.reason() == reason
    assert list(found.told()) == ([] if reason else ["5001"])


@pytest.mark.parametrize(("kind", "id"), [("product", "111"), ("variant", "222"), ("sku", "MUG-1")])
def test_products_are_named_as_in_the_catalogue(world: BuildWorld, kind: str, id: str) -> None:
    found = world(CONTENT_ID=kind)
    found.sells(landing_site=pinned())
    sold = found.event()["custom_data"]
    assert sold["content_ids"] == [id]
    assert sold["contents"][0]["id"] == id


def test_an_order_is_told_in_full(everywhere: BuildWorld) -> None:
    found = everywhere()
    found.sells(landing_site=pinned("11", epik=EPIK))
    event = found.event()
    person = event.pop("user_data")
    assert event == {
        "event_name": "checkout",
        "action_source": "web",
        "event_time": NOW,
        "event_id": "checkout-5001",
        "event_source_url": "https://shop.example/products/mug?utm_source=pinterest"
        f"&utm_medium=cpc&utm_campaign_id=11&epik={EPIK}",
        "language": "en",
        "custom_data": {
            "currency": "USD",
            "value": "40.00",
            "order_id": "5001",
            "content_ids": ["111"],
            "contents": [
                {
                    "id": "111",
                    "item_name": "Mug",
                    "item_brand": "Kiln",
                    "item_price": "20.00",
                    "quantity": 2,
                }
            ],
            "num_items": 2,
        },
    }
    assert person == {
        "em": [sha256("ada@example.com")],
        "ph": [sha256("12125550142")],
        "fn": [sha256("ada")],
        "ln": [sha256("love")],
        "ct": [sha256("newyork")],
        "st": [sha256("ny")],
        "zp": [sha256("10001")],
        "country": [sha256("us")],
        "external_id": [sha256("9001")],
        "click_id": EPIK,
        "client_ip_address": "203.0.113.7",
        "client_user_agent": "Mozilla/5.0 (Macintosh)",
    }


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# By the note and CONSENT_UNKNOWN: sent, sent with Limited Data Processing, or why it is not sent.
SENT, LIMITED = "sent", "limited"
CONSENT = {
    "": {"send": SENT, "limit": LIMITED, "hold": "consent_unknown"},
    "marketing=yes": {"send": SENT, "limit": SENT, "hold": SENT},
    "marketing=yes;sale_of_data=yes": {"send": SENT, "limit": SENT, "hold": SENT},
    "marketing=no": dict.fromkeys(("send", "limit", "hold"), "consent_refused"),
    "marketing=maybe": dict.fromkeys(("send", "limit", "hold"), "consent_refused"),
    "marketing=yes;sale_of_data=no": dict.fromkeys(("send", "limit", "hold"), LIMITED),
    "marketing=yes;gpc=1": dict.fromkeys(("send", "limit", "hold"), LIMITED),
    "marketing=yes;gpc=0": {"send": SENT, "limit": SENT, "hold": SENT},
    "gpc=1": {"send": LIMITED, "limit": LIMITED, "hold": "consent_unknown"},
    "marketing=no;gpc=1": dict.fromkeys(("send", "limit", "hold"), "consent_refused"),
}


@pytest.mark.parametrize("unknown", ["send", "limit", "hold"])
@pytest.mark.parametrize("note", CONSENT)
def test_consent_decides_what_pinterest_is_told(world: BuildWorld, note: str, unknown: str) -> None:
    found = world(CONSENT_UNKNOWN=unknown)
    said = notes(pin_consent=note) if note else []
    found.sells(landing_site=pinned(), note_attributes=said)
    expected = CONSENT[note][unknown]
    if expected not in (SENT, LIMITED):
        assert (found.reason(), found.told()) == (expected, {})
        return
    event = found.event()
    told = (event.get("opt_out"), event["custom_data"].get("opt_out_type"))
    assert told == ((True, "LDP") if expected == LIMITED else (None, None))
    both = [sha256("ny"), sha256("NY")], [sha256("us"), sha256("US")]
    places = event["user_data"]["st"], event["user_data"]["country"]
    assert places == (both if expected == LIMITED else ([sha256("ny")], [sha256("us")]))


def test_whoever_refused_is_still_counted_in_the_shops_own_reports(world: BuildWorld) -> None:
    found = world()
    found.sells(landing_site=pinned("11"), note_attributes=notes(pin_consent="marketing=no"))
    assert found.credits("last_touch") == {"11": "40.00"}


def test_a_click_cut_off_in_the_address_is_a_click_but_not_an_id(world: BuildWorld) -> None:
    found = world()
    cut = "/products/mug?epik=" + "d" * 600
    found.sells(landing_site=cut[:255])
    assert "click_id" not in found.event()["user_data"]
    assert "epik" not in found.event()["event_source_url"]
    (line,) = found.shop.reads("/roi-analysis")["campaigns"]
    assert (line["campaign"], line["revenue"]) == ("(no campaign)", "40.00")


def test_a_direct_order_carries_the_click_id_of_the_buyers_earlier_pin(world: BuildWorld) -> None:
    found = world()
    found.sells(**visit(3, 1, landing_site=pinned("11", epik=EPIK)))
    found.sells(id=2)
    assert found.told()["2"]["user_data"]["click_id"] == EPIK


def test_the_newest_click_id_is_told_and_the_orders_own_before_any(world: BuildWorld) -> None:
    found = world()
    found.sells(**visit(3, 1, landing_site=pinned("11", epik=f"{EPIK}-old")))
    found.sells(**visit(2, 2, landing_site=pinned("11", epik=f"{EPIK}-new")))
    found.sells(id=3)
    found.sells(id=4, landing_site=pinned("22", epik=f"{EPIK}-own"))
    told = found.told()
    assert told["3"]["user_data"]["click_id"] == f"{EPIK}-new"
    assert told["4"]["user_data"]["click_id"] == f"{EPIK}-own"


def test_a_click_id_older_than_the_window_is_not_told(world: BuildWorld) -> None:
    found = world(PINTEREST_SEND="all")
    found.sells(**visit(31, 1, landing_site=pinned("11", epik=EPIK)))
    found.sells(id=2)
    assert "click_id" not in found.told()["2"]["user_data"]


def test_a_draft_order_is_told_without_the_staffs_browser(world: BuildWorld) -> None:
    found = world(PINTEREST_SEND="all")
    found.sells(source_name="shopify_draft_order", landing_site=None)
    person = found.event()["user_data"]
    assert person["em"] == [sha256("ada@example.com")]
    assert not {"client_ip_address", "client_user_agent"} & set(person)


def test_a_sale_over_the_counter_is_told_as_offline(world: BuildWorld) -> None:
    found = world(PINTEREST_SEND="all")
    found.sells(source_name="pos", landing_site=None)
    event = found.event()
    assert event["action_source"] == "offline"
    assert "event_source_url" not in event
    assert "client_user_agent" not in event["user_data"]


def test_a_sale_over_the_counter_may_be_earned_by_an_earlier_pin(world: BuildWorld) -> None:
    found = world()
    found.sells(**visit(3, 1, "11"))
    found.sells(id=2, source_name="pos", landing_site=None)
    assert found.credits("last_touch") == {"11": "40.00"}
    assert found.told()["2"]["action_source"] == "offline"


@pytest.mark.parametrize(("send", "reason"), [("attributed", "renewal"), ("all", "")])
def test_a_subscription_that_renewed_itself_is_no_pins_doing(
    world: BuildWorld, send: str, reason: str
) -> None:
    found = world(PINTEREST_SEND=send)
    found.sells(source_name="subscription_contract", landing_site=None)
    assert found.credits("last_touch") == {NOBODY: "40.00"}
    assert found.reason() == reason


COPIED = notes(
    utm_source="pinterest",
    utm_medium="cpc",
    utm_campaign_id="9002",
    epik=EPIK,
    pin_vid="visitor-77",
)
COPIES: dict[str, tuple[str, dict[str, Any]]] = {
    "by Shopify": ("renewal", {"source_name": "subscription_contract_checkout_one"}),
    "by a newer contract": ("renewal", {"source_name": "subscription_contract_2027"}),
    "by an app": ("renewal", {"source_name": "294517", "tags": "A, Subscription Recurring Order"}),
    "by staff": ("copied", {"source_name": "shopify_draft_order", "app_id": 1354745}),
}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("is_late", [False, True], ids=["after", "before"])
def test_what_was_copied_from_another_order_is_no_click(
    everywhere: BuildWorld, copied: str, is_late: bool
) -> None:
    reason, changes = COPIES[copied]
    found = everywhere()
    copy = {"id": 2, "landing_site": None, "note_attributes": COPIED, **changes}
    bodies = [visit(3, 1, "11"), copy]
    for body in reversed(bodies) if is_late else bodies:
        found.sells(**body)
    assert found.credits("last_touch") == {NOBODY: "40.00"}
    assert found.reason(2) == reason
    assert set(found.told()) == {"1"}


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_is_sent_without_the_click_where_every_order_is(
    world: BuildWorld, copied: str
) -> None:
    found = world(PINTEREST_SEND="all")
    found.sells(landing_site=None, note_attributes=COPIED, **COPIES[copied][1])
    assert "click_id" not in found.event()["user_data"]


def test_a_refusal_in_copied_notes_holds(world: BuildWorld) -> None:
    found = world(PINTEREST_SEND="all")
    refused = [*COPIED, *notes(__pin_consent="marketing=no")]
    found.sells(landing_site=None, note_attributes=refused, **COPIES["by an app"][1])
    assert found.reason() == "consent_refused"


def test_a_draft_of_staff_may_be_earned_by_an_earlier_pin(world: BuildWorld) -> None:
    found = world()
    found.sells(**visit(3, 1, "11"))
    found.sells(id=2, source_name="shopify_draft_order", landing_site=None)
    assert found.credits("last_touch") == {"11": "40.00"}


@pytest.mark.parametrize(("free", "reason"), [("", "free"), ("true", "")])
@pytest.mark.parametrize("send", ["attributed", "all"])
def test_an_order_worth_nothing_is_sent_only_if_the_shop_wants_it(
    world: BuildWorld, send: str, free: str, reason: str
) -> None:
    found = world(PINTEREST_SEND=send, SEND_FREE_ORDERS=free)
    found.sells(landing_site=pinned("11"), **worth("0.00"))
    assert found.reason() == reason
    assert set(found.told()) == (set() if reason else {"5001"})


def test_an_order_that_is_worth_something_later_is_sent(world: BuildWorld) -> None:
    found = world()
    found.sells(landing_site=pinned("11"), **worth("0.00"))
    found.sells(landing_site=pinned("11"), updated_at=instant(NOW + 60), **worth("20.00"))
    assert found.event()["custom_data"]["value"] == "20.00"


@pytest.mark.parametrize(
    ("env", "changes", "page"),
    [
        ({}, {}, "https://shop.example/"),
        ({"COLLECTOR_ORIGINS": "https://www.shop.example"}, {}, "https://shop.example/"),
        (
            {"COLLECTOR_ORIGINS": "https://www.shop.example"},
            {"order_status_url": "https://checkout.shopify.com/1/x"},
            "https://www.shop.example/",
        ),
        (
            {"SHOPIFY_STORE_URL": "kiln.myshopify.com"},
            {"order_status_url": None},
            "https://kiln.myshopify.com/",
        ),
        (
            {"SHOPIFY_STORE_URL": "a.myshopify.com,b.myshopify.com"},
            {"order_status_url": None},
            None,
        ),
    ],
)
def test_an_order_without_a_landing_page_has_the_shops(
    world: BuildWorld, env: dict[str, str], changes: dict[str, Any], page: str | None
) -> None:
    found = world(PINTEREST_SEND="all", **env)
    found.sells(landing_site=None, **changes)
    assert found.event().get("event_source_url") == page


def test_every_order_names_the_partner_of_the_settings(world: BuildWorld) -> None:
    found = world(PINTEREST_SEND="all", PINTEREST_PARTNER_NAME="ss-kiln")
    found.sells()
    assert found.event()["partner_name"] == "ss-kiln"


def test_a_test_order_is_neither_counted_nor_sent(world: BuildWorld) -> None:
    found = world(PINTEREST_SEND="all")
    found.sells(landing_site=pinned("11"), test=True)
    assert found.credits("last_touch") == {}
    assert found.shop.reads("/roi-analysis")["orders"] == 0
    assert found.reason() == "test"


def test_where_a_purchase_is_a_paid_order_an_unpaid_one_waits_for_its_money(
    everywhere: BuildWorld,
) -> None:
    found = everywhere(PURCHASE_ON="paid")
    found.sells(landing_site=pinned("11"), financial_status="pending")
    assert (found.credits("last_touch"), found.reason()) == ({}, "unpaid")

    paid = order(landing_site=pinned("11"), updated_at=instant(NOW + HOUR))
    found.shop.sends("orders/paid", paid)
    assert found.credits("last_touch") == {"11": "40.00"}
    assert found.event()["event_time"] == NOW


def test_an_order_corrected_before_it_was_sent_is_told_as_corrected(everywhere: BuildWorld) -> None:
    found = everywhere()
    found.sells(landing_site=pinned("11"))
    cheaper = worth("30.00", landing_site=pinned("11"), updated_at=instant(NOW + 60))
    found.shop.sends("orders/updated", order(**cheaper))
    assert found.event()["custom_data"]["value"] == "30.00"
    assert found.pinterest.accepted == {"checkout-5001": 1}
    assert found.credits("last_touch") == {"11": "30.00"}


# --- The work that an order costs


def test_an_order_is_planned_once_whether_it_is_new_or_known(
    everywhere: BuildWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that were planned before the lock are written unless something contradicts them."""
    planned = []
    rows_of = Planner.rows_of

    def count(self: Planner, facts: OrderFacts, *args: Any, **named: Any) -> OrderRows:
        planned.append(facts.order.id)
        return rows_of(self, facts, *args, **named)

    monkeypatch.setattr(Planner, "rows_of", count)
    found = everywhere(PINTEREST_SEND="all")
    stranger = {"email": "b@example.com", "phone": None, "customer": None, "billing_address": None}

    found.sells(id=1, landing_site=pinned("11"))
    found.sells(id=1, landing_site=pinned("11"), updated_at=instant(NOW + 60), name="#1 again")
    found.sells(id=2, **stranger, contact_email=None, refunds=[refund(order_id=2)])

    assert planned == ["1", "1", "2"]
    assert set(found.told()) == {"1", "2"}
