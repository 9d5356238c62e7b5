"""The pixel's backlog: what was accepted from browsers, and is not recorded yet."""

from typing import NamedTuple

from sqlalchemy import and_, bindparam, delete, func, not_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pixel_backlog

# A row that failed is tried again after so many seconds.
POSTPONED_SECONDS = 60


class BacklogRow(NamedTuple):
    """Work that is left of one call of the pixel, as JSON."""

    id: int
    body: bytes


class _RowId(NamedTuple):
    id: int


class _Length(NamedTuple):
    rows: int


_add = Statement(
    insert(pixel_backlog).values(body=bindparam("body"), queued_at=bindparam("queued_at"))
)
# An instant further ahead than a row is ever postponed was stored before a clock was set back.
_is_postponed = and_(
    pixel_backlog.c.due_at > bindparam("now"),
    pixel_backlog.c.due_at <= bindparam("now") + POSTPONED_SECONDS,
)
_next = Query(
    BacklogRow,
    select(pixel_backlog.c.id, pixel_backlog.c.body)
    .where(not_(_is_postponed))
    .order_by(pixel_backlog.c.id)
    .limit(1)
    .with_for_update(skip_locked=True),
)
_replace = Statement(
    update(pixel_backlog)
    .where(pixel_backlog.c.id == bindparam("b_id"))
    .values(body=bindparam("b_body"))
)
_postpone = Statement(
    update(pixel_backlog)
    .where(pixel_backlog.c.id == bindparam("b_id"))
    .values(due_at=bindparam("b_due_at"))
)
_remove = Statement(delete(pixel_backlog).where(pixel_backlog.c.id == bindparam("id")))
_clear = Statement(delete(pixel_backlog))
_any = Query(_RowId, select(pixel_backlog.c.id).limit(1))
_counted = select(pixel_backlog.c.id).limit(bindparam("most")).subquery("counted")
_length = Query(_Length, select(func.count().label("rows")).select_from(_counted))


def add(conn: Connection, body: bytes, now: int) -> None:
    """Stores work behind all that waits."""
    _add.run(conn, body=body, queued_at=now)


def next_row(conn: Connection, now: int) -> BacklogRow | None:
    """Returns the oldest row that no other transaction has locked, and locks it."""
    return _next.first(conn, now=now)


def replace(conn: Connection, id: int, body: bytes) -> None:
    """Stores what is left of a row's work."""
    _replace.run(conn, b_id=id, b_body=body)


def postpone(conn: Connection, id: int, now: int) -> None:
    """Leaves a row alone for POSTPONED_SECONDS."""
    _postpone.run(conn, b_id=id, b_due_at=now + POSTPONED_SECONDS)


def remove(conn: Connection, id: int) -> None:
    """Deletes a row whose work is done."""
    _remove.run(conn, id=id)


def clear(conn: Connection) -> None:
    """Deletes every row."""
    _clear.run(conn)


def has_rows(conn: Connection) -> bool:
    """Returns True if any row waits."""
    return _any.first(conn) is not None


def length(conn: Connection, most: int) -> int:
    """Returns how many rows wait, at most so many.

    They are counted: the ids of PostgreSQL go on behind a row that stays, whatever was removed.
    """
    (row,) = _length.all(conn, most=most)
    return row.rows
