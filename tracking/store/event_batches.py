"""Many events of a file at once: what is known of them, and writing those that meet nothing known.

One by one each event asks a dozen questions, on PostgreSQL a round trip each.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    Table,
    bindparam,
    func,
    select,
)
from sqlalchemy.types import TypeEngine

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.erasure import tombstone_of
from tracking.store.schema import conversions, links, outbox, tombstones, touches


def _one_of(dialect: str, column: Column[str]) -> ColumnElement[bool]:
    """Whether the column is among the names, which are handed over as one value."""
    if dialect == "postgresql":
        return column == func.any(bindparam("names"))
    return column.in_(select(func.json_each(bindparam("names")).table_valued("value").c.value))


def _selected(of: Column[str], *columns: Column[Any]) -> Statement:
    return Statement(
        {
            dialect: select(*(columns or (of,))).where(_one_of(dialect, of)).distinct()
            for dialect in ("sqlite", "postgresql")
        }
    )


_recorded = _selected(conversions.c.event_id)
_sharers = _selected(links.c.link, links.c.link, links.c.visitor)
_own_links = _selected(links.c.visitor, links.c.link, links.c.visitor)
_touched = _selected(touches.c.visitor)
_erased = _selected(tombstones.c.mark)

_any_erased = Statement(select(tombstones.c.mark).limit(1))

# With one row in each statement, handing the rows over costs more than writing them.
# Whatever is left over is told in few sizes, since each of them is a statement that is kept.
_ROWS_A_STATEMENT = (1000, 100, 10, 1)
_CONVERSION = tuple(c.name for c in conversions.c if c.name != "id")
_EVENT = ("event_id", "destination", "state", "payload", "event_time", "due_at", "queued_at")
_LINK = ("link", "visitor")
_conversion_values: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*_CONVERSION)


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a batch: the ids of its `events` that are on record, which visitor
    ids were seen with a link (`sharers`), with which links a visitor id was seen (`links`), who
    of them left touches, and the marks of what was `erased`."""

    events: frozenset[str]
    sharers: dict[str, set[str]]
    links: dict[str, set[str]]
    touched: frozenset[str]
    erased: frozenset[str]

    def any_erased(self, person: Iterable[str], order_id: str) -> bool:
        """Whether an event is of a person or an order that was erased."""
        names = (*person, f"or:{order_id}")
        return bool(self.erased) and any(tombstone_of(name) in self.erased for name in names)

    def is_met(self, person: Collection[str], visitor: str) -> bool:
        """Whether anybody else was seen with what this visitor id is known by, or a visit of
        theirs is on record."""
        if visitor in self.touched:
            return True
        sharers = (self.sharers.get(name) for name in {*person, *self.links.get(visitor, ())})
        return any(seen is not None and seen != {visitor} for seen in sharers)

    def meet(self, person: Iterable[str], visitor: str) -> None:
        """Know from now on that a visitor id was seen with these links."""
        for name in person:
            self.sharers.setdefault(name, set()).add(visitor)
            self.links.setdefault(visitor, set()).add(name)


def known(
    conn: Connection,
    events: Collection[str],
    person: Collection[str],
    visitors: Collection[str],
    order_ids: Collection[str],
) -> Known:
    """What is known of these event ids, links, visitor ids and orders."""
    found = {(r.link, r.visitor) for r in _among(conn, _sharers, person)}
    own = {(r.link, r.visitor) for r in _among(conn, _own_links, visitors)}
    others = {link for link, _ in own} - set(person)
    found |= own | {(r.link, r.visitor) for r in _among(conn, _sharers, others)}
    sharers: dict[str, set[str]] = defaultdict(set)
    of_visitor: dict[str, set[str]] = defaultdict(set)
    for link, visitor in found:
        sharers[link].add(visitor)
        of_visitor[visitor].add(link)
    marks = {tombstone_of(name) for name in (*person, *(f"or:{id}" for id in order_ids))}
    if _any_erased.first(conn) is None:
        marks = set()
    return Known(
        events=frozenset(r.event_id for r in _among(conn, _recorded, events)),
        sharers=sharers,
        links=of_visitor,
        touched=frozenset(r.visitor for r in _among(conn, _touched, visitors)),
        erased=frozenset(r.mark for r in _among(conn, _erased, marks)),
    )


def put(
    conn: Connection,
    rows: Iterable[Mapping[str, Any]],
    events: Iterable[tuple[str, str, bytes, int]],
    person: Iterable[tuple[str, str]],
    now: int,
) -> None:
    """Write down events, put those that are sent in line (event id, destination, payload, time),
    and note who was seen with what (link, visitor id). What is there already stays as it is."""
    # In the order of their keys, so that two imports of one file never wait for one another.
    ordered = sorted(rows, key=itemgetter("event_id"))
    _insert(conn, conversions, _CONVERSION, list(map(_conversion_values, ordered)))
    queued = [
        (event_id, destination, "waiting", payload, at, now, now)
        for event_id, destination, payload, at in sorted(events)
    ]
    _insert(conn, outbox, _EVENT, queued)
    _insert(conn, links, _LINK, sorted(set(person)))


def _insert(
    conn: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]
) -> None:
    first = 0
    while first < len(rows):
        size = next(size for size in _ROWS_A_STATEMENT if size <= len(rows) - first)
        some = rows[first : first + size]
        first += size
        if conn.dialect == "postgresql":
            told = msgspec.json.encode([dict(zip(columns, row, strict=True)) for row in some])
            conn.cursor.execute(_postgresql(table, columns), [told.decode()])
        else:
            conn.cursor.execute(_sqlite(table, columns, len(some)), [*chain.from_iterable(some)])


@lru_cache(maxsize=64)
def _sqlite(table: Table, columns: tuple[str, ...], count: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return _insertion(table, columns, f"VALUES {', '.join([row] * count)}")


@lru_cache
def _postgresql(table: Table, columns: tuple[str, ...]) -> str:
    # The driver is slow to hand over many values, so that all rows are one.
    told = [f"{name} {'bigint' if _is(table, name, Integer) else 'text'}" for name in columns]
    values = [
        f"decode({name}, 'base64')" if _is(table, name, LargeBinary) else name for name in columns
    ]
    source = f"json_to_recordset(%s::json) AS told ({', '.join(told)})"
    return _insertion(table, columns, f"SELECT {', '.join(values)} FROM {source}")  # noqa: S608


def _is(table: Table, name: str, kind: type[TypeEngine[Any]]) -> bool:
    return isinstance(table.c[name].type, kind)


def _insertion(table: Table, columns: Sequence[str], rows: str) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) {rows} ON CONFLICT DO NOTHING"


def _among(conn: Connection, statement: Statement, names: Collection[str]) -> list[Row]:
    if not names:
        return []
    given = list(names)
    value = given if conn.dialect == "postgresql" else msgspec.json.encode(given).decode()
    return statement.all(conn, names=value)
