"""Makes rows of settled events and their orders smaller, without a loss to any reader.

Payloads are packed or erased. Attempts that tell nothing which the event does not are deleted, and
lines of orders emptied by which no event is changed any more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.packed_payloads import BEGIN, packed
from tracking.store.schema import attempt_sums, attempts, orders, outbox

# So many rows a transaction: some fifteen milliseconds, as others wait for it.
PAGE = 50


class _RowNumber(NamedTuple):
    id: int


class _OrderKey(NamedTuple):
    id: str


class _DeletedAttempt(NamedTuple):
    destination: str
    outcome: str


class _StoredPayload(NamedTuple):
    payload: bytes


Kind = Literal["erasable payloads", "packable payloads", "needless attempts", "lines of old orders"]
_Id = TypeVar("_Id", _RowNumber, _OrderKey)
_before: BindParameter[int] = bindparam("b_before")
_is_sent = outbox.c.state == literal_column("'sent'")
# Of what the pixel told, a dead letter so old is replayed by nobody.
_is_erasable = and_(
    outbox.c.is_browser == 1,
    outbox.c.state.in_([literal_column("'sent'"), literal_column("'dead'")]),
    outbox.c.settled_at < _before,
    func.length(outbox.c.payload) > 0,
)
_is_packable = and_(
    outbox.c.is_browser == 0,
    _is_sent,
    outbox.c.settled_at < _before,
    func.substr(outbox.c.payload, 1, 1) == literal(BEGIN, LargeBinary),
)
_is_needless = and_(
    attempts.c.at < _before,
    attempts.c.outcome == literal_column("'sent'"),
    # The newest row stays: SQLite would give its id again, and attempts are counted by their ids.
    attempts.c.id < select(func.max(attempts.c.id)).scalar_subquery(),
    # The event itself says that it was sent, when, with which answer, and after one attempt.
    exists(
        select(literal_column("1")).where(
            outbox.c.event_id == attempts.c.event_id,
            outbox.c.destination == attempts.c.destination,
            _is_sent,
            outbox.c.attempts == 1,
            outbox.c.reason == attempts.c.detail,
        )
    ),
)
# By its lines an event is changed that waits to be sent.
_has_lines = and_(orders.c.placed_at < _before, orders.c.lines != literal_column("''"))


def _page(row: type[_Id], table: Table, condition: ColumnElement[bool]) -> Query[_Id]:
    after: BindParameter[Any] = bindparam("b_after")
    found = select(table.c.id).where(condition, table.c.id > after).order_by(table.c.id)
    return Query(row, found.limit(PAGE))


_PAGES: Mapping[Kind, Query[_RowNumber] | Query[_OrderKey]] = {
    "erasable payloads": _page(_RowNumber, outbox, _is_erasable),
    "packable payloads": _page(_RowNumber, outbox, _is_packable),
    "needless attempts": _page(_RowNumber, attempts, _is_needless),
    "lines of old orders": _page(_OrderKey, orders, _has_lines),
}
# The condition is asked for again: the event may have been erased since the page was read.
_packable = Query(
    _StoredPayload,
    select(outbox.c.payload)
    .where(_is_packable, outbox.c.id == bindparam("b_id"))
    .with_for_update(),
)
_set_payload = Statement(
    update(outbox).where(outbox.c.id == bindparam("b_id")).values(payload=bindparam("b_payload"))
)
_delete_attempt = Query(
    _DeletedAttempt,
    delete(attempts)
    .where(attempts.c.id == bindparam("b_id"), _is_needless)
    .returning(attempts.c.destination, attempts.c.outcome),
)
_add_to_sum = Statement(
    insert(attempt_sums)
    .values(
        destination=bindparam("destination"),
        outcome=bindparam("outcome"),
        attempts=bindparam("more"),
    )
    .on_conflict_do_update(
        index_elements=[attempt_sums.c.destination, attempt_sums.c.outcome],
        set_={"attempts": attempt_sums.c.attempts + bindparam("more")},
    )
)
_empty_lines = Statement(
    update(orders).where(orders.c.id == bindparam("b_id")).values(lines=literal_column("''"))
)


def page(conn: Connection, kind: Kind, before: int, after: int | str) -> list[int | str]:
    """Returns the ids of the next rows of a kind, above `after`, that are older than `before`."""
    return [row.id for row in _PAGES[kind].all(conn, b_before=before, b_after=after)]


def erase_payloads(conn: Connection, before: int, ids: Iterable[int | str]) -> None:
    """Erases the payloads of storefront events that were settled before an instant."""
    _change(conn, outbox, {id: {"payload": b""} for id in ids}, _set_payload)


def pack_payloads(conn: Connection, before: int, ids: Iterable[int | str]) -> None:
    """Packs the payloads of other events that were sent before an instant."""
    changes = {}
    for id in ids:
        row = _packable.first(conn, b_before=before, b_id=id)
        if row is not None:
            changes[id] = {"payload": packed(row.payload)}
    _change(conn, outbox, changes, _set_payload)


def delete_attempts(conn: Connection, before: int, ids: Iterable[int | str]) -> None:
    """Deletes attempts before an instant by which an event was sent at once, and adds them up."""
    deleted = Counter(
        row for id in ids for row in _delete_attempt.all(conn, b_before=before, b_id=id)
    )
    for row, more in deleted.items():
        _add_to_sum.run(conn, **row._asdict(), more=more)


def empty_lines(conn: Connection, before: int, ids: Iterable[int | str]) -> None:
    """Empties the lines of orders that were placed before an instant."""
    _change(conn, orders, {id: {"lines": ""} for id in ids}, _empty_lines)


def _change(
    conn: Connection,
    table: Table,
    changes: Mapping[int | str, Mapping[str, str | bytes]],
    statement: Statement,
) -> None:
    if conn.dialect == "sqlite":
        _write_anew(conn, table, changes)
    else:
        rows = (
            {f"b_{name}": value for name, value in {"id": id, **new}.items()}
            for id, new in changes.items()
        )
        statement.run_many(conn, rows)


def _write_anew(
    conn: Connection, table: Table, changes: Mapping[Any, Mapping[str, str | bytes]]
) -> None:
    """Deletes rows by their ids, and inserts them with the changes.

    In SQLite a row that an UPDATE makes shorter leaves its room unused for ever: pages are joined
    only where rows are deleted. All columns are written, those of a newer release too.
    """
    cursor, rows = conn.cursor, []
    for id, change in changes.items():
        cursor.execute(f"SELECT * FROM {table.name} WHERE id = ?", [id])  # noqa: S608
        found = cursor.fetchone()
        if found is not None:
            names = [name for name, *_ in cursor.description]
            rows.append({**dict(zip(names, found, strict=True)), **change})
    cursor.executemany(f"DELETE FROM {table.name} WHERE id = ?", [[row["id"]] for row in rows])  # noqa: S608
    for row in rows:
        columns, values = ", ".join(row), ", ".join("?" * len(row))
        insertion = f"INSERT INTO {table.name} ({columns}) VALUES ({values})"  # noqa: S608
        cursor.execute(insertion, [*row.values()])
    conn.executed += 3 * len(rows)
