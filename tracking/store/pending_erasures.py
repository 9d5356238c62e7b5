"""The rest of erasures: searches of the quarantined bodies, and erasures of a shop on hold."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pending_erasures

REDACT, SHOP_REDACT = "customers/redact", "shop/redact"


class PendingErasure(NamedTuple):
    """An erasure that is not complete. `links` and `orders` are separated by spaces.

    A search has come to `position` in the text of the body `body_id`. Instants are seconds UTC.
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


class _ErasureId(NamedTuple):
    id: int


_values: dict[str, Any] = {c.name: bindparam(c.name) for c in pending_erasures.c if c.name != "id"}
_add = Query(
    _ErasureId,
    insert(pending_erasures)
    .values(_values)
    .on_conflict_do_nothing()
    .returning(pending_erasures.c.id),
)
_all = Query(PendingErasure, select(pending_erasures).order_by(pending_erasures.c.id))
# Of two processes that search at the same time the one that is ahead counts.
_advance = Statement(
    update(pending_erasures)
    .where(
        pending_erasures.c.id == bindparam("b_id"),
        tuple_(pending_erasures.c.body_id, pending_erasures.c.position)
        < tuple_(bindparam("b_body_id"), bindparam("b_position")),
    )
    .values(body_id=bindparam("b_body_id"), position=bindparam("b_position"))
)
_remove = Query(
    _ErasureId,
    delete(pending_erasures)
    .where(pending_erasures.c.id == bindparam("b_id"))
    .returning(pending_erasures.c.id),
)


def add_search(conn: Connection, links: Iterable[str], orders: Iterable[str], now: int) -> None:
    """Stores that the quarantined bodies are to be searched for a person and for orders."""
    person, named = " ".join(links), " ".join(orders)
    digest = hashlib.sha256(f"{person}\n{named}".encode()).hexdigest()
    values = {"links": person, "orders": named, "received_at": now, "due_at": now}
    _add.first(conn, digest=digest, topic=REDACT, asked_as="", body_id=0, position=0, **values)


def hold_shop(conn: Connection, digest: str, shop: str, now: int, due_at: int) -> bool:
    """Stores that every person is to be erased later; returns False if the same body waits
    already."""
    values = {"links": "", "orders": "", "received_at": now, "due_at": due_at}
    row = _add.first(
        conn, digest=digest, topic=SHOP_REDACT, asked_as=shop, body_id=0, position=0, **values
    )
    return row is not None


def list_all(conn: Connection) -> list[PendingErasure]:
    """Returns every erasure that is not complete, oldest first."""
    return _all.all(conn)


def advance(conn: Connection, id: int, body_id: int, position: int) -> None:
    """Stores how far a search has come."""
    _advance.run(conn, b_id=id, b_body_id=body_id, b_position=position)


def remove(conn: Connection, id: int) -> bool:
    """Deletes an erasure that is complete or dropped; returns False if it is not there any more."""
    return _remove.first(conn, b_id=id) is not None
