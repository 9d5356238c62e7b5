"""The processes that deliver, and until when each may hold events that it has claimed."""

from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import deliverers


class DelivererRow(NamedTuple):
    """A process that delivers to a destination; `leased_until` is seconds UTC."""

    owner: str
    destination: str
    leased_until: int


_row: dict[str, Any] = {c.name: bindparam(c.name) for c in deliverers.c}
_put = Statement(
    insert(deliverers)
    .values(_row)
    .on_conflict_do_update(
        index_elements=[deliverers.c.owner, deliverers.c.destination],
        set_={"leased_until": bindparam("leased_until")},
    )
)
_to = Query(
    DelivererRow,
    select(deliverers).where(deliverers.c.destination == bindparam("destination")),
)
_remove = Statement(
    delete(deliverers).where(
        deliverers.c.owner == bindparam("owner"),
        deliverers.c.destination == bindparam("destination"),
        # A process that was thought to be idle may have claimed anew.
        deliverers.c.leased_until == bindparam("leased_until"),
    )
)


def put(conn: Connection, row: DelivererRow) -> None:
    """Stores until when a process may hold events."""
    _put.run(conn, **row._asdict())


def to(conn: Connection, destination: str) -> list[DelivererRow]:
    """Returns the processes that deliver to a destination, or did."""
    return _to.all(conn, destination=destination)


def remove(conn: Connection, row: DelivererRow) -> None:
    """Deletes a process that delivers no more."""
    _remove.run(conn, **row._asdict())
