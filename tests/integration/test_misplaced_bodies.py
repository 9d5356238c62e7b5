"""Bodies at another address than their own: an order counts anywhere, and nothing erases there."""

from typing import Any

import pytest

from app import assemble
from tests.actors import CHECKOUT_TOKEN, COLLECTOR_KEY, NOW, Operator, Shop, instant, order, refund
from tests.conftest import BuildService
from tests.store_contents import everything, rows
from tracking.service import Service
from webhooks.shopify import TOPICS

BUYER = ("ada@example.com", "212-555-0142", "Love")
REDACT = {
    "shop_id": 1,
    "shop_domain": "mug.myshopify.com",
    "customer": {"id": 9_001, "email": "ada@example.com", "phone": None},
    "orders_to_redact": [5_001],
}
CHECKOUT = order(
    id=77, token=CHECKOUT_TOKEN, abandoned_checkout_url="https://shop.example/1/checkouts/x"
)


@pytest.fixture
def lite(build_service: BuildService, sqlite_url: str) -> Service:
    return build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY)


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def status_of(shop: Shop, topic: str, body: Any) -> str:
    answer = shop.sends(topic, body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return str(answer.get_json()["status"])


@pytest.mark.parametrize("topic", TOPICS)
def test_an_order_is_one_at_any_address(lite: Service, topic: str) -> None:
    shop = shop_of(lite)

    assert status_of(shop, topic, order()) == "accepted"

    (known,) = rows(lite.store, "orders")
    assert (known["id"], known["deleted_at"], known["is_counted"]) == ("5001", None, 1)
    assert rows(lite.store, "quarantine") == []


@pytest.mark.parametrize("topic", TOPICS)
def test_a_refund_is_one_at_any_address(lite: Service, topic: str) -> None:
    shop = shop_of(lite)
    shop.sends("orders/create", order())

    assert status_of(shop, topic, refund()) == "accepted"

    assert shop.reads("/roi-analysis")["refunds"] == "10.00"


@pytest.mark.parametrize("topic", TOPICS)
def test_a_checkout_is_one_at_any_address(lite: Service, topic: str) -> None:
    assert status_of(shop_of(lite), topic, CHECKOUT) == "accepted"
    assert [row for row in rows(lite.store, "links") if row["link"].startswith("em:")]
    assert rows(lite.store, "orders") == rows(lite.store, "quarantine") == []


@pytest.mark.parametrize("topic", TOPICS)
def test_after_an_erasure_no_address_brings_the_person_back(lite: Service, topic: str) -> None:
    shop = shop_of(lite)
    shop.sends("orders/create", order())
    shop.sends("customers/redact", REDACT)

    later = order(updated_at=instant(NOW + 60))
    for body in (later, order(id=5_002), refund(), CHECKOUT):
        assert status_of(shop, topic, body) == "accepted"

    kept = repr(everything(lite.store))
    assert not [trace for trace in BUYER if trace in kept]
    assert all(row["links"] == row["session"] == "" for row in rows(lite.store, "orders"))
    assert shop.reads("/roi-analysis")["refunds"] == "10.00"


@pytest.mark.parametrize("topic", sorted({*TOPICS} - {"orders/delete"}))
def test_a_deletion_needs_its_address(lite: Service, topic: str) -> None:
    shop = shop_of(lite)
    shop.sends("orders/create", order())

    assert status_of(shop, topic, {"id": 5_001}) == "quarantined"

    assert [row["deleted_at"] for row in rows(lite.store, "orders")] == [None]


def test_an_erasure_at_another_address_leaves_no_body_to_replay(lite: Service) -> None:
    shop = shop_of(lite)
    shop.sends("orders/create", order())
    assert status_of(shop, "orders/updated", REDACT) == "quarantined"

    operator = Operator(assemble(lite))
    replayed = operator.types("quarantine", "--replay").output
    assert replayed == (
        "0 understood and released, 0 kept; of 1 only the reason was kept:"
        " see `quarantine --discard`\n"
    )
    listed = operator.types("quarantine").output
    assert "a body of customers/redact, which counts only at /webhooks/customers/redact" in listed
    assert "FAIL  quarantine" in operator.types("doctor").output
    assert "ada@example.com" not in repr(everything(lite.store))
    assert [row["links"] for row in rows(lite.store, "orders")] != [""]
