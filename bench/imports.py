"""Benchmark: the import of a file compared with a plain script without checks, as a ratio.

    python -m bench.imports [--rows 100000] [--rounds 3] [--database-url ...]

It prints wall-clock seconds and processor seconds, since other load on the machine lengthens the
former more than the latter.

The script is what an engineer would write in an afternoon: it trusts every row, trims and hashes
personal data, and writes two rows for each. The import parses and checks, looks up identities and
duplicates, and writes the event, its outbox row and the identity keys. As the command does by
default, it checks the whole file before it stores any of it.
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

from bench.webhooks import SECRET, spread
from config import Settings
from tracking.receive.imports import CheckedEvents, Importer, ImportSource, RejectedRecord
from tracking.receive.server_events import ServerEvents
from tracking.service import Service, open_service
from tracking.store import Store
from tracking.store.engine.statement import Connection

T = TypeVar("T")

BATCH = 1000
CORES = os.cpu_count() or 1
_HASHED = ("em", "ph", "fn", "ln", "ct", "st", "zp", "country")


def rows(first: int, count: int) -> Iterator[dict[str, Any]]:
    """Offline sales, each of another customer."""
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
    """Writes a CSV file of sales that were not imported before."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(next(rows(0, 1))))
        writer.writeheader()
        writer.writerows(rows(first, count))


def plain(path: Path, database: Path) -> None:
    """Imports the file as the plain script does."""
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
    """A store that measures its transactions: their total, and the longest, for which webhooks may
    have to wait."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self.longest = self.total = 0.0
        self._store = store

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Commits a write transaction and measures it."""
        began = time.perf_counter()
        try:
            return self._store.commit(work)
        finally:
            took = time.perf_counter() - began
            self.longest, self.total = max(self.longest, took), self.total + took

    def read(self) -> AbstractContextManager[Connection]:
        """Opens a read transaction."""
        return self._store.read()

    def bulk(self) -> AbstractContextManager[None]:
        """Announces many transactions."""
        return self._store.bulk()


def importer(service: Service, store: Any = None, cores: int = 1) -> Importer:
    """An importer that exits at the first rejected record."""
    events = ServerEvents(store or service.store, service.events.planner, service.clock)
    return Importer(events, service.tracker, int(service.clock()), _refuse, cores=cores)


def _refuse(refused: RejectedRecord) -> None:
    raise SystemExit(f"line {refused.line}: {refused.reason}")


class Duration(NamedTuple):
    """Wall-clock seconds, and processor seconds of this process and its children."""

    clock: float
    processor: float


def measured(work: Callable[[], object]) -> Duration:
    """Runs the work; returns its duration."""
    clock, processor = time.perf_counter(), _processor_time()
    work()
    return Duration(time.perf_counter() - clock, _processor_time() - processor)


def _processor_time() -> float:
    return sum(os.times()[:4])


def with_source(path: Path, work: Callable[[ImportSource], object]) -> None:
    """Opens a file and calls the work with it."""
    with path.open("rb") as file:
        work(ImportSource(file, path))


def checked_first(service: Service, path: Path, store: Any = None) -> None:
    """Imports a file as the command does by default."""
    with CheckedEvents(service.disk_guard) as kept:
        with_source(path, lambda source: importer(service, store, CORES).check(source, kept))
        if kept.is_whole:
            importer(service, store, CORES).store(kept)
        else:
            with_source(path, importer(service, store, CORES).run)


def main() -> None:
    """Runs the rounds; prints their ratios and the parts of an import's time."""
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
    """Lets script and import read new files in alternating order."""
    file, first = folder / "sales.csv", time.time_ns() // 1000
    store = TimedStore(service.store)
    all_rounds: list[dict[str, Duration]] = []
    print(f"{'round':>5} {'plain/s':>8} {'import/s':>8} {'ratio':>6} {'of the processor':>17}")
    for number in range(rounds):
        write_file(file, first + number * count, count)
        works: dict[str, Callable[[], object]] = {
            "plain": lambda: plain(file, folder / "plain.db"),
            "import": lambda: checked_first(service, file, store),
        }
        names = ["plain", "import"] if number % 2 == 0 else ["import", "plain"]
        times = {name: measured(works[name]) for name in names}
        times["rows"] = measured(lambda: with_source(file, _exhaust))
        times["check"] = measured(lambda: with_source(file, importer(service).check))
        times["apart"] = measured(lambda: with_source(file, importer(service, None, CORES).check))
        times["known"] = measured(lambda: checked_first(service, file))
        all_rounds.append(times)
        script, imported = times["plain"], times["import"]
        print(
            f"{number + 1:>5} {count / script.clock:>8.0f} {count / imported.clock:>8.0f}"
            f" {_ratio(times):>6.2f} {script.processor / imported.processor:>17.2f}"
        )
    print(f"plain ÷ import: {spread([*map(_ratio, all_rounds)])}")
    write_file(file, first + rounds * count, count)
    parts = _parts(sorted(all_rounds, key=_ratio)[rounds // 2])
    parts["one more, stored while read"] = measured(
        lambda: with_source(file, importer(service, None, CORES).run)
    )
    for name, value in parts.items():
        print(f"{name:>28} {value.clock:>6.1f} s, of the processor {value.processor:>5.1f} s")
    print(f"{'of an import, storing':>28} {store.total / rounds:>6.1f} s")
    print(f"{'longest turn':>28} {1000 * store.longest:>6.0f} ms")


def _ratio(times: dict[str, Duration]) -> float:
    return times["plain"].clock / times["import"].clock


def _parts(times: dict[str, Duration]) -> dict[str, Duration]:
    """Duration of each part of an import."""
    rows, check = times["rows"], times["check"]
    return {
        "telling rows apart": rows,
        "reading and checking them": _difference(check, rows),
        f"both, by {CORES} processes": times["apart"],
        "the import, checked first": times["import"],
        "the same file once more": times["known"],
    }


def _difference(longer: Duration, shorter: Duration) -> Duration:
    return Duration(longer.clock - shorter.clock, longer.processor - shorter.processor)


def _exhaust(source: Iterable[object]) -> None:
    for _ in source:
        pass


if __name__ == "__main__":
    main()
