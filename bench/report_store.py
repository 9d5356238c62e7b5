"""A shop of any size for the benchmark of the reports: events, orders, credits and deliveries of
ninety days, and what Pinterest says of its campaigns, written straight into the tables as the
product would have stored them."""

import csv
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

import psycopg

from tracking.domain.conversion import event_id_of
from tracking.report.compared_sums import UTC_DAYS
from tracking.store.migrations import migrate
from tracking.store.pinterest_figures import PinterestFigures

T = TypeVar("T")

DAYS = 90
CAMPAIGNS = 200
ADS_A_CAMPAIGN = 5
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
_MASKS_OF_CREDITS = (0b11111111111111, 0b10101010101010, 0b01010101010101, 0b00000001111111)
_PAGE = 50_000
ACCOUNT = "1"
_CURRENCY = "USD"
_VALUE = 2500
_REFUND = 100
_REFUNDED = 0.08
# Of Pinterest's orders so many are not sent, for which reason, and of the others so many were not
# delivered.
_REASONS = (("consent_refused", 0.06), ("no_identity", 0.07), ("", 1.0))
_STATES = (("dead", 0.01), ("waiting", 0.02), ("discarded", 0.022), ("sent", 1.0))
_PAYLOAD = b'{"event_name":"checkout","custom_data":{"currency":"USD","value":"25.00"}}'


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
    reason: str


class SeededOrder(NamedTuple):
    """An order, in the order of the columns that are written."""

    id: str
    version: str
    placed_at: int
    currency: str
    gross: int
    is_counted: int


class SeededDelivery(NamedTuple):
    """The delivery of an order's event, in the order of the columns that are written."""

    event_id: str
    destination: str
    state: str
    payload: bytes
    event_time: int
    attempts: int
    queued_at: int
    settled_at: int


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
    ad_id: str
    pin_id: str


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
        order_id = f"{5_900_000_000_000 + n}" if stage == "purchase" else ""
        reason = _drawn(_REASONS, random.random()) if is_pinterest else "not_attributed"
        yield SeededEvent(
            event_id_of(order_id) if order_id else f"shu-{n:09d}-4c1e-8a6b-52d0f0a1b2c3",
            stage,
            order_id,
            f"vi:{int(near) % visitors:042d}",
            at,
            1,
            int(is_pinterest),
            _campaign_id(campaign) if named else "",
            f"campaign {campaign}" if named else "",
            _CURRENCY,
            _VALUE,
            at,
            reason if order_id else "",
        )


def _drawn(choices: Iterable[tuple[str, float]], chance: float) -> str:
    return next(choice for choice, below in choices if chance < below)


def _campaign_id(campaign: int) -> str:
    return f"{626_700_000_000 + campaign}"


def _ad_id(campaign: int, n: int) -> str:
    return f"{687_200_000_000 + campaign * ADS_A_CAMPAIGN + n}"


def order_of(event: SeededEvent) -> SeededOrder:
    """Returns the order of a purchase."""
    version = f"{event.at:012d}"
    return SeededOrder(event.order_id, version, event.at, event.currency, event.value, 1)


def deliveries_of(event: SeededEvent, random: Random) -> Iterator[SeededDelivery]:
    """Yields the delivery of a purchase, if nothing kept it back."""
    if not event.reason:
        state = _drawn(_STATES, random.random())
        settled_at = 0 if state == "waiting" else event.at + 60
        yield SeededDelivery(
            *(event.event_id, "pinterest", state, _PAYLOAD, event.at, 1, event.at, settled_at)
        )


def credits_of(order: SeededEvent, random: Random) -> Iterator[SeededCredit]:
    """Yields one or two credits of an order."""
    parts = 2 if random.random() < 0.3 else 1
    refund = _REFUND if random.random() < _REFUNDED else 0
    for n in range(parts):
        campaign = int(order.campaign_id[-3:]) if order.is_pinterest else 0
        ad_id = _ad_id(campaign, int(random.random() * ADS_A_CAMPAIGN))
        yield SeededCredit(
            order.at,
            order.order_id,
            n,
            _MASKS_OF_CREDITS[int(random.random() * 4)],
            order.at - int(random.random() * 20 * 86_400) * order.is_pinterest,
            _CURRENCY,
            order.is_pinterest,
            order.campaign_id,
            order.campaign,
            1_000_000 // parts,
            order.value // parts,
            order.value // parts - refund,
            ad_id if order.is_pinterest else "",
            "",
        )


def seed(url: str, count: int, table: Path) -> None:
    """Fills a new database, and writes the same events to a CSV file for DuckDB."""
    migrate(url)
    write = _write_sqlite if url.startswith("sqlite") else _write_postgresql
    until = int(time.time()) // 86_400 * 86_400
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(SeededEvent._fields)

        def batches() -> Iterator[Batch]:
            chances = Random(11), Random(13)
            for page in _pages(events(count, until)):
                writer.writerows(page)
                orders = [event for event in page if event.order_id]
                yield {
                    "conversions": page,
                    "orders": [order_of(event) for event in orders],
                    "credits": [row for event in orders for row in credits_of(event, chances[0])],
                    "outbox": [row for event in orders for row in deliveries_of(event, chances[1])],
                }
            yield from _of_pinterest(count, until)

        write(url, batches())


def _pages(rows: Iterable[T]) -> Iterator[list[T]]:
    source = iter(rows)
    while page := list(islice(source, _PAGE)):
        yield page


# What triggers tell of rows that no figures are made of yet.
_MARKS = ("compared_marks", "accuracy_marks")

# Rows by their table.
Batch = Mapping[str, Sequence[Any]]


class _Spend(NamedTuple):
    date: str
    campaign_id: str
    currency: str
    campaign: str
    micros: int


class _Ad(NamedTuple):
    ad_id: str
    name: str
    campaign_id: str


class _AdSpend(NamedTuple):
    date: str
    ad_id: str
    currency: str
    micros: int


class _Reading(NamedTuple):
    account: str
    kind: str
    through: str
    read_at: int


def _of_pinterest(count: int, until: int) -> Iterator[Batch]:
    """Yields what Pinterest tells of each campaign and day, and the coverage of what was sent."""
    campaigns = range(CAMPAIGNS)
    last = UTC_DAYS.day_of(until) - 1
    days = range(last - DAYS + 1, last + 1)
    of_day = max(1, int(count * 0.1 * _PINTEREST / DAYS / CAMPAIGNS))
    for day in days:
        told = date.fromordinal(day).isoformat()
        yield {
            "spend": [
                _Spend(told, _campaign_id(n), _CURRENCY, f"campaign {n}", 9_000_000)
                for n in campaigns
            ],
            "pinterest_figures": [
                _figures(told, n, report_by, of_day, until)
                for n in campaigns
                for report_by in ("order_date", "click_date")
            ],
            "ad_spend": [
                _AdSpend(told, _ad_id(n, ad), _CURRENCY, 1_500_000)
                for n in campaigns
                for ad in range(ADS_A_CAMPAIGN)
            ],
            "match_days": [_match_day(day, name, count) for name in ("checkout", "page_visit")],
        }
    yield {
        "pinterest_ads": [
            _Ad(_ad_id(n, ad), f"ad {n}.{ad}", _campaign_id(n))
            for n in campaigns
            for ad in range(ADS_A_CAMPAIGN)
        ],
        "pinterest_readings": [
            _Reading(ACCOUNT, "conversions", date.fromordinal(last).isoformat(), until)
        ],
    }


def _figures(
    day: str, campaign: int, report_by: str, orders: int, recorded_at: int
) -> PinterestFigures:
    views, value = orders // 4, _VALUE * 10_000
    clicks = orders - views
    return PinterestFigures(
        *(day, _campaign_id(campaign), report_by, _CURRENCY, f"campaign {campaign}"),
        *(orders, orders * value, clicks, clicks * value, views, views * value, orders, 0, 30, 1),
        *(recorded_at, ACCOUNT),
    )


class _MatchDay(NamedTuple):
    day: int
    event_name: str
    action_source: str
    events: int
    click_id_epik: int
    hashed_email: int
    external_event_id: int
    order_id: int


def _match_day(day: int, event_name: str, count: int) -> _MatchDay:
    events = count // 100 // DAYS
    return _MatchDay(day, event_name, "web", events, events // 2, events, events, events)


def _statement(table: str, columns: Iterable[str], mark: str) -> str:
    names = [*columns]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"  # noqa: S608


def _write_sqlite(url: str, batches: Iterable[Batch]) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:
        for pragma in ("synchronous=OFF", "cache_size=-400000", "journal_mode=WAL"):
            raw.execute(f"PRAGMA {pragma}")
        for batch in batches:
            for table, rows in batch.items():
                if rows:
                    raw.executemany(_statement(table, rows[0]._fields, "?"), rows)
            raw.commit()
        for table in _MARKS:
            raw.execute(f"DELETE FROM {table}")  # noqa: S608
        raw.commit()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_postgresql(url: str, batches: Iterable[Batch]) -> None:
    with psycopg.connect(url.replace("+psycopg", "", 1)) as raw:
        for batch in batches:
            for table, rows in batch.items():
                columns = ", ".join(rows[0]._fields) if rows else ""
                with raw.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            raw.commit()
        for table in _MARKS:
            raw.execute(f"TRUNCATE {table}")
        raw.commit()
