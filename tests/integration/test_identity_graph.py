"""From the pixel to the purchase: who was it, what brought them, and what is told of it."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    Clock,
    Storefront,
    deliver,
    instant,
    notes,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, rows
from tracking.store.identity_graph import MOST_VISITORS

LAPTOP, PHONE = "laptop-browser-1", "phone-browser-1"
CLIENT = "1fd529f6-8f05-4118-ba6b-a4e20691aa0c"
TOKEN = "an-earlier-checkout-1"
EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
LANDING = pinned("11", utm_campaign="summer", epik=EPIK)
MUG = {
    "productVariant": {
        "id": "222",
        "product": {"id": "111", "title": "Mug"},
        "price": {"amount": 20.0, "currencyCode": "USD"},
    }
}
# Nothing of the buyer but what a test adds.
NOBODY: dict[str, Any] = {
    "email": None,
    "contact_email": None,
    "customer": None,
    "billing_address": None,
}


@pytest.fixture
def front(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    """A shop that sends what Pinterest earned, on each database."""
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY)
    return Storefront(service, pinterest, clock)


@pytest.fixture
def quick(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    """The same where the database makes no difference."""
    service = build_service(sqlite_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY)
    return Storefront(service, pinterest, clock)


# --- One person


def test_an_order_on_the_phone_finds_the_click_on_the_laptop(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 5 * HOUR, LANDING)
    front.checks_out(LAPTOP, 4 * HOUR, TOKEN)
    front.sells(id=1, **{**NOBODY, "email": "ada@example.com"}, checkout_token=TOKEN)
    front.sees("page_viewed", PHONE, HOUR)
    front.sells(note_attributes=notes(__pin_vid=PHONE))

    journey = front.journey()
    assert journey["why"].startswith("Credited to Pinterest: a click of campaign summer 5 hours")
    assert (journey["visitor"], journey["match_method"]) == (PHONE, "note_attribute")
    assert front.sent()["checkout-5001"]["user_data"]["click_id"] == EPIK


def test_who_was_seen_with_one_identity_is_one_person_though_the_order_names_another(
    front: Storefront,
) -> None:
    front.sees("page_viewed", LAPTOP, 5 * HOUR, LANDING)
    for n, browser in enumerate((LAPTOP, PHONE)):
        note = notes(__pin_vid=browser)
        front.sells(id=n, **{**NOBODY, "email": "ada@example.com"}, note_attributes=note)
    front.sells(**{**NOBODY, "email": "work@example.com"}, note_attributes=notes(__pin_vid=PHONE))
    assert front.journey()["why"].startswith("Credited")


@pytest.mark.parametrize(
    ("changes", "method", "evidence"),
    [
        (
            {"note_attributes": notes(__pin_vid=LAPTOP), "checkout_token": "x" * 20},
            "note_attribute",
            "signed",
        ),
        ({"checkout_token": CHECKOUT_TOKEN, "cart_token": "c" * 20}, "checkout_token", "token"),
        ({"cart_token": "cart-token-0123456789"}, "cart_token", "token"),
        ({"customer": {"id": 9001}, "email": "ada@example.com"}, "customer", "signed"),
        ({"email": "ada@example.com", "phone": "+12125550199"}, "email", "signed"),
        ({"phone": "+12125550199"}, "phone", "signed"),
    ],
)
def test_an_order_finds_its_visitor_and_says_how(
    quick: Storefront, changes: dict[str, Any], method: str, evidence: str
) -> None:
    quick.sees("page_viewed", LAPTOP, HOUR, LANDING)
    data = {"checkout": {"token": CHECKOUT_TOKEN}}
    quick.sees("checkout_completed", LAPTOP, 60, data=data, cart_token="cart-token-0123456789")
    who = {"email": "ada@example.com", "phone": "+12125550199", "customer": {"id": 9001}}
    quick.sells(id=1, **{**NOBODY, **who}, checkout_token=CHECKOUT_TOKEN)
    quick.sells(**{**NOBODY, **changes})

    journey = quick.journey()
    assert (journey["visitor"], journey["match_method"]) == (LAPTOP, method)
    assert journey["evidence"] == evidence
    assert journey["why"].startswith("Credited")
    assert quick.stages()["purchase"] == (2, 1)


def test_an_order_that_nothing_matched_shows_no_evidence(quick: Storefront) -> None:
    for who in ({}, {"email": "ada@example.com"}, {"customer": {"id": 9001}}):
        quick.sells(**{**NOBODY, **who}, updated_at=instant(NOW + len(who)))
        assert quick.journey()["evidence"] == ""


def test_an_order_that_another_order_of_its_buyer_earned_shows_the_evidence(
    quick: Storefront,
) -> None:
    for number, landing in ((1, LANDING), (2, "/")):
        quick.sells(id=number, **{**NOBODY, "email": "ada@example.com"}, landing_site=landing)
    assert quick.journey(2)["evidence"] == "signed"


def test_a_checkout_belongs_to_whoever_opened_it_first(front: Storefront) -> None:
    front.sees("page_viewed", "the-other-browser", HOUR, LANDING)
    front.checks_out(LAPTOP, 120)
    front.checks_out("the-other-browser", 60)
    front.sells(**{**NOBODY, "email": "ada@example.com"}, checkout_token=CHECKOUT_TOKEN)

    journey = front.journey()
    assert (journey["visitor"], journey["match_method"]) == (LAPTOP, "checkout_token")
    assert journey["why"].startswith("Not credited")


def test_an_event_whose_credit_falls_away_is_kept_for_as_long_as_it_may_come_back(
    quick: Storefront,
) -> None:
    quick.sees("page_viewed", LAPTOP, 5 * HOUR, LANDING)
    for n in range(MOST_VISITORS + 1):
        visitor = LAPTOP if n == 0 else f"staff-browser-{n:03}"
        token = f"token-of-the-staff-{n:03}"
        quick.checks_out(visitor, 3 * HOUR, token)
        quick.sells(id=100 + n, **{**NOBODY, "email": "shop@example.com"}, checkout_token=token)
        if n == 0:
            quick.sells(id=1, **{**NOBODY, "email": "shop@example.com"})
            assert quick.journey(1)["reason"] == ""

    (event,) = [
        row for row in rows(quick.service.store, "outbox") if row["event_id"] == "checkout-1"
    ]
    assert event["state"] == "held"
    assert b"checkout-1" in event["payload"]
    assert event["due_at"] <= NOW + HOUR


def test_an_address_that_a_crowd_shares_joins_nobody(quick: Storefront) -> None:
    quick.sees("page_viewed", LAPTOP, 5 * HOUR, LANDING)
    for n in range(MOST_VISITORS + 1):
        visitor = LAPTOP if n == 0 else f"staff-browser-{n:03}"
        token = f"token-of-the-staff-{n:03}"
        quick.checks_out(visitor, 3 * HOUR, token)
        quick.sells(id=n + 1, **{**NOBODY, "email": "shop@example.com"})
        quick.sells(id=100 + n, **{**NOBODY, "email": "shop@example.com"}, checkout_token=token)
        quick.clock.tick(seconds=1)
    for n in (1, MOST_VISITORS, MOST_VISITORS + 1):
        assert quick.journey(n)["why"].startswith("Not credited"), n


# --- Evidence


def test_who_knows_an_address_cannot_take_its_owners_credit(front: Storefront) -> None:
    front.sees("page_viewed", "forgers-browser-1", HOUR, LANDING)
    who = {"email": "ada@example.com", "phone": "+12125550142"}
    front.checks_out("forgers-browser-1", HOUR / 2, "a-token-of-the-forger", **who)
    front.sells()
    front.checks_out("forgers-browser-1", 0, "another-token-of-the-forger", **who)

    journey = front.journey()
    assert journey["why"].startswith("Not credited")
    assert [touch["key"] for touch in journey["touches"]] == ["order:5001"]
    assert front.sent() == {}


def test_made_up_visitors_told_with_an_address_do_not_undo_a_true_match(
    front: Storefront,
) -> None:
    front.sees("page_viewed", LAPTOP, 5 * HOUR, LANDING)
    front.sells(id=1, note_attributes=notes(__pin_vid=LAPTOP))
    for n in range(24):
        token = f"token-of-the-forger-{n:03}"
        front.checks_out(f"made-up-visitor-{n:03}", 0, token, email="ada@example.com")
    front.sells(id=2)

    for order_id in (1, 2):
        journey = front.journey(order_id)
        assert journey["why"].startswith("Credited to Pinterest: a click of campaign summer")
        assert journey["visitor"] == LAPTOP
    assert {*front.sent()} == {"checkout-1", "checkout-2"}


def test_a_signed_order_with_a_told_token_has_earlier_orders_credited(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.checks_out(LAPTOP, HOUR / 2, email="ada@example.com")
    front.sells(id=1)
    assert front.journey(1)["why"].startswith("Not credited")

    front.clock.tick(seconds=60)
    front.sells(id=2, checkout_token=CHECKOUT_TOKEN)

    assert {*front.sent()} == {"checkout-1", "checkout-2"}
    journey = front.journey(1)
    assert journey["why"].startswith("Credited")
    assert (journey["match_method"], journey["evidence"]) == ("customer", "signed")


def test_a_token_told_after_its_signed_order_has_earlier_orders_credited(
    front: Storefront,
) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.sells(id=1)
    front.sells(id=2, checkout_token=CHECKOUT_TOKEN)
    assert front.journey(1)["why"].startswith("Not credited")

    front.checks_out(LAPTOP, 0)

    assert {*front.sent()} == {"checkout-1", "checkout-2"}
    assert front.journey(1)["visitor"] == LAPTOP


def test_a_late_confirmation_changes_the_reports_alone(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.sells(id=1)
    front.clock.tick(hours=2)
    front.sells(id=2, note_attributes=notes(__pin_vid=LAPTOP))

    assert {*front.sent()} == {"checkout-2"}
    journey = front.journey(1)
    assert journey["why"].startswith("Credited")
    assert journey["reason"] == "credited_late"


def test_a_buyer_of_many_orders_is_no_shared_device(quick: Storefront) -> None:
    quick.sees("page_viewed", LAPTOP, HOUR, LANDING)
    for n in range(MOST_VISITORS + 2):
        token = f"one-of-many-checkouts-{n:03}"
        quick.checks_out(PHONE if n else LAPTOP, HOUR / 2, token)
        quick.sells(id=n + 1, checkout_token=token, cart_token=f"one-of-many-carts-{n:03}")
    quick.sells()
    assert quick.journey()["why"].startswith("Credited")


def test_what_the_pixel_stored_completes_the_session_of_the_order(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    session = {"landed_at": instant(NOW - HOUR), "epik": EPIK, "utm_source": "pinterest"}
    front.sees(
        "checkout_started",
        LAPTOP,
        300,
        data={"checkout": {"token": CHECKOUT_TOKEN}},
        session=session,
    )
    front.sells(**NOBODY, landing_site=None, checkout_token=CHECKOUT_TOKEN)
    found = front.journey()["session"]
    assert (found["source"], found["click_id"]) == ("pinterest", EPIK)
    assert ["click_id", "pixel"] in found["origins"]


def test_a_visit_that_pixel_and_order_both_tell_of_is_one_visit(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 3 * HOUR, LANDING)
    front.sees("page_viewed", LAPTOP, 10 * DAY / 24, pinned("22", utm_campaign="autumn"))
    front.sells(note_attributes=notes(__pin_vid=LAPTOP), landing_site=LANDING)

    linear = front.journey()["credits"]["linear"]
    assert [(c["campaign"], c["share"]) for c in linear] == [
        ("autumn", "0.500000"),
        ("summer", "0.500000"),
    ]


# --- Shopify's id of a browser


def test_a_browser_that_lost_its_cookie_is_known_by_shopifys_client_id(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 0, LANDING, clientId=CLIENT)
    front.clock.tick(days=9)
    data = {"checkout": {"token": CHECKOUT_TOKEN}}
    front.sees("checkout_completed", "the-new-cookie", 60, data=data, clientId=CLIENT)
    front.sells(**NOBODY, checkout_token=CHECKOUT_TOKEN)

    journey = front.journey()
    assert journey["why"].startswith("Credited to Pinterest: a click of campaign summer 9 days")
    assert (journey["match_method"], journey["evidence"]) == ("shopify_client", "client")
    assert journey["visitor"] == "the-new-cookie"
    assert front.sent()["checkout-5001"]["user_data"]["click_id"] == EPIK


def test_the_client_id_told_after_the_order_has_it_sent(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING, clientId=CLIENT)
    front.sells(**NOBODY, note_attributes=notes(__pin_vid="the-new-cookie"))
    assert front.sent() == {}

    front.clock.tick(seconds=60)
    front.sees("page_viewed", "the-new-cookie", 30, clientId=CLIENT)

    assert {*front.sent()} == {"checkout-5001"}
    assert front.journey()["match_method"] == "shopify_client"


def test_a_browser_seen_with_nothing_but_its_client_id_is_known_to_its_order(
    front: Storefront,
) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING, clientId=CLIENT)
    data = {"checkout": {"token": CHECKOUT_TOKEN}}
    front.sees("checkout_started", "the-new-cookie", 60, data=data, clientId=CLIENT)
    front.sells(**NOBODY, note_attributes=notes(__pin_vid="the-new-cookie"))
    assert {*front.sent()} >= {"checkout-5001"}


def test_a_click_of_the_new_cookie_itself_is_matched_by_that(quick: Storefront) -> None:
    quick.sees("page_viewed", LAPTOP, HOUR, LANDING, clientId=CLIENT)
    quick.sees("page_viewed", PHONE, 60, pinned("22"), clientId=CLIENT)
    quick.sells(note_attributes=notes(__pin_vid=PHONE))
    assert quick.journey()["match_method"] == "note_attribute"


@pytest.mark.parametrize(
    "client", ["undefined", "00000000-0000-0000-0000-000000000000", "short", "a@example.com", 12345]
)
def test_a_client_id_that_names_no_browser_joins_nobody(quick: Storefront, client: Any) -> None:
    quick.sees("page_viewed", LAPTOP, HOUR, LANDING, clientId=client)
    quick.sees("page_viewed", PHONE, 60, clientId=client)
    quick.sells(note_attributes=notes(__pin_vid=PHONE))
    assert quick.journey()["why"].startswith("Not credited")
    assert rows(quick.service.store, "clients") == []


def test_without_consent_to_analytics_no_client_id_is_stored(quick: Storefront) -> None:
    quick.sees("page_viewed", LAPTOP, 60, LANDING, clientId=CLIENT, consent={"analytics": False})
    assert rows(quick.service.store, "clients") == []


def test_a_client_id_rests_as_a_digest(quick: Storefront) -> None:
    quick.sees("page_viewed", LAPTOP, 60, LANDING, clientId=CLIENT)
    assert len(rows(quick.service.store, "clients")) == 1
    assert CLIENT not in str(everything(quick.service.store))


def test_of_the_cookies_of_one_browser_the_newest_are_joined(quick: Storefront) -> None:
    for n in range(MOST_VISITORS + 5):
        quick.sees("page_viewed", f"cookie-of-the-day-{n:03}", 0, LANDING, clientId=CLIENT)
        quick.clock.tick(days=1)
    quick.sells(note_attributes=notes(__pin_vid=f"cookie-of-the-day-{n:03}"))

    ages = [touch["age_seconds"] // DAY for touch in quick.journey()["touches"]]
    assert sorted(set(ages)) == [0, *range(1, MOST_VISITORS + 1)]


def test_cookies_of_later_days_do_not_undo_an_earlier_match(quick: Storefront) -> None:
    quick.sees("page_viewed", LAPTOP, HOUR, LANDING, clientId=CLIENT)
    quick.sees("page_viewed", PHONE, 60, clientId=CLIENT)
    quick.sells(note_attributes=notes(__pin_vid=PHONE))
    for n in range(MOST_VISITORS + 5):
        quick.clock.tick(days=1)
        quick.sees("page_viewed", f"cookie-of-the-day-{n:03}", 0, clientId=CLIENT)
    quick.sells(id=2, note_attributes=notes(__pin_vid=PHONE))
    assert quick.journey()["why"].startswith("Credited")


def test_the_cookies_of_one_browser_leave_room_for_another(quick: Storefront) -> None:
    quick.sees("page_viewed", "a-second-browser", HOUR, LANDING)
    quick.sells(id=1, note_attributes=notes(__pin_vid="a-second-browser"), email="ada@example.com")
    for n in range(MOST_VISITORS):
        quick.sees("page_viewed", f"cookie-of-the-day-{n:03}", HOUR - n, clientId=CLIENT)
    quick.sees("checkout_started", "cookie-of-the-day-000", 9, data={"checkout": {"token": TOKEN}})
    quick.sells(**{**NOBODY, "email": "ada@example.com"}, checkout_token=TOKEN)
    assert quick.journey()["why"].startswith("Credited")


# --- Late facts


def test_a_click_told_within_the_settling_time_has_the_order_sent(front: Storefront) -> None:
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    assert front.journey()["held_until"] == "2026-11-20T13:00:00Z"
    assert front.sent() == {}

    front.clock.tick(seconds=600)
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)

    assert front.sent()["checkout-5001"]["user_data"]["click_id"] == EPIK
    assert front.journey()["why"].startswith("Credited to Pinterest")
    assert front.journey()["held_until"] is None


def test_a_checkout_told_after_its_order_joins_them(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.sells(**{**NOBODY, "email": "ada@example.com"}, checkout_token=CHECKOUT_TOKEN)
    assert front.journey()["why"].startswith("Not credited")

    front.checks_out(LAPTOP, 0)

    journey = front.journey()
    assert journey["why"].startswith("Credited")
    assert (journey["visitor"], journey["match_method"]) == (LAPTOP, "checkout_token")
    assert list(front.sent()) == ["checkout-5001"]


def test_a_click_told_after_the_settling_time_changes_the_reports_alone(front: Storefront) -> None:
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    front.clock.tick(hours=1)
    assert front.sent() == {}
    assert rows(front.service.store, "outbox") == []

    front.sees("page_viewed", LAPTOP, 2 * HOUR, LANDING)

    journey = front.journey()
    assert journey["why"].startswith("Credited to Pinterest")
    assert journey["reason"] == "credited_late"
    assert front.sent() == {}
    assert front.shop.reads("/roi-analysis")["campaigns"][0]["campaign"] == "summer"


def test_what_came_after_the_order_changes_nothing_about_it(front: Storefront) -> None:
    front.sells(note_attributes=notes(__pin_vid=LAPTOP), landing_site=LANDING)
    before = front.journey()
    front.clock.tick(seconds=60)
    front.sees("page_viewed", LAPTOP, 30, pinned("33", utm_campaign="newer"))
    assert front.journey() == before


def test_an_event_that_was_sent_keeps_what_it_was_credited_to(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 5 * HOUR, LANDING)
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    assert list(front.sent()) == ["checkout-5001"]

    front.clock.tick(seconds=60)
    front.sees("page_viewed", LAPTOP, 2 * HOUR, pinned("22", utm_campaign="autumn"))

    journey = front.journey()
    assert journey["credits"]["last_touch"][0]["campaign"] == "autumn"
    assert journey["credited_when_sent"]["campaign"] == "summer"
    assert journey["why"].endswith("while it counted as earned by campaign summer.")
    assert len(front.sent()) == 1


def test_what_is_held_is_erased_when_the_settling_time_ends(front: Storefront) -> None:
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    (held,) = rows(front.service.store, "outbox")
    assert b"203.0.113.7" in bytes(held["payload"])
    front.clock.tick(hours=1)
    deliver(front.service)
    assert rows(front.service.store, "outbox") == []


# --- Consent


def test_a_refusal_told_by_the_pixel_holds_the_order_back(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    front.sees("page_viewed", LAPTOP, 0, consent={"marketing": False})
    assert front.sent() == {}
    journey = front.journey()
    assert (journey["reason"], journey["consent"]["marketing"]) == ("consent_refused", False)


def test_a_browser_that_limits_its_data_limits_the_waiting_event(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    front.sees("page_viewed", LAPTOP, 0, consent={"marketing": True, "gpc": True})
    event = front.sent()["checkout-5001"]
    assert event["opt_out"] is True
    assert event["custom_data"]["opt_out_type"] == "LDP"


@pytest.mark.parametrize(
    ("consent", "stored", "is_sent"),
    [
        ({"analytics": False}, 0, False),
        ({"analytics": True, "marketing": False}, 1, False),
        ({"analytics": True, "marketing": True}, 1, True),
        ({"marketing": None}, 1, True),
    ],
)
def test_consent_decides_over_every_storefront_event(
    quick: Storefront, consent: dict[str, Any], stored: int, is_sent: bool
) -> None:
    answer_ids = [
        quick.sees(name, LAPTOP, ago, page, data, consent=consent)
        for name, ago, page, data in (
            ("page_viewed", 90, LANDING, None),
            ("product_viewed", 60, "/products/mug", MUG),
        )
    ]
    assert len(rows(quick.service.store, "conversions")) == stored
    assert len(rows(quick.service.store, "touches")) == stored
    assert list(quick.sent()) == ([answer_ids[1]] if is_sent else [])


# --- The funnel


def test_storefront_events_reach_pinterest_under_the_pixels_own_ids(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 300, LANDING)
    viewed = front.sees("product_viewed", LAPTOP, 200, "/products/mug", MUG)
    added = front.sees("product_added_to_cart", LAPTOP, 100, "/products/mug")
    begun = front.sees(
        "checkout_started",
        LAPTOP,
        50,
        data={"checkout": {"token": CHECKOUT_TOKEN, "email": "a@b.example"}},
    )
    front.sees("product_viewed", PHONE, 200, "/products/mug", MUG)

    sent = front.sent()
    assert {id: event["event_name"] for id, event in sent.items()} == {
        viewed: "page_visit",
        added: "add_to_cart",
        begun: "initiate_checkout",
    }
    assert sent[viewed]["custom_data"]["value"] == "20.00"
    assert sent[viewed]["user_data"]["client_user_agent"] == "Mozilla/5.0 (Macintosh)"


def test_the_funnel_counts_events_and_different_visitors(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 900, LANDING)
    for n in range(3):
        front.sees("product_viewed", LAPTOP, 800 - n, "/products/mug", MUG)
    front.sees("product_viewed", PHONE, 800, "/products/mug", MUG)
    front.sees("product_added_to_cart", LAPTOP, 700)
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))

    assert front.stages(traffic="all") == {
        "product_view": (4, 2),
        "add_to_cart": (1, 1),
        "checkout_initiation": (0, 0),
        "purchase": (1, 1),
    }
    assert front.stages()["product_view"] == (3, 1)
    assert front.stages(campaign="summer")["purchase"] == (1, 1)
    assert front.stages(campaign="other")["purchase"] == (0, 0)


def test_a_landing_told_after_what_it_led_to_still_counts_for_it(front: Storefront) -> None:
    front.sees("product_viewed", LAPTOP, 200, "/products/mug", MUG)
    assert front.stages()["product_view"] == (0, 0)
    front.sees("page_viewed", LAPTOP, 300, LANDING)
    assert front.stages()["product_view"] == (1, 1)
    found = front.shop.reads("/conversion-funnel")["by_campaign"]
    assert [group["campaign"] for group in found] == ["summer"]


def test_an_event_told_twice_is_one_event(front: Storefront) -> None:
    for _ in range(3):
        front.sees("page_viewed", LAPTOP, 300, LANDING)
        front.sees("product_viewed", LAPTOP, 200, "/products/mug", MUG)
    assert front.stages()["product_view"] == (1, 1)
    assert len(rows(front.service.store, "touches")) == 1
    assert len(front.sent()) == 1


def test_a_crawler_is_recorded_as_one_and_not_counted(front: Storefront) -> None:
    agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    front.sees("page_viewed", "googles-crawler", 300, LANDING, agent=agent)
    front.sees("product_viewed", "googles-crawler", 200, "/products/mug", MUG, agent=agent)
    (recorded,) = rows(front.service.store, "conversions")
    assert (recorded["reason"], recorded["is_counted"]) == ("bot", 0)
    assert front.stages(traffic="all")["product_view"] == (0, 0)
    assert rows(front.service.store, "touches") == []
    assert front.sent() == {}


def test_nothing_a_browser_says_makes_a_purchase_or_money(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 300, LANDING)
    checkout = {"token": CHECKOUT_TOKEN, "totalPrice": {"amount": 999999, "currencyCode": "USD"}}
    front.sees(
        "checkout_completed", LAPTOP, 10, data={"checkout": {**checkout, "order": {"id": "5001"}}}
    )
    assert front.stages(traffic="all")["purchase"] == (0, 0)
    assert front.shop.reads("/roi-analysis")["orders"] == 0
    assert front.sent() == {}


@pytest.mark.parametrize("arrival", list(itertools.permutations(range(4))))
def test_a_checkout_belongs_to_whoever_opened_it_first_in_every_order_of_arrival(
    quick: Storefront, arrival: tuple[int, ...]
) -> None:
    steps: list[Callable[[], object]] = [
        lambda: quick.sees("page_viewed", "the-other-browser", HOUR, LANDING),
        lambda: quick.checks_out(LAPTOP, 120),
        lambda: quick.checks_out("the-other-browser", 60),
        lambda: quick.sells(
            **{**NOBODY, "email": "ada@example.com"}, checkout_token=CHECKOUT_TOKEN
        ),
    ]
    for number in arrival:
        steps[number]()

    journey = quick.journey()
    assert (journey["visitor"], journey["match_method"]) == (LAPTOP, "checkout_token")
    assert journey["why"].startswith("Not credited")
