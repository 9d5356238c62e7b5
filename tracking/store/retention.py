"""Forgets what is older than it may be, a page at a time, so that no webhook waits for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Table, bindparam, delete, select, tuple_

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import (
    attempts,
    checkouts,
    outbox,
    privacy_requests,
    quarantine,
    receipts,
    touches,
)

PAGE = 500
QUARANTINED = "quarantined bodies"


@dataclass(frozen=True, slots=True)
class _Kind:
    """`first` is smaller than the keys of every row."""

    first: Mapping[str, Any]
    page: Statement
    drop: Statement


def _kind(table: Table, *is_old: ColumnElement[bool]) -> _Kind:
    keys = list(table.primary_key.columns)
    last = tuple_(*(bindparam(f"last_{key.name}") for key in keys))
    return _Kind(
        first={key.name: "" if key.type.python_type is str else 0 for key in keys},
        page=Statement(
            select(*keys).where(*is_old, tuple_(*keys) > last).order_by(*keys).limit(PAGE)
        ),
        # It is asked again whether it is old: a dead letter may have been replayed meanwhile.
        drop=Statement(
            delete(table).where(*is_old, *(key == bindparam(f"b_{key.name}") for key in keys))
        ),
    )


_before: BindParameter[int] = bindparam("before")
_KINDS: Mapping[str, _Kind] = {
    "settled events": _kind(
        outbox,
        outbox.c.state != "waiting",
        outbox.c.settled_at < _before,
    ),
    "delivery attempts": _kind(attempts, attempts.c.at < _before),
    "receipts": _kind(receipts, receipts.c.received_at < _before),
    "touches": _kind(touches, touches.c.at < _before),
    "checkouts": _kind(checkouts, checkouts.c.at < _before),
    "privacy requests": _kind(privacy_requests, privacy_requests.c.received_at < _before),
    QUARANTINED: _kind(quarantine, quarantine.c.received_at < _before),
}
KINDS = tuple(_KINDS)


def page(conn: Connection, kind: str, before: int, last: Row | None = None) -> list[Row]:
    """The keys of the next rows of a kind, after the `last`, that are older than the instant."""
    found = _KINDS[kind]
    begin = found.first if last is None else last._asdict()
    return found.page.all(conn, before=before, **{f"last_{k}": v for k, v in begin.items()})


def forget(conn: Connection, kind: str, before: int, rows: Sequence[Row]) -> None:
    """Delete the rows of a `page`."""
    _KINDS[kind].drop.run_many(
        conn, ({"before": before, **{f"b_{k}": v for k, v in r._asdict().items()}} for r in rows)
    )
