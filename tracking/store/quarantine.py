"""Signed bodies that could not be understood, kept for a time so that none is lost."""

from typing import NamedTuple

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import quarantine


class QuarantinedRow(NamedTuple):
    """A quarantined body without the body. `received_at` is seconds UTC, `size` is bytes."""

    id: int
    topic: str
    reason: str
    received_at: int
    size: int


class QuarantinedBody(NamedTuple):
    """A quarantined body and the topic it came under."""

    id: int
    topic: str
    body: bytes


class DiscardedBody(NamedTuple):
    """A discarded body without the body. `received_at` is seconds UTC."""

    id: int
    digest: str
    topic: str
    reason: str
    received_at: int


class _BodyTotal(NamedTuple):
    bodies: int


_add = Statement(
    insert(quarantine)
    .values(
        {c.name: bindparam(c.name) for c in quarantine.c if c.name not in ("id", "replayed_at")}
    )
    .on_conflict_do_nothing()
)
_page = Query(
    QuarantinedRow,
    select(
        quarantine.c.id,
        quarantine.c.topic,
        quarantine.c.reason,
        quarantine.c.received_at,
        func.length(quarantine.c.body).label("size"),
    )
    .where(quarantine.c.replayed_at == 0, quarantine.c.id > bindparam("after"))
    .order_by(quarantine.c.id)
    .limit(bindparam("most")),
)
_bodies = Query(
    QuarantinedBody,
    select(quarantine.c.id, quarantine.c.topic, quarantine.c.body)
    .where(
        quarantine.c.replayed_at == 0,
        func.length(quarantine.c.body) > 0,
        quarantine.c.id > bindparam("after"),
    )
    .order_by(quarantine.c.id)
    .limit(bindparam("most")),
)
_one = Query(
    QuarantinedBody,
    select(quarantine.c.id, quarantine.c.topic, quarantine.c.body).where(
        quarantine.c.replayed_at == 0, quarantine.c.id == bindparam("id")
    ),
)
_discard = Query(
    DiscardedBody,
    update(quarantine)
    .where(quarantine.c.replayed_at == 0, quarantine.c.id == bindparam("b_id"))
    .values(replayed_at=bindparam("b_now"), body=b"")
    .returning(*(quarantine.c[name] for name in DiscardedBody._fields)),
)
_count = Query(
    _BodyTotal, select(func.count().label("bodies")).where(quarantine.c.replayed_at == 0)
)
_count_without_body = Query(
    _BodyTotal,
    select(func.count().label("bodies")).where(
        quarantine.c.replayed_at == 0, func.length(quarantine.c.body) == 0
    ),
)
_release = Statement(
    update(quarantine)
    .where(quarantine.c.id == bindparam("b_id"))
    .values(replayed_at=bindparam("b_now"), body=b"")
)


def add(conn: Connection, digest: str, topic: str, reason: str, body: bytes, now: int) -> None:
    """Stores a body with the reason, in words, why it could not be understood."""
    _add.run(conn, digest=digest, topic=topic, reason=reason, body=body, received_at=now)


def page(conn: Connection, after: int = 0, most: int = 100) -> list[QuarantinedRow]:
    """Returns a page of the rows, without the bodies."""
    return _page.all(conn, after=after, most=most)


def bodies(conn: Connection, after: int = 0, most: int = 100) -> list[QuarantinedBody]:
    """Returns a page of the bodies that were kept."""
    return _bodies.all(conn, after=after, most=most)


def one(conn: Connection, id: int) -> QuarantinedBody | None:
    """Returns a body in quarantine; None if there is none of this id."""
    return _one.first(conn, id=id)


def discard(conn: Connection, id: int, now: int) -> DiscardedBody | None:
    """Erases a body and takes it out of the quarantine; returns what is left of it.

    Its digest stays for as long as the body would have, so that the same body again is none.
    """
    return _discard.first(conn, b_id=id, b_now=now)


def count(conn: Connection) -> int:
    """Returns how many bodies are in quarantine."""
    (row,) = _count.all(conn)
    return row.bodies


def count_without_body(conn: Connection) -> int:
    """Returns how many of them left only the reason, so that nothing can be tried again."""
    (row,) = _count_without_body.all(conn)
    return row.bodies


def release(conn: Connection, id: int, now: int) -> None:
    """Marks a body as replayed, and erases it."""
    _release.run(conn, b_id=id, b_now=now)
