"""Reports that add up stored days tell what the raw rows tell, whatever changed meanwhile."""

import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
import pytest

from app import assemble
from tests.actors import DAY, HOUR, NOW, Operator, Shop, order
from tests.conftest import BuildService
from tests.funnel_by_sql import CountedBySql
from tests.store_contents import rows
from tracking.domain.attribution import MODELS, SCOPES, Rules, bit
from tracking.domain.conversion import STAGES
from tracking.domain.customer import CustomerType
from tracking.domain.shop_days import ShopDays
from tracking.report.campaigns import CampaignLabel, CampaignNames, label_of
from tracking.report.credit_sums import CreditSpan, credit_sums
from tracking.report.credit_writer import CreditWriter
from tracking.report.figures_by_day import FiguresByDay
from tracking.report.figures_worker import FiguresWorker
from tracking.report.funnel_span import FunnelSpan
from tracking.report.funnel_writer import FunnelWriter
from tracking.report.known_figures import KnownFigures
from tracking.report.later_names import later_names
from tracking.store import (
    Store,
    conversions,
    erasure,
    funnel_figures,
    open_store,
    report_progress,
    reports,
    retention,
    touches,
)
from tracking.store.conversions import ConversionRow
from tracking.store.credit_figures import FOREVER, ReportDay
from tracking.store.engine.statement import Connection
from tracking.store.migrations import migrate
from tracking.store.touches import CreditRow

ZONES = ("America/New_York", "Asia/Kathmandu", "Pacific/Auckland")
CAMPAIGNS = (("11", "summer"), ("11", "sommer"), ("22", "autumn"), ("", "brand"), ("", ""))
TYPES: tuple[CustomerType, ...] = ("", "new", "returning")
TODAY = int(NOW) // DAY * DAY


class StoredEvent(NamedTuple):
    """An event on record."""

    event_id: str
    visitor: str
    order_id: str


class History:
    """A made-up shop's rows, which change as they do in the product."""

    def __init__(self, store: Store, random: Random, days: int) -> None:
        self.store = store
        self.random = random
        self.days = days
        self.events: dict[str, ConversionRow] = {}
        self.orders: dict[str, int] = {}

    def goes_on(self) -> None:
        """Lets one thing happen."""
        happens: list[Callable[[Connection], None]] = [
            *[self._an_event_comes] * 6,
            *[self._an_order_is_credited] * 3,
            self._an_event_changes,
            self._an_event_is_credited,
            self._an_event_stops_counting,
            self._an_order_is_credited_again,
            self._a_visitor_is_forgotten,
            self._the_newest_event_is_deleted,
        ]
        self.store.commit(self.random.choice(happens))

    def _an_event_comes(self, conn: Connection) -> None:
        for _ in range(self.random.choice((1, 1, 2, 9))):
            row = self._event(f"e{self.random.randrange(400)}")
            self.events[row.event_id] = row
            conversions.put(conn, row)

    def _rows(self, conn: Connection) -> list[StoredEvent]:
        conn.cursor.execute("SELECT event_id, visitor, order_id FROM conversions")
        return [StoredEvent(*row) for row in conn.cursor.fetchall()]

    def _event(self, event_id: str) -> ConversionRow:
        campaign_id, campaign = self.random.choice(CAMPAIGNS)
        stage = self.random.choice(STAGES)
        return ConversionRow(
            event_id=event_id,
            stage=stage,
            order_id=event_id if stage == "purchase" else "",
            visitor=self.random.choice(("", *(f"v{n}" for n in range(25)))),
            at=self._instant(),
            is_counted=self.random.choice((1, 1, 1, 0)),
            is_pinterest=self.random.choice((0, 1)),
            campaign_id=campaign_id,
            campaign=campaign,
            currency="",
            value=0,
            reason="",
            detail="",
            recorded_at=0,
        )

    def _instant(self) -> int:
        return TODAY - self.random.randrange(self.days) * DAY + self.random.randrange(DAY)

    def _an_event_changes(self, conn: Connection) -> None:
        if self.events:
            event_id = self.random.choice(sorted(self.events))
            changed = self._event(event_id)
            known = self.events[event_id]
            names = self.random.sample(("at", "stage", "visitor", "campaign_id", "is_counted"), 2)
            row = known._replace(**{name: getattr(changed, name) for name in names})
            self.events[event_id] = row
            conversions.put(conn, row)

    def _an_event_is_credited(self, conn: Connection) -> None:
        if self.events:
            event_id = self.random.choice(sorted(self.events))
            row = self._event(event_id)._replace(at=self.events[event_id].at)
            conversions.set_credit(conn, row)

    def _an_event_stops_counting(self, conn: Connection) -> None:
        if self.events:
            conversions.count(conn, self.random.choice(sorted(self.events)), is_counted=False)

    def _a_visitor_is_forgotten(self, conn: Connection) -> None:
        visitor, new = f"v{self.random.randrange(25)}", f"er:{self.random.randrange(10**9)}"
        for event in self._rows(conn):
            if event.visitor == visitor and event.order_id:
                erasure.rename_purchase(conn, event.event_id, new)
        erasure.forget_visitor(conn, visitor, new)

    def old_visitors_are_renamed(self, meanwhile: Callable[[], None]) -> None:
        """Renames the events of visitors who did not come lately, page by page as a purge does."""
        before = TODAY - 2 * DAY
        with self.store.read() as conn:
            rows = retention.old_events(conn, before, 0)
            young = retention.young_visitors(conn, before, {row.visitor for row in rows})
        run = self.random.randrange(10**9)
        new = {row.id: f"er:{run}{row.visitor}" for row in rows if row.visitor not in young}
        first = set(self.random.sample(sorted(new), len(new) // 2))
        for page in (first, new.keys() - first):
            names = {id: new[id] for id in page}
            self.store.commit(partial(retention.rename_events, names=names))
            meanwhile()
        while self.store.commit(funnel_figures.forget_renamed):
            pass

    def _the_newest_event_is_deleted(self, conn: Connection) -> None:
        conn.cursor.execute("DELETE FROM conversions WHERE id = (SELECT max(id) FROM conversions)")

    def _an_order_is_credited(self, conn: Connection) -> None:
        order_id = f"o{len(self.orders)}"
        self.orders[order_id] = self._instant()
        touches.put_credits(conn, order_id, self._credits(order_id), None)

    def _an_order_is_credited_again(self, conn: Connection) -> None:
        if self.orders:
            order_id = self.random.choice(sorted(self.orders))
            at = self.orders[order_id]
            touches.put_credits(conn, order_id, self._credits(order_id), at)

    def _credits(self, order_id: str) -> list[CreditRow]:
        placed_at = self.orders[order_id]
        return [self._credit(order_id, n, placed_at) for n in range(self.random.randrange(4))]

    def _credit(self, order_id: str, n: int, placed_at: int) -> CreditRow:
        campaign_id, campaign = self.random.choice(CAMPAIGNS)
        return CreditRow(
            placed_at=placed_at,
            order_id=order_id,
            n=n,
            mask=self.random.randrange(1, 2**14),
            credited_at=placed_at - self.random.choice((0, HOUR, 2 * DAY)),
            currency=self.random.choice(("EUR", "USD")),
            touch_key="",
            is_pinterest=self.random.choice((0, 1)),
            campaign_id=campaign_id,
            campaign=campaign,
            share=self.random.randrange(1_000_000),
            gross=self.random.randrange(10_000),
            net=self.random.randrange(10_000),
            cancellations=self.random.randrange(100),
            customer_type=self.random.choice(TYPES),
        )


def writers(store: Store, zone: str) -> tuple[FunnelWriter, CreditWriter]:
    days = ShopDays(ZoneInfo(zone))
    return FunnelWriter(store, days, events=7), CreditWriter(store, days, Rules().click_window)


def assert_the_figures_are_those_of_the_rows(
    store: Store, zone: str, random: Random, known: KnownFigures
) -> None:
    days = ShopDays(ZoneInfo(zone))
    today = days.day_of(TODAY)
    first = today - random.randrange(35)
    last = random.randrange(first, today + 2)
    with store.read() as conn:
        progress = report_progress.of(conn, "funnel")
        for all_traffic in (True, False):
            span = FunnelSpan(first, last, all_traffic)
            ours = FiguresByDay(conn, span, days, progress, known)
            told = CountedBySql(conn, span, days)
            assert ours.total() == told.total()
            assert list(ours.labels()) == list(told.labels())
            for count in range(3):
                labels = random.sample(list(told.labels()), min(count, len(told.labels())))
                assert ours.of(labels) == told.of(labels)
        model_bit = bit(random.choice(SCOPES), random.choice(list(MODELS)))
        dates: tuple[ReportDay, ...] = ("order_date", "click_date")
        for by in dates:
            assert_credits(conn, CreditSpan(first, last, model_bit, by, Rules().click_window), days)


def assert_credits(conn: Connection, span: CreditSpan, days: ShopDays) -> None:
    since, before = days.begin(span.first), days.begin(span.last + 1)
    if span.report_by == "order_date":
        told = reports.credits_by_order_date(conn, since, before, span.bit)
    else:
        window = span.longest_window
        told = reports.credits_by_click_date(conn, since, before, span.bit, window)
    assert sums_of(credit_sums(conn, span, days)) == sums_of(told)


def sums_of(rows: Any) -> list[tuple[Any, ...]]:
    """The sums by campaign. When a campaign was credited last only counts among its names."""
    return sorted(tuple(map(str, row[:-1])) for row in rows)


@pytest.mark.histories(5)
def test_figures_by_day_are_those_of_the_rows_after_whatever_happened(
    store: Store, seed: int
) -> None:
    random = Random(seed)
    # Few days change often, many are summed up by week.
    history = History(store, random, days=random.choice((6, 30)))
    zone = random.choice(ZONES)
    # Of a process that reports all the time; of many days it forgets some again.
    known = KnownFigures(most_bytes=100_000)

    def some_steps() -> None:
        for writer in writers(store, zone):
            for _ in range(random.randrange(4)):
                writer.step()

    for _ in range(80):
        for _ in range(random.randrange(4)):
            history.goes_on()
        if random.random() < 0.04:
            history.old_visitors_are_renamed(meanwhile=some_steps)
        if random.random() < 0.02:
            zone = random.choice(ZONES)
        some_steps()
        assert_the_figures_are_those_of_the_rows(store, zone, random, known)
    FiguresWorker(*writers(store, zone)).finish()
    with store.read() as conn:
        assert report_progress.of(conn, "credits").through == FOREVER
        assert report_progress.marks(conn, 1) == []
    for _ in range(5):
        assert_the_figures_are_those_of_the_rows(store, zone, random, known)
    for _ in range(4):
        # What is still to be summed up.
        history.goes_on()
    assert_the_names_of_an_orders_campaigns_are_those_of_the_credits(store)


def assert_the_names_of_an_orders_campaigns_are_those_of_the_credits(store: Store) -> None:
    by_order: dict[str, list[Any]] = {}
    for row in rows(store, "credits"):
        by_order.setdefault(row["order_id"], []).append(row)
    with store.read() as conn:
        for some in by_order.values():
            since = min(row["placed_at"] for row in some)
            labels = [
                CampaignLabel(bool(row["is_pinterest"]), row["campaign_id"], row["campaign"])
                for row in some
            ]
            told = {text for label in labels for text in label[1:] if text}
            known = CampaignNames(later_names(conn, since, told))
            counted = CampaignNames(map(label_of, reports.names_of_campaigns(conn, since, told)))
            assert [*map(known.key_of, labels)] == [*map(counted.key_of, labels)]


def counts_of(store: Store, zone: str = "UTC") -> dict[str, tuple[int, int]]:
    """What the figures of these days say of all traffic."""
    days = ShopDays(ZoneInfo(zone))
    today = days.day_of(TODAY)
    with store.read() as conn:
        progress = report_progress.of(conn, "funnel")
        assert progress.zone == zone
        return FiguresByDay(conn, FunnelSpan(today - 9, today, True), days, progress).total()


def an_event(event_id: str, visitor: str, stage: str = "product_view") -> ConversionRow:
    return ConversionRow(*(event_id, stage, "", visitor, TODAY, 1, 0), "", "", "", 0, "", "", TODAY)


def comes(store: Store, *events: ConversionRow) -> None:
    for event in events:
        store.commit(partial(conversions.put, row=event))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_event_that_is_committed_after_newer_ones_were_counted_is_counted(
    store: Store, database_url: str
) -> None:
    writer = FunnelWriter(store, ShopDays(ZoneInfo("UTC")), patience=0.0)
    FiguresWorker(writer).finish()
    url = database_url.replace("+psycopg", "", 1)
    with psycopg.connect(url) as slow:
        slow.execute(
            "INSERT INTO conversions (event_id, stage, visitor, at, is_counted)"
            " VALUES ('late', 'product_view', 'a', %s, 1)",
            [TODAY],
        )
        comes(store, an_event("newer", "b"))
        assert writer.step() is False
        assert counts_of(store) == {"product_view": (1, 1)}
        slow.commit()

    FiguresWorker(writer).finish()

    assert counts_of(store) == {"product_view": (2, 2)}
    with store.read() as conn:
        assert report_progress.of(conn, "funnel").through == report_progress.newest_event(conn)


class InterruptedStore:
    """A store in which something happens before the next transaction is written."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self._store = store
        self.next: Callable[[], object] | None = None
        self.read = store.read

    def commit(self, work: Callable[[Connection], Any]) -> Any:
        happens, self.next = self.next, None
        if happens is not None:
            happens()
        return self._store.commit(work)


@pytest.mark.parametrize("happens", ["renamed", "changed", "counted by another process"])
def test_what_happens_between_counting_and_writing_is_not_overwritten(
    store: Store, happens: str
) -> None:
    interrupted = InterruptedStore(store)
    writer = FunnelWriter(interrupted, ShopDays(ZoneInfo("UTC")))  # type: ignore[arg-type]
    other = FunnelWriter(store, ShopDays(ZoneInfo("UTC")))
    comes(store, an_event("one", "a"), an_event("two", "a"), an_event("three", "b"))
    FiguresWorker(other).finish()
    comes(store, an_event("four", "c"), an_event("five", "c", stage="add_to_cart"))
    expected = {"product_view": (4, 3), "add_to_cart": (1, 1)}
    match happens:
        case "renamed":
            forget = partial(erasure.forget_visitor, visitor="c", new="er:1")
            interrupted.next = partial(store.commit, forget)
        case "changed":
            interrupted.next = partial(comes, store, an_event("five", "c"))
            expected = {"product_view": (5, 3)}
        case _:
            interrupted.next = FiguresWorker(other).finish

    FiguresWorker(writer).finish()

    assert counts_of(store) == expected
    visitors = {row["visitor"] for row in rows(store, "report_visitors")}
    assert visitors == {"a", "b", "er:1" if happens == "renamed" else "c"}
    assert interrupted.next is None


def test_credits_that_another_process_sums_up_meanwhile_are_summed_up_once(store: Store) -> None:
    interrupted, days = InterruptedStore(store), ShopDays(ZoneInfo("UTC"))
    window = Rules().click_window
    writer = CreditWriter(interrupted, days, window)  # type: ignore[arg-type]
    other = CreditWriter(store, days, window)
    history = History(store, Random(1), days=6)
    for _ in range(40):
        history.goes_on()
    interrupted.next = FiguresWorker(other).finish

    FiguresWorker(writer).finish()

    assert interrupted.next is None
    span = CreditSpan(days.day_of(TODAY) - 9, days.day_of(TODAY), 1, "order_date", window)
    with store.read() as conn:
        assert credit_sums(conn, span, days)
        assert_credits(conn, span, days)


def test_an_erased_visitor_is_in_no_figures_and_goes_on_counting_as_one(store: Store) -> None:
    comes(store, an_event("one", "a"), an_event("two", "a"), an_event("three", "b"))
    FiguresWorker(*writers(store, "UTC")).finish()
    store.commit(partial(erasure.forget_visitor, visitor="a", new="er:1"))

    assert counts_of(store) == {"product_view": (3, 2)}
    assert {row["visitor"] for row in rows(store, "report_visitors")} == {"b", "er:1"}
    assert rows(store, "report_marks") == []


def test_figures_are_made_anew_on_request_while_reports_go_on(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    app = assemble(service)
    at = int(service.clock())
    comes(service.store, an_event("one", "a")._replace(at=at), an_event("two", "b")._replace(at=at))
    comes(service.store, an_event("three", "c")._replace(at=at))
    # The events that are left have the numbers 1 and 3.
    service.store.commit(
        lambda conn: conn.cursor.execute("DELETE FROM conversions WHERE event_id = 'two'")
    )
    service.figures.finish()
    before = Shop(app.test_client()).reads("/conversion-funnel", traffic="all")
    service.store.commit(lambda conn: conn.cursor.execute("DELETE FROM funnel_totals"))
    assert Shop(app.test_client()).reads("/conversion-funnel", traffic="all") != before

    said = Operator(app).reads("rebuild-reports")

    assert said == "the figures of all reports were made anew, up to event 3 of 3\n"
    assert Shop(app.test_client()).reads("/conversion-funnel", traffic="all") == before
    assert len(rows(service.store, "funnel_totals")) == 1


def test_the_totals_alone_are_those_of_the_whole_report(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    shop = Shop(assemble(service).test_client())
    at = int(service.clock())
    comes(service.store, an_event("one", "a")._replace(at=at), an_event("two", "b")._replace(at=at))
    for _ in range(2):
        whole = shop.reads("/conversion-funnel", traffic="all")
        totals = shop.reads("/conversion-funnel", traffic="all", by_campaign="false")
        assert totals == {**whole, "by_campaign": []}
        assert len(whole["by_campaign"]) == 1
        service.figures.finish()


def test_figures_of_more_campaigns_than_a_writer_remembers_are_made_all_the_same(
    store: Store,
) -> None:
    writer = FunnelWriter(store, ShopDays(ZoneInfo("UTC")), remembered=2)
    for batch in (("1", "2", "3"), ("1", "4"), ("3", "5")):
        for name in batch:
            event = an_event(f"{batch}-{name}", name)._replace(campaign_id=name)
            comes(store, event)
        while writer.step():
            pass

    assert counts_of(store) == {"product_view": (7, 5)}


class FaultyWriter:
    """A writer of figures that fails at each step."""

    def restart(self) -> None:
        """Nothing."""

    def step(self) -> bool:
        """Fails."""
        raise KeyError("a row that nobody expects")


class LastWriter(FunnelWriter):
    """A writer that stops the worker once it has nothing to do."""

    def __init__(self, store: Store, stop: threading.Event) -> None:
        super().__init__(store, ShopDays(ZoneInfo("UTC")))
        self._stop = stop

    def step(self) -> bool:
        """Writes the next figures."""
        if not super().step():
            self._stop.set()
            return False
        return True


def test_figures_that_cannot_be_written_keep_no_others_from_being_written(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    comes(store, an_event("one", "a"))
    stop = threading.Event()

    FiguresWorker(FaultyWriter(), LastWriter(store, stop)).run(stop)

    assert counts_of(store) == {"product_view": (1, 1)}
    assert len(rows(store, "funnel_totals")) == 1
    (line,) = caplog.messages
    assert line.startswith("figures were not written: KeyError")
    assert "a row that" not in line


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_an_order_of_the_first_or_last_day_of_all_keeps_no_figures_from_being_made(
    build_service: BuildService, database_url: str, zone: str, at: str
) -> None:
    service = build_service(database_url, SHOP_TIMEZONE=zone)
    shop = Shop(assemble(service).test_client())
    placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
    assert shop.sends("orders/create", order(**placed)).status_code == 200
    assert shop.sends("orders/create", order(id=2)).status_code == 200
    before = shop.reads("/roi-analysis", scope="all")

    service.figures.finish()

    assert shop.reads("/roi-analysis", scope="all") == before
    assert before["orders"] == 1


def test_the_log_tells_when_the_days_of_another_zone_are_counted(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    FiguresWorker(*writers(store, "UTC")).finish()
    assert caplog.messages == []
    FiguresWorker(*writers(store, "Asia/Kathmandu")).finish()
    (told,) = caplog.messages
    assert told == "the figures by day are made anew for Asia/Kathmandu; they were for UTC"


class _LargestResult:
    """A cursor that tells how many rows it returned at once, and how it found them."""

    def __init__(self, raw: Any) -> None:
        self._raw, self._cursor = raw, raw.cursor()
        self.most = 0
        self.plans = ""

    def execute(self, text: str, values: Any = ()) -> Any:
        plan = self._raw.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
        self.plans += "".join(f"{step}\n" for *_, step in plan if "report_" not in text[:200])
        self._cursor.execute(text, values)
        return self

    def fetchall(self) -> list[Any]:
        rows: list[Any] = self._cursor.fetchall()
        self.most = max(self.most, len(rows))
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def test_a_funnel_of_events_that_no_figures_count_holds_few_of_them_at_once(
    sqlite_url: str,
) -> None:
    migrate(sqlite_url)
    store = open_store(sqlite_url)
    days = ShopDays(ZoneInfo("UTC"))
    today = days.day_of(TODAY)
    # Whoever imports dates without times has thousands of events in one second.
    events = [
        (f"e{n}", STAGES[n % 4], str(n) if n % 4 == 3 else "", f"v{n % 7000}", TODAY)
        for n in range(24_000)
    ]
    store.commit(
        lambda conn: conn.cursor.executemany(
            "INSERT INTO conversions (event_id, stage, order_id, visitor, at, is_counted)"
            " VALUES (?, ?, ?, ?, ?, 1)",
            events,
        )
    )
    FunnelWriter(store, days, events=100).step()
    with store.read() as conn:
        span = FunnelSpan(today - 9, today, True)
        told = CountedBySql(conn, span, days).total()
        cursor = conn.cursor = _LargestResult(conn.raw)

        begun = report_progress.of(conn, "funnel")
        for progress in (begun, begun._replace(zone="")):
            assert FiguresByDay(conn, span, days, progress).total() == told

    assert cursor.most == 5_000
    assert "TEMP B-TREE" not in cursor.plans
    store.close()
