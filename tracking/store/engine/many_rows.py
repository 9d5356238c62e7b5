"""Inserts and updates of many rows in few statements, with one text for each dialect.

With one row in each statement, passing the rows costs more than writing them, and with SQLite a
thread waits for the interpreter after each, while it holds the lock that writers queue for.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Integer, LargeBinary, Table
from sqlalchemy.types import TypeEngine

from tracking.store.engine.statement import Connection, Parameters

# Each size is a statement that is kept, so the remainder is written in few of them.
_ROWS_A_STATEMENT = (100, 10, 1)


def insert(
    conn: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Parameters]
) -> None:
    """Inserts rows; those that are there already stay as they are."""
    if conn.dialect == "postgresql":
        if rows:
            conn.cursor.execute(_postgresql(table, columns), [as_one(columns, rows)])
        return
    for chunk in chunks_of(rows):
        conn.cursor.execute(_sqlite(table, columns, len(chunk)), [*chain.from_iterable(chunk)])


def chunks_of(rows: Sequence[Parameters]) -> Iterator[Sequence[Parameters]]:
    """Yields the rows in the sizes that statements of SQLite are kept for."""
    first = 0
    while first < len(rows):
        size = next(size for size in _ROWS_A_STATEMENT if size <= len(rows) - first)
        yield rows[first : first + size]
        first += size


def values_of(columns: int, rows: int) -> str:
    """Returns the VALUES of so many rows for SQLite, which names them column1, column2 and on."""
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"


def as_one(columns: Sequence[str], rows: Sequence[Parameters]) -> str:
    """Returns rows as one value for PostgreSQL: its driver is slow with many."""
    return msgspec.json.encode([dict(zip(columns, row, strict=True)) for row in rows]).decode()


def of_one(table: Table, columns: Sequence[str]) -> str:
    """Returns the SELECT of PostgreSQL that reads the columns of rows that are passed `as_one`."""
    kinds = [f"{name} {'bigint' if _is(table, name, Integer) else 'text'}" for name in columns]
    values = [
        f"decode({name}, 'base64')" if _is(table, name, LargeBinary) else name for name in columns
    ]
    source = f"json_to_recordset(%s::json) AS passed ({', '.join(kinds)})"
    return f"SELECT {', '.join(values)} FROM {source}"  # noqa: S608


@lru_cache(maxsize=64)
def _sqlite(table: Table, columns: tuple[str, ...], count: int) -> str:
    # With FAIL SQLite need not copy each page that the statement changes, some four for each row,
    # to undo the statement alone. Whatever a work did before its error is rolled back.
    return _insertion("INSERT OR FAIL", table, columns, values_of(len(columns), count))


@lru_cache
def _postgresql(table: Table, columns: tuple[str, ...]) -> str:
    return _insertion("INSERT", table, columns, of_one(table, columns))


def _is(table: Table, name: str, kind: type[TypeEngine[Any]]) -> bool:
    return isinstance(table.c[name].type, kind)


def _insertion(verb: str, table: Table, columns: Sequence[str], rows: str) -> str:
    return f"{verb} INTO {table.name} ({', '.join(columns)}) {rows} ON CONFLICT DO NOTHING"
