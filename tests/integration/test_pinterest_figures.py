"""What the store keeps of Pinterest's own figures, on SQLite and PostgreSQL alike."""

import itertools
from functools import partial
from typing import Any

import pytest

from tests.actors import NOW
from tracking.report.known_rows import KnownRows
from tracking.store import (
    Store,
    pinterest_calls,
    pinterest_figures,
    pinterest_readings,
    told_versions,
)
from tracking.store.engine.statement import Connection
from tracking.store.pinterest_figures import PinterestFigures
from tracking.store.pinterest_readings import ReadingRow
from tracking.store.told_versions import Told

ACCOUNT = "549755885175"


def figures(date: str, campaign_id: str, **more: Any) -> PinterestFigures:
    """Three orders of a campaign on a day, two of them after a click."""
    told = {
        "report_by": "order_date",
        "currency": "USD",
        "campaign": f"campaign {campaign_id}",
        "orders": 3,
        "value_micros": 90_000_000,
        "click_orders": 2,
        "click_micros": 70_000_000,
        "view_orders": 1,
        "view_micros": 20_000_000,
        "web_orders": 3,
        "offline_orders": 0,
        "click_window_days": 30,
        "view_window_days": 1,
        "recorded_at": NOW,
        "account": ACCOUNT,
    }
    return PinterestFigures(**{"date": date, "campaign_id": campaign_id, **told, **more})


def execute(conn: Connection, text: str) -> None:
    conn.raw.execute(text)


def put(store: Store, *rows: PinterestFigures) -> None:
    store.commit(partial(pinterest_figures.put, rows=rows))


def test_the_last_figures_of_a_day_replace_those_before(store: Store) -> None:
    put(store, figures("2026-11-01", "1"), figures("2026-11-02", "1"))
    restated = figures("2026-11-01", "1", campaign="renamed", orders=4, recorded_at=NOW + 1)
    put(store, restated)

    with store.read() as conn:
        found = pinterest_figures.rows(conn, "2026-11-01", "2026-11-01", "order_date")
    assert found == [restated]


def test_figures_are_summed_by_day_and_by_campaign_without_adding_two_kinds_of_days(
    store: Store,
) -> None:
    put(
        store,
        figures("2026-11-01", "1"),
        figures("2026-11-01", "2", value_micros=10),
        figures("2026-11-02", "1"),
        figures("2026-11-02", "1", currency="EUR", view_window_days=7),
        figures("2026-11-02", "1", report_by="click_date", click_window_days=7),
    )

    with store.read() as conn:
        asked = (conn, ACCOUNT, "2026-11-01", "2026-11-02", "order_date")
        days = pinterest_figures.by_day(*asked)
        campaigns = pinterest_figures.by_campaign(*asked)
    assert [(day.date, day.currency, day.orders, day.value_micros) for day in days] == [
        ("2026-11-01", "USD", 6, 90_000_010),
        ("2026-11-02", "EUR", 3, 90_000_000),
        ("2026-11-02", "USD", 3, 90_000_000),
    ]
    assert {(one.campaign_id, one.currency): one.click_orders for one in campaigns} == {
        ("1", "USD"): 4,
        ("1", "EUR"): 2,
        ("2", "USD"): 2,
    }
    assert {(day.click_window_days, day.view_window_days) for day in days} == {(30, 1), (30, 7)}


def test_the_newest_name_of_a_campaign_is_the_last(store: Store) -> None:
    put(store, figures("2026-11-02", "1", campaign="b"), figures("2026-11-01", "1", campaign="c"))

    with store.read() as conn:
        found = pinterest_figures.by_campaign(
            conn, ACCOUNT, "2026-11-01", "2026-11-02", "order_date"
        )
    assert [row.campaign for row in found] == ["c", "b"]


def test_the_figures_of_two_accounts_are_not_mixed(store: Store) -> None:
    put(
        store,
        figures("2026-11-01", "1"),
        figures("2026-11-01", "2", account="2"),
        # An older release did not tell the account.
        figures("2026-11-02", "1", account=""),
        figures("2026-11-02", "2", account=""),
    )
    store.commit(partial(pinterest_figures.claim, account=ACCOUNT, campaign_ids=["1", "3"]))

    with store.read() as conn:
        asked = ("2026-11-01", "2026-11-02", "order_date")
        ours, theirs = (pinterest_figures.by_day(conn, each, *asked) for each in (ACCOUNT, "2"))
        found = pinterest_figures.by_campaign(conn, ACCOUNT, *asked)
    assert [(day.date, day.orders) for day in ours] == [("2026-11-01", 3), ("2026-11-02", 3)]
    assert [(day.date, day.orders) for day in theirs] == [("2026-11-01", 3)]
    assert [(row.campaign_id, row.orders) for row in found] == [("1", 6)]


# A row of each table that has a version, and what changes in it.
VERSIONED = {
    "spend": ("date, campaign_id, campaign, currency, micros", "micros = 2"),
    "ad_spend": ("date, ad_id, currency, micros", "micros = 2"),
    "pinterest_ads": ("ad_id", "name = 'renamed'"),
    "pinterest_figures": ("date, campaign_id, report_by, currency", "account = 'another'"),
}


@pytest.mark.parametrize("table", VERSIONED)
def test_every_change_of_a_table_changes_its_version_alone(store: Store, table: str) -> None:
    columns, change = VERSIONED[table]
    values = ", ".join(["'1'"] * len(columns.split(", ")))
    seen: list[dict[str, int]] = []
    for statement in (
        "SELECT 1",
        f"INSERT INTO {table} ({columns}) VALUES ({values})",  # noqa: S608
        f"UPDATE {table} SET {change}",  # noqa: S608
        f"DELETE FROM {table}",  # noqa: S608
    ):
        store.commit(partial(execute, text=statement))
        with store.read() as conn:
            seen.append({**told_versions.of_all(conn)})

    assert len({versions.pop(table, 0) for versions in seen}) == len(seen)
    assert all(versions == seen[0] for versions in seen)


def test_figures_are_read_again_only_when_their_table_has_changed(store: Store) -> None:
    known, counted = KnownRows(most_rows=4), itertools.count(1)

    def query(conn: Connection, day: str) -> list[tuple[str, int]]:
        return [(day, next(counted))]

    def reads(table: Told, day: str) -> int:
        with store.read() as conn:
            ((_, number),) = known.of(conn, table, query, day)
        return number

    assert [reads("pinterest_figures", day) for day in ("1", "2", "1", "2")] == [1, 2, 1, 2]
    put(store, figures("2026-11-01", "1"))
    assert [reads("pinterest_figures", day) for day in ("1", "1", "2")] == [3, 3, 4]
    # Of three, the one that was asked for longest ago is forgotten.
    assert [reads("pinterest_figures", day) for day in ("1", "3", "1", "2")] == [3, 5, 3, 6]


def test_figures_of_which_there_are_none_are_forgotten_as_well(store: Store) -> None:
    known, asked = KnownRows(most_rows=4), list[int]()

    def query(conn: Connection, day: int) -> list[str]:
        asked.append(day)
        return []

    with store.read() as conn:
        for day in (*range(100), 99, 0):
            assert known.of(conn, "spend", query, day) == []
    assert asked == [*range(100), 0]


def test_calls_are_counted_up_to_the_most_of_a_day(store: Store) -> None:
    count = partial(pinterest_calls.count, account=ACCOUNT, day="2026-11-01", most=2)

    assert [store.commit(count) for _ in range(3)] == [True, True, False]

    with store.read() as conn:
        assert pinterest_calls.of_day(conn, ACCOUNT, "2026-11-01") == 2
        assert pinterest_calls.of_day(conn, ACCOUNT, "2026-11-02") == 0
    store.commit(partial(pinterest_calls.forget, account=ACCOUNT, before="2026-11-02"))
    with store.read() as conn:
        assert pinterest_calls.of_day(conn, ACCOUNT, "2026-11-01") == 0


def test_each_account_and_kind_of_figures_has_its_own_progress(store: Store) -> None:
    first = ReadingRow(ACCOUNT, "conversions", through="2026-11-01", read_at=NOW)
    others = [ReadingRow(ACCOUNT, "ads"), ReadingRow("2", "conversions", failure="HTTP 403")]
    for row in (*others, first._replace(through=""), first):
        store.commit(partial(pinterest_readings.put, row=row))

    with store.read() as conn:
        assert pinterest_readings.of_account(conn, ACCOUNT) == [others[0], first]
