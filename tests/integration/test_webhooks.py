"""What Shopify is answered, and what is stored for it: nothing lost, nothing by mistake."""

import base64
import contextlib
import copy
import gzip
import itertools
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app import assemble
from config import Settings
from tests.actors import HOUR, NOW, SECRET, Clock, Shop, bearer, instant, order, pinned, refund
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, is_empty, rows, state
from tracking.clients.outcome import Outcome
from tracking.domain.conversion import Content, Conversion, Evidence
from tracking.service import Service, service_of
from webhooks.shopify import MAX_BODY
from webhooks.signature import sign

ORDERS = ("orders/create", "orders/paid", "orders/updated", "orders/cancelled")
TOPICS = (*ORDERS, "orders/delete", "refunds/create")
SIGNATURE = "X-Shopify-Hmac-Sha256"
RAW = json.dumps(order()).encode()
GENUINE = sign(RAW, SECRET.encode())
# Seconds until Shopify counts a webhook as failed.
SHOPIFY_WAITS = 5
OTHERS_SECRET = "shpss_the-secret-of-another-shop"

CANCELLED = order(cancelled_at=instant(NOW + HOUR), updated_at=instant(NOW + HOUR))
BODIES = {
    "orders/create": order(financial_status="pending"),
    "orders/paid": order(updated_at=instant(NOW + 60)),
    "orders/updated": order(updated_at=instant(NOW + 120), email="new@example.com"),
    "orders/cancelled": CANCELLED,
    "orders/delete": {"id": 5_001},
    "refunds/create": refund(),
}

PairOfShops = tuple[Shop, Shop]


@pytest.fixture
def lite(build_service: BuildService, sqlite_url: str) -> Service:
    """A service for tests in which the database makes no difference."""
    return build_service(sqlite_url)


@pytest.fixture
def fresh(build_service: BuildService, sqlite_template: Path) -> Iterator[Callable[[], Service]]:
    """Makes services, each on an empty database of its own."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build() -> Service:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return build_service(f"sqlite:///{path}", PINTEREST_SEND="all")

        yield build


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def posted(
    service: Service,
    headers: Mapping[str, str],
    raw: bytes = RAW,
    topic: str = "orders/create",
) -> TestResponse:
    """Post these very bytes with these very headers."""
    client = assemble(service).test_client()
    return client.post(f"/webhooks/{topic}", data=raw, headers=headers)


def told(response: TestResponse) -> tuple[int, Any]:
    return response.status_code, response.get_json()


def assert_problem(response: TestResponse, status: int) -> None:
    """A problem as the contract describes it."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    problem = response.get_json()
    assert set(problem) == {"type", "title", "status", "detail", "errors", "request_id"}
    assert problem["status"] == status
    assert len(problem["request_id"]) == 32


def test_a_new_order_is_accepted_by_its_id(shop: Shop, service: Service) -> None:
    assert told(shop.sends("orders/create", order())) == (
        200,
        {"status": "accepted", "order_id": "5001"},
    )
    assert [row["id"] for row in rows(service.store, "orders")] == ["5001"]


def test_the_same_body_again_is_a_duplicate_under_any_topic(shop: Shop, service: Service) -> None:
    shop.sends("orders/create", order())
    before = state(service.store)

    for topic in ORDERS:
        answer = shop.sends(topic, order(), headers={"X-Shopify-Webhook-Id": f"new-{topic}"})
        assert told(answer) == (200, {"status": "duplicate", "order_id": "5001"})
    assert state(service.store) == before


def test_an_older_state_is_stale_and_changes_nothing(shop: Shop, service: Service) -> None:
    shop.sends("orders/updated", order(updated_at=instant(NOW + 60), total_price="51.00"))
    before = state(service.store)

    answer = shop.sends("orders/create", order())

    assert told(answer) == (200, {"status": "stale", "order_id": "5001"})
    assert state(service.store) == before


def test_a_newer_state_is_accepted(shop: Shop, service: Service) -> None:
    shop.sends("orders/create", order())

    answer = shop.sends(
        "orders/updated", order(updated_at=instant(NOW + 60), subtotal_price="30.00")
    )

    assert told(answer) == (200, {"status": "accepted", "order_id": "5001"})
    assert [row["gross"] for row in rows(service.store, "orders")] == [3000]


def test_a_refund_is_accepted_by_its_orders_id_even_before_the_order(shop: Shop) -> None:
    for status in ("accepted", "duplicate"):
        answer = shop.sends("refunds/create", refund())
        assert told(answer) == (200, {"status": status, "order_id": "5001"})


def test_a_body_that_is_no_order_is_kept_with_the_reason(shop: Shop, service: Service) -> None:
    answer = shop.sends("orders/paid", order(total_price=None))

    assert told(answer) == (200, {"status": "quarantined", "order_id": ""})
    (kept,) = rows(service.store, "quarantine")
    assert (kept["topic"], kept["reason"]) == ("orders/paid", "total_price: not an amount")
    assert json.loads(bytes(kept["body"])) == order(total_price=None)
    assert not rows(service.store, "orders")


def test_a_body_that_is_no_order_is_kept_once(shop: Shop, service: Service) -> None:
    for _ in range(3):
        shop.sends("orders/paid", b"[]")

    assert len(rows(service.store, "quarantine")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="missing"),
        pytest.param({SIGNATURE: ""}, id="empty"),
        pytest.param({SIGNATURE: " "}, id="blank"),
        pytest.param({SIGNATURE: "A" * 43 + "="}, id="wrong"),
        pytest.param({SIGNATURE: GENUINE.rstrip("=")}, id="without padding"),
        pytest.param({SIGNATURE: f"{GENUINE}, {GENUINE}"}, id="doubled"),
        pytest.param({SIGNATURE: "é" * 44}, id="beyond ASCII"),
        pytest.param({"Authorization": bearer()["Authorization"]}, id="the owner's token"),
        pytest.param({SIGNATURE: sign(RAW, OTHERS_SECRET.encode())}, id="another secret"),
        pytest.param({SIGNATURE: sign(RAW + b"\n", SECRET.encode())}, id="one byte"),
    ],
)
def test_what_shopify_did_not_sign_is_refused_and_not_stored(
    lite: Service, headers: Mapping[str, str]
) -> None:
    assert_problem(posted(lite, headers), 401)
    assert is_empty(lite.store)


def test_a_hexadecimal_signature_is_refused(lite: Service) -> None:
    hexadecimal = base64.b64decode(GENUINE).hex()

    assert_problem(posted(lite, {SIGNATURE: hexadecimal}), 401)


def test_text_that_was_encoded_again_is_refused(lite: Service) -> None:
    rewritten = json.dumps(json.loads(RAW), separators=(",", ":")).encode()

    assert_problem(posted(lite, {SIGNATURE: GENUINE}, rewritten), 401)


def test_both_secrets_count_while_one_is_rotated(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url, SHOPIFY_WEBHOOK_SECRET=f"{SECRET},{OTHERS_SECRET},")
    shop = shop_of(service)

    statuses = [
        shop.sends("orders/create", order(id=number), secret=secret).status_code
        for number, secret in enumerate((SECRET, OTHERS_SECRET, "a third one", ""), start=1)
    ]
    assert statuses == [200, 200, 401, 401]


def test_a_secret_that_was_rotated_away_signs_nothing_any_more(
    build_service: BuildService, sqlite_url: str
) -> None:
    shop = shop_of(build_service(sqlite_url, SHOPIFY_WEBHOOK_SECRET=OTHERS_SECRET))

    assert_problem(shop.sends("orders/create", order()), 401)


@pytest.mark.parametrize(
    "domain",
    [
        "evil.myshopify.com",
        "mug.myshopify.com.evil.example",
        "mug.myshopify.com.",
        "mug.myshopify.com:443",
        "https://mug.myshopify.com",
        "mug",
        "",
        "mügs.myshopify.com",
    ],
)
def test_a_webhook_of_another_shop_is_refused_and_not_stored(
    build_service: BuildService, sqlite_url: str, domain: str
) -> None:
    service = build_service(sqlite_url, SHOPIFY_STORE_URL="mug.myshopify.com")

    answer = shop_of(service).sends(
        "orders/create", order(), headers={"X-Shopify-Shop-Domain": domain}
    )

    assert_problem(answer, 403)
    assert is_empty(service.store)


@pytest.mark.parametrize("domain", ["mug.myshopify.com", "Mug.MyShopify.COM"])
def test_the_shops_own_name_counts_in_any_case(
    build_service: BuildService, sqlite_url: str, domain: str
) -> None:
    service = build_service(sqlite_url, SHOPIFY_STORE_URL="https://Mug.myshopify.com/")

    answer = shop_of(service).sends(
        "orders/create", order(), headers={"X-Shopify-Shop-Domain": domain}
    )

    assert answer.status_code == 200


def test_a_body_of_two_mebibytes_is_taken_and_one_byte_more_is_not(lite: Service) -> None:
    full = RAW + b" " * (MAX_BODY - len(RAW))
    over = full + b" "

    taken = posted(lite, {SIGNATURE: sign(full, SECRET.encode())}, full)
    refused = posted(lite, {SIGNATURE: sign(over, SECRET.encode())}, over)

    assert told(taken) == (200, {"status": "accepted", "order_id": "5001"})
    assert_problem(refused, 413)
    assert [len(rows(lite.store, name)) for name in ("receipts", "quarantine")] == [1, 0]


@pytest.mark.parametrize(
    ("length", "status"),
    [("-1", 400), ("1e9", 400), ("9" * 5_000, 400), (str(MAX_BODY + 1), 413), ("9" * 19, 413)],
)
def test_a_length_that_cannot_be_is_refused_before_anything_is_read(
    lite: Service, length: str, status: int
) -> None:
    client = assemble(lite).test_client()
    answer = client.post(
        "/webhooks/orders/create",
        data=RAW,
        headers={SIGNATURE: GENUINE},
        environ_overrides={"CONTENT_LENGTH": length},
    )

    assert_problem(answer, status)
    assert is_empty(lite.store)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "gzip, gzip"])
def test_a_compressed_body_is_refused_unopened(lite: Service, coding: str) -> None:
    packed = gzip.compress(RAW)

    answer = posted(
        lite, {SIGNATURE: sign(packed, SECRET.encode()), "Content-Encoding": coding}, packed
    )

    assert_problem(answer, 415)
    assert is_empty(lite.store)


def test_a_body_that_says_it_is_not_compressed_is_taken(lite: Service) -> None:
    answer = posted(lite, {SIGNATURE: GENUINE, "Content-Encoding": "identity"})

    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_the_body_alone_counts_and_not_what_its_type_says(lite: Service, content_type: str) -> None:
    answer = posted(lite, {SIGNATURE: GENUINE, "Content-Type": content_type})

    assert told(answer) == (200, {"status": "accepted", "order_id": "5001"})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE"])
def test_webhooks_are_posted_and_nothing_else(lite: Service, method: str) -> None:
    client = assemble(lite).test_client()
    override = {"X-HTTP-Method-Override": "POST", SIGNATURE: GENUINE}

    for topic in TOPICS:
        answer = client.open(f"/webhooks/{topic}", method=method, data=RAW, headers=override)
        assert answer.status_code == 405
        assert "POST" in answer.headers["Allow"]
    assert is_empty(lite.store)


@pytest.mark.parametrize("method", ["post", "Post"])
def test_the_case_of_the_method_makes_no_difference(lite: Service, method: str) -> None:
    """As Flask compares methods; gunicorn refuses these, other servers do not."""
    client = assemble(lite).test_client()
    environ = {"REQUEST_METHOD": method}

    answer = client.post(
        "/webhooks/orders/create", data=RAW, headers={SIGNATURE: GENUINE}, environ_overrides=environ
    )

    assert told(answer) == (200, {"status": "accepted", "order_id": "5001"})


def test_an_unknown_topic_is_not_found_and_the_answer_tells_where_all_stand(lite: Service) -> None:
    answer = posted(lite, {SIGNATURE: GENUINE}, topic="orders/fulfilled")

    assert_problem(answer, 404)
    detail = "There is no such address. GET /openapi.json tells all of them."
    assert answer.get_json()["detail"] == detail


def test_every_refusal_has_an_id_of_its_own(lite: Service) -> None:
    answers = [posted(lite, {}) for _ in range(5)]

    assert len({answer.get_json()["request_id"] for answer in answers}) == 5


def test_no_answer_may_be_kept_or_taken_for_another_type(lite: Service) -> None:
    for answer in (posted(lite, {}), posted(lite, {SIGNATURE: GENUINE})):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_without_its_database_file_the_answer_is_503_until_it_is_back(
    build_service: BuildService, sqlite_template: Path, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "data", tmp_path / "unmounted"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "tracking.db")
    folder.rename(elsewhere)
    shop = shop_of(build_service(f"sqlite:///{folder}/tracking.db"))

    refused = shop.sends("orders/create", order())
    assert_problem(refused, 503)
    assert int(refused.headers["Retry-After"]) > 0

    elsewhere.rename(folder)
    assert told(shop.sends("orders/create", order())) == (
        200,
        {"status": "accepted", "order_id": "5001"},
    )


def test_without_its_tables_in_postgresql_the_answer_is_503(
    build_service: BuildService, postgres_url: str
) -> None:
    elsewhere = postgres_url.replace("search_path%3D", "search_path%3Dnowhere_")
    shop = shop_of(build_service(elsewhere))

    for topic, body in BODIES.items():
        assert_problem(shop.sends(topic, body), 503)


def test_while_another_program_locks_the_file_the_answer_is_503_before_shopify_gives_up(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url)
    shop = shop_of(service)
    foreign = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")

    asked = time.monotonic()
    refused = shop.sends("orders/create", order())
    waited = time.monotonic() - asked
    foreign.execute("ROLLBACK")
    foreign.close()

    assert_problem(refused, 503)
    assert waited < SHOPIFY_WAITS
    assert told(shop.sends("orders/create", order()))[1]["status"] == "accepted"
    assert len(rows(service.store, "orders")) == 1


def test_while_another_program_locks_a_table_the_answer_is_503_before_shopify_gives_up(
    build_service: BuildService, postgres_url: str
) -> None:
    shop = shop_of(build_service(postgres_url))
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1)) as foreign:
        foreign.execute("LOCK TABLE receipts")
        asked = time.monotonic()
        refused = shop.sends("orders/create", order())
        waited = time.monotonic() - asked

    assert_problem(refused, 503)
    assert waited < SHOPIFY_WAITS
    assert told(shop.sends("orders/create", order()))[0] == 200


# Orders, refunds and checkouts are known by their shape; what deletes or erases needs its address.
RECORDED_ANYWHERE = {*ORDERS, "refunds/create", "checkouts/create", "checkouts/update"}


@pytest.mark.parametrize("home", TOPICS)
def test_under_any_topic_a_body_changes_only_what_it_says(
    fresh: Callable[[], Service], home: str
) -> None:
    known = order(id=5_001, updated_at=instant(NOW - 60))
    usual = fresh()
    shop_of(usual).sends("orders/create", known)
    untouched = state(usual.store)
    shop_of(usual).sends(home, BODIES[home])

    for topic in TOPICS:
        service = fresh()
        shop = shop_of(service)
        shop.sends("orders/create", known)
        answer = shop.sends(topic, BODIES[home])

        fits = home == topic or home in RECORDED_ANYWHERE
        assert answer.get_json()["status"] == ("accepted" if fits else "quarantined"), topic
        assert state(service.store) == (state(usual.store) if fits else untouched), topic
        assert len(rows(service.store, "quarantine")) == (0 if fits else 1), topic


def test_the_topic_cancelled_alone_cancels_nothing(shop: Shop, service: Service) -> None:
    shop.sends("orders/cancelled", order())

    (known,) = rows(service.store, "orders")
    assert (known["cancelled_at"], known["cancellations"]) == (None, 0)
    assert [row["state"] for row in rows(service.store, "outbox")] == ["waiting"]


OTHER_BODIES: Mapping[str, Any] = {
    "a shop": {"id": 1, "name": "Mug", "domain": "mug.example", "created_at": instant(NOW)},
    "an edited order": {"order_edit": {"id": 1, "order_id": 5_001, "line_items": {}}},
    "a redaction": {"shop_id": 1, "customer": {"id": 9_001}, "orders_to_redact": [5_001]},
    "a cart": {"id": "eeafa272cebfd4b22385bc4b645e762c", "token": "ee", "line_items": []},
    "a checkout": order(
        id=5_001,
        financial_status=None,
        completed_at=None,
        abandoned_checkout_url="https://shop.example/1/checkouts/ab/recover?key=x",
    ),
    "a draft order": order(
        id=5_001,
        financial_status=None,
        status="open",
        invoice_url="https://shop.example/1/invoices/ab",
        admin_graphql_api_id="gid://shopify/DraftOrder/5001",
    ),
    "a fulfilment": {"id": 6, "order_id": 5_001, "status": "success", "line_items": []},
}


@pytest.mark.parametrize("what", OTHER_BODIES)
def test_what_is_no_order_and_no_refund_becomes_neither(lite: Service, what: str) -> None:
    shop = shop_of(lite)
    for topic in TOPICS:
        answer = shop.sends(topic, OTHER_BODIES[what])
        assert told(answer) == (200, {"status": "quarantined", "order_id": ""}), topic
    assert not any(state(lite.store).values())


def with_price(text: str) -> bytes:
    return RAW.replace(b'"total_price": "50.00"', f'"total_price": {text}'.encode())


POISON: Mapping[str, bytes] = {
    "nothing": b"",
    "a word": b"order",
    "truncated": RAW[:-20],
    "a list": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "not a number": with_price("NaN"),
    "infinity": with_price("-Infinity"),
    "a huge exponent": with_price("1e1000000"),
    "a huge exponent as text": with_price('"1e1000000"'),
    "4,301 digits": with_price("1" * 4301),
    "4,301 digits as text": with_price(f'"{"1" * 4301}"'),
    "4,301 digits as id": RAW.replace(b'"id": 5001', b'"id": ' + b"1" * 4301),
    "digits of another script": with_price('"١٢٣"'),
    "a negative id": RAW.replace(b'"id": 5001', b'"id": -5001'),
    "100,000 lists": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 lists in a note": RAW.replace(
        b'"note_attributes": []', b'"note_attributes": ' + b"[" * 100_000 + b"]" * 100_000
    ),
    "half a surrogate pair": RAW.replace(b'"#1001"', rb'"\ud800"'),
    "bytes that are not UTF-8": RAW.replace(b'"#1001"', b'"\xff\xfe"'),
    "UTF-16": RAW.decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + RAW,
    "two bodies": RAW + RAW,
    "an order without lines": RAW.replace(b'"line_items"', b'"lines"'),
    "lines that are no list": json.dumps(order(line_items={"0": "mug"})).encode(),
    "refunds that are no list": json.dumps(order(refunds="none")).encode(),
    "a test flag that is no flag": json.dumps(order(test="yes")).encode(),
    "no currency": json.dumps(order(currency=None)).encode(),
    "a currency with an umlaut": json.dumps(order(currency="ÜSD")).encode(),
    "no date": json.dumps(order(created_at="yesterday")).encode(),
    "a date without a zone": json.dumps(order(created_at="2026-11-20T12:00:00")).encode(),
    "a date before all dates": json.dumps(order(created_at="0001-01-01T00:00:00+14:00")).encode(),
}


@pytest.mark.parametrize("what", POISON)
def test_a_poisonous_body_is_kept_whole_and_costs_nobody_anything(lite: Service, what: str) -> None:
    body, shop = POISON[what], shop_of(lite)

    answer = shop.sends("orders/create", body)

    assert told(answer) == (200, {"status": "quarantined", "order_id": ""})
    (kept,) = rows(lite.store, "quarantine")
    assert bytes(kept["body"]) == body
    assert kept["reason"]
    assert shop.sends("orders/create", order()).get_json()["status"] == "accepted"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_keeps_the_same_poison(shop: Shop, service: Service) -> None:
    for what, body in POISON.items():
        answer = shop.sends("orders/create", body)
        assert told(answer) == (200, {"status": "quarantined", "order_id": ""}), what

    kept = {bytes(row["body"]) for row in rows(service.store, "quarantine")}
    assert kept == set(POISON.values())


class Choking:
    """A destination with a mistake in it: it fails over every order, and says whose it was."""

    name, max_batch, calls_per_minute = "choking", 1, 60

    def encode(self, conversion: Conversion) -> bytes:
        raise RuntimeError("cannot encode ada@example.com")

    def send(self, events: Sequence[bytes]) -> Outcome:
        raise AssertionError("nothing was encoded")

    def amend(
        self,
        event: bytes,
        evidence: Evidence,
        limited: bool,
        value: str = "",
        gone: Sequence[Content] = (),
    ) -> bytes:
        return event

    def rename(self, event: bytes, event_id: str) -> bytes:
        return event

    def strip(self, event: bytes) -> bytes:
        return event

    def evidence_of(self, event: bytes) -> Evidence:
        return Evidence()

    def close(self) -> None:
        """Nothing was opened."""


def test_an_order_that_we_fail_over_ourselves_is_kept_and_answered(
    lite: Service, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Settings.from_env({"SHOPIFY_WEBHOOK_SECRET": SECRET, "PINTEREST_SEND": "all"})
    shop = shop_of(service_of(chosen, lite.store, {"choking": Choking()}, clock))

    answer = shop.sends("orders/create", order())

    assert told(answer) == (200, {"status": "quarantined", "order_id": ""})
    (kept,) = rows(lite.store, "quarantine")
    assert (kept["topic"], kept["reason"]) == ("orders/create", "failed: RuntimeError")
    assert "RuntimeError" in caplog.text
    assert "ada@example.com" not in caplog.text
    assert not any(state(lite.store).values())


def test_what_no_database_can_hold_is_left_out_of_an_order(shop: Shop) -> None:
    body = json.dumps(order(landing_site=pinned())).replace("Mug", "M\\u0000ug")

    assert shop.sends("orders/create", body.encode()).get_json()["status"] == "accepted"
    journey = shop.reads("/orders/5001/journey")
    assert journey["event"]["custom_data"]["contents"][0]["item_name"] == "Mug"


def test_figures_beyond_any_shop_cost_nothing_either(shop: Shop) -> None:
    most = {"price": "999999999999", "quantity": 999_999_999}
    line = {**order()["line_items"][0], **most}
    paid = [{"kind": "refund", "status": "success", "amount": "999999999999", "currency": "CLF"}]
    refunds = [refund(id=n, transactions=paid, refund_line_items=[]) for n in range(1, 1000)]
    body = order(currency="CLF", subtotal_price=None, line_items=[line], refunds=refunds)

    assert shop.sends("orders/create", body).get_json()["status"] == "accepted"
    assert (
        shop.sends("orders/create", {**body, "id": 5_002, "total_price": "0.00"}).status_code == 200
    )
    assert shop.reads("/orders/5001/journey")["revenue"] == "0.0000"


def test_of_a_key_given_twice_the_last_value_counts(shop: Shop) -> None:
    body = RAW.replace(b'"id": 5001', b'"id": 1, "id": 5001')

    assert shop.sends("orders/create", body).get_json()["order_id"] == "5001"


RICH = order(
    landing_site=pinned(),
    note_attributes=[{"name": "__pin_vid", "value": "visitor-0001"}],
    refunds=[
        refund(
            order_adjustments=[{"kind": "shipping_refund", "amount": "-1.00", "tax_amount": "0.00"}]
        )
    ],
    shipping_address={"country_code": "US", "zip": "10001", "phone": "+1 212-555-0142"},
)


def places(tree: Any) -> Iterator[tuple[str | int, ...]]:
    """The way to every value of a JSON tree, itself not included."""
    found = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in found:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *rest) for rest in places(value))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "0",
                "-1",
                "1e9",
                "999999999999.999999",
                "-999999999999",
                "1" * 4301,
                "\x00",
            ),
            *("2026-11-20", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "now"),
            *("x" * 70_000, "\ud800", "https://[", "//", "?utm_source=%00", "{}", "\u202e"),
        ]
    ),
    st.sampled_from([[], {}, [[]], [None], ["x"], [{}], {"a": 1}, {"shop_money": {"amount": {}}}]),
)


@st.composite
def spoiled(draw: st.DrawFn, body: dict[str, Any], keep: str) -> dict[str, Any]:
    """The body with up to four odd values in it, about an order of its own."""
    number = draw(st.integers(10**6, 10**12))
    text = json.dumps(body).replace("ada@", f"{number}@").replace("visitor-0001", f"v-{number}")
    phone = f"212-555-{number % 10_000:04}"
    text = text.replace("212-555-0142", phone).replace("9001", str(number))
    spoiled: dict[str, Any] = json.loads(text) | {keep: number}
    for place in draw(st.lists(st.sampled_from(list(places(body))), min_size=1, max_size=4)):
        _put(spoiled, place, draw(ODD))
    return spoiled


def _put(tree: Any, place: tuple[str | int, ...], value: Any) -> None:
    """Put the value there, unless another odd one already stands in the way."""
    *way, last = place
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for key in way:
            tree = tree[key]
        tree[last] = copy.deepcopy(value)


@pytest.fixture
def pair(
    build_service: BuildService, database_url: str, sqlite_url: str, pinterest: FakePinterest
) -> PairOfShops:
    """The same shop on both databases."""
    one, other = (
        build_service(url, pinterest=pinterest, PINTEREST_SEND="all")
        for url in (database_url, sqlite_url)
    )
    return shop_of(one), shop_of(other)


on_both_at_once = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
# The databases stay as they are from one example to the next; each is about an order of its own.
unhindered = settings(suppress_health_check=list(HealthCheck))


@on_both_at_once
@settings(unhindered, max_examples=80)
@given(body=spoiled(RICH, "id"))
def test_whatever_an_order_holds_both_databases_answer_alike_and_never_fail(
    pair: PairOfShops, body: dict[str, Any]
) -> None:
    assert_told_alike(pair, "orders/create", body)


@on_both_at_once
@settings(unhindered, max_examples=40)
@given(body=spoiled(RICH["refunds"][0], "order_id"))
def test_whatever_a_refund_holds_both_databases_answer_alike_and_never_fail(
    pair: PairOfShops, body: dict[str, Any]
) -> None:
    assert_told_alike(pair, "refunds/create", body)


def assert_told_alike(pair: PairOfShops, topic: str, body: dict[str, Any]) -> None:
    one, other = (told(shop.sends(topic, body)) for shop in pair)
    assert one == other
    status, answer = one
    assert status == 200
    assert answer["status"] in ("accepted", "duplicate", "stale", "quarantined")
    if answer["order_id"]:
        stories = [_journey(shop.client, answer["order_id"]) for shop in pair]
        assert stories[0] == stories[1]


def _journey(client: FlaskClient, order_id: str) -> tuple[int, Any]:
    status, story = told(client.get(f"/orders/{order_id}/journey", headers=bearer()))
    assert status in (200, 404)
    # An id of the refusal, which is new each time.
    return status, story if status == 200 else None
