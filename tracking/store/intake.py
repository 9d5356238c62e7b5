"""A new order of a new buyer, the case of nearly every webhook: one statement to know that it is
one, and one that writes all its rows.

Each statement lets go of the interpreter, and under load taking it back costs more than the
statement itself; on PostgreSQL each is a round trip. SQLite has no statement that inserts into
several tables, but a trigger on a view that holds nothing does the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    Table,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
)

from tracking.store.schema import (
    conversions,
    credits,
    links,
    orders,
    outbox,
    receipts,
    refunds,
    touches,
)
from tracking.store.statement import Connection, Statement

Values = Mapping[str, Any]

# What the statements have room for. Orders beyond it go the long way.
MOST_LINKS, MOST_CREDITS, MOST_EVENTS = 4, 2, 2

_LINK_NAMES = tuple(f"link{n}" for n in range(MOST_LINKS))
_is_known = Statement(
    select(literal_column("1").label("one")).where(
        or_(
            exists().where(receipts.c.order_id == bindparam("order_id")),
            exists().where(orders.c.id == bindparam("order_id")),
            exists().where(refunds.c.order_id == bindparam("order_id")),
            exists().where(links.c.link.in_([bindparam(name) for name in _LINK_NAMES])),
            exists().where(
                touches.c.visitor == bindparam("visitor"),
                touches.c.at >= bindparam("since"),
                touches.c.at <= bindparam("until"),
            ),
        )
    )
)


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


def is_known(conn: Connection, news: News, since: int, until: int) -> bool:
    """Whether anything is known of the order, or of its buyer in [since, until]."""
    padded = [*news.person, *[""] * (MOST_LINKS - len(news.person))]
    row = _is_known.first(
        conn,
        order_id=news.order["id"],
        visitor=news.order["visitor"],
        since=since,
        until=until,
        **dict(zip(_LINK_NAMES, padded, strict=True)),
    )
    return row is not None


def write(conn: Connection, values: Sequence[Any]) -> None:
    """Write all rows of `values_of` at once."""
    conn.cursor.execute(_INSERT[conn.dialect], values)


def values_of(news: News) -> Sequence[Any]:
    """The rows as the statement takes them. Made before the write lock is held."""
    visitor = news.order["visitor"]
    values = [
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


def _sqlite_setup() -> Iterator[str]:
    """The view and its trigger. They are temporary: every writing connection makes its own."""
    columns = [f"c{n}" for n in range(sum(len(slot.columns) for slot in _SLOTS))]
    yield f"CREATE TEMP VIEW intake AS SELECT {', '.join(f'NULL AS {c}' for c in columns)}"
    left = iter(columns)
    steps = []
    for slot in _SLOTS:
        values = [f"NEW.{next(left)}" for _ in slot.columns]
        steps.append(slot.insert(values, f"{values[0]} IS NOT NULL"))
    yield f"CREATE TEMP TRIGGER write INSTEAD OF INSERT ON intake BEGIN {'; '.join(steps)}; END"


def _sqlite_insert() -> str:
    room = sum(len(slot.columns) for slot in _SLOTS)
    return f"INSERT INTO intake VALUES ({', '.join('?' * room)})"  # noqa: S608


def _postgresql_insert() -> str:
    parts = []
    for n, slot in enumerate(_SLOTS):
        columns = ", ".join(f"v{i}" for i in range(len(slot.columns)))
        given = ", ".join(f"%s::{kind}" for kind in slot.kinds())
        insert = slot.insert([f"v{i}" for i in range(len(slot.columns))], "v0 IS NOT NULL")
        source = f"FROM (VALUES ({given})) AS given ({columns})"
        parts.append(f"s{n} AS ({insert.replace(' WHERE ', f' {source} WHERE ')})")
    return f"WITH {', '.join(parts)} SELECT 1"


SQLITE_SETUP = tuple(_sqlite_setup())
_INSERT = {"sqlite": _sqlite_insert(), "postgresql": _postgresql_insert()}
