"""The rows of one order, and the statement that writes those of a new order of a new buyer.

Nearly every webhook has such an order. Each statement releases the interpreter lock, and under
load acquiring it again costs more than the statement itself; on PostgreSQL each statement is a
round trip. SQLite has no statement that inserts into several tables, but a trigger on an empty
view can.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, LargeBinary, Table

from tracking.store.conversions import ConversionRow
from tracking.store.engine.statement import Connection, Parameters
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

# The statement has room for so many rows. Orders with more are written row by row.
_KEY_SLOTS, _CREDIT_SLOTS, _EVENT_SLOTS = 6, 2, 2


class OrderRows(NamedTuple):
    """The rows of an order, as both databases store them.

    `keys` are the identity keys of its buyer, `payloads` the finished events by destination. They
    are held until `held_until` (seconds UTC) where the conversion has a reason that a later fact
    may remove; None where nothing keeps them from being sent: then they are due at `due_at`.
    With `shares_id` the id they are sent under is chosen when they are claimed first.
    """

    order: OrderRow
    touch: TouchRow
    credits: Sequence[CreditRow]
    conversion: ConversionRow
    keys: tuple[str, ...]
    payloads: Mapping[str, bytes]
    held_until: int | None
    due_at: int
    shares_id: bool

    @property
    def fits(self) -> bool:
        """Returns True if the one statement has room for these rows."""
        return (
            len(self.keys) <= _KEY_SLOTS
            and len(self.credits) <= _CREDIT_SLOTS
            and len(self.payloads) <= _EVENT_SLOTS
        )


def put(conn: Connection, rows: Sequence[Parameters]) -> None:
    """Writes each of these `parameters_of` on SQLite, unless the order or its buyer is known.

    An order or buyer in an earlier row counts as known. Outside a transaction the statement is a
    transaction by itself.
    """
    conn.cursor.execute(_sqlite(len(rows)), [v for n, row in enumerate(rows) for v in (n, *row)])


def written(conn: Connection) -> set[int]:
    """Returns the positions of the rows just put that were written."""
    return {n for (n,) in conn.cursor.execute("DELETE FROM written RETURNING n").fetchall()}


def write(conn: Connection, rows: Sequence[Parameters]) -> set[int]:
    """Writes each of these `parameters_of` on PostgreSQL, unless the order or its buyer is known;
    returns the positions of those written.

    No two of them may have an order, a buyer or a key in common.
    """
    passed = [dict(zip(("n", *_PARAMETERS), (n, *row), strict=True)) for n, row in enumerate(rows)]
    conn.cursor.execute(_POSTGRESQL, [msgspec.json.encode(passed).decode()])
    return {n for (n,) in conn.cursor.fetchall()}


def parameters_of(rows: OrderRows, digest: str, topic: str, since: int, until: int) -> Parameters:
    """Returns the parameters of the statement for the rows of an order.

    A touch of the buyer in [since, until] makes the buyer a known one. The parameters need no
    database, so that the caller can make them before it holds the write lock.
    """
    parameters = [
        *(digest, topic, since, until, *_state_of(rows)),
        *rows.order,
        *_touch_values(rows.touch),
        *_conversion_values(rows.conversion),
        *rows.keys,
        *_NO_KEY[len(rows.keys) :],
    ]
    for credit in rows.credits:
        parameters += _credit_values(credit)
    parameters += _NO_CREDIT * (_CREDIT_SLOTS - len(rows.credits))
    for event in rows.payloads.items():
        parameters += event
    parameters += _NO_EVENT * (_EVENT_SLOTS - len(rows.payloads))
    return parameters


def _state_of(rows: OrderRows) -> tuple[str, int, int]:
    """Returns the state, the due time and `shares_id` of the order's events."""
    if rows.held_until is not None:
        return "held", rows.held_until, int(rows.shares_id)
    return "waiting", rows.due_at, int(rows.shares_id)


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
    *("visit_campaign_id", "visit_campaign"),
)
_CREDIT = tuple(c.name for c in credits.c if c.name not in _COMMON)
_EVENT = ("destination", "payload")

_getter: Callable[..., Callable[[Any], tuple[Any, ...]]] = attrgetter
_touch_values = _getter(*_TOUCH)
_conversion_values = _getter(*_CONVERSION)
_credit_values = _getter(*_CREDIT)
_NO_KEY = ("",) * _KEY_SLOTS
_NO_CREDIT = (None,) * len(_CREDIT)
_NO_EVENT = (None,) * len(_EVENT)


def _parameters() -> Iterator[tuple[str, str]]:
    """Yields the name and the PostgreSQL type of each value, in the order of `parameters_of`."""
    yield from (("digest", "text"), ("topic", "text"), ("since", "bigint"), ("until", "bigint"))
    yield from (("state", "text"), ("due_at", "bigint"), ("shares_id", "bigint"))
    yield from _typed("order", orders, [c.name for c in orders.c])
    yield from _typed("touch", touches, _TOUCH)
    yield from _typed("conversion", conversions, _CONVERSION)
    yield from ((f"key{n}", "text") for n in range(_KEY_SLOTS))
    for n in range(_CREDIT_SLOTS):
        yield from _typed(f"credit{n}", credits, _CREDIT)
    for n in range(_EVENT_SLOTS):
        yield from _typed(f"event{n}", outbox, _EVENT)


def _typed(prefix: str, table: Table, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in columns:
        column_type = table.c[name].type
        is_number = isinstance(column_type, BigInteger) or column_type.python_type is int
        is_bytes = isinstance(column_type, LargeBinary)
        yield f"{prefix}_{name}", "bytea" if is_bytes else "bigint" if is_number else "text"


@dataclass(frozen=True, slots=True)
class _InsertedRow:
    """A row to insert: the parameter or literal of each column, and the condition for it."""

    table: Table
    columns: Mapping[str, str]
    condition: str = ""

    @property
    def into(self) -> str:
        """Returns the beginning of the INSERT statement."""
        names = ", ".join(f'"{name}"' for name in self.columns)
        return f'INSERT INTO "{self.table.name}" ({names})'

    def select(self, source: str, prefix: str) -> str:
        """Returns the rest of it, which reads the parameters from a source."""
        values = ", ".join(
            text if text[0] in "'0123456789" else f"{prefix}.{text}"
            for text in self.columns.values()
        )
        where = f" WHERE {prefix}.{self.condition}" if self.condition else ""
        return f"SELECT {values}{source}{where}"


def _rows() -> Iterator[_InsertedRow]:
    now, event_id = "conversion_recorded_at", "conversion_event_id"
    receipt = {"order_id": "order_id", "digest": "digest", "topic": "topic", "received_at": now}
    yield _InsertedRow(receipts, receipt)
    yield _InsertedRow(orders, {c.name: f"order_{c.name}" for c in orders.c})
    yield _InsertedRow(
        touches, {"visitor": _COMMON["visitor"], **{c: f"touch_{c}" for c in _TOUCH}}
    )
    shared = {
        "stage": "'purchase'",
        "order_id": "order_id",
        "visitor": "order_visitor",
        "at": "order_placed_at",
        "is_counted": "order_is_counted",
        "currency": "order_currency",
        "value": "order_gross",
    }
    yield _InsertedRow(conversions, {**shared, **{c: f"conversion_{c}" for c in _CONVERSION}})
    for n in range(_KEY_SLOTS):
        columns = {"link": f"key{n}", "visitor": _COMMON["visitor"]}
        yield _InsertedRow(links, columns, f"key{n} <> ''")
    for n in range(_CREDIT_SLOTS):
        common = {c.name: _COMMON[c.name] for c in credits.c if c.name in _COMMON}
        columns = {**common, **{c: f"credit{n}_{c}" for c in _CREDIT}}
        yield _InsertedRow(credits, columns, f"credit{n}_mask IS NOT NULL")
    for n in range(_EVENT_SLOTS):
        columns = {
            "event_id": event_id,
            "destination": f"event{n}_destination",
            "state": "state",
            "payload": f"event{n}_payload",
            "event_time": "order_placed_at",
            "due_at": "due_at",
            "shares_id": "shares_id",
            "queued_at": now,
        }
        yield _InsertedRow(outbox, columns, f"event{n}_destination IS NOT NULL")


def _is_known(prefix: str, end: str = "") -> str:
    """Returns the condition for an order that is known, or that an event of another system names,
    or whose buyer is known or erased.

    A browser is known by what it did as well, which the order may be credited with. `end` ends
    each of the queries.
    """

    def exists(rows: str) -> str:
        return f"EXISTS (SELECT 1 FROM {rows}{end})"  # noqa: S608

    order, visitor = f"{prefix}.order_id", f"{prefix}.order_visitor"
    touched = f"visitor = {visitor} AND at >= {prefix}.since AND at <= {prefix}.until"
    # One by one: for `link IN (…)` SQLite builds a table, which costs half of the statement.
    keys = [f"{prefix}.key{n}" for n in range(_KEY_SLOTS)]
    tombstones = [
        f"{key} <> '' AND {exists(f'tombstones WHERE mark = substr({key}, 1, {TOMBSTONE_LENGTH})')}"
        for key in keys
    ]
    erased = " OR ".join([exists(f"tombstones WHERE mark = 'or:' || {order}"), *tombstones])
    conditions = [
        exists(f"orders WHERE id = {order}"),
        exists(f"conversions WHERE event_id = {prefix}.conversion_event_id"),
        exists(f"refunds WHERE order_id = {order}"),
        exists(f"outbox WHERE order_id = {order} AND order_id <> ''"),
        exists(f"touches WHERE {touched}"),
        *(f"{key} <> '' AND {exists(f'links WHERE link = {key}')}" for key in keys),
        exists(f"links WHERE visitor = {visitor}"),
        exists(f"clients WHERE visitor = {visitor}"),
        exists(f"visitors WHERE visitor = {visitor}"),
        exists(f"conversions WHERE visitor = {visitor} AND order_id = ''"),
        f"{exists('tombstones')} AND ({erased})",
    ]
    return " OR ".join(conditions)


_PARAMETERS = dict(_parameters())
_ROWS = tuple(_rows())


def _sqlite_setup() -> Iterator[str]:
    """Yields the statements that make the view, its trigger and the table of what it wrote.

    They are temporary: every writing connection makes its own.
    """
    nulls = ", ".join(f"NULL AS {name}" for name in ("n", *_PARAMETERS))
    yield f"CREATE TEMP VIEW new_orders AS SELECT {nulls}"
    yield "CREATE TEMP TABLE written (n INTEGER)"
    steps = [
        f"SELECT RAISE(IGNORE) WHERE {_is_known('NEW')}",
        *(f"{row.into} {row.select('', 'NEW')}" for row in _ROWS),
        "INSERT INTO written VALUES (NEW.n)",
    ]
    yield f"CREATE TEMP TRIGGER write INSTEAD OF INSERT ON new_orders BEGIN {'; '.join(steps)}; END"


@cache
def _sqlite(count: int) -> str:
    row = f"({', '.join('?' * (1 + len(_PARAMETERS)))})"
    return f"INSERT INTO new_orders VALUES {', '.join([row] * count)}"  # noqa: S608


def _postgresql() -> str:
    # The driver is slow with many values, and the server with many insertions.
    kinds = {name: kind.replace("bytea", "text") for name, kind in _PARAMETERS.items()}
    columns = ", ".join(f"{name} {kind}" for name, kind in {"n": "bigint", **kinds}.items())
    values = ", ".join(
        f"decode({name}, 'base64') AS {name}" if kind == "bytea" else name
        for name, kind in _PARAMETERS.items()
    )
    rows = f"json_to_recordset(%s::json) AS told ({columns})"
    inserted: dict[str, list[str]] = {}
    for row in _ROWS:
        inserted.setdefault(row.into, []).append(row.select(" FROM new", "new"))
    # With an OFFSET the planner looks each row up, and never reads a whole table for it.
    is_known = _is_known("passed", " OFFSET 0")
    parts = [
        f"passed AS (SELECT n, {values} FROM {rows})",  # noqa: S608
        f"new AS (SELECT * FROM passed WHERE NOT ({is_known}))",  # noqa: S608
        *(
            f"s{n} AS ({into} {' UNION ALL '.join(selects)})"
            for n, (into, selects) in enumerate(inserted.items())
        ),
    ]
    return f"WITH {', '.join(parts)} SELECT n FROM new"  # noqa: S608


SQLITE_SETUP = tuple(_sqlite_setup())
_POSTGRESQL = _postgresql()
