"""What the store keeps of Pinterest's own figures, on SQLite and PostgreSQL alike."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.actors import NOW
from tracking.store import Store, open_store, pinterest_calls, pinterest_figures, pinterest_readings
from tracking.store.pinterest_figures import PinterestFigures
from tracking.store.pinterest_readings import ReadingRow

ACCOUNT = "549755885175"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = open_store(database_url)
    yield opened
    opened.close()


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
