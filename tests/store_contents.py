"""What a store holds, as plain values that can be compared and searched."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import NullPool, create_engine, inspect

from tests.actors import NOW
from tracking.store import Store, open_store, outbox, quarantine
from tracking.store.engine.statement import Connection
from tracking.store.schema import metadata

# What an order, its refunds and its event are made of. Row numbers and receipts are not: they
# tell of the order of arrival.
STATE = ("orders", "refunds", "touches", "links", "credits", "conversions")


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder for databases that are filled and thrown away by the hundred: where the system
    can, no write to it waits for a disk."""
    shared_memory = Path("/dev/shm")
    with TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as folder:
        yield Path(folder)


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    """Every row of a table, in the order of their columns."""
    names = [column.name for column in metadata.tables[table].columns]
    with store.read() as conn:
        conn.cursor.execute(f"SELECT {', '.join(names)} FROM {table}")  # noqa: S608
        found = [dict(zip(names, row, strict=True)) for row in conn.cursor.fetchall()]
    return sorted(found, key=lambda row: str(list(row.values())))


def everything(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    return {name: rows(store, name) for name in metadata.tables}


def is_empty(store: Store) -> bool:
    """Whether nothing at all was stored, beside the count of what was refused."""
    return not any(found for name, found in everything(store).items() if name != "refused_webhooks")


def state(store: Store) -> dict[str, list[dict[str, Any]]]:
    """What is known of the orders, and what waits to be sent, whatever way it came about."""
    found = {name: rows(store, name) for name in STATE}
    waiting = [row for row in rows(store, "outbox") if row["state"] == "waiting"]
    return {
        **{name: [_without_number(row) for row in some] for name, some in found.items()},
        "waiting": [{"event_id": row["event_id"], "payload": row["payload"]} for row in waiting],
    }


def _without_number(row: dict[str, Any]) -> dict[str, Any]:
    """The row without its running number; the ids of orders and refunds are text, and stay."""
    return {name: value for name, value in row.items() if name != "id" or isinstance(value, str)}


def tables_of(url: str) -> set[str]:
    engine = create_engine(url, poolclass=NullPool)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


def is_complete(url: str) -> bool:
    """Whether the database has every table, and the deliverer can use it."""
    store = open_store(url)
    with store.read() as conn:
        waiting = outbox.waiting(conn).events
    store.close()
    return waiting == 0 and tables_of(url) == {*metadata.tables, "alembic_version"}


def put_event(conn: Connection, name: str, *, payload: bytes = b"{}", now: int = NOW) -> str:
    outbox.queue(conn, name, "pinterest", payload, event_time=NOW, now=now)
    return name


def names_of(store: Store) -> set[str]:
    return {row["event_id"] for row in rows(store, "outbox")}


def body_named(name: str, conn: Connection) -> None:
    quarantine.add(conn, name, "", "odd", b"", 0)


class Database:
    """A database file, and the bodies that it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, *names: str) -> None:
        """Keep a body under each name."""
        store = open_store(f"sqlite:///{self.path}")
        for name in names:
            store.commit(partial(body_named, name))
        store.close()

    def put_in_log(self, *names: str) -> None:
        """The same, and then be killed: what was put is in the log alone, which stays."""
        store = open_store(f"sqlite:///{self.path}")
        for name in names:
            store.commit(partial(body_named, name))
        left = [self.path, Path(f"{self.path}-wal")]
        for path in left:
            shutil.copy(path, f"{path}.left")
        store.close()
        for path in left:
            Path(f"{path}.left").rename(path)

    @property
    def names(self) -> set[str]:
        """The names of all bodies."""
        store = open_store(f"sqlite:///{self.path}")
        found = {str(row["digest"]) for row in rows(store, "quarantine")}
        store.close()
        return found
