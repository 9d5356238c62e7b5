"""Deletes rows that are too old, a page at a time, so that no webhook waits for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Table,
    bindparam,
    delete,
    literal_column,
    select,
    tuple_,
    update,
)

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import (
    attempts,
    checkouts,
    conversions,
    outbox,
    privacy_requests,
    quarantine,
    receipts,
    touches,
)

PAGE = 500
QUARANTINED = "quarantined bodies"


class RowId(NamedTuple):
    """The key of a table whose rows are numbered."""

    id: int


class ReceiptKey(NamedTuple):
    """The key of a receipt."""

    order_id: str
    digest: str


class TouchKey(NamedTuple):
    """The key of a touch."""

    visitor: str
    at: int
    key: str


class CheckoutKey(NamedTuple):
    """The key of a checkout."""

    link: str


Key = RowId | ReceiptKey | TouchKey | CheckoutKey
_K = TypeVar("_K", bound=Key)


@dataclass(frozen=True, slots=True)
class _Kind(Generic[_K]):
    """The statements for one kind of rows. `first` is smaller than the key of every row, `deletes`
    are executed in their order."""

    first: _K
    page: Query[_K]
    deletes: tuple[Statement, ...]


def _kind(
    table: Table, first: _K, *is_old: ColumnElement[bool], before: tuple[Statement, ...] = ()
) -> _Kind[_K]:
    keys = list(table.primary_key.columns)
    last = tuple_(*(bindparam(f"last_{key.name}") for key in keys))
    return _Kind(
        first=first,
        page=Query(
            type(first),
            select(*keys).where(*is_old, tuple_(*keys) > last).order_by(*keys).limit(PAGE),
        ),
        # The age is checked again: a dead letter may have been replayed since the page was read.
        deletes=(
            *before,
            Statement(
                delete(table).where(*is_old, *(key == bindparam(f"b_{key.name}") for key in keys))
            ),
        ),
    )


_before: BindParameter[int] = bindparam("before")
# The id that the storefront told a purchase by is kept as long as its checkout.
_forget_storefront_ids = Statement(
    update(conversions)
    .where(
        conversions.c.storefront_id != literal_column("''"),
        conversions.c.storefront_id.in_(
            select(checkouts.c.completed_as).where(
                checkouts.c.link == bindparam("b_link"), checkouts.c.at < _before
            )
        ),
    )
    .values(storefront_id="")
)
_AnyKind = _Kind[RowId] | _Kind[ReceiptKey] | _Kind[TouchKey] | _Kind[CheckoutKey]
_KINDS: Mapping[str, _AnyKind] = {
    "settled events": _kind(
        outbox, RowId(0), outbox.c.state != "waiting", outbox.c.settled_at < _before
    ),
    "delivery attempts": _kind(attempts, RowId(0), attempts.c.at < _before),
    "receipts": _kind(receipts, ReceiptKey("", ""), receipts.c.received_at < _before),
    "touches": _kind(touches, TouchKey("", 0, ""), touches.c.at < _before),
    "checkouts": _kind(
        checkouts,
        CheckoutKey(""),
        checkouts.c.at < _before,
        before=(_forget_storefront_ids,),
    ),
    "privacy requests": _kind(privacy_requests, RowId(0), privacy_requests.c.received_at < _before),
    QUARANTINED: _kind(quarantine, RowId(0), quarantine.c.received_at < _before),
}
KINDS = tuple(_KINDS)


def page(conn: Connection, kind: str, before: int, last: Key | None = None) -> Sequence[Key]:
    """Returns the keys of the next rows of a kind, after `last`, that are older than `before`."""
    found = _KINDS[kind]
    begin = found.first if last is None else last
    values = {f"last_{name}": value for name, value in begin._asdict().items()}
    return found.page.all(conn, before=before, **values)


def forget(conn: Connection, kind: str, before: int, rows: Iterable[Key]) -> None:
    """Deletes the rows of a `page`."""
    keys = [{f"b_{name}": value for name, value in row._asdict().items()} for row in rows]
    for statement in _KINDS[kind].deletes:
        statement.run_many(conn, ({"before": before, **key} for key in keys))
