"""A new order of a new buyer, made sure of and written in one statement.

This is the case of nearly every webhook.
Each statement lets go of the interpreter, and under load taking it back costs more than the
statement itself; on PostgreSQL each is a round trip. SQLite has no statement that inserts into
several tables, but a trigger on a view that holds nothing does the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, Table

from tracking.store.schema import (
    conversions,
    credits,
    links,
    orders,
    outbox,
    receipts,
    touches,
)
from tracking.store.statement import Connection

Values = Mapping[str, Any]

# What the statements have room for. Orders beyond it go the long way.
MOST_LINKS, MOST_CREDITS, MOST_EVENTS = 4, 2, 2


@dataclass(frozen=True, slots=True)
class News:
    """The rows of an order that is not known yet, of a buyer nothing else is known of."""

    receipt: Values
    order: Values
    touch: Values
    conversion: Values
    person: Sequence[str]
    credits: Sequence[Values]
    events: Sequence[Values]

    @property
    def fits(self) -> bool:
        """Whether the statements have room for it."""
        return (
            len(self.person) <= MOST_LINKS
            and len(self.credits) <= MOST_CREDITS
            and len(self.events) <= MOST_EVENTS
        )


def write(conn: Connection, rows: Sequence[Sequence[Any]]) -> set[int]:
    """Write each of these `values_of` unless anything is known of the order or its buyer, from
    before or from the rows before it; which of them were written."""
    if conn.dialect == "postgresql":
        return {n for n, values in enumerate(rows) if _write_on_postgresql(conn, values)}
    conn.cursor.execute(_sqlite(len(rows)), [v for n, row in enumerate(rows) for v in (n, *row)])
    return {n for (n,) in conn.cursor.execute("DELETE FROM taken RETURNING n").fetchall()}


def _write_on_postgresql(conn: Connection, values: Sequence[Any]) -> bool:
    conn.cursor.execute(_POSTGRESQL, values)
    return bool(conn.cursor.fetchone()[0])


def values_of(news: News, since: int, until: int) -> Sequence[Any]:
    """The rows as the statement takes them; what the buyer did in [since, until] is what counts
    as known. Made before the write lock is held."""
    visitor = news.order["visitor"]
    values = [
        *(news.order["id"], visitor, since, until),
        *news.person,
        *_NO_LINK[len(news.person) :],
        *_RECEIPT.of(news.receipt),
        *_ORDER.of(news.order),
        *_TOUCH.of(news.touch),
        *_CONVERSION.of(news.conversion),
    ]
    for link in news.person:
        values += (link, visitor)
    values += (None, None) * (MOST_LINKS - len(news.person))
    for slot, rows, room in (
        (_CREDIT, news.credits, MOST_CREDITS),
        (_EVENT, news.events, MOST_EVENTS),
    ):
        for row in rows:
            values += slot.of(row)
        values += slot.nothing * (room - len(rows))
    return values


class _Slot:
    """Room for one row of a table; it stays empty where its first column is null."""

    def __init__(self, table: Table, *columns: str) -> None:
        self.table = table
        self.columns = columns or tuple(c.name for c in table.c if c.name != "id")
        self.of: Callable[[Values], tuple[Any, ...]] = itemgetter(*self.columns)
        self.nothing = (None,) * len(self.columns)

    def insert(self, values: Sequence[str], condition: str) -> str:
        """Text that inserts the values, if the condition holds."""
        names = ", ".join(f'"{name}"' for name in self.columns)
        found = ", ".join(values)
        return f'INSERT INTO "{self.table.name}" ({names}) SELECT {found} WHERE {condition}'

    def kinds(self) -> Iterator[str]:
        """PostgreSQL's type of each column."""
        for name in self.columns:
            kind = self.table.c[name].type
            is_number = isinstance(kind, BigInteger | Integer)
            yield "bytea" if isinstance(kind, LargeBinary) else "bigint" if is_number else "text"


_RECEIPT, _TOUCH, _CONVERSION = _Slot(receipts), _Slot(touches), _Slot(conversions)
_ORDER = _Slot(orders, *(c.name for c in orders.c))
_LINK, _CREDIT = _Slot(links), _Slot(credits)
_EVENT = _Slot(
    outbox, *("event_id", "destination", "state", "payload", "event_time", "due_at", "queued_at")
)
_SLOTS = (
    *(_RECEIPT, _ORDER, _TOUCH, _CONVERSION),
    *(_LINK,) * MOST_LINKS,
    *(_CREDIT,) * MOST_CREDITS,
    *(_EVENT,) * MOST_EVENTS,
)


_NO_LINK = ("",) * MOST_LINKS
# What is asked first: the order's id, the visitor, since when and until when, and the links.
_ASKED = ("text", "text", "bigint", "bigint", *("text",) * MOST_LINKS)
_IS_KNOWN = """
EXISTS (SELECT 1 FROM receipts WHERE order_id = {0})
OR EXISTS (SELECT 1 FROM orders WHERE id = {0})
OR EXISTS (SELECT 1 FROM refunds WHERE order_id = {0})
OR EXISTS (SELECT 1 FROM touches WHERE visitor = {1} AND at >= {2} AND at <= {3})
OR EXISTS (SELECT 1 FROM links WHERE link IN ({links}))
"""


def _is_known(values: Sequence[str]) -> str:
    return _IS_KNOWN.format(*values[:4], links=", ".join(values[4:]))


def _sqlite_setup() -> Iterator[str]:
    """The view and its trigger. They are temporary: every writing connection makes its own."""
    columns = [f"c{n}" for n in range(_ROOM)]
    nulls = ", ".join(f"NULL AS {column}" for column in ("n", *columns))
    yield f"CREATE TEMP VIEW intake AS SELECT {nulls}"
    yield "CREATE TEMP TABLE taken (n INTEGER)"
    left = (f"NEW.{column}" for column in columns)
    asked = [next(left) for _ in _ASKED]
    steps = [f"SELECT RAISE(IGNORE) WHERE {_is_known(asked)}"]
    for slot in _SLOTS:
        values = [next(left) for _ in slot.columns]
        steps.append(slot.insert(values, f"{values[0]} IS NOT NULL"))
    steps.append("INSERT INTO taken VALUES (NEW.n)")
    yield f"CREATE TEMP TRIGGER write INSTEAD OF INSERT ON intake BEGIN {'; '.join(steps)}; END"


@cache
def _sqlite(count: int) -> str:
    row = f"({', '.join('?' * (1 + _ROOM))})"
    return f"INSERT INTO intake VALUES {', '.join([row] * count)}"  # noqa: S608


def _postgresql() -> str:
    names = [f"a{n}" for n in range(len(_ASKED))]
    given = ", ".join(f"%s::{kind}" for kind in _ASKED)
    parts = [
        f"asked ({', '.join(names)}) AS (VALUES ({given}))",
        f"free AS (SELECT 1 FROM asked WHERE NOT ({_is_known(names)}))",  # noqa: S608
    ]
    for n, slot in enumerate(_SLOTS):
        columns = [f"v{i}" for i in range(len(slot.columns))]
        values = ", ".join(f"%s::{kind}" for kind in slot.kinds())
        source = f"FROM free, (VALUES ({values})) AS given ({', '.join(columns)})"
        insert = slot.insert(columns, "v0 IS NOT NULL")
        parts.append(f"s{n} AS ({insert.replace(' WHERE ', f' {source} WHERE ')})")
    return f"WITH {', '.join(parts)} SELECT count(*) FROM free"  # noqa: S608


_ROOM = len(_ASKED) + sum(len(slot.columns) for slot in _SLOTS)
SQLITE_SETUP = tuple(_sqlite_setup())
_POSTGRESQL = _postgresql()
