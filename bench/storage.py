"""Benchmark: the bytes that a page visit, a product view and an order take on disk.

    python -m bench.storage [--items 3000] [--only sqlite]

Each kind is recorded as the product does it, in a new database, with its log emptied: visits with
their first page, product views that are not sent (of visitors from elsewhere), product views that
are sent, and orders. What is sent is delivered over HTTP to the stand-in of the tests, and the
figures of the reports are made. `later` is eight days on, after the retention has passed: what has
settled is smaller then. Bytes are those of the pages in use, by table and index; on PostgreSQL
without the room that is free within the tables, which the next rows take.
"""

import argparse
import base64
import json
import random
import re
import sqlite3
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench.orders import EPIK
from bench.webhooks import SECRET, orders
from config import Settings
from tests.faults.postgres import cluster
from tests.standins.pinterest import FakePinterest
from tracking.deliver.deliverer import Deliverer
from tracking.receive.pixel import ClientInfo, pixel_batch_of
from tracking.service import open_service

DAY = 86_400
VIEWS_A_VISIT = 3
# Tables and indices with fewer bytes an item are left out.
_SHOWN = 8
_SHOP = "https://linen.example"
_AGENT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
)
_PINTEREST = "utm_source=pinterest&utm_medium=cpc&utm_campaign=autumn&utm_campaign_id=626735565838"
_VISITOR = re.compile(rb"visitor-\d+")
_ELSEWHERE = "utm_source=newsletter&utm_medium=email&utm_campaign=autumn"

Sizes = Counter[str]


@dataclass
class _Clock:
    """The time of the computer, turned forward by `ahead` seconds."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass(frozen=True)
class Measured:
    """The bytes of so many `items` by table and index, `at_once` and eight days `later`."""

    name: str
    items: int
    at_once: Sizes
    later: Sizes

    def bytes_of(self, name: str) -> tuple[float, float]:
        """Returns the bytes of an item in a table or an index, in all for ""."""
        at_once, later = (
            size[name] if name else size.total() for size in (self.at_once, self.later)
        )
        return at_once / self.items, later / self.items


@dataclass(frozen=True)
class Database:
    """A database: its URL, and what reads the bytes of each of its tables and indices."""

    url: str
    sizes: Callable[[], Sizes] = field(repr=False)


def main() -> None:
    """Measures each database and prints a table for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=3_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if args.only != "postgresql":
            files = (Path(folder, f"{number}.db") for number in range(9))
            show("SQLite", [kind(_sqlite(next(files)), args.items) for kind in KINDS])
        if args.only != "sqlite":
            server = stack.enter_context(cluster())
            new = (_postgresql(server.new_database()) for _ in KINDS)
            show("PostgreSQL", [kind(next(new), args.items) for kind in KINDS])


def show(store: str, all_measured: Sequence[Measured]) -> None:
    """Prints the bytes an item, in all and by table and index."""
    print(f"\n{store}: bytes of each, at once / eight days later")
    print(f"{'':<34}" + "".join(f"{measured.name:>19}" for measured in all_measured))
    names = {name for measured in all_measured for name in measured.at_once | measured.later}
    for name in ("", *sorted(names)):
        pairs = [measured.bytes_of(name) for measured in all_measured]
        if any(max(pair) >= _SHOWN for pair in pairs):
            cells = (f"{f'{at_once:.0f} / {later:.0f}':>19}" for at_once, later in pairs)
            print(f"{name or 'in all':<34}" + "".join(cells))


def visits(database: Database, items: int) -> Measured:
    """Visits from elsewhere, each of another visitor, with the first page that it saw."""
    with _Shop(database) as shop:
        return shop.measure("a visit", items, lambda: shop.open_visits(items, _ELSEWHERE))


def views_not_sent(database: Database, items: int) -> Measured:
    """Views of products by visitors from elsewhere."""
    return _views("a view, not sent", database, items, _ELSEWHERE)


def views_sent(database: Database, items: int) -> Measured:
    """Views of products by visitors from Pinterest."""
    return _views("a view, sent", database, items, _PINTEREST)


def purchases(database: Database, items: int) -> Measured:
    """Orders, each of a new buyer from Pinterest with three lines."""
    with _Shop(database) as shop:
        return shop.measure("an order", items, lambda: shop.place_orders(items))


KINDS = (visits, views_not_sent, views_sent, purchases)


def _views(name: str, database: Database, items: int, query: str) -> Measured:
    with _Shop(database) as shop:
        visitors = shop.open_visits(items // VIEWS_A_VISIT, query)
        shop.settle()
        return shop.measure(name, items, lambda: shop.view_products(items, visitors, query))


class _Shop:
    """The service with a stand-in of Pinterest, and the buyers of a shop."""

    def __init__(self, database: Database) -> None:
        self._stack = ExitStack()
        self._database = database
        self._clock = _Clock()
        # The same ids in each run, so that two runs compare.
        self._random = random.Random(7)
        self._click_ids: dict[str, str] = {}

    def __enter__(self) -> "_Shop":
        pinterest = self._stack.enter_context(FakePinterest(clock=self._clock))
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": self._database.url,
            "PINTEREST_ACCESS_TOKEN": pinterest.token,
            "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
            "PINTEREST_API_BASE": pinterest.url,
            "COLLECTOR_KEY": "a-public-key-for-benchmarks",
        }
        self._service = open_service(Settings.from_env(env), self._clock)
        self._stack.callback(self._service.store.close)
        return self

    def __exit__(self, *_: object) -> None:
        for destination in self._service.destinations.values():
            destination.close()
        self._stack.close()

    def measure(self, name: str, items: int, work: Callable[[], object]) -> Measured:
        """Measures by how much the work lets the database grow."""
        before = self._database.sizes()
        work()
        self.settle()
        at_once = self._database.sizes()
        self._clock.ahead += 8 * DAY
        for _ in self._service.retention.purge():
            pass
        self._service.retention.settled.pack_payloads()
        later = self._database.sizes()
        at_once.subtract(before)
        later.subtract(before)
        return Measured(name, items, at_once, later)

    def open_visits(self, count: int, query: str) -> list[str]:
        """Has new visitors open a page; returns their ids."""
        visitors = [str(self._uuid()) for _ in range(count)]
        self._tell([self._call(visitor, "page_viewed", query) for visitor in visitors])
        return visitors

    def view_products(self, count: int, visitors: Sequence[str], query: str) -> None:
        """Has the visitors view products, in a random order."""
        viewing = [visitors[number % len(visitors)] for number in range(count)]
        self._random.shuffle(viewing)
        self._tell([self._call(visitor, "product_viewed", query) for visitor in viewing])

    def place_orders(self, count: int) -> None:
        """Delivers the webhooks of new orders."""
        receive = self._service.tracker.receive_order_deferred
        bodies = [self._as_delivered(body) for _, body in orders(5_000_000_000_000, count)]
        for page in _pages(bodies, 64):
            for receipt in [receive(body, "orders/create") for body in page]:
                receipt.result()

    def settle(self) -> None:
        """Delivers all that waits, and makes the figures of the reports."""
        for destination in self._service.destinations.values():
            deliverer = Deliverer(self._service.store, destination, self._clock)
            idle = 0
            while idle < 3:
                idle = 0 if deliverer.deliver() else idle + 1
                self._clock.ahead += 1
        self._service.figures.finish()

    def _as_delivered(self, body: bytes) -> bytes:
        """Returns an order with a visitor id and a click id as random as those of a shop."""
        body = _VISITOR.sub(str(self._uuid()).encode(), body)
        return body.replace(EPIK.encode(), self._click_id().encode())

    def _tell(self, calls: Sequence[dict[str, Any]]) -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(self._collect, calls))

    def _collect(self, call: dict[str, Any]) -> None:
        now = int(self._clock())
        client = ClientInfo("203.0.113.24", _AGENT, "en-US")
        policy = self._service.tracker.planner.policy
        batch = pixel_batch_of(json.dumps(call).encode(), client, policy, now)
        self._service.tracker.record_pixel_events(batch.events)

    def _call(self, visitor: str, name: str, query: str) -> dict[str, Any]:
        now = int(self._clock())
        variant = {
            "id": str(41_000_000_000_000 + self._random.randrange(3_000)),
            "price": {"amount": 29.99, "currencyCode": "USD"},
            "product": {"id": "7000000000000", "title": "Linen shirt", "vendor": "Linen"},
        }
        page = f"{_SHOP}/products/linen-shirt"
        landing = f"?{query}" if name == "page_viewed" else ""
        event = {
            "id": f"sh-{self._uuid()}",
            "name": name,
            "clientId": visitor,
            "timestamp": now * 1000,
            "context": {"document": {"location": {"href": f"{page}{landing}"}, "referrer": ""}},
            "data": {"productVariant": variant} if name == "product_viewed" else {},
        }
        return {
            "key": "a-public-key-for-benchmarks",
            "visitor": visitor,
            "session": self._session(visitor, query, now),
            "consent": {"analytics": True, "marketing": True},
            "events": [event],
        }

    def _session(self, visitor: str, query: str, now: int) -> dict[str, Any]:
        session: dict[str, Any] = dict(part.split("=", 1) for part in query.split("&"))
        if query == _PINTEREST:
            session["epik"] = self._click_ids.setdefault(visitor, self._click_id())
        return session | {"landed_at": now - now % 1800}

    def _click_id(self) -> str:
        return EPIK[:8] + base64.urlsafe_b64encode(self._random.randbytes(66)).decode()

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self._random.getrandbits(128), version=4)


def _pages(bodies: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (bodies[first : first + size] for first in range(0, len(bodies), size))


def _sqlite(path: Path) -> Database:
    def sizes() -> Sizes:
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            found = raw.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")
            return Counter({name: size for name, size in found if not name.startswith("alembic")})

    return Database(f"sqlite:///{path}", sizes)


# Room that is free within a table is taken by the next rows.
_RELATIONS = """
    SELECT relname,
        pg_relation_size(oid) + coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0)
        - CASE WHEN relkind = 'r' THEN (pgstattuple(oid)).free_space ELSE 0 END
    FROM pg_class WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace
"""


def _postgresql(url: str) -> Database:
    def sizes() -> Sizes:
        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
            # As autovacuum does in time.
            connection.execute("VACUUM ANALYZE")
            return Counter(dict(connection.execute(_RELATIONS).fetchall()))

    return Database(url, sizes)


if __name__ == "__main__":
    main()
