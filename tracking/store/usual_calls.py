"""Reads and writes what many calls of the pixel concern, in one statement each.

Each statement releases the interpreter lock, and under load acquiring it again costs more than the
statement itself; on PostgreSQL each statement is a round trip. SQLite has no statement that inserts
into several tables, but a trigger on an empty view can.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from typing import NamedTuple

import msgspec
from sqlalchemy import Table

from tracking.store.consents import VisitorRow
from tracking.store.conversions import ConversionRow
from tracking.store.engine import many_rows
from tracking.store.engine.statement import Connection
from tracking.store.erasure import tombstone_of
from tracking.store.schema import clients, conversions, outbox, touches, visitors
from tracking.store.touches import TouchRow

# Of a visitor with more the calls are unusual.
MOST_TOUCHES = 20


class ClientRow(NamedTuple):
    """Shopify's id of a browser, a visitor id that it had, and from when to when (seconds UTC)."""

    link: str
    visitor: str
    first_at: int
    last_at: int


class QueuedBrowserEvent(NamedTuple):
    """A finished event for the outbox; instants are seconds UTC."""

    event_id: str
    destination: str
    payload: bytes
    event_time: int
    due_at: int
    queued_at: int
    state: str = "waiting"
    is_browser: int = 1


class KnownVisitor(NamedTuple):
    """The rows of a visitor id: its `touches`, the newest first and one more than
    MOST_TOUCHES at most, its consent, two of the browsers that had it, and each one's number of
    visitor ids, two at most. `is_linked` is true if any identity key was told with it, `has_events`
    if it did anything that can be credited."""

    visitor: str
    touches: list[TouchRow]
    consent: VisitorRow | None
    clients: list[tuple[ClientRow, int]]
    is_linked: bool | int
    has_events: bool | int


class KnownCalls(NamedTuple):
    """The stored facts that calls may concern: their visitors, and of what they name the browsers,
    event ids and tombstones that are on record."""

    visitors: list[KnownVisitor]
    clients: list[str]
    event_ids: list[str]
    erased: list[str]


@dataclass(slots=True)
class CallRows:
    """The rows that calls add; those of `visitors` and `clients` replace what is stored."""

    touches: list[TouchRow] = field(default_factory=list)
    visitors: list[VisitorRow] = field(default_factory=list)
    clients: list[ClientRow] = field(default_factory=list)
    conversions: list[ConversionRow] = field(default_factory=list)
    outbox: list[QueuedBrowserEvent] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(self.by_table)

    @property
    def by_table(self) -> tuple[Sequence[tuple[object, ...]], ...]:
        """The rows in the order of `_TABLES`."""
        return self.touches, self.visitors, self.clients, self.conversions, self.outbox


def known_of(
    conn: Connection,
    visitors: Collection[str],
    clients: Collection[str],
    event_ids: Collection[str],
) -> KnownCalls:
    """Returns what is stored of visitor ids, of browsers and of event ids."""
    names = (visitors, clients, event_ids, {tombstone_of(client) for client in clients})
    conn.executed += 1
    if conn.dialect == "postgresql":
        conn.cursor.execute(_READ["postgresql"], [list(each) for each in names])
    else:
        passed = [msgspec.json.encode(list(each)).decode() for each in names]
        conn.cursor.execute(_READ["sqlite"], passed)
    (found,) = conn.cursor.fetchone()
    return _decode(found)


def put(conn: Connection, rows: CallRows) -> None:
    """Writes the rows of calls."""
    if not rows:
        return
    conn.executed += sum(map(len, rows.by_table))
    if conn.dialect == "postgresql":
        passed = map(many_rows.as_one, _TABLES.values(), rows.by_table)
        conn.cursor.execute(_POSTGRESQL, [*passed])
        return
    values = [
        value
        for each in zip_longest(*rows.by_table)
        for row, nothing in zip(each, _NOTHING, strict=True)
        for value in row or nothing
    ]
    conn.cursor.execute(_sqlite(max(map(len, rows.by_table))), values)


_decode = msgspec.json.Decoder(KnownCalls).decode

_TABLES: Mapping[Table, tuple[str, ...]] = {
    touches: TouchRow._fields,
    visitors: VisitorRow._fields,
    clients: ClientRow._fields,
    conversions: ConversionRow._fields,
    outbox: QueuedBrowserEvent._fields,
}
_NOTHING = [(None,) * len(columns) for columns in _TABLES.values()]
_REPLACED = (visitors, clients)


def _select(what: str, source: str) -> str:
    return f"(SELECT {what} FROM {source})"  # noqa: S608


def _exists(source: str) -> str:
    return f"EXISTS {_select('1', source)}"


def _reading(array: str, rows: str, names: str, json: str = "") -> str:
    """Returns the statement that reads what is known, as one value.

    Args:
        array: the function that makes a JSON array of values.
        rows: the one that makes an array of the values of many rows.
        names: the source of the names in a list.
        json: the function that keeps an array from becoming a text in another one.
    """

    def all_of(row: str, source: str) -> str:
        return f"{json}({_select(f'coalesce({rows}({row}), {array}())', source)})"

    def values_of(alias: str, columns: Sequence[str]) -> str:
        return f"{array}({', '.join(f'{alias}.{name}' for name in columns)})"

    def known_names(*tables: str) -> str:
        return all_of("name.value", f"{names} WHERE {' OR '.join(map(_exists, tables))}")

    of_visitor = "WHERE visitor = name.value"
    newest = _select("*", f"touches {of_visitor} ORDER BY at DESC LIMIT {MOST_TOUCHES + 1}")
    browsers = _select("*", f"clients {of_visitor} LIMIT 2")
    sharers = f"{_select('1', 'clients WHERE link = c.link LIMIT 2')} AS s"
    client = f"{array}({values_of('c', ClientRow._fields)}, {_select('count(*)', sharers)})"
    consent = _select(values_of("v", VisitorRow._fields), f"visitors AS v {of_visitor}")
    visitor = (
        "name.value",
        all_of(values_of("t", TouchRow._fields), f"{newest} AS t"),
        f"{json}({consent})",
        all_of(client, f"{browsers} AS c"),
        " OR ".join(_exists(f"{table} {of_visitor}") for table in ("links", "told_links")),
        _exists(f"conversions {of_visitor} AND order_id = ''"),
    )
    found = (
        all_of(f"{array}({', '.join(visitor)})", names),
        known_names("clients WHERE link = name.value"),
        known_names(
            "conversions WHERE event_id = name.value",
            "conversions WHERE sent_as = name.value AND sent_as <> ''",
        ),
        known_names("tombstones WHERE mark = name.value"),
    )
    return f"{array}({', '.join(found)})"


_EACH, _UNNEST = "json_each(?) AS name", "unnest(%s::text[]) AS name (value)"
_READ = {
    "sqlite": f"SELECT {_reading('json_array', 'json_group_array', _EACH, 'json')}",
    "postgresql": f"SELECT {_reading('json_build_array', 'json_agg', _UNNEST)}::text",
}


def _sqlite_setup() -> Iterator[str]:
    """Yields the statements that make the view and its trigger.

    They are temporary: every writing connection makes its own.
    """
    nulls, steps = [], []
    for table, columns in _TABLES.items():
        named = [f"{table.name}_{name}" for name in columns]
        nulls += [f"NULL AS {name}" for name in named]
        row = f"SELECT {', '.join(f'NEW.{name}' for name in named)}"
        steps.append(
            f"{_insertion(table, columns, row)} WHERE NEW.{named[0]} IS NOT NULL"
            f"{_on_conflict(table, columns)}"
        )
    yield f"CREATE TEMP VIEW usual_calls AS SELECT {', '.join(nulls)}"
    yield (
        "CREATE TEMP TRIGGER write_calls INSTEAD OF INSERT ON usual_calls "
        f"BEGIN {'; '.join(steps)}; END"
    )


@cache
def _sqlite(count: int) -> str:
    row = f"({', '.join('?' * sum(map(len, _TABLES.values())))})"
    return f"INSERT INTO usual_calls VALUES {', '.join([row] * count)}"  # noqa: S608


def _postgresql() -> str:
    parts = [
        f"{table.name}_put AS ({_insertion(table, columns, many_rows.of_one(table, columns))}"
        f"{_on_conflict(table, columns)})"
        for table, columns in _TABLES.items()
    ]
    return f"WITH {', '.join(parts)} SELECT 1"


def _insertion(table: Table, columns: Sequence[str], rows: str) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) {rows}"


def _on_conflict(table: Table, columns: Sequence[str]) -> str:
    if table not in _REPLACED:
        return ""
    key = [column.name for column in table.primary_key]
    new = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {new}"


SQLITE_SETUP = tuple(_sqlite_setup())
_POSTGRESQL = _postgresql()
