"""What the statements of the busy ways read: rows by an index, never a table from end to end."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.conftest import BuildService
from tests.import_files import sale, table
from tracking.receive.imports import Importer, ImportSource
from tracking.receive.server_events import ServerEvents
from tracking.service import Service
from tracking.store import Store
from tracking.store.engine.statement import Connection
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

    def execute(self, text: str, values: Any = ()) -> Any:
        for *_, step in self._raw.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall():
            # An index of the rows that meet a condition is scanned for whether there is any.
            found = re.fullmatch(r"SCAN (\w+)", step)
            if found and found[1] in metadata.tables:
                self._scanned.add(f"{step}: {text}")
        return self._cursor.execute(text, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


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
