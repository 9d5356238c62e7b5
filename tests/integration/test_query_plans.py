"""What the statements of the busy ways read: rows by an index, never a table from end to end."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from tests.actors import NOW, instant, order, pinned, refund
from tests.conftest import BuildService
from tests.import_files import sale, table
from tests.pixel_events import CALLER, call, view
from tracking.domain.conversion import event_id_of
from tracking.operate.alerts.figures import AlertFigures
from tracking.operate.rate_limiter import Rate, RateLimiter
from tracking.receive.imports import Importer, ImportSource
from tracking.receive.pixel import pixel_batch_of
from tracking.receive.pixel_recorder import PixelRecorder
from tracking.receive.rows import purchase_of_unknown
from tracking.receive.server_events import ServerEvents
from tracking.receive.tracker import Tracker
from tracking.report.campaign_orders import orders_of_campaign
from tracking.report.comparison import Comparison, PinterestSource
from tracking.report.known_rows import KnownRows
from tracking.report.order_list import OrderList
from tracking.report.reports import Reports
from tracking.service import Service
from tracking.store import (
    Store,
    alert_figures,
    claims,
    conversions,
    event_batches,
    order_list,
    outbox,
    retention,
    spend,
    usual_calls,
)
from tracking.store.claims import Settlement
from tracking.store.engine.group_commit import BatchableWrite
from tracking.store.engine.statement import Connection
from tracking.store.migrations import migrate
from tracking.store.order_list import OrderFilter, OrderPlace
from tracking.store.schema import metadata

T = TypeVar("T")


class ExplainedStore:
    """A store in SQLite that collects which tables the statements of its callers scan."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self.scanned: set[str] = set()
        self._store = store

    def commit(self, work: Callable[[Connection], T]) -> T:
        return self._store.commit(lambda conn: work(self._explained(conn)))

    def bulk(self) -> AbstractContextManager[None]:
        return self._store.bulk()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._store.read() as conn:
            yield self._explained(conn)

    def _explained(self, conn: Connection) -> Connection:
        explained = Connection(conn.raw, conn.dialect)
        explained.cursor = ExplainedCursor(conn.raw, self.scanned)
        return explained


class ExplainedCursor:
    def __init__(self, raw: Any, scanned: set[str]) -> None:
        self._raw, self._cursor, self._scanned = raw, raw.cursor(), scanned
        self.steps: list[str] = []

    def execute(self, text: str, values: Any = ()) -> Any:
        for *_, step in self._raw.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall():
            self.steps.append(step)
            # An index of the rows that meet a condition is scanned for whether there is any.
            found = re.fullmatch(r"SCAN (\w+)", step)
            if found and found[1] in metadata.tables:
                self._scanned.add(f"{step}: {text}")
        return self._cursor.execute(text, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


@dataclass(frozen=True)
class ExplainedWrite(BatchableWrite):
    """A write of a new PostgreSQL, which collects the tables that its statements scan."""

    work: Any
    scanned: list[str]

    def __call__(self, conn: Any) -> Any:
        raise AssertionError("it was not written together with others")

    @classmethod
    def prepare(cls, works: Sequence[Any]) -> None:
        type(works[0].work).prepare([each.work for each in works])

    @classmethod
    def attempt(cls, conn: Any, works: Sequence[Any]) -> Sequence[Any]:
        conn.cursor = ExplainedPostgresCursor(conn.raw, works[0].scanned)
        results: Sequence[Any] = type(works[0].work).attempt(conn, [each.work for each in works])
        return results


class ExplainedPostgresCursor:
    def __init__(self, raw: Any, scanned: list[str]) -> None:
        self._raw, self._cursor, self._scanned = raw, raw.cursor(), scanned

    def execute(self, text: str, values: Any = ()) -> Any:
        for (step,) in self._raw.execute(f"EXPLAIN {text}", values).fetchall():
            found = re.search(r"Seq Scan on (\w+)", step)
            # Whether anybody was ever erased needs no index.
            if found and found[1] in metadata.tables and found[1] != "tombstones":
                self._scanned.append(step)
        return self._cursor.execute(text, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class ExplainedPostgres:
    """A PostgreSQL that explains what is committed to it."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self.scanned: list[str] = []
        self._store = store

    def commit(self, work: Any) -> Any:
        return self._store.commit(ExplainedWrite(work, self.scanned))

    def commit_later(self, work: Any) -> Any:
        return self._store.commit_later(ExplainedWrite(work, self.scanned))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def refuse(rejected: Any) -> None:
    raise AssertionError(rejected.reason)


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str) -> Service:
    return build_service(sqlite_url)


def test_an_import_of_events_that_name_orders_reads_no_table_from_end_to_end(
    service: Service, tmp_path: Path
) -> None:
    store: Any = ExplainedStore(service.store)
    file = tmp_path / "sales.csv"
    file.write_bytes(table([{**sale(n), "order_id": str(n)} for n in range(3)]))
    events = ServerEvents(store, service.events.planner, service.clock)
    with file.open("rb") as raw:
        Importer(events, service.tracker, int(service.clock()), refuse).run(ImportSource(raw, file))
    # The command finds out once whether anybody was ever erased: it needs no index to.
    assert {step for step in store.scanned if "tombstones" not in step} == set()


def test_newer_states_of_an_order_and_its_pages_read_no_large_table_from_end_to_end(
    service: Service,
) -> None:
    store: Any = ExplainedStore(service.store)
    tracker = Tracker(store, service.tracker.planner, service.clock, store)
    placed = order(landing_site=pinned(), financial_status="pending")
    paid = {**placed, "financial_status": "paid", "updated_at": instant(NOW + 60)}
    later = {**paid, "created_at": instant(NOW + 1), "processed_at": instant(NOW + 1)}

    for body in (placed, paid, {**later, "updated_at": instant(NOW + 120)}):
        tracker.receive_order(json.dumps(body).encode(), "orders/updated")
    tracker.receive_refund(json.dumps(refund()).encode(), "refunds/create")
    basis = replace(service.reports.basis, store=store)
    found = Reports(basis, {}).journey("5001")
    listed = OrderList(basis).page()

    assert found is not None
    assert [each["revenue"] for each in found["credits"]["last_touch"]] == ["30.00"]
    assert [each["is_credited"] for each in listed["orders"]] == [True]
    # Nothing is left of its credits at the instant that it was placed at before.
    assert service.reports.roi()["orders"] == 1
    large = ("credits", "conversions", "outbox", "orders", "touches", "links")
    assert {step for step in store.scanned if step.split()[1].startswith(large)} == set()


def test_an_order_that_somebody_looks_for_is_found_by_its_number_or_not_at_all(
    service: Service,
) -> None:
    for number in (1, 2):
        body = order(id=number, name=f"#{1000 + number}")
        service.tracker.receive_order(json.dumps(body).encode(), "orders/create")
    with service.store.read() as conn:
        explained = ExplainedCursor(conn.raw, set())
        conn.cursor = explained
        found = [order_list.called(conn, text, 50, 0) for text in ("1001", "#1001", "1", "autumn")]
    assert [[row.order_id for row in rows] for rows in found] == [["1"], ["1"], ["1"], []]
    assert [step for step in explained.steps if re.match(r"SCAN (orders|conversions)", step)] == []


def test_the_orders_of_a_campaign_are_found_among_any_number_of_other_orders(
    service: Service,
) -> None:
    body = order(id=1, landing_site=pinned("11"))
    service.tracker.receive_order(json.dumps(body).encode(), "orders/create")
    service.figures.finish()
    wanted = OrderFilter(0, 2**40, "", "11", 2**20 - 1)
    with service.store.read() as conn:
        explained = ExplainedCursor(conn.raw, set())
        conn.cursor = explained
        found = orders_of_campaign(conn, wanted, OrderPlace(2**40, 2**62), 20, 0)
    assert [row.order_id for row in found] == ["1"]
    assert any("compared_credits_of_campaign (campaign=?" in step for step in explained.steps)
    large = r"SCAN (orders|conversions|credits|compared_credits)|SEARCH \w+ USING .*purchases"
    assert [step for step in explained.steps if re.match(large, step)] == []


def test_the_visitors_of_a_page_of_old_events_are_found_among_any_number_of_other_events(
    service: Service,
) -> None:
    with service.store.read() as conn:
        explained = ExplainedCursor(conn.raw, set())
        conn.cursor = explained
        retention.young_visitors(conn, NOW, ["v1", "v2"])
    assert [step for step in explained.steps if step.startswith("SCAN conversions")] == []


@pytest.mark.parametrize("kind", ["touches", "links", "browsers", "consent of visitors"])
def test_a_purge_reads_no_other_table_from_end_to_end(service: Service, kind: str) -> None:
    with service.store.read() as conn:
        explained = ExplainedCursor(conn.raw, set())
        conn.cursor = explained
        retention.page(conn, kind, NOW, window=86_400)
    scanned = [step for step in explained.steps if step.startswith("SCAN")]
    assert scanned == []


def test_a_check_of_the_alerts_reads_no_large_table_from_end_to_end(service: Service) -> None:
    store: Any = ExplainedStore(service.store)
    by_rule = AlertFigures(store, ["pinterest"], has_pixel=True, is_beside_app=True).by_rule()
    # The webhooks of the weeks before the first check are counted once, and not again.
    by_rule["no_webhooks"](NOW)
    store.scanned.clear()

    for gather in by_rule.values():
        gather(NOW)

    large = ("receipts", "conversions", "outbox", "attempts", "orders")
    assert {step for step in store.scanned if step.split()[1].startswith(large)} == set()


def test_a_comparison_by_its_figures_reads_no_large_table_from_end_to_end(service: Service) -> None:
    service.figures.finish()
    service.store.commit(lambda conn: conversions.put(conn, purchase_of_unknown("5001", NOW)))
    service.store.commit(lambda conn: conversions.count(conn, "checkout-5001", is_counted=True))
    store: Any = ExplainedStore(service.store)
    basis = replace(service.reports.basis, store=store, known_rows=KnownRows())

    Comparison(basis, PinterestSource("1")).report()

    large = ("credits", "conversions", "outbox", "orders", "compared_credits", "compared_days")
    assert {step for step in store.scanned if step.split()[1].startswith(large)} == set()


def test_purchases_that_share_their_ids_are_found_among_any_number_of_other_events(
    service: Service,
) -> None:
    with service.store.read() as conn:
        explained = ExplainedCursor(conn.raw, set())
        conn.cursor = explained
        alert_figures.shared_ids(conn, NOW)
    assert any("conversions_purchases" in step for step in explained.steps), explained.steps


def put_not_sent(store: Store, numbers: range) -> None:
    """Events that are sent to nobody, of which a shop has millions."""
    put = [
        purchase_of_unknown(f"{number}", NOW)._replace(reason="not_attributed")
        for number in numbers
    ]
    store.commit(lambda conn: event_batches.put(conn, put, [], [], NOW))


def kill(store: Store, order_id: str) -> None:
    """Pinterest refuses the event of an order."""
    event_id = event_id_of(order_id)
    store.commit(
        lambda conn: outbox.queue(conn, event_id, "pinterest", b"{}", event_time=NOW, now=NOW)
    )
    (row,) = store.commit(lambda conn: claims.claim(conn, "pinterest", "a", NOW, NOW + 60, 1))
    dead = Settlement(row.id, "dead", b"{}", "refused", NOW, 1, NOW)
    store.commit(lambda conn: claims.settle(conn, "a", [dead]))


def steps_of(store: Store, state: str, event_id: str = "") -> int:
    """How many steps SQLite takes for a page of the delivery log."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with store.read() as conn:
        conn.raw.set_progress_handler(count, 1)
        (found,) = conversions.log(conn, state, 0, 100, event_id)
        conn.raw.set_progress_handler(None, 1)
    assert found.order_id == "7"
    return steps


@pytest.mark.parametrize(("state", "event_id"), [("dead", ""), ("", event_id_of("7"))])
def test_an_event_is_found_in_as_many_steps_however_many_others_there_are(
    service: Service, state: str, event_id: str
) -> None:
    put_not_sent(service.store, range(1, 11))
    kill(service.store, "7")
    few = steps_of(service.store, state, event_id)

    put_not_sent(service.store, range(11, 511))

    assert steps_of(service.store, state, event_id) <= few + 10


@pytest.fixture(scope="module")
def young_url(postgres_url: str) -> Iterator[str]:
    """A schema of its own: that of the other tests was analysed in the background, by and by."""
    url, _, schema = postgres_url.rpartition("%3D")
    raw_url = postgres_url.replace("+psycopg", "", 1)
    with psycopg.connect(raw_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA young_{schema}")
        migrate(f"{url}%3Dyoung_{schema}")
        yield f"{url}%3Dyoung_{schema}"
        connection.execute(f"DROP SCHEMA young_{schema} CASCADE")


@pytest.fixture
def young_postgres(build_service: BuildService, young_url: str) -> Service:
    """A service over a PostgreSQL that knows nothing of how many rows its tables will have."""
    return build_service(young_url)


def test_new_orders_are_looked_up_by_indices_in_a_postgresql_without_statistics(
    young_postgres: Service,
) -> None:
    store: Any = ExplainedPostgres(young_postgres.store)
    tracker = Tracker(store, young_postgres.tracker.planner, young_postgres.clock, store)

    tracker.receive_order(json.dumps(order()).encode(), "orders/create")

    assert store.scanned == []


def test_calls_of_the_pixel_are_looked_up_by_indices_in_a_postgresql_without_statistics(
    young_postgres: Service,
) -> None:
    store: Any = ExplainedPostgres(young_postgres.store)
    pixel = PixelRecorder(store, young_postgres.tracker.attributor, young_postgres.clock)
    limiter = RateLimiter(store, young_postgres.clock, b"key", Rate(1, 1), None)
    body = json.dumps(call(view(clientId="browser-0001"))).encode()
    told = pixel_batch_of(body, CALLER, young_postgres.tracker.planner.policy, NOW)

    pixel.record_later(lambda: told.events, limiter.turn("203.0.113.7")).result(20)

    assert store.scanned == []


def test_what_is_known_of_a_call_is_looked_up_by_indices(service: Service) -> None:
    with service.store.read() as conn:
        explained = ExplainedCursor(conn.raw, set())
        conn.cursor = explained
        usual_calls.known_of(conn, ["visitor-0001"], ["cl:1"], ["sh-1"])
    tables = "|".join(metadata.tables)
    assert [step for step in explained.steps if re.match(rf"SCAN ({tables})", step)] == []


_LOOKED_UP = ("fates_queued", "fates_settled", "compared_queued", "compared_settled")


@pytest.mark.parametrize("trigger", [*_LOOKED_UP, "compared_named"])
def test_a_trigger_finds_an_event_by_its_id_in_a_postgresql_without_statistics(
    young_postgres: Service, trigger: str
) -> None:
    with young_postgres.store.read() as conn:
        query = "SELECT prosrc FROM pg_proc WHERE oid = %s::regproc"
        (source,) = conn.cursor.execute(query, [trigger]).fetchone()
        step = source.strip().removeprefix("BEGIN ").partition(";")[0]
        row = re.sub(r"new\.(\w+)", r"(SELECT \1 FROM outbox LIMIT 1)", step)
        plan = [line for (line,) in conn.cursor.execute(f"EXPLAIN {row}").fetchall()]
    assert any("conversions_event_id_key" in line for line in plan), plan


def test_the_names_of_campaigns_are_read_in_the_order_of_an_index(service: Service) -> None:
    with service.store.read() as conn:
        explained = ExplainedCursor(conn.raw, set())
        conn.cursor = explained
        spend.names(conn)
    assert explained.steps == [
        "SCAN spend USING COVERING INDEX spend_of_campaign",
        "USE TEMP B-TREE FOR ORDER BY",
    ]
