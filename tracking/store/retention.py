"""Deletes rows that are too old, a page at a time, so that no webhook waits for it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    union,
    update,
)

from tracking.domain.conversion import event_id_of
from tracking.store.attempts import added_up
from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import (
    attempts,
    checkouts,
    clients,
    conversions,
    links,
    orders,
    outbox,
    pixel_backlog,
    privacy_requests,
    quarantine,
    receipts,
    report_visitors,
    told_links,
    touches,
    visitors,
)
from tracking.store.touches import OF_ORDER, ORDER_ID

PAGE = 500
EVENTS = 5_000
QUARANTINED = "quarantined bodies"
UNRECORDABLE = "unrecordable calls of the pixel"
VISITORS_OF_FIGURES = "visitors of figures"
# Begins the visitor ids of persons who were erased or forgotten, which no pixel sends.
NOBODY = "er:"


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


class OrderId(NamedTuple):
    """The key of an order."""

    id: str


class LinkKey(NamedTuple):
    """The key of a link between an identity, a token or a browser and a visitor id."""

    link: str
    visitor: str


class VisitorKey(NamedTuple):
    """The key of a visitor id's consent."""

    visitor: str


class OldEvent(NamedTuple):
    """An event of the funnel, and the visitor id that it counts for."""

    id: int
    visitor: str


Key = RowId | ReceiptKey | TouchKey | CheckoutKey | OrderId | LinkKey | VisitorKey
_K = TypeVar("_K", bound=Key)


@dataclass(frozen=True, slots=True)
class _Kind(Generic[_K]):
    """The statements for one kind of rows. `first` is smaller than the key of every row, `deletes`
    are executed in their order."""

    first: _K
    page: Query[_K]
    deletes: tuple[Statement, ...]


def _kind(
    table: Table,
    first: _K,
    *is_old: ColumnElement[bool],
    before: tuple[Statement, ...] = (),
    emptied: Mapping[str, str] | None = None,
) -> _Kind[_K]:
    """Returns the statements for the rows of a table, which are deleted, or `emptied`."""
    forget = update(table).values(**emptied) if emptied else delete(table)
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
            Statement(forget.where(*is_old, *(key == bindparam(f"b_{key.name}") for key in keys))),
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
# How long a touch may be before an order that is credited to it. The visit of an order may itself
# be up to two windows old.
_window: BindParameter[int] = bindparam("window")
_since: BindParameter[int] = bindparam("since")


def _exists(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(literal_column("1")).where(*conditions))


def _has_young_touch_with(links_table: Table) -> ColumnElement[bool]:
    """Returns the condition that a visitor id with the same key came lately."""
    own, others, young = links_table.alias(), links_table.alias(), touches.alias()
    return _exists(
        own.c.visitor == touches.c.visitor,
        others.c.link == own.c.link,
        young.c.visitor == others.c.visitor,
        young.c.at >= _before,
        young.c.at <= touches.c.at + _window,
    )


def _is_needed_touch() -> ColumnElement[bool]:
    """Returns the condition that a younger order may be credited to a touch, or is found by it."""
    young, order = touches.alias(), orders.alias()
    return and_(
        touches.c.at >= _since,
        or_(
            _exists(
                young.c.visitor == touches.c.visitor,
                young.c.at >= _before,
                young.c.at <= touches.c.at + _window,
            ),
            _exists(
                # The order is looked up, and not compared with all there are.
                order.c.id == ORDER_ID,
                OF_ORDER,
                order.c.placed_at >= _before,
            ),
            _has_young_touch_with(links),
            _has_young_touch_with(clients),
        ),
    )


def _waits(event_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Returns the condition that an event waits to be sent, with its buyer's digests in it."""
    return _exists(
        outbox.c.event_id == event_id,
        or_(*(outbox.c.state == literal_column(f"'{state}'") for state in ("waiting", "held"))),
    )


def _is_gone(visitor: ColumnElement[str]) -> ColumnElement[bool]:
    """Returns the condition that nothing was seen of a visitor id for so long; its touches have
    been forgotten before."""
    own, token = links.alias(), checkouts.alias()
    touch, event, client, answer = (
        table.alias() for table in (touches, conversions, clients, visitors)
    )
    return not_(
        or_(
            _exists(touch.c.visitor == visitor),
            _exists(
                event.c.visitor == visitor,
                event.c.order_id == literal_column("''"),
                or_(event.c.at >= _before, _waits(event.c.event_id)),
            ),
            _exists(client.c.visitor == visitor, client.c.last_at >= _before),
            _exists(
                answer.c.visitor == visitor,
                or_(answer.c.marketing_at >= _before, answer.c.sale_of_data_at >= _before),
            ),
            _exists(own.c.visitor == visitor, token.c.link == own.c.link),
        )
    )


# Of an order the money, the state and the credits stay.
_NO_BUYER = dict.fromkeys(
    ("visitor", "match_method", "links", "session", "consent", "unusable", "path"), ""
)
_old_events = Query(
    OldEvent,
    select(conversions.c.id, conversions.c.visitor)
    .where(
        conversions.c.at < _before,
        conversions.c.visitor != literal_column("''"),
        not_(conversions.c.visitor.startswith(literal_column(f"'{NOBODY}'"))),
        conversions.c.id > bindparam("last"),
    )
    .order_by(conversions.c.id)
    .limit(EVENTS),
)
# The events of orders and all others have an index by visitor each.
_young_visitors = Query(
    VisitorKey,
    {
        dialect: union(
            *(
                select(conversions.c.visitor).where(
                    or_(conversions.c.at >= _before, _waits(conversions.c.event_id)),
                    is_among(dialect, conversions.c.visitor),
                    indexed,
                )
                for indexed in (
                    conversions.c.order_id == literal_column("''"),
                    conversions.c.order_id != literal_column("''"),
                )
            )
        )
        for dialect in DIALECTS
    },
)
_rename = Statement(
    update(conversions)
    .where(conversions.c.id == bindparam("b_id"))
    .values(visitor=bindparam("b_new"))
)
_AnyKind = (
    _Kind[RowId]
    | _Kind[ReceiptKey]
    | _Kind[TouchKey]
    | _Kind[CheckoutKey]
    | _Kind[OrderId]
    | _Kind[LinkKey]
    | _Kind[VisitorKey]
)
_KINDS: Mapping[str, _AnyKind] = {
    # A held event was never settled: it waits for a fact that lets it be sent.
    "settled events": _kind(
        outbox,
        RowId(0),
        outbox.c.state != "waiting",
        outbox.c.state != "held",
        outbox.c.settled_at < _before,
    ),
    "delivery attempts": _kind(
        attempts,
        RowId(0),
        attempts.c.at < _before,
        before=(added_up(attempts.c.id == bindparam("b_id"), attempts.c.at < _before),),
    ),
    "receipts": _kind(receipts, ReceiptKey("", ""), receipts.c.received_at < _before),
    "touches": _kind(
        touches, TouchKey("", 0, ""), touches.c.at < _before, not_(_is_needed_touch())
    ),
    "checkouts": _kind(
        checkouts,
        CheckoutKey(""),
        checkouts.c.at < _before,
        before=(_forget_storefront_ids,),
    ),
    "privacy requests": _kind(privacy_requests, RowId(0), privacy_requests.c.received_at < _before),
    QUARANTINED: _kind(quarantine, RowId(0), quarantine.c.received_at < _before),
    # One that was never tried waits for the service to run again, however long it stood still.
    UNRECORDABLE: _kind(
        pixel_backlog, RowId(0), pixel_backlog.c.due_at > 0, pixel_backlog.c.queued_at < _before
    ),
    "buyers of orders": _kind(
        orders,
        OrderId(""),
        orders.c.placed_at < _before,
        or_(*(orders.c[name] != literal_column("''") for name in _NO_BUYER)),
        not_(_waits(literal_column(f"'{event_id_of('')}'") + orders.c.id)),
        emptied=_NO_BUYER,
    ),
    # In this order: a browser is known as long as anything of the three is young.
    "links": _kind(links, LinkKey("", ""), _is_gone(links.c.visitor)),
    "links told by the pixel": _kind(told_links, LinkKey("", ""), _is_gone(told_links.c.visitor)),
    "browsers": _kind(clients, LinkKey("", ""), _is_gone(clients.c.visitor)),
    # A visitor of closed days who comes again counts as the same one until then.
    VISITORS_OF_FIGURES: _kind(
        report_visitors,
        VisitorKey(""),
        not_(report_visitors.c.visitor.startswith(literal_column(f"'{NOBODY}'"))),
        _is_gone(report_visitors.c.visitor),
    ),
    "consent of visitors": _kind(visitors, VisitorKey(""), _is_gone(visitors.c.visitor)),
}
# Those whose old events have new visitor ids by then are known by `forget_renamed`.
KINDS = tuple(kind for kind in _KINDS if kind != VISITORS_OF_FIGURES)


def page(
    conn: Connection, kind: str, before: int, last: Key | None = None, window: int = 0
) -> Sequence[Key]:
    """Returns the keys of the next rows of a kind, after `last`, that are older than `before`.

    Touches are kept while a younger order may be credited to them within the `window` (seconds).
    """
    found = _KINDS[kind]
    begin = found.first if last is None else last
    values = {f"last_{name}": value for name, value in begin._asdict().items()}
    return found.page.all(conn, before=before, window=window, since=before - 2 * window, **values)


def forget(conn: Connection, kind: str, before: int, rows: Iterable[Key], window: int = 0) -> None:
    """Deletes the rows of a `page`; of orders only the buyer and the visits."""
    keys = [{f"b_{name}": value for name, value in row._asdict().items()} for row in rows]
    for statement in _KINDS[kind].deletes:
        bounds = {"before": before, "window": window, "since": before - 2 * window}
        statement.run_many(conn, ({**bounds, **key} for key in keys))


def old_events(conn: Connection, before: int, last: int) -> list[OldEvent]:
    """Returns the next events, by id, that are older than `before` and count for somebody."""
    return _old_events.all(conn, before=before, last=last)


def young_visitors(conn: Connection, before: int, names: Collection[str]) -> set[str]:
    """Returns those of the visitor ids that have an event which is not older than `before`."""
    found = _young_visitors.all(conn, before=before, names=names_of(conn, names))
    return {row.visitor for row in found}


def rename_events(conn: Connection, names: Mapping[int, str]) -> None:
    """Has events, by their ids, count for these visitor ids."""
    _rename.run_many(conn, ({"b_id": id, "b_new": new} for id, new in names.items()))
