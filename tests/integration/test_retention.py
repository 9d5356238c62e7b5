"""Nothing is kept longer than promised, nobody has to see to it, and nobody waits for it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert

from app import assemble
from tests.actors import DAY, HOUR, NOW, Clock, Operator, Shop, instant, order
from tests.conftest import BuildService
from tests.servers import PATIENCE
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tests.watched_store import WatchedStore
from tracking.operate.retention import INTERVAL_SECONDS, QUARANTINE_DAYS, Retention
from tracking.service import Service
from tracking.store import Store, quarantine, retention
from tracking.store.engine.statement import Connection, Statement
from tracking.store.schema import metadata

KEPT_DAYS = 40

# The column that says how old a row is, of every table that is purged.
AGE = {
    "outbox": "settled_at",
    "attempts": "at",
    "receipts": "received_at",
    "touches": "at",
    "checkouts": "at",
    "privacy_requests": "received_at",
    "quarantine": "received_at",
}
# Of these nothing of a person is left that was not seen for so long
# (test_retention_of_persons.py).
OF_PERSONS = {"orders", "links", "told_links", "clients", "visitors"}
# Only what cannot be recorded is purged (test_pixel_recorder.py); all else is recorded.
UNRECORDABLE = {"pixel_backlog"}
# Why the rows of the others stay.
STAY = {
    "refunds": "the shop's books",
    "credits": "the shop's books: sums and campaigns",
    "conversions": "what the funnel counts; old ones for nobody known",
    "spend": "the shop's books",
    "tombstones": "who was erased stays erased",
    "pending_erasures": "gone once the erasure is complete",
    "pinterest_erasures": "names nobody once Pinterest was asked",
    "accounts": "one row for each destination",
    "attempt_sums": "one row for each destination and outcome",
    "deliverers": "one row for each process that delivers, removed with it",
    "syncs": "one row for each ad account",
    "pinterest_figures": "the shop's books: sums of campaigns",
    "pinterest_readings": "one row for each ad account and kind of figures",
    "pinterest_ads": "one row for each ad",
    "ad_spend": "the shop's books",
    "told_versions": "one row for each of these tables",
    "summed_weeks": "one row for each week and kind of figures",
    "pinterest_calls": "counts by day, of which the last days are kept",
    "tokens": "one row for each token that was configured",
    "alerts": "one row for each alert",
    "arrivals": "counts by ten minutes, of which five weeks are kept",
    "limits": "forgotten when they are free again",
    "refused_webhooks": "counts by reason, which are summed up after two hours",
    "report_progress": "one row for each kind of figures",
    "report_visitors": "visitor ids without rows are deleted once their events are renamed",
    "report_campaigns": "names of campaigns",
    "funnel_totals": "what the funnel counts, without visitor ids",
    "funnel_campaigns": "what the funnel counts, without visitor ids",
    "funnel_versions": "one row for each day and stage",
    "funnel_week_totals": "what the funnel counts, without visitor ids",
    "funnel_weeks": "what the funnel counts, without visitor ids",
    "report_weeks": "one row for each week and stage",
    "report_marks": "gone once the marked days are counted anew",
    "hint_quarters": "counts by quarters of an hour",
    "credit_days": "the shop's books: sums by day",
    "ad_days": "the shop's books: sums by day",
    "credit_changes": "gone once they are summed up",
    "accuracy_quarters": "counts of orders by what became of them",
    "accuracy_marks": "gone once the marked quarters are counted anew",
    "compared_credits": "the shop's books: credits by what became of the orders' events",
    "compared_days": "sums of these by day",
    "compared_marks": "gone once they are summed up",
    "match_days": "counts of what was sent, of nobody",
    "match_examples": "ids of a few orders a day, gone with an order's buyer",
    "match_verdicts": "one row for each source that Pinterest judges",
    "match_components": "one row for each field and event that Pinterest judges",
}


class OneRound(threading.Event):
    """Tells whoever waits on it to stop."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


def odd(store: Store, name: str, at: float) -> None:
    """A body that came in at an instant, and that nobody understood."""
    store.commit(lambda conn: quarantine.add(conn, name, "", "odd", b"", int(at)))


def names(store: Store) -> set[str]:
    return {str(row["digest"]) for row in rows(store, "quarantine")}


def goes_round(store: Store, clock: Clock) -> None:
    """One round of a process that was started just now."""
    Retention(store, KEPT_DAYS, clock).run(OneRound())


def test_every_table_is_purged_or_there_is_a_reason_why_not() -> None:
    assert {*AGE, *OF_PERSONS, *UNRECORDABLE, *STAY} == {*metadata.tables}
    assert not {*AGE, *UNRECORDABLE} & {*STAY}
    assert len(retention.KINDS) == len({*AGE, *OF_PERSONS, *UNRECORDABLE})


@pytest.mark.parametrize("table", AGE)
def test_a_row_goes_when_it_is_older_than_promised_and_not_before(
    store: Store, clock: Clock, table: str
) -> None:
    oldest = NOW - KEPT_DAYS * DAY
    if table == "quarantine":
        # Of these nothing may be left when the next turn comes.
        oldest = NOW - QUARANTINE_DAYS * DAY + INTERVAL_SECONDS
    put_row(store, table, "young", oldest)
    put_row(store, table, "old", oldest - 1)

    list(Retention(store, KEPT_DAYS, clock).purge())

    (left,) = rows(store, table)
    assert "young" in left.values()


def test_an_event_that_is_held_for_a_late_fact_stays(
    build_service: BuildService, database_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(database_url, pinterest=pinterest)
    Shop(assemble(service).test_client()).sends("orders/create", order(landing_site="/"))

    list(service.retention.purge())

    assert [row["state"] for row in rows(service.store, "outbox")] == ["held"]


def put_row(store: Store, table: str, name: str, at: int) -> None:
    """A row of no more than what it must have, as old as that."""
    columns = metadata.tables[table].columns
    must = [
        c.name for c in columns if c.server_default is None and not c.nullable and c.name != "id"
    ]
    row: dict[str, Any] = {n: b"" if n in ("payload", "body") else name for n in must}
    row |= {"at": at} if "at" in columns else {}
    row |= {"event_id": name} if "event_id" in columns else {}
    row |= {"state": "sent"} if "state" in columns else {}
    row[AGE[table]] = at
    store.commit(lambda conn: Statement(insert(metadata.tables[table]).values(row)).run(conn))


def test_it_happens_by_itself_and_of_all_processes_one_does_it(store: Store, clock: Clock) -> None:
    odd(store, "first", NOW - 31 * DAY)
    goes_round(store, clock)
    assert names(store) == set()

    odd(store, "second", NOW - 31 * DAY)
    goes_round(store, clock)
    assert names(store) == {"second"}

    clock.tick(seconds=INTERVAL_SECONDS)
    goes_round(store, clock)
    assert names(store) == set()


def test_one_process_that_stays_up_does_it_again_and_again(store: Store, clock: Clock) -> None:
    watched = WatchedStore(store)
    purging = Retention(watched, KEPT_DAYS, clock)
    for name in ("first", "second", "third"):
        odd(store, name, NOW - 31 * DAY)
        purging.run(OneRound())
        assert names(store) == set()

        commits = watched.commits
        purging.run(OneRound())
        assert watched.commits == commits, "it asks the store before it is time"
        clock.tick(seconds=INTERVAL_SECONDS)


def test_a_clock_set_back_does_not_stop_it(store: Store, clock: Clock) -> None:
    purging = Retention(store, KEPT_DAYS, clock)
    clock.tick(days=1)
    purging.run(OneRound())
    clock.tick(days=-1)
    odd(store, "old", NOW - 31 * DAY)

    purging.run(OneRound())

    assert names(store) == set()


def test_a_store_that_is_away_is_waited_for(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = WatchedStore(store)
    odd(store, "old", NOW - 31 * DAY)
    purging = Retention(watched, KEPT_DAYS, clock)
    watched.is_away = True
    purging.run(OneRound())
    assert "waits for the store" in caplog.text

    watched.is_away = False
    purging.run(OneRound())

    assert names(store) == set()


def test_a_clock_that_jumped_ahead_forgets_nothing(
    service: Service, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order())
    odd(service.store, "odd", NOW)
    operator = Operator(assemble(service))
    service.retention.run(OneRound())
    assert "purge" not in operator.types("doctor").output

    clock.tick(days=3 * 365)
    # By Shopify's clock it is placed at the right time.
    shop.sends("orders/create", order(id=2))
    for _ in range(2):
        service.retention.run(OneRound())
        clock.tick(hours=7)

    assert all(row["links"] and row["session"] for row in rows(service.store, "orders"))
    assert names(service.store) == {"odd"}
    assert [m for m in caplog.messages if m.startswith("nothing is forgotten")] == [
        "nothing is forgotten: no order and no purge for 7 days; is the clock right?"
    ]
    assert "held, as nothing was bought or purged for 7 days" in operator.types("doctor").output

    clock.now = NOW + 7 * HOUR
    service.retention.run(OneRound())
    assert "held, as nothing" not in operator.types("doctor").output


def test_a_clock_that_is_set_back_by_an_hour_is_in_no_doubt(service: Service, clock: Clock) -> None:
    Shop(assemble(service).test_client()).sends("orders/create", order())
    clock.tick(days=20)
    [*service.retention.purge()]

    clock.tick(hours=-1)

    assert not service.retention.is_doubtful()


def test_a_shop_without_orders_is_purged_on_and_on(service: Service, clock: Clock) -> None:
    Shop(assemble(service).test_client()).sends("orders/create", order())
    odd(service.store, "odd", NOW)

    for _ in range(35):
        service.retention.run(OneRound())
        clock.tick(days=1)

    assert names(service.store) == set()


def test_after_a_long_rest_an_order_or_the_operator_says_that_the_clock_is_right(
    service: Service, clock: Clock
) -> None:
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order())
    odd(service.store, "first", NOW)
    clock.tick(days=60)

    service.retention.run(OneRound())
    assert names(service.store) == {"first"}
    shop.sends("orders/create", order(id=2, **placed(clock())))
    service.retention.run(OneRound())
    assert names(service.store) == set()

    odd(service.store, "second", clock())
    clock.tick(days=60)
    Operator(assemble(service)).reads("purge")
    assert names(service.store) == set()
    assert not service.retention.is_doubtful()


def placed(at: float) -> dict[str, str]:
    return dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(at))


def test_whoever_writes_meanwhile_comes_in_between(store: Store, clock: Clock) -> None:
    many = 10 * retention.PAGE
    store.commit(partial(fill, count=many))
    pages_left: list[int] = []
    enough = threading.Event()

    def write() -> None:
        while not enough.is_set():
            odd(store, f"new {len(pages_left)}", NOW)
            with store.read() as conn:
                pages_left.append(quarantine.count(conn) // retention.PAGE)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        wait_for(lambda: len(pages_left) > 0)
        found = {kind: count for kind, count, _ in Retention(store, KEPT_DAYS, clock).purge()}
        enough.set()
        writing.result(PATIENCE)

    assert found[retention.QUARANTINED] == many
    assert len(set(pages_left)) > 3, "it was not purged bit by bit, or nobody could write"
    assert {name[:3] for name in names(store)} == {"new"}


def fill(conn: Connection, count: int) -> None:
    for number in range(count):
        quarantine.add(conn, str(number), "", "odd", b"", NOW - 31 * DAY)


def test_the_running_service_does_it_beside_delivering(
    build_service: BuildService, sqlite_url: str
) -> None:
    service: Service = build_service(sqlite_url)
    odd(service.store, "old", NOW - 31 * DAY)

    maintenance = service.maintenance()
    maintenance.start()
    try:
        wait_for(lambda: names(service.store) == set())
    finally:
        maintenance.stop()


def wait_for(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE * 100)):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come true")
