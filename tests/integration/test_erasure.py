"""Who asks to be erased is gone from every place, stays gone, and leaves the sums as they were."""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import assemble
from tests.actors import (
    DAY,
    HOUR,
    NOW,
    SECRET,
    Clock,
    Shop,
    ask_to_erase,
    at_once,
    deliver,
    instant,
    notes,
    order,
    pinned,
    refund,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, folder_in_memory, rows
from tracking.deliver.deliverer import LEASE_SECONDS, Deliverer
from tracking.domain.identity import Digest, identity_key
from tracking.receive.pixel import ClientInfo, pixel_batch_of
from tracking.receive.privacy.subjects import redaction_of
from tracking.service import Service
from tracking.store import claims
from tracking.store.engine.statement import Connection

EMAIL, PHONE_NUMBER, CUSTOMER = "canary.bird@example.com", "+12125550187", 987654321012
OTHER_EMAIL = "canary.at.work@example.com"
LAPTOP, KIOSK = "laptop-browser-1", "kiosk-browser-1"
EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
TOKEN = "checkout-token-0123456789"
HERE = ClientInfo("203.0.113.187", "CanaryBrowser/9.9")
ELSEWHERE = ClientInfo("198.51.100.20", "Mozilla/5.0 (Macintosh)")
SITE_KEY = "pk_of-the-tests-only"
DOMAIN = "mug.myshopify.com"
ASKED_BY = {"shop_id": 1, "shop_domain": DOMAIN}
ACCEPTED = {"status": "accepted", "order_id": ""}


def hashes(*texts: str) -> tuple[str, ...]:
    return tuple(sha256(text.encode()).hexdigest() for text in texts)


CLEAR = (EMAIL, "canary.bird", "2125550187", str(CUSTOMER), "Canaria", "Vogelsang")
DIGESTS = hashes(
    *(EMAIL, "12125550187", str(CUSTOMER), "canaria", "vogelsang", "canaryville", "10187")
)
DEVICE = (HERE.ip, HERE.user_agent)
TRACES = (*CLEAR, *DEVICE, *DIGESTS, LAPTOP, EPIK)


IS_BOB = tuple(map(identity_key, ("em", "id"), map(Digest, hashes("bob@example.com", "3"))))


BOB: Mapping[str, Any] = {
    "email": "bob@example.com",
    "contact_email": None,
    "customer": {"id": 3},
    "billing_address": None,
}


def canary(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An order of the person who asks to be erased."""
    home = {
        "first_name": "Canaria",
        "last_name": "Vogelsang",
        "city": "Canaryville",
        "province_code": "NY",
        "zip": "10187",
        "country_code": "US",
        "phone": "212-555-0187",
    }
    body = order(
        id=number,
        name=f"#{number}",
        email=EMAIL,
        contact_email=EMAIL,
        phone=PHONE_NUMBER,
        landing_site=pinned("11", epik=EPIK),
        client_details={"browser_ip": HERE.ip, "user_agent": HERE.user_agent},
        customer={"id": CUSTOMER, "email": EMAIL, "first_name": "Canaria"},
        billing_address=home,
    )
    return body | changes


def redact(*order_ids: int, **changes: Any) -> dict[str, Any]:
    """A request to erase that person, and these orders of theirs."""
    customer = {"id": CUSTOMER, "email": EMAIL, "phone": PHONE_NUMBER}
    return {**ASKED_BY, "customer": customer, "orders_to_redact": [*order_ids], **changes}


def data_request(*order_ids: int, **changes: Any) -> dict[str, Any]:
    """A request to tell that person what is kept."""
    customer = {"id": CUSTOMER, "email": EMAIL, "phone": PHONE_NUMBER}
    asked = {"orders_requested": [*order_ids], "data_request": {"id": 9999}}
    return {**ASKED_BY, "customer": customer, **asked, **changes}


def uninstalled(**changes: Any) -> dict[str, Any]:
    return {"id": 548380009, "name": "Mug", "myshopify_domain": DOMAIN, **changes}


BODIES: Mapping[str, Mapping[str, Any]] = {
    "customers/data_request": data_request(1),
    "customers/redact": redact(1),
    "shop/redact": ASKED_BY,
    "app/uninstalled": uninstalled(),
}


def pixel(name: str, visitor: str, ago: float, page: str = "/", **data: Any) -> dict[str, Any]:
    """What the pixel tells of one event, `ago` seconds before now."""
    event = {
        "id": f"shu-{sha256(repr((name, visitor, ago)).encode()).hexdigest()[:24]}",
        "name": name,
        "timestamp": instant(NOW - ago),
        "context": {
            "document": {"location": {"href": f"https://shop.example{page}"}, "referrer": ""}
        },
        "data": data,
    }
    return {"key": SITE_KEY, "visitor": visitor, "events": [event]}


def checkout(visitor: str, ago: float = 60, email: str = EMAIL) -> dict[str, Any]:
    told = {"token": TOKEN, "email": email, "currencyCode": "USD"}
    return pixel("checkout_started", visitor, ago, "/checkout", checkout=told)


def tell(service: Service, body: Mapping[str, Any], caller: ClientInfo = HERE) -> None:
    """Hand in what the pixel tells, as the collector does."""
    policy = service.tracker.planner.policy
    call = pixel_batch_of(json.dumps(body).encode(), caller, policy, int(service.clock()))
    assert not call.errors, call.errors
    service.tracker.record_pixel_events(call.events)


@pytest.fixture
def service(build_service: BuildService, database_url: str, pinterest: FakePinterest) -> Service:
    """A service on each database that sends every order, and has the pixel."""
    return build_service(
        database_url, pinterest=pinterest, PINTEREST_SEND="all", COLLECTOR_KEY=SITE_KEY
    )


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def sends(shop: Shop, topic: str, body: Mapping[str, Any]) -> Any:
    answer = shop.sends(topic, body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


REPORTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/conversion-funnel", {"traffic": "all"}),
    ("/conversion-funnel", {"traffic": "pinterest"}),
    ("/roi-analysis", {"scope": "all", "model": "linear"}),
    ("/roi-analysis", {"report_by": "click_date"}),
)


def reports(shop: Shop) -> list[Any]:
    return [shop.reads(path, **asked) for path, asked in REPORTS]


def test_an_order_may_be_named_by_its_global_id(service: Service, shop: Shop) -> None:
    sends(shop, "orders/create", order(id=5, **BOB))
    body = redact(orders_to_redact=["gid://shopify/Order/5"])

    sends(shop, "customers/redact", body)

    assert [row["links"] for row in rows(service.store, "orders")] == [""]


@pytest.mark.parametrize(
    "changes",
    [
        {"orders_to_redact": None},
        {"orders_to_redact": ...},
        {"customer": None},
        {"customer": ...},
        {"customer": None, "orders_to_redact": [1, None, "gid://shopify/Order/1"]},
        {"customer": {"id": None, "email": EMAIL, "phone": None}, "orders_to_redact": None},
    ],
    ids=str,
)
def test_a_request_that_names_the_person_or_the_orders_alone_is_carried_out(
    service: Service, shop: Shop, changes: dict[str, Any]
) -> None:
    sends(shop, "orders/create", canary())
    body = {name: value for name, value in {**redact(1), **changes}.items() if value is not ...}

    assert sends(shop, "customers/redact", body)["status"] == "accepted"
    assert found(service) == []
    sends(shop, "orders/updated", canary(updated_at=instant(NOW + 60)))
    assert found(service) == []


@pytest.mark.parametrize("changes", [{"customer": None}, {"orders_requested": None}], ids=str)
def test_a_data_request_may_name_the_person_or_the_orders_alone(
    service: Service, shop: Shop, changes: dict[str, Any]
) -> None:
    sends(shop, "orders/create", canary())
    assert sends(shop, "customers/data_request", data_request(1, **changes))["status"] == "accepted"


@pytest.mark.parametrize(
    "changes",
    [
        {"customer": None, "orders_to_redact": None},
        {"customer": {}, "orders_to_redact": []},
        {"customer": "canary"},
        {"orders_to_redact": 1},
    ],
    ids=str,
)
def test_a_request_that_names_nobody_is_kept(
    service: Service, shop: Shop, changes: dict[str, Any]
) -> None:
    assert sends(shop, "customers/redact", redact(**changes))["status"] == "quarantined"


def test_a_data_request_that_lost_its_id_erases_nobody(service: Service, shop: Shop) -> None:
    sends(shop, "orders/create", canary())
    body = data_request(1, data_request=None)
    assert sends(shop, "customers/redact", body)["status"] == "quarantined"
    assert found(service) != []


def in_links(digest: str) -> str:
    """A digest as links hold it."""
    return identity_key("em", Digest(digest)).removeprefix("em:")


def found(service: Service, traces: Sequence[str] = TRACES) -> list[tuple[str, str]]:
    """Where any of the traces stands in the database, as table and trace.

    On a busy machine an erasure may still be under way, as it may in a shop.
    """
    assert not service.pending_erasures.go_on(seconds=60)
    return [
        (table, trace)
        for table, some in everything(service.store).items()
        for trace in traces
        if trace in repr(some) or (trace in DIGESTS and in_links(trace) in repr(some))
    ]


def shops_day(service: Service, shop: Shop) -> None:
    """The person looks around, orders, gets a part back, and orders again elsewhere."""
    tell(service, pixel("page_viewed", LAPTOP, 2 * HOUR, pinned("11", epik=EPIK)))
    tell(service, checkout(LAPTOP))
    sends(shop, "orders/create", canary(1, checkout_token=TOKEN))
    sends(shop, "refunds/create", refund(order_id=1))
    sends(shop, "orders/create", canary(2, landing_site="/", phone=None))
    tell(service, checkout(KIOSK, email="bob@example.com"), ELSEWHERE)
    sends(shop, "orders/create", order(id=3, **BOB))


def event_of(service: Service, event_id: str = "checkout-1") -> dict[str, Any]:
    (row,) = [row for row in rows(service.store, "outbox") if row["event_id"] == event_id]
    return row


# --- erased, and gone


def test_nothing_of_a_redacted_person_is_left_and_the_reports_stay(
    service: Service, shop: Shop
) -> None:
    shops_day(service, shop)
    before = reports(shop)
    assert {trace for _, trace in found(service)} >= {*DIGESTS, LAPTOP, *DEVICE}

    assert sends(shop, "customers/redact", redact(1, 2)) == ACCEPTED

    assert found(service) == []
    assert json.dumps(reports(shop)) == json.dumps(before)


def test_the_person_is_found_without_the_orders_being_named(service: Service, shop: Shop) -> None:
    shops_day(service, shop)

    sends(shop, "customers/redact", redact(customer={"email": EMAIL.upper()}))

    assert found(service) == []


def test_the_person_is_found_by_the_orders_alone(service: Service, shop: Shop) -> None:
    shops_day(service, shop)

    sends(shop, "customers/redact", redact(1, 2, customer={"id": None}))

    assert found(service) == []


def test_an_order_whose_touches_were_purged_is_found_too(
    service: Service, shop: Shop, clock: Clock
) -> None:
    shops_day(service, shop)
    clock.tick(days=500)
    runner = assemble(service).test_cli_runner()
    assert runner.invoke(args=["purge"]).exit_code == 0

    sends(shop, "customers/redact", redact())

    assert found(service) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_is_left_in_the_file_and_its_log(
    service: Service, shop: Shop, database_url: str
) -> None:
    shops_day(service, shop)
    sends(shop, "customers/redact", redact(1, 2))

    path = Path(database_url.removeprefix("sqlite:///"))
    files = {p.name: p.read_bytes() for p in path.parent.glob(f"{path.name}*")}
    assert any(b"erased" in content for content in files.values())
    left = [(n, t) for n, content in files.items() for t in TRACES if t.encode() in content]
    assert left == []


def test_a_second_redaction_is_a_duplicate_and_changes_nothing(
    service: Service, shop: Shop
) -> None:
    shops_day(service, shop)
    sends(shop, "customers/redact", redact(1, 2))
    after = everything(service.store)

    assert sends(shop, "customers/redact", redact(1, 2)) == {**ACCEPTED, "status": "duplicate"}

    assert everything(service.store) == after


def test_whoever_only_looked_around_and_began_to_order_is_counted_on_and_gone(
    service: Service, shop: Shop
) -> None:
    tell(service, pixel("page_viewed", LAPTOP, 2 * HOUR, pinned("11", epik=EPIK)))
    tell(service, checkout(LAPTOP))
    before = reports(shop)

    sends(shop, "customers/redact", redact())

    assert found(service) == []
    for table in ("links", "touches", "checkouts", "visitors"):
        assert rows(service.store, table) == []
    assert reports(shop) == before


def test_someone_nobody_knows_can_be_erased(service: Service, shop: Shop) -> None:
    sends(shop, "orders/create", order(id=3))
    before = rows(service.store, "orders")

    assert sends(shop, "customers/redact", redact(77)) == ACCEPTED

    assert rows(service.store, "orders") == before
    assert found(service) == []


def test_a_body_nobody_understood_is_erased_if_it_names_the_person(
    service: Service, shop: Shop
) -> None:
    bodies: list[Mapping[str, Any]] = [
        canary(1, line_items=None, email=EMAIL.title()),
        {"id": 1, "phone": "(212) 555-0187", "country_code": "US"},
        {"order_id": 44, "note": "what is it?"},
        {"order_id": 45, "email": "bob@example.com"},
    ]
    for body in bodies:
        assert sends(shop, "orders/create", body)["status"] == "quarantined"

    sends(shop, "customers/redact", redact(44))

    left = [json.loads(row["body"]) for row in rows(service.store, "quarantine") if row["body"]]
    assert left == [bodies[3]]


# --- the events of the person


def test_an_event_that_waits_is_held_back(
    service: Service, shop: Shop, pinterest: FakePinterest
) -> None:
    sends(shop, "orders/create", canary())
    sends(shop, "customers/redact", redact(1))

    deliver(service)

    assert not pinterest.events
    event = event_of(service)
    assert (event["state"], event["reason"], bytes(event["payload"])) == (
        "withdrawn",
        "erased",
        b"",
    )
    journey = shop.reads("/orders/1/journey")
    assert journey["reason"] == "erased"
    assert journey["why"].endswith("not sent: the buyer's data was erased on request.")


def test_an_event_that_was_held_for_a_late_fact_is_let_go(
    build_service: BuildService, database_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY=SITE_KEY)
    shop = Shop(assemble(service).test_client())
    sends(shop, "orders/create", canary(landing_site="/"))
    assert event_of(service)["state"] == "held"

    sends(shop, "customers/redact", redact(1))

    assert event_of(service)["state"] == "withdrawn"
    assert found(service) == []


@pytest.mark.parametrize("state", ["sent", "later", "dead"])
def test_an_event_under_way_leaves_nothing_behind_whatever_comes_of_it(
    service: Service, shop: Shop, state: str, clock: Clock
) -> None:
    sends(shop, "orders/create", canary())
    claimed = claim(service)
    sends(shop, "customers/redact", redact(1))
    assert found(service) == []

    settle(service, claimed, state)

    assert event_of(service)["state"] == ("sent" if state == "sent" else "withdrawn")
    assert found(service) == []
    clock.tick(seconds=LEASE_SECONDS + HOUR)
    assert deliver(service) == 0


def test_an_event_whose_deliverer_died_is_not_sent_again(
    service: Service, shop: Shop, clock: Clock, pinterest: FakePinterest
) -> None:
    sends(shop, "orders/create", canary())
    claim(service)
    sends(shop, "customers/redact", redact(1))

    clock.tick(seconds=LEASE_SECONDS + 1)
    deliver(service)

    assert not pinterest.events


def test_a_dead_letter_is_erased_and_never_replayed(
    service: Service, shop: Shop, pinterest: FakePinterest
) -> None:
    pinterest.mode, pinterest.poisoned = "partial", frozenset({"checkout-1"})
    sends(shop, "orders/create", canary())
    deliver(service)
    assert event_of(service)["state"] == "dead"

    sends(shop, "customers/redact", redact(1))

    runner = assemble(service).test_cli_runner()
    assert "0 dead letters" in runner.invoke(args=["replay"]).output
    assert found(service) == []


def test_an_event_that_was_sent_stays_counted_as_sent(service: Service, shop: Shop) -> None:
    sends(shop, "orders/create", canary())
    deliver(service)

    sends(shop, "customers/redact", redact(1))
    sends(shop, "orders/updated", canary(updated_at=instant(NOW + 60)))

    assert event_of(service)["state"] == "sent"
    assert shop.reads("/orders/1/journey")["reason"] == ""
    # The click id stays until Pinterest was asked to delete its events.
    assert {table for table, _ in found(service)} == {"pinterest_erasures"}
    ask_to_erase(service)
    assert found(service) == []


def claim(service: Service) -> Deliverer:
    """A deliverer that has leased all that is due, and was not answered yet."""
    deliverer = Deliverer(service.store, service.destinations["pinterest"], service.clock)
    now = int(service.clock())
    until = now + LEASE_SECONDS
    service.store.commit(lambda conn: claims.claim(conn, "pinterest", "under-way", now, until, 10))
    return deliverer


def settle(service: Service, deliverer: Deliverer, state: str) -> None:
    """What the deliverer writes once it is answered."""
    event, now = event_of(service), int(service.clock())
    row = claims.Settlement(
        id=event["id"],
        state="waiting" if state == "later" else state,
        payload=json.dumps({"user_data": {"em": [DIGESTS[0]]}}).encode(),
        reason="" if state == "sent" else "no",
        due_at=now,
        used=1,
        settled_at=0 if state == "later" else now,
    )
    deliverer.store.commit(lambda conn: claims.settle(conn, "under-way", [row]))


def test_orders_that_come_together_with_the_redaction_leave_nothing(
    service: Service, shop: Shop
) -> None:
    sends(shop, "orders/create", canary(1))
    app = assemble(service)

    def sent(topic: str, body: Mapping[str, Any]) -> Callable[[], Any]:
        return lambda: Shop(app.test_client()).sends_until_taken(topic, body).get_json()

    later = canary(1, updated_at=instant(NOW + 60))
    works = [sent("orders/create", canary(number)) for number in range(2, 5)]
    works += [sent("customers/redact", redact()), sent("orders/updated", later)]
    works += [sent("orders/create", canary(number)) for number in range(5, 8)]

    answers = [future.result() for future in at_once(service.store, works)]

    assert {answer["status"] for answer in answers} == {"accepted"}
    assert found(service) == []
    assert shop.reads("/roi-analysis")["orders"] == 7


# --- nothing brings the person back


def test_an_order_that_comes_after_the_redaction_is_recorded_without_the_person(
    service: Service, shop: Shop
) -> None:
    sends(shop, "customers/redact", redact())

    assert sends(shop, "orders/create", canary(5))["status"] == "accepted"

    assert found(service) == []
    (known,) = rows(service.store, "orders")
    assert (known["gross"], known["links"], known["session"], known["visitor"]) == (
        4000,
        "",
        "",
        "",
    )
    assert rows(service.store, "links") == rows(service.store, "outbox") == []
    assert shop.reads("/roi-analysis")["total_revenue"] == "40.00"
    assert shop.reads("/orders/5/journey")["reason"] == "erased"


def test_an_order_named_in_the_redaction_stays_nobodys_whoever_it_says_it_is_of(
    service: Service, shop: Shop
) -> None:
    sends(shop, "customers/redact", redact(5))

    sends(shop, "orders/create", order(id=5, email="bob@example.com", customer={"id": 3}))

    assert rows(service.store, "links") == rows(service.store, "outbox") == []


def test_an_update_after_the_redaction_changes_money_and_state_only(
    service: Service, shop: Shop
) -> None:
    shops_day(service, shop)
    sends(shop, "customers/redact", redact(1, 2))
    (visitor,) = {
        row["visitor"] for row in rows(service.store, "conversions") if row["order_id"] == "1"
    }

    later = canary(1, updated_at=instant(NOW + 60), subtotal_price="30.00", total_price="40.00")
    assert sends(shop, "orders/updated", later)["status"] == "accepted"
    assert sends(shop, "orders/updated", later)["status"] == "duplicate"
    assert sends(shop, "orders/create", canary(1))["status"] == "stale"

    assert found(service) == []
    (known,) = [row for row in rows(service.store, "orders") if row["id"] == "1"]
    assert (known["gross"], known["refunds"]) == (3000, 1000)
    (sold,) = [row for row in rows(service.store, "conversions") if row["order_id"] == "1"]
    assert (sold["visitor"], sold["value"], sold["campaign_id"]) == (visitor, 3000, "11")
    (earned,) = [c for c in shop.reads("/roi-analysis")["campaigns"] if c["campaign_id"] == "11"]
    assert earned["revenue"] == "60.00"


def test_a_cancellation_after_the_redaction_is_counted(service: Service, shop: Shop) -> None:
    sends(shop, "orders/create", canary())
    sends(shop, "customers/redact", redact(1))

    later = instant(NOW + 60)
    sends(shop, "orders/cancelled", canary(cancelled_at=later, updated_at=later))

    report = shop.reads("/roi-analysis")
    assert (report["cancellations"], report["total_revenue"]) == ("40.00", "0.00")
    assert found(service) == []


def test_an_order_that_only_later_turns_out_to_be_the_persons_is_erased_then(
    service: Service, shop: Shop
) -> None:
    nobody = {"email": None, "contact_email": None, "phone": None, "customer": None}
    sends(shop, "customers/redact", redact())
    sends(shop, "orders/create", canary(1, **nobody, billing_address=None))
    assert found(service, DEVICE) != []

    sends(shop, "orders/updated", canary(1, updated_at=instant(NOW + 60)))
    assert [row["session"] for row in rows(service.store, "orders")] == [""]
    assert not service.pending_erasures.go_on(seconds=60)

    assert found(service) == []
    assert event_of(service)["state"] == "withdrawn"


def test_a_storefront_event_that_names_the_person_is_counted_and_links_nothing(
    service: Service, shop: Shop
) -> None:
    sends(shop, "customers/redact", redact())

    tell(service, checkout(LAPTOP))

    assert rows(service.store, "links") == rows(service.store, "checkouts") == []
    assert rows(service.store, "outbox") == []
    (event,) = rows(service.store, "conversions")
    assert (event["stage"], event["reason"]) == ("checkout_initiation", "erased")
    assert found(service, DIGESTS) == []


# --- the others


def test_what_others_were_credited_by_the_person_is_theirs_no_more(
    service: Service, shop: Shop
) -> None:
    """Bob ordered with the address of somebody who had clicked, and so was taken for them."""
    tell(service, pixel("page_viewed", LAPTOP, 2 * HOUR, pinned("11")))
    tell(service, checkout(LAPTOP))
    bob = order(id=3, **{**BOB, "phone": PHONE_NUMBER})
    sends(shop, "orders/create", canary(1))
    sends(shop, "orders/create", bob)
    (sold,) = [row for row in rows(service.store, "conversions") if row["order_id"] == "3"]
    assert sold["campaign_id"] == "11"

    sends(shop, "customers/redact", redact(1))

    (sold,) = [row for row in rows(service.store, "conversions") if row["order_id"] == "3"]
    assert (sold["campaign_id"], sold["is_pinterest"]) == ("", 0)
    (his,) = [row for row in rows(service.store, "orders") if row["id"] == "3"]
    assert his["links"].split() == [*IS_BOB]
    assert identity_key("ph", Digest(DIGESTS[1])) not in repr(everything(service.store)["links"])
    assert event_of(service, "checkout-3")["state"] == "waiting"


def test_whoever_shares_only_a_phone_with_the_person_stays_who_they_are(
    service: Service, shop: Shop
) -> None:
    bob = order(id=3, **{**BOB, "phone": PHONE_NUMBER})
    sends(shop, "customers/redact", redact())

    sends(shop, "orders/create", bob)

    (his,) = rows(service.store, "orders")
    assert in_links(hashes("bob@example.com")[0]) in his["links"]
    assert event_of(service, "checkout-3")["state"] == "waiting"
    assert found(service, DIGESTS[:3]) == []


def test_a_browser_that_others_used_too_is_left_to_them(service: Service, shop: Shop) -> None:
    tell(service, pixel("page_viewed", KIOSK, 2 * HOUR, pinned("11")))
    tell(service, checkout(KIOSK))
    at_kiosk = notes(pin_vid=KIOSK)
    hers = canary(1, landing_site="/", note_attributes=at_kiosk, contact_email=OTHER_EMAIL)
    sends(shop, "orders/create", hers)
    sends(shop, "orders/create", order(id=3, landing_site="/", note_attributes=at_kiosk, **BOB))
    before = reports(shop)

    sends(shop, "customers/redact", redact(1))

    assert reports(shop) == before
    assert found(service, [*CLEAR, *DIGESTS, *hashes(OTHER_EMAIL)]) == []
    assert KIOSK in {row["visitor"] for row in rows(service.store, "touches")}
    (sold,) = [row for row in rows(service.store, "conversions") if row["order_id"] == "3"]
    assert (sold["visitor"], sold["campaign_id"]) == (KIOSK, "11")


def test_a_browser_where_somebody_else_only_began_to_order_is_left_to_them(
    service: Service, shop: Shop
) -> None:
    tell(service, checkout(KIOSK))
    tell(service, checkout(KIOSK, 30, email="bob@example.com"), ELSEWHERE)

    sends(shop, "customers/redact", redact())

    assert rows(service.store, "told_links") == [{"link": IS_BOB[0], "visitor": KIOSK}]
    left = {row["event_id"]: row["reason"] for row in rows(service.store, "conversions")}
    assert sorted(left.values()) == ["", "erased"]
    assert found(service, [*DEVICE, *DIGESTS]) == []


def test_a_browser_where_nobody_knows_who_ordered_keeps_that_order(
    service: Service, shop: Shop
) -> None:
    tell(service, checkout(KIOSK))
    nobody = {**BOB, "email": None, "customer": None, "note_attributes": notes(pin_vid=KIOSK)}
    sends(shop, "orders/create", order(id=3, landing_site=pinned("11"), **nobody))

    sends(shop, "customers/redact", redact())

    (touch,) = rows(service.store, "touches")
    assert (touch["visitor"], touch["key"]) == (KIOSK, "order:3")
    assert found(service, [*DEVICE, *DIGESTS]) == []


# --- Shopify's id of a browser

CLIENT = "1fd529f6-8f05-4118-ba6b-a4e20691aa0c"


def with_client(body: dict[str, Any], client: str = CLIENT) -> dict[str, Any]:
    return {**body, "clientId": client}


def test_with_a_person_the_older_cookies_of_their_browser_are_erased(
    service: Service, shop: Shop
) -> None:
    tell(service, with_client(pixel("page_viewed", "the-cookie-before", DAY / 2, pinned("11"))))
    tell(service, with_client(checkout(LAPTOP)))
    sends(shop, "orders/create", canary(1, checkout_token=TOKEN))

    sends(shop, "customers/redact", redact(1))

    for table in ("clients", "links", "told_links", "touches", "checkouts"):
        assert rows(service.store, table) == [], table
    assert found(service, ["the-cookie-before", CLIENT, *hashes(CLIENT), *TRACES]) == []


def test_the_browser_of_an_erased_person_is_not_known_again(service: Service, shop: Shop) -> None:
    tell(service, with_client(checkout(LAPTOP)))
    sends(shop, "orders/create", canary(1, checkout_token=TOKEN))
    sends(shop, "customers/redact", redact(1))

    tell(service, with_client(pixel("page_viewed", "the-cookie-after", 10, pinned("11"))))
    tell(service, with_client(pixel("page_viewed", LAPTOP, 70, pinned("11"))))

    assert rows(service.store, "clients") == []


def test_nothing_is_sent_under_the_client_id_of_an_erased_person(
    service: Service, shop: Shop
) -> None:
    tell(service, with_client(checkout(LAPTOP)))
    sends(shop, "orders/create", canary(1, checkout_token=TOKEN))
    sends(shop, "customers/redact", redact(1))

    variant = {"id": "222", "product": {"id": "111"}}
    view = pixel("product_viewed", "the-cookie-after", 10, productVariant=variant)
    tell(service, with_client(view))

    assert [row["state"] for row in rows(service.store, "outbox") if row["payload"]] == ["waiting"]
    assert found(service, hashes(CLIENT)) == []


def test_a_browser_that_others_use_too_keeps_its_client_id(service: Service, shop: Shop) -> None:
    tell(service, with_client(pixel("page_viewed", "the-cookie-before", DAY / 2, pinned("11"))))
    tell(service, with_client(checkout(LAPTOP)))
    sends(shop, "orders/create", canary(1, note_attributes=notes(pin_vid=LAPTOP)))
    at_home = notes(pin_vid="the-cookie-before")
    sends(shop, "orders/create", order(id=3, note_attributes=at_home, **BOB))

    sends(shop, "customers/redact", redact(1))

    assert {row["visitor"] for row in rows(service.store, "clients")} == {"the-cookie-before"}
    tell(service, with_client(pixel("page_viewed", "the-cookie-after", 10)))
    assert len(rows(service.store, "clients")) == 2


# --- the shop leaves


def test_a_shop_that_leaves_takes_everybody_with_it_but_no_figure(
    service: Service, shop: Shop, clock: Clock
) -> None:
    shops_day(service, shop)
    sends(shop, "orders/create", order(id=9, line_items=None, email="carol@example.com"))
    sends(shop, "customers/data_request", data_request(1))
    clock.tick(days=3)
    before = reports(shop)

    assert sends(shop, "shop/redact", ASKED_BY) == ACCEPTED
    assert sends(shop, "shop/redact", ASKED_BY)["status"] == "duplicate"

    others = (*hashes("bob@example.com", "3"), "carol@example.com", KIOSK)
    assert found(service, [*TRACES, *others]) == []
    assert reports(shop) == before
    for number, body in ((1, canary(1)), (3, order(id=3))):
        sends(shop, "orders/updated", body | {"updated_at": instant(NOW + 60)})
        assert shop.reads(f"/orders/{number}/journey")["visitor"].startswith("er:")
    assert found(service, [*TRACES, *others]) == []


def test_a_shop_that_came_back_and_leaves_again_is_erased_again(
    service: Service, shop: Shop, clock: Clock
) -> None:
    sends(shop, "shop/redact", ASKED_BY)
    sends(shop, "orders/create", canary(8))
    clock.tick(days=3)

    sends(shop, "shop/redact", ASKED_BY)

    assert found(service) == []


def test_an_uninstalled_app_is_noted_and_goes_on_sending(service: Service, shop: Shop) -> None:
    sends(shop, "orders/create", canary())

    assert sends(shop, "app/uninstalled", uninstalled()) == ACCEPTED

    assert deliver(service) == 1
    said = assemble(service).test_cli_runner().invoke(args=["doctor"]).output
    assert "uninstalled at 2026-11-20T12:00:00Z" in said


# --- what is asked


@pytest.mark.parametrize("topic", BODIES)
def test_a_body_that_names_another_shop_is_refused(
    build_service: BuildService, sqlite_url: str, topic: str
) -> None:
    service = build_service(sqlite_url, SHOPIFY_STORE_URL="other.myshopify.com")
    shop = Shop(assemble(service).test_client())
    sends(shop, "orders/create", canary())
    before = everything(service.store)

    assert shop.sends(topic, BODIES[topic]).status_code == 403
    # Only that it was refused is counted.
    assert {**everything(service.store), "refused_webhooks": []} == before


@pytest.mark.parametrize("home", BODIES)
def test_under_any_other_topic_a_request_does_nothing(
    build_service: BuildService, sqlite_url: str, home: str
) -> None:
    service = build_service(sqlite_url)
    shop = Shop(assemble(service).test_client())
    sends(shop, "orders/create", canary())
    before = everything(service.store)

    for topic in [*BODIES, "orders/create", "refunds/create"]:
        if topic != home:
            assert sends(shop, topic, BODIES[home])["status"] == "quarantined", topic
    after = everything(service.store)
    (left,) = after.pop("quarantine")
    assert left["reason"] == f"a body of {home}, which counts only at /webhooks/{home}"
    assert bytes(left["body"]) == b""
    assert left["digest"] == sha256(json.dumps(BODIES[home]).encode()).hexdigest()
    assert before.pop("quarantine") == []
    assert after == before


@pytest.mark.parametrize("body", [b"", b"[]", b'{"shop_id": 1}', b"\xff", b'{"customer": []}'])
@pytest.mark.parametrize("topic", BODIES)
def test_a_body_that_cannot_be_understood_is_kept(
    build_service: BuildService, sqlite_url: str, topic: str, body: bytes
) -> None:
    service = build_service(sqlite_url)
    answer = Shop(assemble(service).test_client()).sends(topic, body)

    assert (answer.status_code, answer.get_json()["status"]) == (200, "quarantined")


@pytest.mark.parametrize("missing", ["shop_id", "shop_domain"])
def test_a_body_without_its_shop_is_kept_with_what_is_missing(
    service: Service, shop: Shop, missing: str
) -> None:
    shop.sends("shop/redact", {k: v for k, v in ASKED_BY.items() if k != missing})

    assert [row["reason"] for row in rows(service.store, "quarantine")] == [f"{missing}: missing"]


def test_a_wrong_signature_asks_nothing(service: Service, shop: Shop) -> None:
    sends(shop, "orders/create", canary())

    for topic, body in BODIES.items():
        assert shop.sends(topic, body, secret=SECRET[::-1]).status_code == 401

    assert found(service, DIGESTS) != []


# --- telling the person


def test_the_owner_gets_all_that_is_kept_about_a_person_who_asks(
    service: Service, shop: Shop, tmp_path: Path
) -> None:
    shops_day(service, shop)
    deliver(service)
    assert sends(shop, "customers/data_request", data_request(1)) == ACCEPTED
    assert sends(shop, "customers/data_request", data_request(1))["status"] == "duplicate"
    runner = assemble(service).test_cli_runner()
    listed = runner.invoke(args=["data-requests"]).output
    assert "9999" in listed
    assert "2026-12-20T12:00:00Z" in listed
    doctor = runner.invoke(args=["doctor"])
    assert "data-requests lists them" in doctor.output

    file = tmp_path / "answer.json"
    assert runner.invoke(args=["data-requests", "--export", str(file)]).exit_code == 0

    told = json.loads(file.read_bytes())
    assert sorted(one["id"] for one in told["orders"]) == ["1", "2"]
    assert {f"em:{DIGESTS[0]}", f"ph:{DIGESTS[1]}", f"id:{DIGESTS[2]}"} <= {*told["identities"]}
    first = next(one for one in told["orders"] if one["id"] == "1")
    assert first["placed_at"] == "2026-11-20T12:00:00Z"
    assert first["credits"][0]["campaign_id"] == "11"
    assert first["conversion"]["deliveries"][0]["event"]["user_data"]["em"] == [DIGESTS[0]]
    assert [one["stage"] for one in told["storefront_events"]] == ["checkout_initiation"]
    assert LAPTOP in {one["visitor"] for one in told["touches"]}
    assert hashes("bob@example.com")[0] not in file.read_text()
    assert "no open requests" in runner.invoke(args=["data-requests"]).output


@pytest.mark.parametrize("is_there", [False, True])
def test_only_its_owner_can_read_the_answer(
    service: Service, shop: Shop, tmp_path: Path, is_there: bool
) -> None:
    sends(shop, "customers/data_request", data_request(1))
    file = tmp_path / "answer.json"
    if is_there:
        file.touch()
        file.chmod(0o666)

    runner, mask = assemble(service).test_cli_runner(), os.umask(0)
    try:
        assert runner.invoke(args=["data-requests", "--export", str(file)]).exit_code == 0
    finally:
        os.umask(mask)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().startswith(b"{")


def test_an_answer_is_not_written_where_it_cannot_be_kept_private(
    service: Service, shop: Shop, tmp_path: Path
) -> None:
    sends(shop, "customers/data_request", data_request(1))
    others = Path("/proc/self/comm")

    result = (
        assemble(service).test_cli_runner().invoke(args=["data-requests", "--export", str(others)])
    )

    assert result.exit_code == 1
    assert f"{others}: cannot be kept private" in result.output
    assert "9999" in assemble(service).test_cli_runner().invoke(args=["data-requests"]).output


def test_a_request_is_kept_without_clear_text(service: Service, shop: Shop) -> None:
    sends(shop, "customers/data_request", data_request(1))

    assert found(service, CLEAR) == []


def test_who_was_erased_is_told_nothing_any_more(service: Service, shop: Shop) -> None:
    sends(shop, "customers/data_request", data_request(1))
    sends(shop, "customers/redact", redact(1))

    runner = assemble(service).test_cli_runner()
    assert "no open requests" in runner.invoke(args=["data-requests"]).output
    assert runner.invoke(args=["data-requests", "--export", "x", "--id", "7"]).exit_code == 1


# --- whatever the order of arrival

Fact = Callable[[Service, Shop], object]


def fact(topic: str, body: Mapping[str, Any]) -> Fact:
    return lambda service, shop: sends(shop, topic, body)


def seen(body: Mapping[str, Any]) -> Fact:
    return lambda service, shop: tell(service, body)


FACTS: Mapping[str, Fact] = {
    "created": fact("orders/create", canary(1, checkout_token=TOKEN)),
    "updated": fact("orders/updated", canary(1, updated_at=instant(NOW + 60))),
    "refunded": fact("refunds/create", refund(order_id=1)),
    "second": fact("orders/create", canary(2, note_attributes=notes(pin_vid=LAPTOP))),
    "viewed": seen(with_client(pixel("page_viewed", LAPTOP, 2 * HOUR, pinned("11")))),
    "checkout": seen(with_client(checkout(LAPTOP))),
    "bob": fact("orders/create", order(id=3, **BOB)),
    "sent": lambda service, shop: deliver(service),
}


def begin(conn: Connection, service: Service, body: Mapping[str, Any]) -> None:
    """Take a redaction, of which no piece is done yet."""
    subject = redaction_of(json.dumps(body).encode())
    service.tracker.eraser.begin(conn, subject.keys, subject.orders, int(service.clock()))


@pytest.fixture(scope="module")
def in_memory() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.permutations(sorted(FACTS)),
    at=st.integers(0, len(FACTS)),
    again=st.lists(st.sampled_from(sorted(FACTS)), max_size=3),
    names=st.booleans(),
    in_pieces=st.booleans(),
)
def test_in_any_order_of_arrival_the_person_is_gone_and_the_sums_are_the_same(
    build_service: BuildService,
    sqlite_template: Path,
    in_memory: Path,
    pinterest: FakePinterest,
    told: list[str],
    at: int,
    again: list[str],
    names: bool,
    in_pieces: bool,
) -> None:
    path = in_memory / "redact.db"
    for old in in_memory.glob("redact.db*"):
        old.unlink()
    shutil.copy(sqlite_template, path)
    service = build_service(
        f"sqlite:///{path}", pinterest=pinterest, PINTEREST_SEND="all", COLLECTOR_KEY=SITE_KEY
    )
    shop = Shop(assemble(service).test_client())

    for name in told[:at]:
        FACTS[name](service, shop)
    before = reports(shop)
    body = redact(*([1, 2] if names else []))
    if in_pieces:
        service.store.commit(lambda conn: begin(conn, service, body))
    else:
        sends(shop, "customers/redact", body)
        assert reports(shop) == before
    for name in [*told[at:], *again]:
        FACTS[name](service, shop)
        service.pending_erasures.go_on(seconds=0)

    assert found(service, [*CLEAR, *DIGESTS]) == []
    report = shop.reads("/roi-analysis")
    figures = (report["orders"], report["gross_revenue"], report["refunds"])
    assert figures == (3, "120.00", "10.00")
    stages = shop.reads("/conversion-funnel", traffic="all")["stages"]
    assert [stage["events"] for stage in stages] == [0, 0, 1, 3]
    service.store.close()
