"""Visitors are counted once each, whatever ids they had, and the figures keep no id for longer."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.actors import DAY, NOW
from tests.funnel_by_sql import CountedBySql
from tests.store_contents import rows
from tracking.domain.shop_days import ShopDays
from tracking.report.figures_by_day import FiguresByDay
from tracking.report.figures_worker import FiguresWorker
from tracking.report.funnel_span import FunnelSpan
from tracking.report.funnel_writer import FunnelWriter
from tracking.store import (
    Store,
    conversions,
    erasure,
    funnel_figures,
    report_progress,
    retention,
)
from tracking.store.conversions import ConversionRow

TODAY = int(NOW) // DAY * DAY
DAYS = ShopDays(ZoneInfo("UTC"))


def seen(event_id: str, visitor: str, days_ago: int = 0, **changes: Any) -> ConversionRow:
    at = TODAY - days_ago * DAY
    row = ConversionRow(event_id, "product_view", "", visitor, at, 1, 0, *("",) * 3, 0, "", "", at)
    return row._replace(**changes)


def comes(store: Store, *events: ConversionRow) -> None:
    for event in events:
        store.commit(partial(conversions.put, row=event))


def finish(store: Store) -> None:
    FiguresWorker(FunnelWriter(store, DAYS)).finish()


def assert_figures_are_those_of_the_rows(store: Store) -> None:
    """On every span of the last days."""
    today = DAYS.day_of(TODAY)
    with store.read() as conn:
        progress = report_progress.of(conn, "funnel")
        assert progress.zone == "UTC"
        for first in range(today - 6, today + 1):
            for last in range(first, today + 1):
                span = FunnelSpan(first, last, True)
                ours, told = (
                    FiguresByDay(conn, span, DAYS, progress),
                    CountedBySql(conn, span, DAYS),
                )
                assert ours.total() == told.total()
                labels = [*told.labels()]
                assert [*ours.labels()] == labels
                assert [ours.of([label]) for label in labels] == [
                    told.of([label]) for label in labels
                ]


def renamed(conn: Any, event_id: str, new: str) -> None:
    erasure.rename_purchase(conn, event_id, new)


def forget_renamed(store: Store) -> None:
    while store.commit(funnel_figures.forget_renamed):
        pass


def test_who_comes_again_while_old_events_are_renamed_counts_on_as_one(store: Store) -> None:
    comes(store, seen("old", "a", 5), seen("other", "b", 5))
    finish(store)
    store.commit(partial(renamed, event_id="old", new="er:1"))
    comes(store, seen("again", "a", 1))
    finish(store)
    forget_renamed(store)
    assert_figures_are_those_of_the_rows(store)
    comes(store, seen("once more", "a"))
    for _ in range(2):
        assert_figures_are_those_of_the_rows(store)
        finish(store)
    assert {row["visitor"] for row in rows(store, "report_visitors")} == {"a", "b", "er:1"}


def test_a_visitor_id_left_to_another_person_counts_as_that_person(store: Store) -> None:
    comes(store, seen("mine", "a", 1), seen("theirs", "a"))
    comes(store, seen("order", "a", stage="purchase", order_id="order"))
    finish(store)
    store.commit(partial(renamed, event_id="mine", new="er:1"))
    store.commit(partial(funnel_figures.forget_visitors, visitors=["a"]))
    for _ in range(2):
        assert_figures_are_those_of_the_rows(store)
        finish(store)


def test_a_buyer_whose_browser_is_forgotten_counts_on_as_one(store: Store) -> None:
    bought = {"stage": "purchase", "order_id": "1"}
    comes(store, seen("first", "a", 4, **bought))
    finish(store)
    kind, before = retention.VISITORS_OF_FIGURES, TODAY - 5 * DAY
    with store.read() as conn:
        keys = retention.page(conn, kind, before)
    store.commit(partial(retention.forget, kind=kind, before=before, rows=keys))
    comes(store, seen("second", "a", 2, **bought))
    for _ in range(2):
        assert_figures_are_those_of_the_rows(store)
        finish(store)


def test_an_event_that_is_renamed_and_changes_at_once_is_counted_as_what_it_is_now(
    store: Store,
) -> None:
    comes(store, seen("one", "a"), seen("two", "a"), seen("three", ""), seen("four", ""))
    finish(store)
    comes(store, seen("one", "er:1", campaign="autumn", stage="add_to_cart"), seen("two", "er:1"))
    comes(store, seen("three", "er:2"))
    for _ in range(2):
        assert_figures_are_those_of_the_rows(store)
        finish(store)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_event_with_the_number_of_one_that_was_just_deleted_is_counted(store: Store) -> None:
    finish(store)
    comes(store, seen("one", "a"), seen("two", "b"))

    class Interrupted:
        dialect, read = store.dialect, store.read
        is_first = True

        def commit(self, work: Callable[[Any], Any]) -> Any:
            if self.is_first:
                self.is_first = False
                store.commit(
                    lambda c: c.cursor.execute("DELETE FROM conversions WHERE event_id = 'two'")
                )
                comes(store, seen("three", "c", 3, stage="add_to_cart"))
            return store.commit(work)

    FunnelWriter(Interrupted(), DAYS).step()  # type: ignore[arg-type]

    for _ in range(2):
        assert_figures_are_those_of_the_rows(store)
        finish(store)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_visitor_of_many_events_is_renamed_at_once(store: Store, database_url: str) -> None:
    finish(store)
    with psycopg.connect(database_url.replace("+psycopg", "", 1), autocommit=True) as raw:
        raw.execute(
            "INSERT INTO conversions (event_id, stage, visitor, at, is_counted)"
            " SELECT 'e' || n, 'product_view', 'a', 1700000000 + n, 1"
            " FROM generate_series(1, 20000) n"
        )
    finish(store)
    begun = time.perf_counter()
    store.commit(partial(erasure.forget_visitor, visitor="a", new="er:1"))
    # A lock is waited for that long.
    assert time.perf_counter() - begun < 10


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_purge_and_an_erasure_of_one_visitor_wait_for_each_other_in_one_order(
    store: Store, database_url: str
) -> None:
    comes(store, seen("one", "a"), seen("two", "b"))
    finish(store)
    url = database_url.replace("+psycopg", "", 1)
    rename = "UPDATE conversions SET visitor = %s WHERE visitor = %s"
    with (
        psycopg.connect(url) as erasure_of_both,
        psycopg.connect(url, autocommit=True) as purge,
        psycopg.connect(url, autocommit=True) as watch,
        ThreadPoolExecutor() as threads,
    ):
        erasure_of_both.execute(rename, ["er:2", "b"])
        forgotten = threads.submit(purge.execute, "DELETE FROM report_visitors WHERE visitor = 'a'")
        blocked = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
        while watch.execute(blocked, [purge.info.backend_pid]).fetchone() is None:
            assert not forgotten.done()
        erasure_of_both.execute(rename, ["er:1", "a"])
        erasure_of_both.commit()
        forgotten.result()


def test_of_two_campaigns_of_one_name_and_instant_the_same_comes_last(store: Store) -> None:
    comes(store, seen("one", "a", campaign_id="22", campaign="summer", is_pinterest=1))
    finish(store)
    comes(store, seen("two", "b", campaign_id="11", campaign="summer", is_pinterest=1))
    comes(store, seen("three", "c", campaign_id="11", campaign="summer"))
    for _ in range(2):
        assert_figures_are_those_of_the_rows(store)
        finish(store)
