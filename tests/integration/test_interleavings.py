"""Pixel events, who somebody is, and webhooks: in whatever order they come, one story is told."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import assemble
from tests.actors import DAY, HOUR, NOW, Shop, instant, notes, order, pinned, refund
from tests.conftest import ArrivalsOf, BuildService
from tests.messages import Fact, checkout, handed_in, pixel
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, rows, state
from tracking.service import Service

LAPTOP, PHONE, TABLET = "laptop-browser-1", "phone-browser-1", "tablet-browser-1"
TOKEN, OTHER_TOKEN = "checkout-token-0123456789", "checkout-token-9876543210"
EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
CLIENT, OTHER_CLIENT = "the-phone-by-shopify", "the-laptop-by-shopify"
PHONE_NUMBER = "+1 212-555-0199"

VARIANT = {
    "productVariant": {
        "id": "222",
        "product": {"id": "111"},
        "price": {"amount": 20.0, "currencyCode": "USD"},
    }
}
NOBODY: dict[str, Any] = {"customer": None, "billing_address": None, "contact_email": None}

CLICK = pixel("page_viewed", LAPTOP, 5 * HOUR, pinned("11", utm_campaign="summer", epik=EPIK))
FACTS = (
    CLICK,
    pixel("page_viewed", LAPTOP, 4 * HOUR, "/?utm_source=newsletter"),
    pixel("product_viewed", LAPTOP, 4.9 * HOUR, "/products/mug", VARIANT),
    pixel("product_added_to_cart", PHONE, HOUR, "/products/mug", {}),
    pixel("product_viewed", PHONE, 2 * HOUR, "/products/mug", VARIANT),
    pixel("page_viewed", PHONE, 3 * HOUR, pinned("22", utm_campaign="autumn")),
    pixel("ad_viewed", TABLET, 6 * HOUR, data={"utm_campaign_id": "33"}),
    checkout("checkout_started", PHONE, 0.5 * HOUR, TOKEN, currencyCode="USD"),
    checkout(
        *("checkout_completed", PHONE, 60, TOKEN),
        email="ada@example.com",
        order={"customer": {"isFirstOrder": True}},
    ),
    checkout("checkout_completed", LAPTOP, 10 * HOUR, OTHER_TOKEN, email="ada@example.com"),
    checkout("checkout_completed", TABLET, 8 * HOUR, "another-token-0123456", phone=PHONE_NUMBER),
    pixel("page_viewed", "lost-cookie-1", 7 * HOUR, pinned("44"), clientId=CLIENT),
    pixel("page_viewed", PHONE, 0.4 * HOUR, clientId=CLIENT),
    pixel("page_viewed", LAPTOP, 3.5 * HOUR, clientId=OTHER_CLIENT),
    pixel("page_viewed", "lost-cookie-2", 9 * HOUR, pinned("55"), clientId=OTHER_CLIENT),
    Fact(
        "checkout of the tablet, signed",
        {
            "token": "another-token-0123456",
            "phone": PHONE_NUMBER,
            "email": "ada@example.com",
            "abandoned_checkout_url": "https://shop.example/recover",
        },
        "checkouts/update",
    ),
    Fact("order by token", order(id=1, checkout_token=TOKEN, **NOBODY), "orders/create"),
    Fact(
        "order by note",
        order(
            id=2,
            note_attributes=notes(__pin_vid=PHONE, __pin_epik=EPIK),
            landing_site=pinned("11", utm_campaign="summer", epik=EPIK),
            **{**NOBODY, "email": "else@example.com"},
        ),
        "orders/create",
    ),
    Fact(
        "order by phone",
        order(id=3, **{**NOBODY, "phone": PHONE_NUMBER, "email": None}),
        "orders/create",
    ),
    Fact(
        "order of the first day, by token",
        order(
            id=5,
            created_at=instant(NOW - 0.4 * DAY),
            checkout_token=OTHER_TOKEN,
            phone=PHONE_NUMBER,
        ),
        "orders/create",
    ),
    Fact(
        "order by e-mail, days before",
        order(
            id=4, created_at=instant(NOW - DAY), processed_at=instant(NOW - DAY), landing_site=""
        ),
        "orders/create",
    ),
    Fact(
        "update of the order by token",
        order(
            id=1, checkout_token=TOKEN, updated_at=instant(NOW + 60), phone=PHONE_NUMBER, **NOBODY
        ),
        "orders/updated",
    ),
    Fact("refund", refund(order_id=2), "refunds/create"),
    pixel("page_viewed", PHONE, 30, consent={"marketing": False}),
    Fact(
        "order by note, with the time of its visit",
        order(
            id=6,
            note_attributes=notes(__pin_vid=PHONE, __pin_touch=str(int(NOW - 2.5 * HOUR))),
            landing_site=pinned("44", utm_campaign="spring"),
            **{**NOBODY, "email": "else@example.com"},
        ),
        "orders/create",
    ),
    Fact(
        "the same order from another campaign",
        order(
            id=6,
            updated_at=instant(NOW + 60),
            note_attributes=notes(utm_source="google", utm_medium="cpc", __pin_vid=PHONE),
            **{**NOBODY, "email": "else@example.com"},
        ),
        "orders/updated",
    ),
    handed_in("add_to_cart", 2 * HOUR, em=["ada@example.com"]),
    handed_in("page_visit", HOUR, em=["else@example.com"]),
)

Fresh = Callable[..., Service]


@pytest.fixture
def fresh(
    build_service: BuildService, sqlite_template: Path, pinterest: FakePinterest
) -> Iterator[Fresh]:
    """Makes services, each on an empty SQLite file of its own."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build(**env: str) -> Service:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return build_service(
                f"sqlite:///{path}", pinterest=pinterest, COLLECTOR_KEY="shop-front-key", **env
            )

        yield build


def known(service: Service) -> dict[str, Any]:
    """What is known in the end; of the storefront's events apart from whether they were in time
    to be sent."""
    found: dict[str, Any] = state(service.store)
    for row in found["conversions"]:
        if not row["order_id"]:
            row["reason"] = ""
    found["conversions"].sort(key=lambda row: row["event_id"])
    found["waiting"] = {
        row["event_id"]: json.loads(row["payload"])
        for row in found["waiting"]
        if row["event_id"].startswith("checkout-")
    }
    found["checkouts"] = rows(service.store, "checkouts")
    found["visitors"] = rows(service.store, "visitors")
    found["clients"] = rows(service.store, "clients")
    found["told_links"] = rows(service.store, "told_links")
    return found


def reports_of(shop: Shop) -> dict[str, Any]:
    found = {t: shop.reads("/conversion-funnel", traffic=t) for t in ("all", "pinterest")}
    for model in ("last_touch", "linear"):
        for scope in ("all", "pinterest"):
            found[f"{model} {scope}"] = shop.reads("/roi-analysis", model=model, scope=scope)
    return found


def story(service: Service, facts: Sequence[Fact]) -> dict[str, Any]:
    shop = Shop(assemble(service).test_client())
    for fact in facts:
        fact.tell(service, shop)
    return {**known(service), **reports_of(shop)}


@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_first_the_same_is_known_in_the_end(
    fresh: Fresh, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(FACTS), min_size=2, max_size=9, unique=True))
    arrival = data.draw(st.permutations(chosen))
    app = data.draw(st.sampled_from(("none", "beside")))
    one = story(fresh(PINTEREST_APP=app), chosen)
    two = story(fresh(PINTEREST_APP=app), arrival)
    for name in one:
        assert two[name] == one[name], name


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_knows_what_sqlite_knows(
    fresh: Fresh, build_service: BuildService, database_url: str, pinterest: FakePinterest
) -> None:
    usual = story(fresh(), FACTS)
    other = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY="shop-front-key")
    found = story(other, tuple(reversed(FACTS)))
    for name in usual:
        assert found[name] == usual[name], name


STEPS = (
    pixel("product_viewed", LAPTOP, 3 * HOUR, "/products/mug", VARIANT),
    pixel("product_added_to_cart", LAPTOP, 2 * HOUR, "/products/mug", VARIANT),
    checkout("checkout_started", LAPTOP, HOUR, TOKEN, currencyCode="USD"),
    handed_in("add_to_cart", 2.5 * HOUR, em=["ada@example.com"]),
)
# The visit is known by the order alone: the pixel did not see its landing.
VISIT = {"utm_source": "pinterest", "utm_medium": "cpc", "utm_campaign_id": "11"}
BEGAN = {"track_ai_timestamp": str(NOW - 4 * HOUR)}


@pytest.mark.parametrize(
    "told",
    [
        {"note_attributes": notes(__pin_vid=LAPTOP, **VISIT, **BEGAN)},
        {"note_attributes": notes(**VISIT, **BEGAN), "checkout_token": TOKEN},
        {"note_attributes": notes(**VISIT, **BEGAN)},
    ],
    ids=["browser by note", "browser by token", "no browser"],
)
def test_an_order_credits_what_came_before_it_whichever_is_told_first(
    fresh: Fresh, arrivals_of: ArrivalsOf, told: dict[str, Any]
) -> None:
    bought = Fact("order", order(id=1, **told), "orders/create")
    first = story(fresh(), (bought, *STEPS))
    for arrival in arrivals_of((bought, *STEPS)):
        found = story(fresh(), arrival)
        for name in first:
            assert found[name] == first[name], (name, arrival)


def test_an_order_from_pinterest_earns_the_steps_of_its_visit_before_and_after_it_was_told(
    fresh: Fresh,
) -> None:
    service = fresh()
    shop = Shop(assemble(service).test_client())
    bought = order(
        id=1, note_attributes=notes(**VISIT, **BEGAN), checkout_token=TOKEN, landing_site="/"
    )
    for fact in (*STEPS, Fact("order", bought, "orders/create")):
        fact.tell(service, shop)
    found = shop.reads("/conversion-funnel")
    assert [(s["stage"], s["events"]) for s in found["stages"]] == [
        ("product_view", 1),
        ("add_to_cart", 2),
        ("checkout_initiation", 1),
        ("purchase", 1),
    ]
    assert [c["campaign_id"] for c in found["by_campaign"]] == ["11"]


FIRST_VISIT, SECOND_VISIT = 20 * HOUR, HOUR
ORDERS_OF_TWO_VISITS = tuple(
    fact
    for number, ago, token, campaign in (
        (1, FIRST_VISIT, TOKEN, "11"),
        (2, SECOND_VISIT, OTHER_TOKEN, "22"),
    )
    for fact in (
        pixel("page_viewed", LAPTOP, ago, pinned(campaign)),
        checkout("checkout_started", LAPTOP, ago - 600, token),
        Fact(
            f"order {number}",
            order(
                id=number,
                checkout_token=token,
                landing_site=pinned(campaign),
                created_at=instant(NOW - ago + 1_200),
                processed_at=instant(NOW - ago + 1_200),
            ),
            "orders/create",
        ),
    )
)


def test_a_visit_that_became_an_order_is_one_touch_for_a_later_order_too(fresh: Fresh) -> None:
    for arrival in (ORDERS_OF_TWO_VISITS, ORDERS_OF_TWO_VISITS[::-1], ORDERS_OF_TWO_VISITS[1::-1]):
        service = fresh()
        shop = Shop(assemble(service).test_client())
        for fact in (*arrival, *ORDERS_OF_TWO_VISITS):
            fact.tell(service, shop)
        credits = shop.reads("/orders/2/journey")["credits"]["linear"]
        assert [(c["campaign_id"], c["share"]) for c in credits] == [
            ("11", "0.500000"),
            ("22", "0.500000"),
        ]


def test_a_direct_visit_that_the_checkout_timed_is_the_same_in_any_order(fresh: Fresh) -> None:
    facts = (
        pixel("page_viewed", LAPTOP, 2 * HOUR, "/"),
        checkout("checkout_started", LAPTOP, HOUR, TOKEN),
        Fact("order", order(id=1, checkout_token=TOKEN, **NOBODY), "orders/create"),
    )
    stories = [story(fresh(), arrival) for arrival in itertools.permutations(facts)]
    assert all(found == stories[0] for found in stories)
