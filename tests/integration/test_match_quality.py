"""What our events have of the fields that Pinterest scores: each counted once, and no person."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    NOW,
    BuildWorld,
    Clock,
    Shop,
    World,
    bearer,
    deliver,
    instant,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.standins.pinterest_ads import FakePinterestAds
from tests.store_contents import rows
from tracking.clients.outcome import Outcome
from tracking.deliver.deliverer import LEASE_SECONDS, Deliverer
from tracking.destinations.pinterest import Pinterest
from tracking.domain.match_quality import FIELDS
from tracking.service import Service
from tracking.store import match_quality, match_verdicts
from tracking.store.match_quality import DayShare, SentEvent
from tracking.store.match_verdicts import ComponentRow, LookbackVerdicts, VerdictRow

DAY = 86_400
TODAY = NOW // DAY + 719_163
CLICKED = pinned("11", epik="dj0yJnU9b2JwcTV2cjl5VjN1")
NO_BUYER: dict[str, Any] = {
    "email": None,
    "contact_email": None,
    "customer": None,
    "billing_address": None,
}
BOB: dict[str, Any] = {
    "email": "bob@example.com",
    "contact_email": None,
    "customer": {"id": 3},
    "billing_address": None,
}
ALL = sum(1 << n for n in range(len(FIELDS)))


def sells(world: World, count: int, first: int = 1, **changes: Any) -> None:
    for number in range(first, first + count):
        world.sells(id=number, name=f"#{number}", **changes)


def counted(service: Service) -> int:
    """How many events the figures count."""
    return sum(row["events"] for row in rows(service.store, "match_days"))


# --- the figures


def test_the_coverage_of_each_field_is_told_by_event_and_day(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 1, landing_site=CLICKED)
    sells(world, 2, first=2, **NO_BUYER)
    deliver(world.service)
    clock.tick(days=1)
    at = instant(NOW + DAY)
    when = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
    sells(world, 1, first=9, client_details=None, **BOB, **when)
    deliver(world.service)

    found = world.shop.reads("/match-quality")

    first, second = found["days"]
    assert first["date"] == "2026-11-20"
    assert second["date"] == "2026-11-21"
    assert (first["event_name"], first["action_source"], first["events"]) == ("checkout", "web", 3)
    assert [first[name] for name in ("click_id_epik", "hashed_email", "ip_address")] == [
        *(33.3333, 33.3333, 100.0)
    ]
    assert [second[name] for name in ("click_id_epik", "hashed_email", "ip_address")] == [0, 100, 0]
    (sums,) = found["events"]
    assert {each["field"]: each["events"] for each in sums["fields"]} == {
        "click_id_epik": 1,
        "hashed_email": 2,
        "advertiser_external_id": 2,
        "hashed_maid": 0,
        "ip_address": 3,
        "user_agent": 3,
        "external_event_id": 4,
        "order_id": 4,
        "order_value": 4,
        "product_id": 4,
        "source_url": 4,
    }
    assert found["counted_since"] == "2026-11-20"


def test_an_event_that_two_deliverers_sent_is_counted_once(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 3)
    service = world.service

    class Slow(Pinterest):
        """Sends, and is overtaken before it is answered by whoever sends one of the same events."""

        def send(self, events: Sequence[bytes]) -> Outcome:
            outcome = super().send(events)
            clock.tick(seconds=LEASE_SECONDS + 1)
            others = Deliverer(service.store, service.destinations["pinterest"], clock)
            others._batch_limit = 1
            assert others.deliver() == 1
            return outcome

    told = world.pinterest
    slow = Slow(told.token, told.account_id, service.settings.pinterest_api_base)
    Deliverer(service.store, slow, clock).deliver()
    slow.close()
    deliver(service)

    assert len(told.accepted) == 3
    assert sorted(told.accepted.values()) == [1, 1, 2]
    assert counted(service) == 3


def test_what_pinterest_did_not_accept_is_not_counted(everywhere: BuildWorld) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 3)
    world.pinterest.poisoned = frozenset({"checkout-2"})
    world.pinterest.mode = "partial"

    deliver(world.service)

    states = sorted(row["state"] for row in rows(world.service.store, "outbox"))
    assert states == ["dead", "sent", "sent"]
    assert counted(world.service) == 2


def test_another_destination_is_not_judged(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")
    Shop(assemble(service).test_client()).sends("orders/create", order())

    class Elsewhere(Pinterest):
        name = "track_ai"

    other = Elsewhere(pinterest.token, pinterest.account_id, service.settings.pinterest_api_base)
    service.store.commit(
        lambda conn: conn.cursor.execute("UPDATE outbox SET destination = 'track_ai'")
    )
    assert Deliverer(service.store, other, service.clock).deliver() == 1
    other.close()

    assert counted(service) == 0


def test_figures_of_one_day_add_up_whoever_counts(everywhere: BuildWorld) -> None:
    store = everywhere().service.store
    for fields in (ALL, 1, 0):
        twice = [SentEvent(TODAY, "page_visit", "web", "e", "", fields)] * 2
        store.commit(partial(match_quality.add, events=twice))

    with store.read() as conn:
        (row,) = match_quality.days(conn, TODAY, TODAY)

    assert (row.events, row.click_id_epik, row.source_url) == (6, 4, 2)


def test_click_ids_and_emails_of_purchases_are_told_by_day(everywhere: BuildWorld) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 1, landing_site=CLICKED)
    sells(world, 1, first=2, **NO_BUYER)
    deliver(world.service)

    with world.service.store.read() as conn:
        assert match_quality.click_ids_by_day(conn, TODAY - 1, TODAY) == [DayShare(TODAY, 2, 1)]
        assert match_quality.emails_by_day(conn, TODAY, TODAY) == [DayShare(TODAY, 2, 1)]
        assert match_quality.emails_by_day(conn, TODAY + 1, TODAY + 9) == []


# --- advice, and the orders that show why


def test_a_weak_field_is_advised_on_with_five_orders_and_their_channels(
    everywhere: BuildWorld,
) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 6, **NO_BUYER)
    sells(world, 2, first=7, source_name="580111", **NO_BUYER)
    deliver(world.service)

    advice = world.shop.reads("/match-quality")["advice"]

    email = next(each for each in advice if each["field"] == "hashed_email")
    assert email["advice"].startswith("E-mail on 0% of purchases: these orders have no e-mail.")
    assert (email["event_name"], email["coverage"]) == ("checkout", 0)
    assert email["order_ids"] == ["5", "4", "3", "2", "1"]
    assert email["origins"] == [{"source_name": "web", "orders": 5}]


def test_an_erased_order_is_no_example_any_more(everywhere: BuildWorld) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 5, client_details=None)
    deliver(world.service)
    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": [2, 4]}

    world.shop.sends("customers/redact", {**asked, "customer": {"email": "ada@example.com"}})

    left = {row["order_id"] for row in rows(world.service.store, "match_examples")}
    assert not left & {"2", "4"}
    assert counted(world.service) == 5


def test_an_order_that_was_erased_while_it_was_sent_becomes_no_example(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 1)
    service = world.service
    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": [1]}

    class Meanwhile(Pinterest):
        def send(self, events: Sequence[bytes]) -> Outcome:
            world.shop.sends(
                "customers/redact", {**asked, "customer": {"email": "ada@example.com"}}
            )
            return super().send(events)

    told = world.pinterest
    slow = Meanwhile(told.token, told.account_id, service.settings.pinterest_api_base)
    Deliverer(service.store, slow, clock).deliver()
    slow.close()

    assert counted(service) == 1
    assert rows(service.store, "match_examples") == []


def test_a_shop_that_leaves_leaves_no_example(everywhere: BuildWorld, clock: Clock) -> None:
    world = everywhere(PINTEREST_SEND="all")
    sells(world, 2)
    deliver(world.service)
    assert rows(world.service.store, "match_examples")
    clock.tick(days=3)

    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com"}
    assert world.shop.sends("shop/redact", asked).status_code == 200

    assert rows(world.service.store, "match_examples") == []
    assert counted(world.service) == 2


# --- Pinterest's verdict


def test_the_verdict_stands_beside_our_figures(everywhere: BuildWorld) -> None:
    world = everywhere(PINTEREST_SEND="all", PINTEREST_ADS_TOKEN="pina_ads_token")
    sells(world, 1)
    deliver(world.service)
    put_verdict(world.service, "14d", overlap=410_000)

    found = world.shop.reads("/match-quality")

    (kind,) = found["events"]
    email = next(each for each in kind["fields"] if each["field"] == "hashed_email")
    assert (email["coverage"], email["pinterest_1d"], email["pinterest_14d"]) == (100, None, 92.5)
    assert found["pinterest"]["missing"] is None
    api, tag = found["pinterest"]["verdicts"]
    assert (api["overall_status"], api["read_at"]) == ("FAIR", "2026-11-20T12:00:00Z")
    assert [part["issues"] for part in api["components"]] == [
        [],
        [{"id": "7", "name": "Low", "reason": "Too few e-mails."}],
    ]
    assert tag["ingestion_source"] == "TAG"
    (advice,) = found["advice"]
    assert (advice["field"], advice["overlap"]) == ("external_event_id", 41.0)
    assert "PINTEREST_APP=beside" in advice["advice"]


def test_without_a_tag_beside_us_no_event_id_has_to_overlap(everywhere: BuildWorld) -> None:
    world = everywhere()
    put_verdict(world.service, "1d", overlap=0, sources=("CONVERSIONS_API",))
    assert world.shop.reads("/match-quality")["advice"] == []


def put_verdict(
    service: Service,
    lookback: str,
    overlap: int,
    sources: Sequence[str] = ("CONVERSIONS_API", "TAG"),
) -> None:
    issues = '[{"id":"7","name":"Low","reason":"Too few e-mails."}]'
    verdicts = [VerdictRow(lookback, "WEB", source, "FAIR", NOW) for source in sources]
    components = [
        row
        for source in sources
        for row in (
            ComponentRow(
                *(lookback, "WEB", source, "checkout", "external_event_id", 990_000, overlap, "")
            ),
            ComponentRow(
                *(lookback, "WEB", source, "checkout", "hashed_email", 925_000, None, issues)
            ),
        )
    ]
    newest = [LookbackVerdicts(lookback, verdicts, components)]
    service.store.commit(lambda conn: match_verdicts.put(conn, newest))


def test_a_newer_verdict_takes_the_place_of_the_one_before(everywhere: BuildWorld) -> None:
    service = everywhere().service
    put_verdict(service, "1d", overlap=410_000)
    put_verdict(service, "14d", overlap=500_000)
    put_verdict(service, "1d", overlap=420_000, sources=("TAG",))

    with service.store.read() as conn:
        told = match_verdicts.components(conn)
        assert [row.overlap for row in match_verdicts.overlaps(conn)] == [500_000]

    assert [(row.lookback, row.ingestion_source) for row in told] == [
        *[("14d", "CONVERSIONS_API")] * 2,
        *[("14d", "TAG")] * 2,
        *[("1d", "TAG")] * 2,
    ]


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({}, "not set: PINTEREST_ADS_TOKEN"),
        ({"PINTEREST_ADS_TOKEN": "t" * 20}, "it was not read yet; it is read every six hours"),
        (
            {"PINTEREST_ADS_TOKEN": "t" * 20, "PINTEREST_TEST_MODE": "true"},
            "PINTEREST_TEST_MODE is true: Pinterest records no event of ours, and so judges none",
        ),
    ],
)
def test_without_a_verdict_the_report_says_what_is_missing(
    build_service: BuildService, sqlite_url: str, env: dict[str, str], missing: str
) -> None:
    service = build_service(sqlite_url, PINTEREST_AD_ACCOUNT_ID="549755885175", **env)
    found = Shop(assemble(service).test_client()).reads("/match-quality")
    assert found["pinterest"] == {"missing": missing, "verdicts": []}
    assert (found["events"], found["days"], found["counted_since"]) == ([], [], None)


@pytest.fixture
def ads(clock: Clock) -> Iterator[FakePinterestAds]:
    with FakePinterestAds(clock) as server:
        yield server


@pytest.fixture
def reading(build_service: BuildService, database_url: str, ads: FakePinterestAds) -> Service:
    """A service that reads Pinterest's Ads API."""
    return build_service(database_url, **ads.env)


def sync(service: Service) -> dict[str, object]:
    assert service.pinterest_sync is not None
    outcomes = service.pinterest_sync.sync_all(lambda _: None)
    return {outcome.kind: outcome.result for outcome in outcomes}


def test_the_verdict_is_read_over_one_day_and_over_fourteen(
    reading: Service, ads: FakePinterestAds
) -> None:
    ads.judges({"hashed_email": {"CHECKOUT": 92.5}, "click_id_epik": {"PAGE_VISIT": 41.03}})
    told = ads.scores["14d"][0]["quality_components"]["hashed_email"]["CHECKOUT"]
    told["issues"] = [{"id": "7", "name": "Low\x00", "reason": "Too few\ne-mails. " + "x" * 900}]
    told["overlap"] = None

    sync(reading)

    assert [query["lookback_period"] for query in ads.asked("/conversion_eqs")] == [["1d"], ["14d"]]
    found = Shop(assemble(reading).test_client()).reads("/match-quality")["pinterest"]
    assert found["missing"] is None
    assert [verdict["lookback"] for verdict in found["verdicts"]] == ["14d", "1d"]
    click_id, email = sorted(found["verdicts"][0]["components"], key=lambda row: row["component"])
    assert (click_id["event_name"], click_id["coverage"]) == ("page_visit", 41.03)
    assert (email["event_name"], email["coverage"], email["overlap"]) == ("checkout", 92.5, None)
    (issue,) = email["issues"]
    assert (issue["id"], issue["name"]) == ("7", "Low")
    assert issue["reason"].startswith("Too few e-mails. xxx")
    assert len(issue["reason"]) == 500


def test_a_new_verdict_is_read_every_six_hours(
    reading: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    assert reading.pinterest_sync is not None
    for hours, asked in ((0, 2), (5, 2), (1, 4)):
        clock.tick(hours=hours)
        reading.pinterest_sync._sync_safely(lambda _: None)
        assert len(ads.asked("/conversion_eqs")) == asked


@pytest.mark.parametrize("coverage", [101, -1, "many"])
def test_a_coverage_that_is_no_percentage_changes_no_verdict(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds, coverage: Any
) -> None:
    service = build_service(sqlite_url, **ads.env)
    ads.judges({"hashed_email": {"checkout": 50}})
    sync(service)
    ads.scores = {"1d": [], "14d": []}
    ads.judges({"hashed_email": {"checkout": coverage}})

    sync(service)

    found = Shop(assemble(service).test_client()).reads("/match-quality")["pinterest"]
    assert "was not read to its end" in found["missing"]
    assert {row["coverage"] for row in rows(service.store, "match_components")} == {500_000}


def test_a_verdict_longer_than_there_are_events_is_not_stored(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds
) -> None:
    service = build_service(sqlite_url, **ads.env)
    ads.judges({"hashed_email": {f"event_{n}": 50 for n in range(31)}})
    sync(service)
    assert rows(service.store, "match_components") == []


def test_fields_that_pinterest_adds_or_leaves_out_are_no_fault(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds
) -> None:
    service = build_service(sqlite_url, **ads.env)
    ads.judges({"hashed_phone": {"checkout": 50}}, overall_status="EXCELLENT", more=1)
    ads.scores["1d"][0]["quality_components"]["order_id"] = None
    ads.scores["14d"][0].pop("quality_components")

    assert "0 fields" in sync(service)["quality"].summary  # type: ignore[attr-defined]

    verdicts = rows(service.store, "match_verdicts")
    assert {row["overall_status"] for row in verdicts} == {"EXCELLENT"}


def test_without_the_scope_the_report_says_why_there_is_no_verdict(
    reading: Service, ads: FakePinterestAds
) -> None:
    ads.closed = {"/conversion_eqs"}
    sync(reading)
    found = Shop(assemble(reading).test_client()).reads("/match-quality")["pinterest"]
    assert "ads:read" in found["missing"]


# --- how it is asked


def test_the_days_come_as_csv(world: BuildWorld) -> None:
    made = world(PINTEREST_SEND="all")
    sells(made, 1)
    deliver(made.service)

    answer = made.shop.client.get("/match-quality?format=csv", headers=bearer())

    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.get_data(as_text=True).splitlines() == [
        ",".join(("date", "event_name", "action_source", "events", *FIELDS)),
        "2026-11-20,checkout,web,1,0.0,100.0,100.0,0.0,100.0,100.0,100.0,100.0,100.0,100.0,100.0",
    ]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("start_date=yesterday", "start_date"),
        ("end_date=2026-13-01", "end_date"),
        ("start_date=2026-11-21&end_date=2026-11-20", "start_date"),
        ("event_name=checkout", "event_name"),
        ("format=xml", "format"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(world: BuildWorld, asked: str, field: str) -> None:
    answer = world().shop.client.get(f"/match-quality?{asked}", headers=bearer())
    assert answer.status_code == 400
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]
