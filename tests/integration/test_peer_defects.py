"""What went wrong in earlier senders of Pinterest conversions, each once, and not here.

Defects of the signature, of the event's form and of personal data at rest have their tests in
unit/test_signature.py and unit/test_pinterest_schema.py, in test_webhooks.py and test_privacy.py
beside this file, and in system/test_end_to_end.py.
"""

import json
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    DAY,
    HOUR,
    NOW,
    Clock,
    Shop,
    bearer,
    deliver,
    instant,
    order,
    pinned,
    refund,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.clients.http import DEADLINE_SECONDS
from tracking.service import Service

Build = Callable[..., Service]


@pytest.fixture
def build(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Build:
    """Makes the service with these settings; the database makes no difference here."""
    return lambda **env: build_service(sqlite_url, pinterest=pinterest, **env)


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def event_of(build: Build, **changes: Any) -> Any:
    """The event that waits for Pinterest after this order."""
    service = build(PINTEREST_SEND="all")
    shop_of(service).sends("orders/create", order(**changes))
    (waiting,) = rows(service.store, "outbox")
    return json.loads(bytes(waiting["payload"]))


def digest(clean: str) -> str:
    return sha256(clean.encode()).hexdigest()


def test_a_pinterest_that_hangs_delays_no_webhook(build: Build, pinterest: FakePinterest) -> None:
    service = build(PINTEREST_SEND="all")
    shop, deliverers = shop_of(service), service.deliverers()
    pinterest.mode = "hang"
    shop.sends("orders/create", order(id=1))
    deliverers.start()
    pinterest.wait_until(lambda fake: bool(fake.calls), timeout=60)

    asked = time.monotonic()
    answers = [shop.sends("orders/create", order(id=n)).status_code for n in range(2, 7)]
    took = time.monotonic() - asked

    pinterest.mode = "ok"
    deliverers.stop()
    assert answers == [200] * 5
    # Each of them would wait as long as a call may take.
    assert took < DEADLINE_SECONDS


def test_a_delivery_that_failed_is_tried_again(
    build: Build, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build(PINTEREST_SEND="all")
    pinterest.mode = "down"
    shop_of(service).sends("orders/create", order())
    deliver(service)
    assert pinterest.accepted == {}

    pinterest.mode = "ok"
    clock.tick(hours=1)
    deliver(service)
    assert pinterest.accepted == {"checkout-5001": 1}


def test_many_events_are_one_call_and_nothing_is_looked_up_for_them(
    build: Build, pinterest: FakePinterest
) -> None:
    service = build(PINTEREST_SEND="all")
    shop = shop_of(service)
    for number in range(1, 11):
        shop.sends("orders/create", order(id=number))

    deliver(service)

    assert [call.events for call in pinterest.calls] == [10]
    assert pinterest.strays == []


def test_create_paid_and_a_redelivery_are_one_purchase(
    build: Build, pinterest: FakePinterest
) -> None:
    service = build(PINTEREST_SEND="all")
    shop = shop_of(service)
    for topic, status in (("create", "pending"), ("paid", "paid"), ("create", "pending")):
        shop.sends(f"orders/{topic}", order(financial_status=status))
        deliver(service)

    assert pinterest.accepted == {"checkout-5001": 1}
    assert shop.reads("/roi-analysis", scope="all")["orders"] == 1


def test_a_test_order_is_neither_counted_nor_sent(build: Build, pinterest: FakePinterest) -> None:
    service = build(PINTEREST_SEND="all")
    shop = shop_of(service)
    shop.sends("orders/create", order(test=True, landing_site=pinned()))

    deliver(service)

    assert pinterest.calls == []
    assert shop.reads("/roi-analysis")["orders"] == 0
    assert "test order" in shop.reads("/orders/5001/journey")["why"]


@pytest.mark.parametrize(
    ("currency", "subtotal", "value"),
    [("USD", "19.99", "19.99"), ("JPY", "1999", "1999"), ("KWD", "19.995", "19.995")],
)
def test_value_and_currency_are_the_orders_own_and_exact(
    build: Build, currency: str, subtotal: str, value: str
) -> None:
    sale = event_of(build, currency=currency, subtotal_price=subtotal, total_price="9999")

    assert (sale["custom_data"]["currency"], sale["custom_data"]["value"]) == (currency, value)


def test_the_value_is_without_tax_and_shipping_unless_the_shop_wants_it(build: Build) -> None:
    assert event_of(build)["custom_data"]["value"] == "40.00"

    service = build(PINTEREST_SEND="all", CONVERSION_VALUE="total")
    shop_of(service).sends("orders/create", order(id=2))
    events = [json.loads(bytes(row["payload"])) for row in rows(service.store, "outbox")]
    assert [e["custom_data"]["value"] for e in events if e["event_id"] == "checkout-2"] == ["50.00"]


def test_the_event_happened_when_the_order_was_placed(build: Build, clock: Clock) -> None:
    clock.tick(days=2)

    assert event_of(build)["event_time"] == NOW


def test_a_phone_is_hashed_as_digits_with_its_country(build: Build) -> None:
    sale = event_of(build, phone="+1 (212) 555-0142")

    assert sale["user_data"]["ph"] == [digest("12125550142")]


@pytest.mark.parametrize("field", ["email", "contact_email"])
def test_an_email_counts_wherever_it_stands(build: Build, field: str) -> None:
    nobody: dict[str, Any] = {"email": None, "contact_email": None, "customer": None}
    sale = event_of(build, **{**nobody, field: " Ada@Example.com "})

    assert sale["user_data"]["em"] == [digest("ada@example.com")]


def test_no_id_is_ever_the_word_none(build: Build) -> None:
    bare = {"title": "Gift", "price": "5.00", "quantity": 1, "product_id": None, "sku": None}
    sale = event_of(build, line_items=[bare], customer={"id": None, "email": "ada@example.com"})

    assert "content_ids" not in sale["custom_data"]
    assert "id" not in sale["custom_data"]["contents"][0]
    assert "external_id" not in sale["user_data"]
    assert "None" not in json.dumps(sale)
    assert digest("None") not in json.dumps(sale)


@pytest.mark.parametrize(
    ("setting", "content_id"), [("product", "111"), ("variant", "222"), ("sku", "MUG-1")]
)
def test_content_ids_are_those_of_the_shops_catalogue(
    build: Build, setting: str, content_id: str
) -> None:
    service = build(PINTEREST_SEND="all", CONTENT_ID=setting)
    shop_of(service).sends("orders/create", order())

    (waiting,) = rows(service.store, "outbox")
    assert json.loads(bytes(waiting["payload"]))["custom_data"]["content_ids"] == [content_id]


def test_address_and_browser_are_the_buyers_and_never_shopifys(build: Build) -> None:
    sale = event_of(build)

    assert sale["user_data"]["client_ip_address"] == "203.0.113.7"
    assert sale["user_data"]["client_user_agent"] == "Mozilla/5.0 (Macintosh)"


@pytest.mark.parametrize("said", ["no", "marketing=no", "marketing=yes;marketing=no"])
def test_a_buyer_who_refused_is_not_told_about(build: Build, said: str) -> None:
    service = build(PINTEREST_SEND="all", CONSENT_UNKNOWN="send")
    notes = [{"name": "__pin_consent", "value": said}]
    shop_of(service).sends("orders/create", order(landing_site=pinned(), note_attributes=notes))

    assert rows(service.store, "outbox") == []
    assert [row["reason"] for row in rows(service.store, "conversions")] == ["consent_refused"]


EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"


@pytest.mark.parametrize(
    "visit",
    [
        pytest.param({"landing_site": "/?utm_source=Pinterest&utm_medium=cpc"}, id="Pinterest"),
        pytest.param({"landing_site": "/?utm_source=PINTEREST&utm_medium=CPC"}, id="PINTEREST"),
        pytest.param({"landing_site": "/?utm_source=pinterest&utm_medium=paid"}, id="paid"),
        pytest.param({"landing_site": "/?utm_source=pinterest&utm_medium=ppc"}, id="ppc"),
        pytest.param({"landing_site": "/?utm_source=pinterest"}, id="no medium"),
        pytest.param({"landing_site": f"/?epik={EPIK}"}, id="click id alone"),
        pytest.param(
            {"landing_site": "/", "referring_site": "https://www.pinterest.com/"}, id="referrer"
        ),
        pytest.param(
            {"landing_site": "/", "referring_site": "https://in.pinterest.com/pin/1/"},
            id="country's referrer",
        ),
        pytest.param(
            {"landing_site": "/", "referring_site": "android-app://com.pinterest/"}, id="the app"
        ),
        pytest.param(
            {"note_attributes": [{"name": "UTM_Source", "value": "pinterest"}]}, id="a note"
        ),
        pytest.param({"note_attributes": {"__pin_epik": EPIK}}, id="a note of the pixel"),
    ],
)
def test_every_form_of_pinterest_traffic_counts_and_is_sent(
    build: Build, visit: dict[str, Any]
) -> None:
    service = build(PINTEREST_SEND="attributed")
    shop = shop_of(service)
    shop.sends("orders/create", order(**visit))

    assert shop.reads("/conversion-funnel")["total_events"] == 1
    assert [row["event_id"] for row in rows(service.store, "outbox")] == ["checkout-5001"]


@pytest.mark.parametrize(
    "visit",
    [
        {"landing_site": "/?utm_source=google&utm_medium=cpc"},
        {"landing_site": "/", "referring_site": "https://pinterest.com.evil.example/"},
        {"landing_site": "/pinterest"},
        {"landing_site": None},
    ],
)
def test_other_traffic_is_kept_counted_apart_and_not_sent(
    build: Build, visit: dict[str, Any]
) -> None:
    service = build(PINTEREST_SEND="attributed")
    shop = shop_of(service)
    shop.sends("orders/create", order(**visit))

    assert shop.reads("/conversion-funnel", traffic="pinterest")["total_events"] == 0
    assert shop.reads("/conversion-funnel", traffic="all")["total_events"] == 1
    assert deliver(service) == 0
    # It is held for a fact that may still come, and no longer.
    assert [row["state"] for row in rows(service.store, "outbox")] == ["held"]


@pytest.mark.parametrize(
    "body",
    [
        order(customer=None),
        order(total_price=None),
        order(note_attributes=[{"name": "utm_source", "value": None}]),
        order(line_items=[]),
        b"[]",
        b'{"id": 5001, ',
    ],
)
def test_an_odd_body_is_neither_an_error_nor_lost(build: Build, body: Any) -> None:
    service = build()
    answer = shop_of(service).sends("orders/create", body)

    assert answer.status_code == 200
    assert len(rows(service.store, "orders")) + len(rows(service.store, "quarantine")) == 1


def test_a_body_of_five_megabytes_is_refused(build: Build) -> None:
    answer = shop_of(build()).sends("orders/create", order(note="x" * 5_000_000))

    assert answer.status_code == 413


def test_refunds_and_cancellations_change_the_figures(build: Build) -> None:
    shop = shop_of(build())
    shop.sends("orders/create", order(landing_site=pinned()))
    shop.sends("refunds/create", refund())
    assert shop.reads("/roi-analysis")["total_revenue"] == "30.00"

    gone = {"cancelled_at": instant(NOW + HOUR), "updated_at": instant(NOW + HOUR)}
    shop.sends("orders/cancelled", order(landing_site=pinned(), **gone))
    found = shop.reads("/roi-analysis")
    assert (found["refunds"], found["cancellations"], found["total_revenue"]) == (
        *("10.00", "30.00", "0.00"),
    )


def test_the_figures_are_those_of_the_orders(build: Build) -> None:
    shop = shop_of(build())
    assert shop.reads("/roi-analysis")["orders"] == 0
    assert shop.reads("/conversion-funnel")["conversion_rate"] == "0%"

    shop.sends("orders/create", order(landing_site=pinned()))
    shop.spends(
        {"date": "2026-11-20", "campaign_id": "626735565838", "spend": "8.00", "currency": "USD"}
    )
    found = shop.reads("/roi-analysis")
    assert (found["orders"], found["total_revenue"], found["total_spend"]) == (1, "40.00", "8.00")
    assert float(found["roas"]) == 5


@pytest.mark.parametrize("path", ["/conversion-funnel", "/roi-analysis", "/events", "/spend"])
def test_reports_ask_for_a_token(build: Build, path: str) -> None:
    client = assemble(build()).test_client()

    assert client.get(path).status_code == 401
    assert client.get(path, headers=bearer("guessed")).status_code == 401
    assert client.get(f"{path}?token={bearer()['Authorization']}").status_code == 401


def test_without_a_token_in_the_settings_reports_stay_closed(build: Build) -> None:
    client = assemble(build(API_TOKEN="")).test_client()

    for headers in ({}, bearer(), {"Authorization": "Bearer "}):
        assert client.get("/roi-analysis", headers=headers).status_code == 503


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30", "20261120", "'; --"])
def test_a_date_that_is_none_is_the_askers_error_by_name(build: Build, day: str) -> None:
    client = assemble(build()).test_client()

    for path in ("/conversion-funnel", "/roi-analysis"):
        answer = client.get(path, query_string={"start_date": day}, headers=bearer())
        assert answer.status_code == 400
        assert [error["field"] for error in answer.get_json()["errors"]] == ["start_date"]


def test_readiness_tells_the_truth(
    build: Build, build_service: BuildService, postgres_url: str, clock: Clock
) -> None:
    service = build(PINTEREST_SEND="all", PINTEREST_TEST_MODE="true")
    shop = shop_of(service)
    shop.sends("orders/create", order())
    clock.tick(seconds=90)
    found = shop.client.get("/ready", headers=bearer()).get_json()
    assert (found["status"], found["oldest_waiting_seconds"]) == ("ok", 90)
    assert (found["test_mode"], found["report_only"]) == (True, False)

    elsewhere = postgres_url.replace("search_path%3D", "search_path%3Dnowhere_")
    broken = assemble(build_service(elsewhere)).test_client().get("/ready", headers=bearer())
    assert broken.status_code == 503
    assert (broken.get_json()["store_writable"], broken.get_json()["report_only"]) == (False, True)


@pytest.mark.parametrize(("days", "orders"), [("0", 0), ("1", 1), ("3", 2)])
def test_the_window_is_read_from_the_settings(build: Build, days: str, orders: int) -> None:
    shop = shop_of(build(CLICK_WINDOW_DAYS=days))
    early = instant(NOW - 2 * DAY)
    moments = dict.fromkeys(("created_at", "processed_at", "updated_at"), early)
    shop.sends("orders/create", order(id=1, landing_site=pinned(), **moments))
    shop.sends("orders/create", order(id=2, landing_site=None))

    campaigns = {c["campaign_id"]: c["orders"] for c in shop.reads("/roi-analysis")["campaigns"]}
    assert campaigns.get("626735565838", 0) == orders


def test_several_touches_share_an_order_by_the_chosen_model(build: Build) -> None:
    shop = shop_of(build(ATTRIBUTION_MODEL="linear"))
    early = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(NOW - DAY))
    shop.sends("orders/create", order(id=1, landing_site=pinned("1"), **early))
    shop.sends("orders/create", order(id=2, landing_site=pinned("2")))

    revenue = {c["campaign_id"]: c["revenue"] for c in shop.reads("/roi-analysis")["campaigns"]}
    assert revenue == {"1": "60.00", "2": "20.00"}
    first = shop.reads("/roi-analysis", model="first_touch")["campaigns"]
    assert {c["campaign_id"]: c["revenue"] for c in first} == {"1": "80.00"}


def test_a_buyer_is_known_again_on_another_device(build: Build) -> None:
    shop = shop_of(build())
    early = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(NOW - DAY))
    phone = [{"name": "__pin_vid", "value": "visitor-on-phone"}]
    laptop = [{"name": "__pin_vid", "value": "visitor-on-laptop"}]
    shop.sends("orders/create", order(id=1, landing_site=pinned(), note_attributes=phone, **early))
    shop.sends("orders/create", order(id=2, landing_site="/", note_attributes=laptop))

    assert shop.reads("/orders/2/journey")["why"].startswith("Credited to Pinterest")


def test_a_debug_switch_in_the_environment_opens_nothing(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLASK_DEBUG", "DEBUG", "FLASK_ENV"):
        monkeypatch.setenv(name, "1")
    app = assemble(build())

    def fail() -> str:
        raise RuntimeError("inner workings")

    app.add_url_rule("/fails", "fails", fail)
    client = app.test_client()
    answer = client.get("/fails", headers=bearer())
    assert answer.status_code == 500
    assert "inner workings" not in answer.get_data(as_text=True)
    assert client.get("/console", headers=bearer()).status_code == 404
