"""The import of a file of events against a plain script without checks, as a ratio.

    python -m bench.imports [--rows 100000] [--rounds 3] [--database-url ...]

Seconds are those of the clock; what the processor worked is told beside them, since a machine that
is busy with other things stretches the one more than the other.

The script does what somebody would write in an afternoon: it trusts every row, trims and hashes
what names a person, and writes two rows for each. The import reads, checks, looks up who is known
and whether the event is, and writes the event, its place in line, and who was seen.
"""

import argparse
import csv
import hashlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bench.webhooks import SECRET
from config import Settings
from tracking.receive.imports import Importer, ImportSource, RejectedRecord
from tracking.receive.server_events import ServerEvents
from tracking.service import Service, open_service
from tracking.store import Store
from tracking.store.engine.statement import Connection

T = TypeVar("T")

BATCH = 1000
CORES = os.cpu_count() or 1
_HASHED = ("em", "ph", "fn", "ln", "ct", "st", "zp", "country")


def rows(first: int, count: int) -> Iterator[dict[str, Any]]:
    """Sales at a till, each to another customer."""
    now = int(time.time()) - 60
    for number in range(first, first + count):
        yield {
            "event_name": "checkout",
            "action_source": "offline",
            "event_time": now - number % 1000,
            "event_id": f"till-{number}",
            "em": f"buyer{number}@example.com",
            "ph": f"+1{2_000_000_000 + number * 7919 % 1_000_000_000}",
            "fn": "Ada",
            "ln": "Buyer",
            "ct": "New York",
            "st": "NY",
            "zp": "10001",
            "country": "US",
            "order_id": 5000 + number,
            "value": f"{number % 300 + 10}.50",
            "currency": "USD",
            "item_id": number % 500,
            "item_price": "29.99",
            "item_quantity": "2",
        }


def write_file(path: Path, first: int, count: int) -> None:
    """A CSV file of sales nobody has imported yet."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(next(rows(0, 1))))
        writer.writeheader()
        writer.writerows(rows(first, count))


def plain(path: Path, database: Path) -> None:
    """The script."""
    with closing(sqlite3.connect(database)) as raw, path.open(newline="", encoding="utf-8") as file:
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            raw.execute(f"PRAGMA {pragma}")
        raw.execute("CREATE TABLE IF NOT EXISTS sales (id TEXT PRIMARY KEY, at INT, value TEXT)")
        raw.execute("CREATE TABLE IF NOT EXISTS queue (id TEXT PRIMARY KEY, event BLOB)")
        reader = csv.DictReader(file)
        while batch := [(row, json.dumps(_event(row))) for row in islice(reader, BATCH)]:
            with raw:
                raw.executemany(
                    "INSERT INTO sales VALUES (?, ?, ?)",
                    [(row["event_id"], row["event_time"], row["value"]) for row, _ in batch],
                )
                raw.executemany(
                    "INSERT INTO queue VALUES (?, ?)",
                    [(row["event_id"], event) for row, event in batch],
                )


def _event(row: dict[str, str]) -> dict[str, Any]:
    item = {
        "id": row["item_id"],
        "item_price": row["item_price"],
        "quantity": int(row["item_quantity"]),
    }
    return {
        "event_name": row["event_name"],
        "action_source": row["action_source"],
        "event_time": int(row["event_time"]),
        "event_id": row["event_id"],
        "user_data": {name: [_hash(row[name])] for name in _HASHED},
        "custom_data": {
            "order_id": row["order_id"],
            "value": row["value"],
            "currency": row["currency"],
            "contents": [item],
        },
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.strip().lower().encode()).hexdigest()


class TimedStore:
    """A store that remembers how long its turns took, and the longest of them, for which webhooks
    may have to wait."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self.longest = self.spent = 0.0
        self._store = store

    def commit(self, work: Callable[[Connection], T]) -> T:
        """As the store does it."""
        began = time.perf_counter()
        try:
            return self._store.commit(work)
        finally:
            took = time.perf_counter() - began
            self.longest, self.spent = max(self.longest, took), self.spent + took

    def read(self) -> AbstractContextManager[Connection]:
        """As the store does it."""
        return self._store.read()


def importer(service: Service, store: Any = None, cores: int = 1) -> Importer:
    """An import that expects no fault."""
    events = ServerEvents(store or service.store, service.events.planner, service.clock)
    return Importer(events, service.tracker, int(service.clock()), _refuse, cores=cores)


def _refuse(refused: RejectedRecord) -> None:
    raise SystemExit(f"line {refused.line}: {refused.reason}")


class Spent(NamedTuple):
    """Seconds of the clock, and of the processors by this process and those it began."""

    clock: float
    processor: float


def timed(work: Callable[[], object]) -> Spent:
    """What it takes."""
    clock, processor = time.perf_counter(), _processor_time()
    work()
    return Spent(time.perf_counter() - clock, _processor_time() - processor)


def _processor_time() -> float:
    return sum(os.times()[:4])


def with_source(path: Path, work: Callable[[ImportSource], object]) -> None:
    """Hand an opened file over."""
    with path.open("rb") as file:
        work(ImportSource(file, path))


def main() -> None:
    """Run the rounds and print their ratios, and where the time of an import goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database-url", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = args.database_url or f"sqlite:///{folder}/bench.db"
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": url,
            "PINTEREST_ACCESS_TOKEN": "bench",
            "PINTEREST_AD_ACCOUNT_ID": "1",
        }
        service = open_service(Settings.from_env(env), time.time)
        with closing(service.store):
            run(service, Path(folder), args.rows, args.rounds)


def run(service: Service, folder: Path, count: int, rounds: int) -> None:
    """Let both import files nobody saw before, in turn."""
    file, first = folder / "sales.csv", time.time_ns() // 1000
    store = TimedStore(service.store)
    spent: list[dict[str, Spent]] = []
    print(f"{'round':>5} {'plain/s':>8} {'import/s':>8} {'ratio':>6} {'of the processor':>17}")
    for number in range(rounds):
        write_file(file, first + number * count, count)
        works: dict[str, Callable[[], object]] = {
            "plain": lambda: plain(file, folder / "plain.db"),
            "import": lambda: with_source(file, importer(service, store, CORES).run),
        }
        names = ["plain", "import"] if number % 2 == 0 else ["import", "plain"]
        found = {name: timed(works[name]) for name in names}
        found["rows"] = timed(lambda: with_source(file, _exhaust))
        found["check"] = timed(lambda: with_source(file, importer(service).check))
        found["apart"] = timed(lambda: with_source(file, importer(service, None, CORES).check))
        found["known"] = timed(lambda: with_source(file, importer(service, None, CORES).run))
        spent.append(found)
        plainly, whole = found["plain"], found["import"]
        print(
            f"{number + 1:>5} {count / plainly.clock:>8.0f} {count / whole.clock:>8.0f}"
            f" {plainly.clock / whole.clock:>6.2f} {plainly.processor / whole.processor:>17.2f}"
        )
    usual = sorted(spent, key=lambda one: one["plain"].clock / one["import"].clock)[rounds // 2]
    for name, value in _parts(usual).items():
        print(f"{name:>28} {value.clock:>6.1f} s, of the processor {value.processor:>5.1f} s")
    print(f"{'of an import, storing':>28} {store.spent / rounds:>6.1f} s")
    print(f"{'longest turn':>28} {1000 * store.longest:>6.0f} ms")


def _parts(spent: dict[str, Spent]) -> dict[str, Spent]:
    """Where the time of an import goes."""
    rows, check = spent["rows"], spent["check"]
    return {
        "telling rows apart": rows,
        "reading and checking them": _less(check, rows),
        f"both, by {CORES} processes": spent["apart"],
        "the import": spent["import"],
        "the same file once more": spent["known"],
    }


def _less(one: Spent, other: Spent) -> Spent:
    return Spent(one.clock - other.clock, one.processor - other.processor)


def _exhaust(source: Iterable[object]) -> None:
    for _ in source:
        pass


if __name__ == "__main__":
    main()
