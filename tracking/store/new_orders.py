"""The rows of one order, and the statement that writes those of a new order of a new buyer.

Nearly every webhook brings such an order. Each statement releases the interpreter, and under load
taking it back costs more than the statement itself; on PostgreSQL each is a round trip. SQLite has
no statement that inserts into several tables, but a trigger on a view that holds nothing does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, LargeBinary, Table

from tracking.store.conversions import ConversionRow
from tracking.store.engine.statement import Connection
from tracking.store.orders import OrderRow
from tracking.store.schema import (
    TOMBSTONE_LENGTH,
    conversions,
    credits,
    links,
    orders,
    outbox,
    receipts,
    touches,
)
from tracking.store.touches import CreditRow, TouchRow

# What the statement has room for. Orders beyond it go the long way.
MOST_LINKS, MOST_CREDITS, MOST_EVENTS = 6, 2, 2


class OrderRows(NamedTuple):
    """The rows of an order, as both databases store them.

    `keys` are the identity keys of its buyer, `payloads` the finished events by destination. They
    are held until `held_until` (seconds UTC) where the conversion has a reason that a later fact
    may remove; None where nothing keeps them from being sent.
    """

    order: OrderRow
    touch: TouchRow
    credits: Sequence[CreditRow]
    conversion: ConversionRow
    keys: tuple[str, ...]
    payloads: Mapping[str, bytes]
    held_until: int | None

    @property
    def fits(self) -> bool:
        """Returns True if the one statement has room for these rows."""
        return (
            len(self.keys) <= MOST_LINKS
            and len(self.credits) <= MOST_CREDITS
            and len(self.payloads) <= MOST_EVENTS
        )


def put(conn: Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Write each of these `parameters_of` on SQLite, unless the order or its buyer is known, from
    before or from the rows before it. Outside a transaction it is one by itself."""
    conn.cursor.execute(_sqlite(len(rows)), [v for n, row in enumerate(rows) for v in (n, *row)])


def written(conn: Connection) -> set[int]:
    """Returns the positions of the rows just put that were written."""
    return {n for (n,) in conn.cursor.execute("DELETE FROM taken RETURNING n").fetchall()}


def write(conn: Connection, parameters: Sequence[Any]) -> bool:
    """Write the rows on PostgreSQL, unless the order or its buyer is known; return whether they
    were written."""
    conn.cursor.execute(_POSTGRESQL, parameters)
    return bool(conn.cursor.fetchone()[0])


def parameters_of(
    rows: OrderRows, digest: str, topic: str, since: int, until: int
) -> Sequence[Any]:
    """Returns the parameters of the statement for the rows of an order.

    A touch of the buyer in [since, until] makes the buyer a known one. The caller makes them
    before the write lock is held.
    """
    parameters = [
        *(digest, topic, since, until, *_state_of(rows)),
        *rows.order,
        *_touch_values(rows.touch),
        *_conversion_values(rows.conversion),
        *rows.keys,
        *_NO_LINK[len(rows.keys) :],
    ]
    for credit in rows.credits:
        parameters += _credit_values(credit)
    parameters += _NO_CREDIT * (MOST_CREDITS - len(rows.credits))
    for event in rows.payloads.items():
        parameters += event
    parameters += _NO_EVENT * (MOST_EVENTS - len(rows.payloads))
    return parameters


def _state_of(rows: OrderRows) -> tuple[str, int]:
    """State and due time of the order's events."""
    if rows.held_until is not None:
        return "held", rows.held_until
    return "waiting", rows.conversion.recorded_at


# Values that the rows of one order share are passed once, as the order's own.
_COMMON = {
    "order_id": "order_id",
    "visitor": "order_visitor",
    "placed_at": "order_placed_at",
    "currency": "order_currency",
}
_TOUCH = tuple(c.name for c in touches.c if c.name not in _COMMON)
_CONVERSION = (
    *("event_id", "is_pinterest", "campaign_id", "campaign"),
    *("reason", "detail", "recorded_at"),
)
_CREDIT = tuple(c.name for c in credits.c if c.name not in _COMMON)
_EVENT = ("destination", "payload")

_getter: Callable[..., Callable[[Any], tuple[Any, ...]]] = attrgetter
_touch_values = _getter(*_TOUCH)
_conversion_values = _getter(*_CONVERSION)
_credit_values = _getter(*_CREDIT)
_NO_LINK = ("",) * MOST_LINKS
_NO_CREDIT = (None,) * len(_CREDIT)
_NO_EVENT = (None,) * len(_EVENT)


def _parameters() -> Iterator[tuple[str, str]]:
    """Name and PostgreSQL type of each value, in the order of `parameters_of`."""
    yield from (("digest", "text"), ("topic", "text"), ("since", "bigint"), ("until", "bigint"))
    yield from (("state", "text"), ("due_at", "bigint"))
    yield from _kinds("order", orders, [c.name for c in orders.c])
    yield from _kinds("touch", touches, _TOUCH)
    yield from _kinds("conversion", conversions, _CONVERSION)
    yield from ((f"link{n}", "text") for n in range(MOST_LINKS))
    for n in range(MOST_CREDITS):
        yield from _kinds(f"credit{n}", credits, _CREDIT)
    for n in range(MOST_EVENTS):
        yield from _kinds(f"event{n}", outbox, _EVENT)


def _kinds(prefix: str, table: Table, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in columns:
        kind = table.c[name].type
        is_number = isinstance(kind, BigInteger) or kind.python_type is int
        is_bytes = isinstance(kind, LargeBinary)
        yield f"{prefix}_{name}", "bytea" if is_bytes else "bigint" if is_number else "text"


@dataclass(frozen=True, slots=True)
class _InsertedRow:
    """One row to insert: the parameter or literal of each column, and on what condition."""

    table: Table
    columns: Mapping[str, str]
    condition: str = ""

    def insert(self, source: str, prefix: str) -> str:
        """Text that inserts it from a source of the parameters."""
        names = ", ".join(f'"{name}"' for name in self.columns)
        values = ", ".join(
            text if text[0] in "'0123456789" else f"{prefix}.{text}"
            for text in self.columns.values()
        )
        where = f" WHERE {prefix}.{self.condition}" if self.condition else ""
        return f'INSERT INTO "{self.table.name}" ({names}) SELECT {values}{source}{where}'


def _rows() -> Iterator[_InsertedRow]:
    now, event_id = "conversion_recorded_at", "conversion_event_id"
    receipt = {"order_id": "order_id", "digest": "digest", "topic": "topic", "received_at": now}
    yield _InsertedRow(receipts, receipt)
    yield _InsertedRow(orders, {c.name: f"order_{c.name}" for c in orders.c})
    yield _InsertedRow(
        touches, {"visitor": _COMMON["visitor"], **{c: f"touch_{c}" for c in _TOUCH}}
    )
    same = {
        "stage": "'purchase'",
        "order_id": "order_id",
        "visitor": "order_visitor",
        "at": "order_placed_at",
        "is_counted": "order_is_counted",
        "currency": "order_currency",
        "value": "order_gross",
    }
    yield _InsertedRow(conversions, {**same, **{c: f"conversion_{c}" for c in _CONVERSION}})
    for n in range(MOST_LINKS):
        columns = {"link": f"link{n}", "visitor": _COMMON["visitor"]}
        yield _InsertedRow(links, columns, f"link{n} <> ''")
    for n in range(MOST_CREDITS):
        shared = {c.name: _COMMON[c.name] for c in credits.c if c.name in _COMMON}
        columns = {**shared, **{c: f"credit{n}_{c}" for c in _CREDIT}}
        yield _InsertedRow(credits, columns, f"credit{n}_mask IS NOT NULL")
    for n in range(MOST_EVENTS):
        columns = {
            "event_id": event_id,
            "destination": f"event{n}_destination",
            "state": "state",
            "payload": f"event{n}_payload",
            "event_time": "order_placed_at",
            "due_at": "due_at",
            "queued_at": now,
        }
        yield _InsertedRow(outbox, columns, f"event{n}_destination IS NOT NULL")


def _is_known(prefix: str) -> str:
    order, visitor = f"{prefix}.order_id", f"{prefix}.order_visitor"
    # One by one: for `link IN (…)` SQLite builds a table, which costs half of the statement.
    linked = " OR ".join(
        f"{prefix}.link{n} <> '' AND EXISTS (SELECT 1 FROM links WHERE link = {prefix}.link{n})"  # noqa: S608
        for n in range(MOST_LINKS)
    )
    mark = "EXISTS (SELECT 1 FROM tombstones WHERE mark = {})"
    erased = " OR ".join(
        f"{one} <> '' AND {mark.format(f'substr({one}, 1, {TOMBSTONE_LENGTH})')}"
        for one in (f"{prefix}.link{n}" for n in range(MOST_LINKS))
    )
    return f"""
    EXISTS (SELECT 1 FROM orders WHERE id = {order})
    OR EXISTS (SELECT 1 FROM conversions WHERE event_id = {prefix}.conversion_event_id)
    OR EXISTS (SELECT 1 FROM refunds WHERE order_id = {order})
    OR EXISTS (SELECT 1 FROM touches WHERE visitor = {visitor}
               AND at >= {prefix}.since AND at <= {prefix}.until)
    OR {linked}
    OR EXISTS (SELECT 1 FROM links WHERE visitor = {visitor})
    OR EXISTS (SELECT 1 FROM visitors WHERE visitor = {visitor})
    OR EXISTS (SELECT 1 FROM tombstones) AND ({mark.format(f"'or:' || {order}")} OR {erased})
    """  # noqa: S608


_PARAMETERS = dict(_parameters())
_ROWS = tuple(_rows())


def _sqlite_setup() -> Iterator[str]:
    """The view and its trigger. They are temporary: every writing connection makes its own."""
    nulls = ", ".join(f"NULL AS {name}" for name in ("n", *_PARAMETERS))
    yield f"CREATE TEMP VIEW intake AS SELECT {nulls}"
    yield "CREATE TEMP TABLE taken (n INTEGER)"
    steps = [
        f"SELECT RAISE(IGNORE) WHERE {_is_known('NEW')}",
        *(row.insert("", "NEW") for row in _ROWS),
        "INSERT INTO taken VALUES (NEW.n)",
    ]
    yield f"CREATE TEMP TRIGGER write INSTEAD OF INSERT ON intake BEGIN {'; '.join(steps)}; END"


@cache
def _sqlite(count: int) -> str:
    row = f"({', '.join('?' * (1 + len(_PARAMETERS)))})"
    return f"INSERT INTO intake VALUES {', '.join([row] * count)}"  # noqa: S608


def _postgresql() -> str:
    values = ", ".join(f"%s::{kind}" for kind in _PARAMETERS.values())
    parts = [
        f"given ({', '.join(_PARAMETERS)}) AS (VALUES ({values}))",
        f"free AS (SELECT 1 FROM given WHERE NOT ({_is_known('given')}))",  # noqa: S608
        *(f"s{n} AS ({row.insert(' FROM given, free', 'given')})" for n, row in enumerate(_ROWS)),
    ]
    return f"WITH {', '.join(parts)} SELECT count(*) FROM free"  # noqa: S608


SQLITE_SETUP = tuple(_sqlite_setup())
_POSTGRESQL = _postgresql()
