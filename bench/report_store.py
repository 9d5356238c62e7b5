"""A shop of any size for the benchmark of the reports: events, orders and credits of ninety days,
written straight into the tables as the product would have stored them."""

import csv
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

import psycopg

from tracking.store.migrations import migrate

T = TypeVar("T")

DAYS = 90
CAMPAIGNS = 200
# Of a hundred events so many are of each stage.
_STAGES = (
    ("product_view", 72),
    ("add_to_cart", 11),
    ("checkout_initiation", 7),
    ("purchase", 10),
)
_VISITORS_AN_EVENT = 0.4
_PINTEREST = 0.25
_PLAIN = 0.35
_MASKS = (0b11111111111111, 0b10101010101010, 0b01010101010101, 0b00000001111111)
_PAGE = 50_000


class SeededEvent(NamedTuple):
    """An event of the made-up shop, in the order of the columns that are written."""

    event_id: str
    stage: str
    order_id: str
    visitor: str
    at: int
    is_counted: int
    is_pinterest: int
    campaign_id: str
    campaign: str
    currency: str
    value: int
    recorded_at: int


class SeededCredit(NamedTuple):
    """A credit of one of its orders, in the order of the columns that are written."""

    placed_at: int
    order_id: str
    n: int
    mask: int
    credited_at: int
    currency: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    share: int
    gross: int
    net: int


def events(count: int, until: int) -> Iterator[SeededEvent]:
    """Yields the events of the ninety days before an instant, the oldest first."""
    random = Random(7)
    stages = [stage for stage, share in _STAGES for _ in range(share)]
    visitors = int(count * _VISITORS_AN_EVENT)
    since = until - DAYS * 86_400
    for n in range(count):
        stage = stages[int(random.random() * 100)]
        at = since + n * DAYS * 86_400 // count
        # Most of a visitor's events are of few days.
        near = n * _VISITORS_AN_EVENT - random.expovariate(10 / visitors)
        chance = random.random()
        campaign = int(random.random() ** 2 * CAMPAIGNS)
        is_pinterest = chance < _PINTEREST
        named = is_pinterest or chance < 1 - _PLAIN
        yield SeededEvent(
            f"shu-{n:09d}-4c1e-8a6b-52d0f0a1b2c3",
            stage,
            f"{5_900_000_000_000 + n}" if stage == "purchase" else "",
            f"vi:{int(near) % visitors:042d}",
            at,
            1,
            int(is_pinterest),
            f"{626_700_000_000 + campaign}" if named else "",
            f"campaign {campaign}" if named else "",
            "USD",
            2500,
            at,
        )


def credits_of(order: SeededEvent, random: Random) -> Iterator[SeededCredit]:
    """Yields one or two credits of an order."""
    parts = 2 if random.random() < 0.3 else 1
    for n in range(parts):
        yield SeededCredit(
            order.at,
            order.order_id,
            n,
            _MASKS[int(random.random() * 4)],
            order.at - int(random.random() * 20 * 86_400) * order.is_pinterest,
            "USD",
            order.is_pinterest,
            order.campaign_id,
            order.campaign,
            1_000_000 // parts,
            order.value // parts,
            order.value // parts - 100,
        )


def seed(url: str, count: int, table: Path) -> None:
    """Fills a new database, and writes the same events to a CSV file for DuckDB."""
    migrate(url)
    write = _write_sqlite if url.startswith("sqlite") else _write_postgresql
    until = int(time.time()) // 86_400 * 86_400
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(SeededEvent._fields)

        def batches() -> Iterator[tuple[list[SeededEvent], list[SeededCredit]]]:
            random = Random(11)
            for page in _pages(events(count, until)):
                writer.writerows(page)
                orders = (event for event in page if event.order_id)
                yield page, [credit for order in orders for credit in credits_of(order, random)]

        write(url, batches())


def _pages(rows: Iterable[T]) -> Iterator[list[T]]:
    source = iter(rows)
    while page := list(islice(source, _PAGE)):
        yield page


Batches = Iterator[tuple[list[SeededEvent], list[SeededCredit]]]


def _write_sqlite(url: str, batches: Batches) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:
        for pragma in ("synchronous=OFF", "cache_size=-400000", "journal_mode=WAL"):
            raw.execute(f"PRAGMA {pragma}")
        for seeded, more in batches:
            for table, rows in (("conversions", seeded), ("credits", more)):
                if rows:
                    columns, marks = ", ".join(rows[0]._fields), ", ".join("?" * len(rows[0]))
                    raw.executemany(
                        f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608
                        rows,
                    )
            raw.commit()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_postgresql(url: str, batches: Batches) -> None:
    with psycopg.connect(url.replace("+psycopg", "", 1)) as raw:
        for seeded, more in batches:
            for table, rows in (("conversions", seeded), ("credits", more)):
                columns = ", ".join(rows[0]._fields) if rows else ""
                with raw.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            raw.commit()
