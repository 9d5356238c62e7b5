"""What a store holds, as plain values that can be compared and searched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tracking.store import Store
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
    """Whether nothing at all was stored."""
    return not any(everything(store).values())


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
