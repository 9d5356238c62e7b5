"""Events over HTTP: who may hand one in, what is answered, what counts and what is sent."""

import gzip
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema_rs import Draft202012Validator
from werkzeug.test import TestResponse

from api.events import MAX_EVENT, PATHS
from app import assemble
from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    NOW,
    Clock,
    Shop,
    at_once,
    bearer,
    deliver,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.openapi import assert_as_described, described
from tests.pixel_events import call, view
from tests.reading import until
from tests.standins.pinterest import FakePinterest, Mode
from tests.store_contents import everything, rows
from tracking.domain.identity import digest_of_key
from tracking.receive.server_events import EventReceipt
from tracking.service import Service
from tracking.store import StoreUnavailable, accounts, erasure, identity_graph, touches
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.touches import TouchRow

ORIGIN = "https://shop.example"
TRACK, TRY = PATHS
CLICK = TouchRow(
    visitor="laptop-browser-1", at=int(NOW) - 3600, key="visit:1", kind="click", is_pinterest=1
)


def lead(**changes: Any) -> dict[str, Any]:
    """An event in Pinterest's form, told with clear text."""
    event: dict[str, Any] = {
        "event_name": "lead",
        "action_source": "web",
        "event_time": NOW - 60,
        "event_id": "lead-0001",
        "user_data": {"em": "ada@example.com", "client_ip_address": "203.0.113.7"},
    }
    return event | changes


def sale(**changes: Any) -> dict[str, Any]:
    """A checkout as a row of an export."""
    row: dict[str, Any] = {
        "EVENT_NAME": "checkout",
        "ACTION_SOURCE": "offline",
        "EM": "ada@example.com",
        "ORDER_ID": "5001",
        "VALUE": "59.98",
        "CURRENCY": "USD",
        "EVENT_TIME": NOW - 60,
    }
    return row | changes


class Caller:
    """Another system of the shop's, which bears a token."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def tells(
        self,
        event: Any,
        path: str = TRACK,
        headers: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> TestResponse:
        """Post an event (or bytes) as it is; the answer is as described."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        given = bearer() if headers is None else dict(headers)
        found = self.client.post(path, data=body, content_type=kind, headers=given)
        assert_as_described(found, path, "post")
        return found

    def told(self, event: Any) -> dict[str, Any]:
        """The answer to an event that is taken."""
        found = self.tells(event)
        assert found.status_code == 202, found.get_data(as_text=True)
        answer: dict[str, Any] = found.get_json()
        return answer


def caller_of(service: Service) -> Caller:
    return Caller(assemble(service).test_client())


def kept(service: Service) -> dict[str, list[dict[str, Any]]]:
    """Everything but the traces that rate limits leave."""
    found = everything(service.store)
    return {name: some for name, some in found.items() if some and name not in LIMITS}


LIMITS = ("limits", "accounts")


@pytest.fixture
def caller(client: FlaskClient) -> Caller:
    """A caller in front of a service on each database."""
    return Caller(client)


@pytest.fixture
def lite(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service for tests in which the database makes no difference."""
    return build_service(
        sqlite_url, pinterest=pinterest, COLLECTOR_ORIGINS=f"{ORIGIN},https://other.example"
    )


# --- what is taken


@pytest.mark.parametrize("event", [lead(), sale(), {"event_data": lead()}, {"event_data": sale()}])
def test_an_event_in_either_form_reaches_pinterest_once(
    service: Service, caller: Caller, pinterest: FakePinterest, event: dict[str, Any]
) -> None:
    answer = caller.told(event)
    assert (answer["status"], answer["left_out"]) == ("accepted", [])
    assert deliver(service) == 1

    assert caller.told(event) == {**answer, "status": "duplicate"}
    assert deliver(service) == 0
    assert pinterest.accepted == {answer["event_id"]: 1}
    assert pinterest.calls[-1].is_test is False


def test_two_at_once_are_one_event(service: Service) -> None:
    body = json.dumps(sale()).encode()
    works = [lambda: service.events.record(body)] * 6

    receipts = [future.result() for future in at_once(service.store, works)]

    taken = [one.status for one in receipts if isinstance(one, EventReceipt)]
    assert sorted(taken) == ["accepted", *["duplicate"] * 5]
    assert len(rows(service.store, "conversions")) == len(rows(service.store, "outbox")) == 1


# --- several at once, as Pinterest's SDK sends them


def test_a_list_of_events_is_recorded_and_answered_one_by_one(
    service: Service, caller: Caller, pinterest: FakePinterest
) -> None:
    body = {"data": [lead(), sale(PH="none of a phone"), lead()]}
    found = caller.told(body)["events"]

    assert [one["status"] for one in found] == ["accepted", "accepted", "duplicate"]
    assert [one["left_out"] for one in found] == [[], ["/data/1/PH"], []]
    assert deliver(service) == 2
    again = caller.told(body)["events"]
    assert [one["status"] for one in again] == ["duplicate"] * 3
    assert set(pinterest.accepted) == {one["event_id"] for one in found}


def test_of_a_list_with_a_fault_nothing_is_recorded_and_the_event_is_named(
    lite: Service,
) -> None:
    before = kept(lite)
    found = caller_of(lite).tells({"data": [lead(), lead(event_name="purchase"), {}]})

    assert found.status_code == 400
    pointers = {error["field"] for error in found.get_json()["errors"]}
    assert {"/data/1/event_name", "/data/2/event_name"} <= pointers
    assert kept(lite) == before


def test_a_conflict_in_a_list_costs_the_others_nothing(lite: Service) -> None:
    caller = caller_of(lite)
    caller.told(lead())
    other = lead(user_data={"em": "bob@example.com"})
    found = caller.told({"data": [other, sale()]})["events"]

    assert [one["status"] for one in found] == ["conflict", "accepted"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"data": []}, "/data"),
        ({"data": [{}] * 1_001}, "/data"),
        ({"data": [lead()], "more": 1}, "/more"),
        ({"data": [lead()], "ad_account_id": "1"}, "/ad_account_id"),
        ({"event_data": lead(), "advertiser_id": "1"}, "/advertiser_id"),
        ({"event_data": lead(), "more": 1}, "/more"),
    ],
)
def test_what_stands_beside_events_is_checked(lite: Service, body: Any, field: str) -> None:
    found = caller_of(lite).tells(body)

    assert found.status_code == 400
    assert [error["field"] for error in found.get_json()["errors"]] == [field]


@pytest.mark.parametrize("name", ["advertiser_id", "ad_account_id"])
def test_the_account_that_events_are_sent_to_may_stand_beside_them(
    lite: Service, name: str
) -> None:
    account = lite.settings.pinterest_ad_account_id
    caller = caller_of(lite)

    assert caller.told({"event_data": lead(), name: account})["status"] == "accepted"
    assert caller.told({"data": [sale()], name: int(account)})["events"]


def test_a_list_is_not_tried_out(lite: Service) -> None:
    found = caller_of(lite).tells({"data": [lead()]}, TRY)

    assert (found.status_code, found.get_json()["errors"][0]["field"]) == (400, "/data")


# --- what is kept


def test_no_clear_text_of_a_person_is_kept_or_answered(service: Service, caller: Caller) -> None:
    told = lead(
        user_data={
            "em": ["ada@example.com", "nobody"],
            "ph": "+12125550142",
            "fn": "Zebulina",
            "country": "US",
        },
        custom_data={"search_string": "zebulina@example.com"},
        event_source_url="https://shop.example/?email=zebulina%40example.com",
    )
    answer = caller.told(told)

    text = str(kept(service)).lower()
    assert not any(secret in text for secret in ("zebulina", "ada@", "12125550142"))
    assert answer["left_out"] == ["/custom_data/search_string", "/user_data/em/1"]


def test_the_event_is_on_disk_before_the_answer(service: Service, caller: Caller) -> None:
    event_id = caller.told(lead())["event_id"]
    with service.store.read() as conn:
        conn.cursor.execute("SELECT event_id FROM outbox")
        assert [row[0] for row in conn.cursor.fetchall()] == [event_id]


@pytest.mark.parametrize(
    ("env", "changes", "reason"),
    [
        ({"PINTEREST_SEND": "off"}, {}, "off"),
        ({"PINTEREST_SEND": "attributed"}, {}, ""),
        ({"CONSENT_UNKNOWN": "hold"}, {}, "consent_unknown"),
        ({"CONSENT_UNKNOWN": "hold"}, {"opt_out": False}, ""),
        ({"CONSENT_UNKNOWN": "hold"}, {"opt_out": True}, "consent_unknown"),
    ],
)
def test_an_event_that_is_not_sent_is_recorded_with_the_reason(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    env: dict[str, str],
    changes: dict[str, Any],
    reason: str,
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, **env)
    caller_of(service).told(lead(**changes))

    (row,) = rows(service.store, "conversions")
    assert row["reason"] == reason
    assert len(rows(service.store, "outbox")) == (not reason)


FREE = sale(VALUE="0.00")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (FREE, "free"),
        (sale(VALUE=0), "free"),
        (sale(VALUE="-0"), "free"),
        (lead(event_name="checkout", custom_data={"value": "0.000", "currency": "USD"}), "free"),
        (sale(VALUE="0.01"), ""),
        (sale(VALUE=None), ""),
        (lead(custom_data={"value": "0.00", "currency": "USD"}), ""),
    ],
)
def test_a_checkout_worth_nothing_is_not_sent(
    lite: Service, event: dict[str, Any], reason: str
) -> None:
    caller_of(lite).told(event)
    (row,) = rows(lite.store, "conversions")
    assert row["reason"] == reason
    assert len(rows(lite.store, "outbox")) == (not reason)


@pytest.mark.parametrize("event", [FREE, {**FREE, "ORDER_ID": None, "EVENT_ID": "till-7"}])
def test_a_checkout_worth_nothing_is_sent_if_the_shop_wants_it(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, event: dict[str, Any]
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, SEND_FREE_ORDERS="true")
    event_id = caller_of(service).told(event)["event_id"]
    assert deliver(service) == 1
    assert pinterest.events[event_id]["custom_data"]["value"] == "0.00"


def test_without_an_account_an_event_is_recorded_and_not_sent(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url)
    assert caller_of(service).told(lead())["status"] == "accepted"
    (row,) = rows(service.store, "conversions")
    assert row["reason"] == "report_only"


@pytest.mark.parametrize("event", [lead(), sale(), {"event_data": lead()}, {"event_data": sale()}])
def test_what_is_taken_is_as_described(event: dict[str, Any]) -> None:
    for path in PATHS:
        (content,) = described()[path, "post"]["requestBody"]["content"].values()
        Draft202012Validator(content["schema"]).validate(event)


# --- what counts


def stages(service: Service, traffic: str = "all") -> dict[str, tuple[int, int]]:
    found = Shop(assemble(service).test_client()).reads("/conversion-funnel", traffic=traffic)
    return {s["stage"]: (s["events"], s["visitors"]) for s in found["stages"] if s["events"]}


def test_events_of_the_funnel_count_by_person_and_others_do_not(service: Service) -> None:
    caller = caller_of(service)
    product: dict[str, Any] = {"custom_data": {"content_ids": ["111"]}}
    nameless: dict[str, Any] = {"custom_data": {"contents": [{"quantity": 1}]}}
    unknown: dict[str, Any] = {"custom_data": {"contents": [{"id": "null", "item_price": "5"}]}}
    for n, (name, more) in enumerate(
        [
            ("page_visit", product),
            ("page_visit", product),
            ("page_visit", {}),
            ("page_visit", nameless),
            ("page_visit", unknown),
            ("add_to_cart", {}),
            ("initiate_checkout", {}),
            ("search", {}),
        ]
    ):
        caller.told(lead(event_name=name, event_id=f"e{n}", **more))

    assert stages(service) == {
        "product_view": (2, 1),
        "add_to_cart": (1, 1),
        "checkout_initiation": (1, 1),
    }
    assert stages(service, "pinterest") == {}


def test_an_event_is_pinterests_by_its_own_click_or_by_the_persons(service: Service) -> None:
    shop, caller = Shop(assemble(service).test_client()), caller_of(service)
    cart = lead(event_name="add_to_cart")
    clicked = {"em": "eva@example.com", "click_id": "dj0yJnU9b2JD"}
    caller.told({**cart, "event_id": "own", "user_data": clicked})
    shop.sends("orders/create", order(landing_site=pinned("11")))
    caller.told({**cart, "event_id": "persons", "event_time": NOW})

    found = {row["event_id"]: row for row in rows(service.store, "conversions")}
    assert (found["own"]["is_pinterest"], found["own"]["campaign_id"]) == (1, "")
    assert (found["persons"]["is_pinterest"], found["persons"]["campaign_id"]) == (1, "11")


def test_a_checkout_counts_as_the_purchase_only_as_the_orders_own_event(service: Service) -> None:
    caller = caller_of(service)
    caller.told(sale())
    assert stages(service) == {}
    caller.told(sale(EVENT_ID="checkout-5001"))
    assert stages(service) == {"purchase": (1, 1)}


def test_no_event_is_worth_money_in_a_report(service: Service) -> None:
    shop = Shop(assemble(service).test_client())
    caller_of(service).told(sale(EVENT_ID="checkout-7", ORDER_ID=7))
    caller_of(service).told(sale())

    assert shop.reads("/roi-analysis")["currencies"] == []
    assert shop.client.get("/orders/7/journey", headers=bearer()).status_code == 404


def test_an_id_of_another_event_is_a_conflict_and_not_a_duplicate(
    service: Service, caller: Caller
) -> None:
    caller.told(lead(event_name="add_to_cart", event_id="session-1"))

    found = caller.tells(lead(event_name="initiate_checkout", event_id="session-1"))

    assert found.status_code == 409
    assert stages(service) == {"add_to_cart": (1, 1)}


_OTHERS: list[dict[str, Any]] = [
    {"value": "60.00"},
    {"currency": "EUR"},
    {"em": "grace@example.com"},
    {"event_time": NOW - DAY},
]


@pytest.mark.parametrize(
    ("id", "other"),
    [
        # Without an id given, the time is in the one that is made.
        *(({}, other) for other in _OTHERS if "event_time" not in other),
        *(({"event_id": id}, other) for id in ("till-1", "checkout-5001") for other in _OTHERS),
    ],
)
def test_another_sale_under_an_id_on_record_is_a_conflict(
    service: Service, caller: Caller, id: dict[str, str], other: dict[str, Any]
) -> None:
    first = {name.lower(): value for name, value in (sale() | id).items()}
    caller.told(first)
    assert caller.tells(first | other).status_code == 409
    assert len(rows(service.store, "conversions")) == 1


@pytest.mark.parametrize(
    "again",
    [
        {},
        {"event_time": ...},
        {"event_time": NOW - 90},
        {"value": ..., "currency": ...},
        {"value": "59.980"},
        {"em": ["ada@example.com", "ada@work.example"]},
        {"em": ..., "hashed_maids": "11111111-2222-4333-8444-555555555555"},
        {"fn": "Ada", "client_ip_address": "203.0.113.7"},
        {"item_id": "1", "item_price": "59.98"},
    ],
)
def test_what_another_sender_says_of_the_same_sale_is_a_duplicate(
    caller: Caller, again: dict[str, Any]
) -> None:
    first = {name.lower(): value for name, value in sale(EVENT_ID="till-1").items()}
    caller.told(first)
    told = {name: value for name, value in (first | again).items() if value is not ...}
    assert caller.told(told)["status"] == "duplicate"


def test_an_event_of_the_browser_that_a_server_hands_in_as_well_is_a_duplicate(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY)
    caller, told = caller_of(service), view()
    assert caller.client.post("/collect", json=call(told)).status_code == 202
    product = {"content_ids": ["1"], "value": "1", "currency": "USD"}
    again = lead(event_name="page_visit", event_id=told["id"], custom_data=product)
    assert caller.told(again)["status"] == "duplicate"


NOBODY = [
    *("\\N", "(not set)", "(none)", "<NA>", "#N/A", "[object Object]", "null", "undefined", "nan"),
    *("anonymous", "guest", "true", "{epik}", "{{campaign.id}}", "%7Bepik%7D", "__CLICKID__"),
]
_NAMED: dict[str, str] = {
    **dict.fromkeys(("em", "ph", "fn", "ln", "ct", "st", "zp", "country", "db", "ge"), "user_data"),
    **dict.fromkeys(("external_id", "hashed_maids", "click_id", "partner_id"), "user_data"),
    **dict.fromkeys(("order_id", "content_ids", "content_name", "content_brand"), "custom_data"),
    **dict.fromkeys(("content_category", "search_string", "value", "num_items"), "custom_data"),
    **dict.fromkeys(("currency", "np"), "custom_data"),
}


@pytest.mark.parametrize("word", NOBODY)
def test_what_names_nobody_is_left_out_of_every_field_and_named(word: str, lite: Service) -> None:
    told = {**dict.fromkeys(_NAMED, word), "item_name": word, "item_id": word, "language": word}
    row = {name: cell for name, cell in sale(EM_1="ada@example.com").items() if name != "EM"}
    caller, wanted = caller_of(lite), {f"/{name}" for name in told}

    found = caller.told({n: v for n, v in row.items() if n.lower() not in told} | told)

    assert set(found["left_out"]) == wanted
    (kept,) = rows(lite.store, "outbox")
    event = json.loads(kept["payload"])
    assert event["user_data"].keys() == {"em"}
    assert event.get("custom_data", {}) == {}


def test_two_strangers_without_an_external_id_are_two(lite: Service) -> None:
    caller = caller_of(lite)
    for name, word in (("ada", "\\N"), ("grace", "\\N"), ("joan", "none@none.com")):
        person = {"em": [f"{name}@example.com", "none@none.com"], "external_id": word}
        caller.told(lead(event_id=f"lead-{name}", user_data=person))
    assert len({row["visitor"] for row in rows(lite.store, "conversions")}) == 3
    assert len({row["link"] for row in rows(lite.store, "links")}) == 4


@pytest.mark.parametrize("field", ["order_id", "event_id", "external_id", "content_ids", "item_id"])
@pytest.mark.parametrize("id", ["5.90123E+12", "5,90123E+12", "5901230000000.0", 5901230000000.0])
def test_an_id_that_a_spreadsheet_has_shortened_is_refused(
    lite: Service, field: str, id: Any
) -> None:
    found = caller_of(lite).tells({n.lower(): v for n, v in sale().items()} | {field: id})
    assert found.status_code == 400
    assert [error["field"] for error in found.get_json()["errors"]] == [f"/{field}"]
    assert "as text" in found.get_json()["errors"][0]["message"]


@pytest.mark.parametrize("id", ["5001", 5001, 5001.0, "5001.0", "'5001", '="5001"', " 5001 "])
def test_an_order_id_that_a_spreadsheet_has_dressed_up_is_the_id(lite: Service, id: Any) -> None:
    caller_of(lite).told(sale(ORDER_ID=id))
    (kept,) = rows(lite.store, "outbox")
    assert json.loads(kept["payload"])["custom_data"]["order_id"] == "5001"


@pytest.mark.parametrize("field", ["event_name", "action_source", "event_time"])
def test_a_placeholder_for_what_an_event_must_have_is_an_error(lite: Service, field: str) -> None:
    found = caller_of(lite).tells({n.lower(): v for n, v in sale().items()} | {field: "\\N"})
    assert [error["field"] for error in found.get_json()["errors"]] == [f"/{field}"]


def test_an_unfilled_macro_does_not_leave_in_an_address(lite: Service) -> None:
    url = "https://shop.example/p?utm_source=pinterest&utm_campaign={campaign}&epik=%7Bepik%7D"
    caller_of(lite).told(lead(event_source_url=url))
    (kept,) = rows(lite.store, "outbox")
    sent = json.loads(kept["payload"])["event_source_url"]
    assert sent == "https://shop.example/p?utm_source=pinterest"


def test_the_answer_says_why_an_event_is_not_sent(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url, CONSENT_UNKNOWN="hold")
    assert caller_of(service).told(lead())["reason"] == "consent_unknown"


def test_no_browser_is_kept_of_an_event_that_was_sent(
    service: Service, caller: Caller, pinterest: FakePinterest
) -> None:
    browser = "Canary/1.0 (of one person)"
    person = {"em": "ada@example.com", "client_user_agent": browser}
    caller.told(lead(user_data=person, app_info={"app_name": "Mugs", "user_agent": browser}))
    assert deliver(service) == 1
    assert pinterest.events["lead-0001"]["app_info"]["user_agent"] == browser
    assert browser not in str(kept(service))


# --- the order's own event


def test_a_checkout_of_an_order_that_pinterest_is_told_of_is_not_told_again(
    service: Service, caller: Caller, pinterest: FakePinterest
) -> None:
    Shop(caller.client).sends("orders/create", order(landing_site=pinned()))
    assert caller.told(sale())["status"] == "duplicate"
    deliver(service)
    assert pinterest.accepted == {"checkout-5001": 1}


@pytest.mark.parametrize("kind", ["Order", "OrderIdentity"])
def test_a_checkout_with_the_orders_global_id_is_the_orders(
    service: Service, caller: Caller, pinterest: FakePinterest, kind: str
) -> None:
    Shop(caller.client).sends("orders/create", order())
    assert caller.told(sale(ORDER_ID=f"gid://shopify/{kind}/5001"))["status"] == "duplicate"
    deliver(service)
    assert pinterest.accepted == {"checkout-5001": 1}


def test_an_event_of_a_known_order_is_the_orders(service: Service, caller: Caller) -> None:
    Shop(caller.client).sends("orders/create", order())
    assert caller.told(sale(EVENT_ID="checkout-5001"))["status"] == "duplicate"
    assert deliver(service) == 1


@pytest.mark.parametrize("is_sent", [True, False])
def test_an_order_that_comes_after_its_event_is_one_event_and_one_purchase(
    service: Service, caller: Caller, pinterest: FakePinterest, is_sent: bool
) -> None:
    shop = Shop(caller.client)
    caller.told(sale(EVENT_ID="checkout-5001", EM="eva@example.com"))
    if is_sent:
        deliver(service)

    receipt = shop.sends("orders/create", order(email="mia@example.com", landing_site=pinned()))
    again = shop.sends("orders/updated", order(updated_at="2026-11-20T13:00:00Z"))
    deliver(service)

    assert (receipt.json["status"], again.json["status"]) == ("accepted", "accepted")  # type: ignore[index]
    assert pinterest.accepted == {"checkout-5001": 1}
    assert stages(service) == {"purchase": (1, 1)}
    assert shop.reads("/roi-analysis")["orders"] == 1


def test_a_person_who_was_erased_does_not_come_back_with_an_event(
    service: Service, caller: Caller
) -> None:
    caller.told(lead(event_name="add_to_cart", event_id="before"))
    (row,) = rows(service.store, "conversions")
    assert row["visitor"].startswith("em:")
    service.store.commit(lambda conn: service.tracker.eraser.begin(conn, [row["visitor"]], [], NOW))
    assert not service.pending_erasures.go_on(seconds=60)
    caller.told(lead(event_name="add_to_cart", event_id="after"))

    known_by = row["visitor"]
    assert digest_of_key(known_by) not in str(kept(service))
    assert known_by not in str(kept(service))
    assert {row["reason"] for row in rows(service.store, "conversions")} == {"erased"}
    assert stages(service) == {"add_to_cart": (2, 2)}
    assert deliver(service) == 0


def test_an_order_that_was_erased_does_not_come_back_with_its_event(
    service: Service, caller: Caller
) -> None:
    service.store.commit(lambda conn: erasure.put_tombstones(conn, ["or:5001"], NOW))
    caller.told(sale(EVENT_ID="checkout-5001"))
    assert deliver(service) == 0


# --- trials


def test_a_trial_hands_back_what_pinterest_says_and_keeps_nothing(
    service: Service, caller: Caller, pinterest: FakePinterest
) -> None:
    found = caller.tells(lead(), TRY)

    assert found.status_code == 200
    answer = found.get_json()
    assert answer["http_status"] == 200
    assert answer["answer"]["num_events_processed"] == 1
    assert answer["event"]["event_id"] == "lead-0001"
    assert [call.is_test for call in pinterest.calls] == [True]
    assert pinterest.accepted == {}
    assert kept(service) == {}


def test_a_trial_of_a_wrong_token_shows_the_refusal_and_not_the_token(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    token = "pina_another_token_than_pinterests"
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_ACCESS_TOKEN=token)
    found = caller_of(service).tells(lead(), TRY)

    assert (found.status_code, found.get_json()["http_status"]) == (200, 401)
    assert token not in found.get_data(as_text=True)


def test_an_event_with_faults_is_not_shown_to_pinterest(
    lite: Service, pinterest: FakePinterest
) -> None:
    found = caller_of(lite).tells({"event_data": lead(event_name="purchase")}, TRY)
    assert found.status_code == 400
    assert [error["field"] for error in found.get_json()["errors"]] == ["/event_data/event_name"]
    assert pinterest.calls == []


def test_without_an_account_there_is_no_trial(build_service: BuildService, sqlite_url: str) -> None:
    found = caller_of(build_service(sqlite_url)).tells(lead(), TRY)
    assert (found.status_code, found.get_json()["title"]) == (503, "Not configured")


def test_trials_stay_below_pinterests_limit_of_test_calls(
    lite: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    caller = caller_of(lite)
    for _ in range(20):
        for _ in range(3):
            found = caller.tells(lead(), TRY)
            assert found.status_code in (200, 429)
            if found.status_code == 429:
                assert found.headers["Retry-After"] == "1"
        clock.tick(seconds=0.2)

    assert 429 not in {call.status for call in pinterest.calls}
    assert 0 < pinterest.busiest(1.0) <= 10


def test_trials_that_hang_leave_the_threads_to_webhooks(
    lite: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    pinterest.mode = "hang"
    app = assemble(lite)
    with ThreadPoolExecutor(2) as crowd:
        waiting = [crowd.submit(Caller(app.test_client()).tells, lead(), TRY) for _ in range(2)]
        pinterest.wait_until(lambda fake: len(fake.calls) == 2, timeout=30)
        clock.tick(seconds=5)
        third = Caller(app.test_client()).tells(lead(), TRY)
        pinterest.mode = "ok"
    assert (third.status_code, third.headers["Retry-After"]) == (429, "1")
    assert {one.result().status_code for one in waiting} <= {200, 502}


def test_a_trial_keeps_the_limit_that_deliverers_keep(
    lite: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    def exhaust(conn: Connection) -> None:
        account = accounts.of_destination(conn, "pinterest")
        ahead = int((clock() + 50) * 1_000_000)
        accounts.put(conn, account._replace(next_call_at=ahead))

    lite.store.commit(exhaust)
    assert caller_of(lite).tells(lead(), TRY).status_code == 429
    assert pinterest.calls == []


def test_a_pinterest_that_does_not_answer_is_a_problem_of_the_gateway(
    lite: Service, pinterest: FakePinterest
) -> None:
    pinterest.mode = Mode("refused")
    assert caller_of(lite).tells(lead(), TRY).status_code == 502


# --- who may call, and how


@pytest.mark.parametrize("path", PATHS)
def test_only_who_bears_a_token_may_call(lite: Service, path: str) -> None:
    caller = caller_of(lite)
    for headers in ({}, bearer("wrong"), {"Authorization": "Basic YTpi"}):
        assert caller.tells(lead(), path, headers=headers).status_code == 401
    assert kept(lite) == {}


@pytest.mark.parametrize("path", PATHS)
def test_without_a_configured_token_both_are_closed(
    build_service: BuildService, sqlite_url: str, path: str
) -> None:
    caller = caller_of(build_service(sqlite_url, API_TOKEN=""))
    assert caller.tells(lead(), path).status_code == 503


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "kind", "headers", "status"),
    [
        (b"{}", "text/plain", {}, 415),
        (b"{}", "", {}, 415),
        (gzip.compress(b"{}", mtime=0), "application/json", {"Content-Encoding": "gzip"}, 415),
        (b" " * (MAX_EVENT + 1), "application/json", {}, 413),
        (b" " * MAX_EVENT, "application/json", {}, 400),
        (b"{", "application/json; charset=utf-8", {}, 400),
        (b'{"event_data": {"event_name": "lead"}}', "application/json", {}, 400),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(
    lite: Service, path: str, body: bytes, kind: str, headers: dict[str, str], status: int
) -> None:
    found = caller_of(lite).tells(body, path, {**bearer(), **headers}, kind)
    assert found.status_code == status
    assert kept(lite) == {}


def test_what_cannot_be_stored_is_not_accepted(
    build_service: BuildService, tmp_path: Any, pinterest: FakePinterest
) -> None:
    service = build_service(f"sqlite:///{tmp_path}/missing/tracking.db", pinterest=pinterest)
    for path in PATHS:
        assert caller_of(service).tells(lead(), path).status_code == 503


# --- pages of other sites


def cors(response: TestResponse) -> dict[str, str]:
    return {n: v for n, v in response.headers.items() if n.startswith("Access-Control-")}


@pytest.mark.parametrize("path", PATHS)
def test_a_page_of_a_named_origin_may_call_and_read_every_answer(lite: Service, path: str) -> None:
    caller = caller_of(lite)
    preflight = caller.client.options(
        path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 204
    assert cors(preflight) == {
        "Access-Control-Allow-Origin": ORIGIN,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "authorization, content-type",
        "Access-Control-Max-Age": "600",
    }
    for headers in (bearer(), {}):
        answer = caller.tells(lead(), path, {**headers, "Origin": ORIGIN})
        assert cors(answer) == {"Access-Control-Allow-Origin": ORIGIN}
        assert "Origin" in answer.vary


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{ORIGIN}.evil.example", f"{ORIGIN}:8443", "*", ""]
)
def test_a_page_of_any_other_origin_gets_no_leave(lite: Service, origin: str) -> None:
    caller = caller_of(lite)
    preflight = caller.client.options(TRACK, headers={"Origin": origin})
    answer = caller.tells(lead(), headers={**bearer(), "Origin": origin})
    assert (cors(preflight), cors(answer)) == ({}, {})
    assert "Origin" in answer.vary


def test_without_named_origins_no_page_gets_leave(
    build_service: BuildService, sqlite_url: str
) -> None:
    caller = caller_of(build_service(sqlite_url))
    for origin in (ORIGIN, "null"):
        answer = caller.tells(lead(), headers={**bearer(), "Origin": origin})
        assert cors(answer) == {}
        assert cors(caller.client.options(TRACK, headers={"Origin": origin})) == {}


def test_an_old_event_is_refused_by_name(lite: Service) -> None:
    found = caller_of(lite).tells({"event_data": lead(event_time=NOW - 8 * DAY)})
    assert [error["field"] for error in found.get_json()["errors"]] == ["/event_data/event_time"]


def test_an_event_is_credited_by_what_became_known_while_it_waited(
    build_service: BuildService, database_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(database_url, pinterest=pinterest)
    first, second = (json.dumps(lead(event_id=f"lead-000{n}")).encode() for n in (1, 2))
    service.events.record(first)
    (known,) = rows(service.store, "conversions")

    def record_until_taken() -> None:
        # The lock is waited for no longer than a webhook may take.
        for _ in range(5):
            with suppress(StoreUnavailable):
                service.events.record(second)
                return

    with ThreadPoolExecutor(1) as threads:

        def join_a_browser(conn: Connection) -> None:
            advisory_locks.hold(conn, [known["visitor"]])
            threads.submit(record_until_taken)
            if conn.dialect == "postgresql":
                waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
                until(lambda: conn.cursor.execute(waiting).fetchone() == (True,))
            identity_graph.link(conn, [known["visitor"]], "laptop-browser-1")
            touches.put(conn, CLICK)

        service.store.commit(join_a_browser)

    stored = {row["event_id"]: row for row in rows(service.store, "conversions")}
    assert stored["lead-0002"]["is_pinterest"] == 1
