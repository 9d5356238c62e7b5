"""Erasures that are not complete: what is left of each, and how far it has come."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pending_erasures

REDACT, SHOP_REDACT = "customers/redact", "shop/redact"


# The stages of a person's erasure, in their order; the search of bodies comes last, and counts up
# the ids of the bodies.
PLANNING, ERASING, CREDITING, SEARCHING = -3, -2, -1, 0
# An erasure of a shop is held first. Its further stages are numbered.
HELD, FIRST_OF_SHOP = 0, 1
# How long an erasure is left alone on which this release failed.
POSTPONED_SECONDS = 600


class PendingErasure(NamedTuple):
    """An erasure that is not complete. `links` and `orders` are separated by spaces.

    `body_id` is its stage; the search of quarantined bodies has come to `position` in the text of
    the body with that id, any other stage has made so many steps. Instants are seconds UTC.
    """

    id: int
    digest: str
    topic: str
    asked_as: str
    links: str
    orders: str
    received_at: int
    due_at: int
    body_id: int
    position: int

    @property
    def is_held(self) -> bool:
        """Returns True for an erasure of a shop that waits for a confirmation or for its time."""
        return self.topic == SHOP_REDACT and self.body_id == HELD

    @property
    def is_searching(self) -> bool:
        """Returns True if nothing is left of the person outside of quarantined bodies."""
        return self.topic != SHOP_REDACT and self.body_id >= SEARCHING

    def is_due(self, now: float) -> bool:
        """Returns True unless it is held or was postponed; a clock set back postpones nothing."""
        return not self.is_held and not now < self.due_at <= now + POSTPONED_SECONDS


class _ErasureId(NamedTuple):
    id: int


class _Rest(NamedTuple):
    rest: str


_values: dict[str, Any] = {c.name: bindparam(c.name) for c in pending_erasures.c if c.name != "id"}
_add = Query(
    _ErasureId,
    insert(pending_erasures)
    .values(_values)
    .on_conflict_do_nothing()
    .returning(pending_erasures.c.id),
)
_row = select(*(c for c in pending_erasures.c if c.name != "rest"))
_all = Query(PendingErasure, _row.order_by(pending_erasures.c.id))
_of_id = Query(PendingErasure, _row.where(pending_erasures.c.id == bindparam("id")))
_unbegun_of_shop = Query(
    _ErasureId,
    select(pending_erasures.c.id)
    .where(
        pending_erasures.c.topic == bindparam("topic"),
        pending_erasures.c.body_id == bindparam("stage"),
        pending_erasures.c.position == 0,
    )
    .limit(1),
)
_rest = Query(
    _Rest, select(pending_erasures.c.rest).where(pending_erasures.c.id == bindparam("id"))
)
# Of two processes that go on at the same time the one that is ahead counts.
_ahead = update(pending_erasures).where(
    pending_erasures.c.id == bindparam("b_id"),
    tuple_(pending_erasures.c.body_id, pending_erasures.c.position)
    < tuple_(bindparam("b_body_id"), bindparam("b_position")),
)
_place: dict[str, Any] = {"body_id": bindparam("b_body_id"), "position": bindparam("b_position")}
_advance = Statement(_ahead.values(_place))
_enter = Query(
    _ErasureId,
    _ahead.values({**_place, "rest": bindparam("b_rest")}).returning(pending_erasures.c.id),
)
_postpone = Statement(
    update(pending_erasures)
    .where(pending_erasures.c.id == bindparam("b_id"))
    .values(due_at=bindparam("b_due_at"))
)
_confirm = Query(
    _ErasureId,
    update(pending_erasures)
    .where(
        pending_erasures.c.id == bindparam("b_id"),
        pending_erasures.c.topic == bindparam("b_topic"),
        pending_erasures.c.body_id == HELD,
    )
    .values(body_id=FIRST_OF_SHOP, due_at=bindparam("b_now"), rest=bindparam("b_rest"))
    .returning(pending_erasures.c.id),
)
_forget_others = Statement(
    delete(pending_erasures).where(
        or_(pending_erasures.c.topic != bindparam("topic"), pending_erasures.c.body_id == HELD)
    )
)
_remove = Query(
    _ErasureId,
    delete(pending_erasures)
    .where(pending_erasures.c.id == bindparam("b_id"))
    .returning(pending_erasures.c.id),
)


def add_person(
    conn: Connection, links: Iterable[str], orders: Iterable[str], now: int, rest: str = ""
) -> int | None:
    """Stores that a person is to be erased, whose keys or orders these are; returns the id of the
    erasure, None if the same one waits already."""
    person, named = " ".join(links), " ".join(orders)
    told = f"{person}\n{named}\n{now}\n{rest}"
    values = {"links": person, "orders": named, "rest": rest, "body_id": PLANNING}
    return _add_row(conn, REDACT, told, now, now, **values)


def hold_shop(conn: Connection, digest: str, shop: str, now: int, due_at: int) -> None:
    """Stores that every person is to be erased later, once if the same body comes again."""
    _add_row(conn, SHOP_REDACT, digest, now, due_at, asked_as=shop, body_id=HELD)


def add_shop(conn: Connection, digest: str, shop: str, now: int, rest: str) -> int | None:
    """Stores that every person is to be erased now; returns the id of the erasure, None if one
    waits already that has not begun: one that has may have passed where somebody new stands."""
    if _unbegun_of_shop.first(conn, topic=SHOP_REDACT, stage=FIRST_OF_SHOP) is not None:
        return None
    values = {"asked_as": shop, "body_id": FIRST_OF_SHOP, "rest": rest}
    return _add_row(conn, SHOP_REDACT, f"{digest} at {now}", now, now, **values)


def _add_row(
    conn: Connection, topic: str, told: str, now: int, due_at: int, **values: object
) -> int | None:
    digest = hashlib.sha256(told.encode()).hexdigest()
    empty = {"asked_as": "", "links": "", "orders": "", "rest": "", "position": 0}
    instants = {"received_at": now, "due_at": due_at}
    row = _add.first(conn, **{**empty, **instants, "topic": topic, "digest": digest, **values})
    return None if row is None else row.id


def list_all(conn: Connection) -> list[PendingErasure]:
    """Returns every erasure that is not complete, oldest first."""
    return _all.all(conn)


def of_id(conn: Connection, id: int) -> PendingErasure | None:
    """Returns an erasure that is not complete."""
    return _of_id.first(conn, id=id)


def rest_of(conn: Connection, id: int) -> str:
    """Returns what is left to do of an erasure, as its stage stored it."""
    row = _rest.first(conn, id=id)
    return "" if row is None else row.rest


def advance(conn: Connection, id: int, body_id: int, position: int) -> None:
    """Stores how far an erasure has come."""
    _advance.run(conn, b_id=id, b_body_id=body_id, b_position=position)


def enter(conn: Connection, id: int, body_id: int, position: int, rest: str) -> bool:
    """Stores that an erasure has come to a stage, and what is left to do in it; returns False if
    another process has come there first."""
    row = _enter.first(conn, b_id=id, b_body_id=body_id, b_position=position, b_rest=rest)
    return row is not None


def postpone(conn: Connection, id: int, now: int) -> None:
    """Leaves an erasure alone for POSTPONED_SECONDS."""
    _postpone.run(conn, b_id=id, b_due_at=now + POSTPONED_SECONDS)


def confirm(conn: Connection, id: int, now: int, rest: str) -> bool:
    """Stores that a held erasure is carried out now; returns False if it is not held any more."""
    return _confirm.first(conn, b_id=id, b_topic=SHOP_REDACT, b_now=now, b_rest=rest) is not None


def forget_others(conn: Connection) -> None:
    """Deletes the erasures of single persons and those on hold, since every person was erased."""
    _forget_others.run(conn, topic=SHOP_REDACT)


def remove(conn: Connection, id: int) -> bool:
    """Deletes an erasure that is complete or dropped; returns False if it is not there any more."""
    return _remove.first(conn, b_id=id) is not None
