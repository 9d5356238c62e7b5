"""Signed bodies that could not be understood, kept for a time so that none is lost."""

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import quarantine

_add = Statement(
    insert(quarantine)
    .values(
        {c.name: bindparam(c.name) for c in quarantine.c if c.name not in ("id", "replayed_at")}
    )
    .on_conflict_do_nothing()
)
_page = Statement(
    select(
        quarantine.c.id,
        quarantine.c.topic,
        quarantine.c.reason,
        quarantine.c.received_at,
        func.length(quarantine.c.body).label("size"),
    )
    .where(quarantine.c.replayed_at == 0, quarantine.c.id > bindparam("after"))
    .order_by(quarantine.c.id)
    .limit(bindparam("most"))
)
_bodies = Statement(
    select(quarantine.c.id, quarantine.c.topic, quarantine.c.body)
    .where(quarantine.c.replayed_at == 0, quarantine.c.id > bindparam("after"))
    .order_by(quarantine.c.id)
    .limit(bindparam("most"))
)
_count = Statement(select(func.count().label("bodies")).where(quarantine.c.replayed_at == 0))
_release = Statement(
    update(quarantine)
    .where(quarantine.c.id == bindparam("b_id"))
    .values(replayed_at=bindparam("b_now"), body=b"")
)


def add(conn: Connection, digest: str, topic: str, reason: str, body: bytes, now: int) -> None:
    """Keep a body, with the reason in words."""
    _add.run(conn, digest=digest, topic=topic, reason=reason, body=body, received_at=now)


def page(conn: Connection, after: int = 0, most: int = 100) -> list[Row]:
    """A page of what is kept, without the bodies."""
    return _page.all(conn, after=after, most=most)


def bodies(conn: Connection, after: int = 0, most: int = 100) -> list[Row]:
    """A page of the kept bodies."""
    return _bodies.all(conn, after=after, most=most)


def count(conn: Connection) -> int:
    """How many bodies are kept."""
    row: Row = _count.first(conn)
    return int(row.bodies)


def release(conn: Connection, id: int, now: int) -> None:
    """Mark a body as understood at last, and erase it."""
    _release.run(conn, b_id=id, b_now=now)
