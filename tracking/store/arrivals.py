"""The counts of what arrived: webhooks and calls of the pixel, in slots of ten minutes."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from sqlalchemy import bindparam, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import arrivals, receipts

SLOT = 600
# Five weeks: a stretch is compared with the same one of each of the four weeks before.
KEPT_SECONDS = 35 * 86_400

Kind = Literal["webhook", "pixel"]


class ArrivalSlot(NamedTuple):
    """The arrivals of a kind in a slot, which its first second names, and the last instant."""

    kind: str
    slot: int
    arrivals: int
    last_at: int


class _LastArrival(NamedTuple):
    last_at: int | None


class _ArrivalSum(NamedTuple):
    arrivals: int


class _WebhookSlot(NamedTuple):
    slot: int
    arrivals: int
    last_at: int


_row = insert(arrivals).values({c.name: bindparam(c.name) for c in arrivals.c})
_add = Statement(
    _row.on_conflict_do_update(
        index_elements=list(arrivals.primary_key),
        set_={
            "arrivals": arrivals.c.arrivals + _row.excluded.arrivals,
            "last_at": _row.excluded.last_at,
        },
    )
)
_fill = Statement(_row.on_conflict_do_nothing())
_drop_old = Statement(
    delete(arrivals).where(arrivals.c.slot > 0, arrivals.c.slot < bindparam("before"))
)
_last = Query(
    _LastArrival,
    select(func.max(arrivals.c.last_at).label("last_at")).where(
        arrivals.c.kind == bindparam("kind"), arrivals.c.slot <= bindparam("now")
    ),
)
_between = Query(
    _ArrivalSum,
    select(func.coalesce(func.sum(arrivals.c.arrivals), 0).label("arrivals")).where(
        arrivals.c.kind == bindparam("kind"),
        arrivals.c.slot.between(bindparam("first"), bindparam("last")),
    ),
)
# As text: PostgreSQL takes two placeholders for two expressions.
_slot = receipts.c.received_at - receipts.c.received_at % literal_column(str(SLOT))
_of_receipts = Query(
    _WebhookSlot,
    select(
        _slot.label("slot"),
        func.count().label("arrivals"),
        func.max(receipts.c.received_at).label("last_at"),
    )
    .where(receipts.c.received_at.between(bindparam("since"), bindparam("now")))
    .group_by(_slot),
)


def add(conn: Connection, counts: Mapping[tuple[Kind, int], int], now: int) -> None:
    """Adds to the counts of slots, and forgets the slots that are old."""
    for (kind, slot), number in sorted(counts.items()):
        last_at = min(now, slot + SLOT - 1)
        _add.run(conn, kind=kind, slot=slot, arrivals=number, last_at=last_at)
    _drop_old.run(conn, before=now - KEPT_SECONDS)


def last(conn: Connection, kind: Kind, now: int) -> int | None:
    """Returns when something of a kind arrived last, or None if nothing did in five weeks."""
    (row,) = _last.all(conn, kind=kind, now=now)
    return row.last_at


def between(conn: Connection, kind: Kind, start: int, end: int) -> int:
    """Returns how much of a kind arrived in the slots that lie between two instants."""
    first = -(-start // SLOT) * SLOT
    (row,) = _between.all(conn, kind=kind, first=first, last=end - SLOT)
    return int(row.arrivals)


def of_receipts(conn: Connection, now: int) -> list[ArrivalSlot]:
    """Returns the webhooks of the last five weeks by slot; it reads the whole table of receipts."""
    rows = _of_receipts.all(conn, since=now - KEPT_SECONDS, now=now)
    return [ArrivalSlot("webhook", *row) for row in rows]


def fill(conn: Connection, slots: Iterable[ArrivalSlot]) -> None:
    """Stores the counts of slots that are not counted yet."""
    _fill.run_many(conn, (slot._asdict() for slot in slots))
