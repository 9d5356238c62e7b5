"""What is known of a browser goes along with its events and orders, and joins nobody by that."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    HOUR,
    NOW,
    Clock,
    Storefront,
    instant,
    notes,
    order,
    pinned,
)
from tests.conftest import ArrivalsOf, BuildService
from tests.pixel_events import DATA
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, rows
from tracking.domain.identity import Digest, identity_key

LAPTOP, PHONE = "laptop-browser-1", "phone-browser-1"
CLIENT = "1fd529f6-8f05-4118-ba6b-a4e20691aa0c"
CART_TOKEN = "cart-token-0123456789"
LANDING = pinned("11")
ASKED_BY = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": []}
# A body that an app wrote which may not see who the buyer is.
UNNAMED: dict[str, Any] = dict.fromkeys(
    ("email", "contact_email", "customer", "billing_address", "client_details")
)
BOB: dict[str, Any] = {
    **UNNAMED,
    "email": "bob@example.com",
    "customer": {"id": 9002, "email": "bob@example.com"},
}

BuildFront = Callable[..., Storefront]


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@pytest.fixture
def fronts(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> BuildFront:
    """Makes a shop with a pixel: `fronts(PINTEREST_SEND="all")`."""

    def build(**env: str) -> Storefront:
        service = build_service(
            database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY, **env
        )
        return Storefront(service, pinterest, clock)

    return build


@pytest.fixture
def front(fronts: BuildFront) -> Storefront:
    return fronts(PINTEREST_SEND="all")


def begins_checkout(front: Storefront, visitor: str = LAPTOP, **more: Any) -> None:
    data = {"checkout": {"token": CHECKOUT_TOKEN}}
    front.sees("checkout_started", visitor, 60, LANDING, data, clientId=CLIENT, **more)


def external_ids(front: Storefront, event_id: str = "checkout-5001") -> list[str]:
    found: list[str] = front.sent()[event_id]["user_data"].get("external_id", [])
    return found


# --- Shopify's id of the browser


@pytest.mark.parametrize(
    "known",
    [
        {"checkout_token": CHECKOUT_TOKEN},
        {"cart_token": CART_TOKEN},
        {"note_attributes": notes(__pin_vid=LAPTOP)},
    ],
    ids=["checkout", "cart", "note"],
)
def test_an_order_is_sent_with_its_browsers_id_beside_the_customers(
    front: Storefront, known: dict[str, Any]
) -> None:
    begins_checkout(front, cart_token=CART_TOKEN)
    front.sells(**known)
    assert external_ids(front) == [sha("9001"), sha(CLIENT)]


def test_a_guests_order_is_sent_with_the_browsers_id_alone(front: Storefront) -> None:
    begins_checkout(front)
    front.sells(checkout_token=CHECKOUT_TOKEN, customer=None)
    assert external_ids(front) == [sha(CLIENT)]


@pytest.mark.parametrize("who", [{}, {"note_attributes": notes(__pin_vid=PHONE)}])
def test_an_order_of_another_browser_is_sent_without_it(
    front: Storefront, who: dict[str, Any]
) -> None:
    begins_checkout(front)
    front.sells(**who)
    assert external_ids(front) == [sha("9001")]


def test_an_order_that_waits_gets_the_id_that_is_told_after_it(fronts: BuildFront) -> None:
    front = fronts()
    front.sells(checkout_token=CHECKOUT_TOKEN)
    begins_checkout(front)
    assert external_ids(front) == [sha("9001"), sha(CLIENT)]


def test_an_order_that_waits_gets_the_id_that_its_known_browser_is_told_with_later(
    front: Storefront,
) -> None:
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    front.clock.tick(seconds=60)
    front.sees("page_viewed", LAPTOP, clientId=CLIENT)
    assert external_ids(front) == [sha("9001"), sha(CLIENT)]


@pytest.mark.parametrize("customer", [{"id": 9001}, None], ids=["customer", "guest"])
def test_an_order_is_sent_with_the_newest_id_in_whatever_order_of_arrival(
    fronts: BuildFront, arrivals_of: ArrivalsOf, customer: Any
) -> None:
    front = fronts(PINTEREST_SEND="all", COLLECTOR_RATE="1000")
    older, newer = f"{CLIENT[:-1]}d", f"{CLIENT[:-1]}e"
    told = ((older, 5 * HOUR), (newer, 2 * HOUR), (newer, 4 * HOUR), (older, 3 * HOUR), None)
    person = [] if customer is None else [sha("9001")]
    for number, arrival in enumerate(arrivals_of(told), 1):
        browser = f"browser-number-{number:04}"
        for fact in arrival:
            if fact is None:
                front.sells(
                    id=number,
                    email=f"buyer{number}@example.com",
                    contact_email=f"buyer{number}@example.com",
                    customer=customer,
                    billing_address=None,
                    note_attributes=notes(__pin_vid=browser),
                )
            else:
                front.sees("page_viewed", browser, fact[1], clientId=f"{fact[0]}-{number:04}")
        event_id = f"checkout-{number}"
        assert external_ids(front, event_id) == [*person, sha(f"{newer}-{number:04}")], arrival


@pytest.mark.parametrize("customer", [{"id": 9001}, None], ids=["customer", "guest"])
def test_an_order_keeps_no_id_of_a_browser_that_it_was_not_placed_in(
    front: Storefront, customer: Any
) -> None:
    """The cart was given to another browser, which the checkout tells."""
    began, other = ({"checkout": {"token": f"{CHECKOUT_TOKEN}{n}"}} for n in ("", "-other"))
    front.sees("checkout_started", PHONE, 60, "/", other, clientId=CLIENT, cart_token=CART_TOKEN)
    front.sells(checkout_token=CHECKOUT_TOKEN, cart_token=CART_TOKEN, customer=customer)
    front.sees("checkout_started", LAPTOP, 50, data=began)
    assert external_ids(front) == ([] if customer is None else [sha("9001")])


def test_a_browser_has_the_id_that_it_was_seen_with_last(front: Storefront) -> None:
    front.sees("page_viewed", LAPTOP, 3 * HOUR, clientId=f"{CLIENT[:-1]}d")
    begins_checkout(front)
    front.sells(checkout_token=CHECKOUT_TOKEN)
    assert external_ids(front) == [sha("9001"), sha(CLIENT)]


def test_without_consent_to_analytics_an_order_has_no_such_id(front: Storefront) -> None:
    begins_checkout(front, consent={"analytics": False})
    front.sells(checkout_token=CHECKOUT_TOKEN)
    assert external_ids(front) == [sha("9001")]


@pytest.mark.parametrize("refunds", ["none", "all"])
def test_nothing_names_the_browser_of_who_refused_marketing(
    front: Storefront, refunds: str
) -> None:
    begins_checkout(front, consent={"analytics": True, "marketing": False})
    value = "0.00" if refunds == "all" else "40.00"
    front.sells(checkout_token=CHECKOUT_TOKEN, current_subtotal_price=value)
    assert front.sent() == {}
    assert sha(CLIENT) not in str(everything(front.service.store))


@pytest.mark.parametrize("is_reversed", [False, True], ids=["in turn", "reversed"])
@pytest.mark.parametrize(
    ("newer", "person"),
    [(UNNAMED, "ada"), ({"customer": None}, "ada"), (BOB, "bob")],
    ids=["unnamed", "guest", "another customer"],
)
def test_the_browsers_id_takes_two_customers_for_one_as_little_as_it_parts_one(
    front: Storefront, newer: dict[str, Any], person: str, is_reversed: bool
) -> None:
    begins_checkout(front)
    bodies = [
        order(checkout_token=CHECKOUT_TOKEN),
        order(checkout_token=CHECKOUT_TOKEN, updated_at=instant(NOW + 60), **newer),
    ]
    for body in reversed(bodies) if is_reversed else bodies:
        front.shop.sends("orders/updated", body)
    user_data = front.sent()["checkout-5001"]["user_data"]
    number = {"ada": "9001", "bob": "9002"}[person]
    assert user_data["external_id"] == [sha(number), sha(CLIENT)]
    assert user_data["em"] == [sha(f"{person}@example.com")]
    assert ("ct" in user_data) == (person == "ada")


def test_a_guest_who_turns_out_to_be_a_customer_keeps_what_was_told_before(
    front: Storefront,
) -> None:
    begins_checkout(front)
    guest = order(checkout_token=CHECKOUT_TOKEN, customer=None)
    named = order(checkout_token=CHECKOUT_TOKEN, updated_at=instant(NOW + 60), billing_address=None)
    for body in (guest, named):
        front.shop.sends("orders/updated", body)
    user_data = front.sent()["checkout-5001"]["user_data"]
    assert user_data["external_id"] == [sha("9001"), sha(CLIENT)]
    assert user_data["ct"] == [sha("newyork")]


def test_a_browsers_id_is_no_customers(front: Storefront) -> None:
    begins_checkout(front)
    front.sells(checkout_token=CHECKOUT_TOKEN, customer=None)
    front.sells(checkout_token=CHECKOUT_TOKEN, customer=None, updated_at=instant(NOW + 60))
    key = identity_key("id", Digest(sha(CLIENT)))
    assert key not in str(rows(front.service.store, "links"))
    assert key not in str(rows(front.service.store, "orders"))


def test_an_erasure_takes_the_browsers_id_from_what_waits_and_from_what_comes(
    front: Storefront,
) -> None:
    begins_checkout(front)
    front.sells(checkout_token=CHECKOUT_TOKEN)
    answer = front.shop.sends(
        "customers/redact", {**ASKED_BY, "customer": {"id": 9001, "email": "ada@example.com"}}
    )
    assert answer.status_code == 200
    seen = front.sees("product_viewed", PHONE, 0, data=DATA["product_viewed"], clientId=CLIENT)

    assert {*front.sent()} == {seen}
    assert external_ids(front, seen) == []
    assert sha(CLIENT) not in str(everything(front.service.store))


# --- The e-mail of the buyer who checked out in the browser


def emails(front: Storefront, event_id: str) -> list[str]:
    found: list[str] = front.sent()[event_id]["user_data"].get("em", [])
    return found


def checks_out_as(front: Storefront, *addresses: str) -> None:
    for n, address in enumerate(addresses):
        token = f"checkout-token-of-number-{n}"
        front.checks_out(LAPTOP, HOUR - n, token=token, email=f"{address}@example.com")


def looks(front: Storefront, name: str, visitor: str = LAPTOP, **more: Any) -> str:
    return front.sees(name, visitor, 30, data=DATA[name], **more)


ALLOWED = {"analytics": True, "marketing": True}


@pytest.mark.parametrize("name", ["product_viewed", "product_added_to_cart"])
def test_views_and_carts_after_a_checkout_are_sent_with_its_email(
    front: Storefront, name: str
) -> None:
    checks_out_as(front, "ada")
    assert emails(front, looks(front, name, consent=ALLOWED)) == [sha("ada@example.com")]


def test_the_email_may_come_from_an_order_of_the_browser(front: Storefront) -> None:
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    seen = looks(front, "product_viewed", consent=ALLOWED)
    assert emails(front, seen) == [sha("ada@example.com")]


@pytest.mark.parametrize("consent", [None, {"analytics": True}, {"marketing": None}])
def test_without_a_yes_to_marketing_a_view_is_sent_without_the_email(
    front: Storefront, consent: Any
) -> None:
    checks_out_as(front, "ada")
    assert emails(front, looks(front, "product_viewed", consent=consent)) == []


def test_a_view_of_who_refuses_marketing_is_not_sent_at_all(front: Storefront) -> None:
    checks_out_as(front, "ada")
    consent = {"analytics": True, "marketing": False}
    seen = looks(front, "product_viewed", consent=consent)
    assert seen not in front.sent()
    stored = rows(front.service.store, "outbox")
    assert [row for row in stored if row["event_id"] == seen] == []


def test_a_browser_of_two_people_tells_the_email_of_neither(front: Storefront) -> None:
    checks_out_as(front, "ada", "bob")
    assert emails(front, looks(front, "product_viewed", consent=ALLOWED)) == []


def test_one_email_told_by_several_checkouts_is_one(front: Storefront) -> None:
    checks_out_as(front, "ada", "Ada")
    front.sells(note_attributes=notes(__pin_vid=LAPTOP))
    seen = looks(front, "product_viewed", consent=ALLOWED)
    assert emails(front, seen) == [sha("ada@example.com")]


def test_another_browser_is_not_sent_with_it(front: Storefront) -> None:
    checks_out_as(front, "ada")
    assert emails(front, looks(front, "product_viewed", PHONE, consent=ALLOWED)) == []


def test_a_view_sent_with_the_email_links_it_with_nobody(front: Storefront) -> None:
    checks_out_as(front, "ada")
    links = rows(front.service.store, "links"), rows(front.service.store, "told_links")
    looks(front, "product_viewed", consent=ALLOWED)
    store = front.service.store
    assert (rows(store, "links"), rows(store, "told_links")) == links


def test_the_email_is_erased_from_views_that_wait(front: Storefront) -> None:
    checks_out_as(front, "ada")
    looks(front, "product_viewed", consent=ALLOWED)
    front.shop.sends("customers/redact", {**ASKED_BY, "customer": {"email": "ada@example.com"}})
    assert front.sent() == {}
    payloads = [bytes(row["payload"]) for row in rows(front.service.store, "outbox")]
    assert sha("ada@example.com") not in json.dumps([payload.decode() for payload in payloads])
