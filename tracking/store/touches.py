"""Touches of each visitor id, and the credits that touches earned."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.attribution import Kind, Touch, touch_key
from tracking.domain.customer import CustomerType
from tracking.store.engine.name_lists import (
    names_as_table,
    names_of,
    rows_of_names,
)
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import credits, touches


class TouchRow(NamedTuple):
    """A touch of a visitor id at an instant (seconds UTC).

    A row without a `kind` is no touch: it marks an order that was placed without a visit.
    `unfilled` are the parameters of its link, separated by spaces, that hold a template's variable.
    """

    visitor: str
    at: int
    key: str
    kind: str = ""
    is_pinterest: int = 0
    is_direct: int = 0
    source: str = ""
    medium: str = ""
    campaign_id: str = ""
    campaign: str = ""
    pin_id: str = ""
    ad_id: str = ""
    click_id: str = ""
    unfilled: str = ""


class TouchSearch(NamedTuple):
    """A search for the touches of visitor ids in a span (seconds UTC)."""

    visitors: tuple[str, ...]
    since: int
    until: int


class _UnfilledLink(NamedTuple):
    unfilled: str


class CreditRow(NamedTuple):
    """The part of an order that one touch earned, for the (scope, model) pairs in `mask`.

    `share` is millionths of the order, money is in minor units, instants are seconds UTC. Ad and
    pin are None where a release that did not know them wrote the row.
    """

    placed_at: int
    order_id: str
    n: int
    mask: int
    credited_at: int
    currency: str
    touch_key: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    share: int
    gross: int
    net: int
    cancellations: int
    ad_id: str | None = None
    pin_id: str | None = None
    customer_type: CustomerType = ""


class _Key(NamedTuple):
    key: str


_prefix = touch_key("")
# The id of the order in the key of a touch that is `OF_ORDER`.
ORDER_ID: ColumnElement[str] = func.substr(touches.c.key, literal_column(str(len(_prefix) + 1)))
# Not by its place between others, which depends on the collation of the database.
OF_ORDER: ColumnElement[bool] = func.substr(
    touches.c.key, literal_column("1"), literal_column(str(len(_prefix)))
) == literal_column(f"'{_prefix}'")


class _Dropped(NamedTuple):
    at: int
    kind: str


# Of one visitor: the first, the first from Pinterest, and the newest. Without a bound, a script
# would make each order slower than the last.
MOST_TOUCHES = 100
# Of two days of a visitor so many are stored.
_MOST_STORED = 5 * MOST_TOUCHES
# For fewer visitor ids SQLite takes less for a query of each.
_FEW = 3
_DAY = 86_400

_touch_row: dict[str, Any] = {c.name: bindparam(c.name) for c in touches.c}
_put = Statement(
    insert(touches)
    .values(_touch_row)
    .on_conflict_do_update(
        index_elements=[touches.c.visitor, touches.c.at, touches.c.key],
        set_={c.name: literal_column(f"excluded.{c.name}") for c in touches.c if not c.primary_key},
    )
)
# The same touch may be told with another time, as each call corrects its browser's clock anew.
_is_known = (
    select(touches.c.key)
    .where(
        touches.c.visitor == bindparam("visitor"),
        touches.c.at >= bindparam("since"),
        touches.c.at <= bindparam("until"),
        touches.c.key == bindparam("key"),
    )
    .exists()
)
_near = (
    select(touches.c.key)
    .where(
        touches.c.visitor == bindparam("visitor"),
        touches.c.at >= bindparam("since"),
        touches.c.at <= bindparam("until"),
    )
    .limit(_MOST_STORED)
    .subquery()
)
_count_near = select(func.count()).select_from(_near).scalar_subquery()
_add = Query(
    _Key,
    insert(touches)
    .from_select(
        list(_touch_row),
        select(*_touch_row.values()).where(_count_near < _MOST_STORED, ~_is_known),
    )
    .on_conflict_do_nothing()
    .returning(touches.c.key),
)
_unfilled = Query(
    _UnfilledLink,
    select(touches.c.unfilled)
    .where(touches.c.at >= bindparam("since"), touches.c.unfilled != literal_column("''"))
    .order_by(touches.c.at.desc())
    .limit(bindparam("limit")),
)
_drop = Query(
    _Dropped,
    delete(touches)
    .where(touches.c.visitor == bindparam("visitor"), touches.c.key == bindparam("key"))
    .returning(touches.c.at, touches.c.kind),
)


def _newest_of(visitor: ColumnElement[str]) -> Select[Any]:
    return (
        select(touches)
        .where(
            touches.c.visitor == visitor,
            touches.c.at >= bindparam("since"),
            touches.c.at <= bindparam("until"),
        )
        .order_by(touches.c.at.desc(), touches.c.key.desc())
        .limit(MOST_TOUCHES)
    )


_of_visitor = Query(TouchRow, _newest_of(bindparam("visitor")))
_asked, _is_at = names_as_table("asked"), touches.alias("is_at")
# The rows of a visitor from the instant on that its newest MOST_TOUCHES begin with.
_oldest_at = (
    select(_is_at.c.at)
    .where(_is_at.c.visitor == _asked.c.value, _is_at.c.at <= bindparam("until"))
    .order_by(_is_at.c.at.desc(), _is_at.c.key.desc())
    .offset(MOST_TOUCHES - 1)
    .limit(1)
    .scalar_subquery()
)
_of_visitors = Query(
    TouchRow,
    {
        "postgresql": rows_of_names(_newest_of),
        "sqlite": select(touches)
        .select_from(_asked.join(touches, touches.c.visitor == _asked.c.value))
        .where(
            touches.c.at >= func.max(bindparam("since"), func.coalesce(_oldest_at, 0)),
            touches.c.at <= bindparam("until"),
        )
        .order_by(_asked.c.key, touches.c.at.desc(), touches.c.key.desc()),
    },
)
_first_of_visitor = Query(
    TouchRow,
    select(touches)
    .where(
        touches.c.visitor == bindparam("visitor"),
        touches.c.at >= bindparam("since"),
        touches.c.at <= bindparam("until"),
        touches.c.kind != literal_column("''"),
        touches.c.is_pinterest >= bindparam("is_pinterest"),
    )
    .order_by(touches.c.at, touches.c.key)
    .limit(1),
)
_add_credit = Statement(insert(credits).values({c.name: bindparam(c.name) for c in credits.c}))
# By both, as their key begins with the instant. Credits are written anew whenever it changes.
_is_of_order = and_(
    credits.c.placed_at == bindparam("placed_at"), credits.c.order_id == bindparam("order_id")
)
_drop_credits = Statement(delete(credits).where(_is_of_order))
_credits_of = Query(CreditRow, select(credits).where(_is_of_order).order_by(credits.c.n))


def put(conn: Connection, row: TouchRow) -> None:
    """Inserts the touch, or replaces the visitor's touch of the same time and key."""
    _put.run(conn, **row._asdict())


def add(conn: Connection, row: TouchRow) -> bool:
    """Inserts the touch; returns False if it is stored already, up to a day earlier or later, or if
    there are more than any visitor makes."""
    since, until = row.at - _DAY, row.at + _DAY
    return _add.first(conn, **row._asdict(), since=since, until=until) is not None


def drop(conn: Connection, visitor: str, key: str) -> list[int]:
    """Deletes a touch of a visitor id; returns its instant, if it was a visit."""
    return [row.at for row in _drop.all(conn, visitor=visitor, key=key) if row.kind]


def of_visitors(
    conn: Connection, visitors: Iterable[str], since: int, until: int
) -> list[TouchRow]:
    """Returns the rows of these visitor ids in [since, until], orders without a visit included."""
    newest = _newest(conn, {*visitors}, since, until)
    return [
        row
        for visitor, rows in newest.items()
        for row in _with_first(conn, visitor, rows, since, until)
    ]


def _newest(
    conn: Connection, visitors: Iterable[str], since: int, until: int
) -> dict[str, list[TouchRow]]:
    """Returns the newest rows of each visitor id, MOST_TOUCHES at most."""
    newest: dict[str, list[TouchRow]] = {visitor: [] for visitor in visitors}
    span = {"since": since, "until": until}
    if conn.dialect != "postgresql" and len(newest) <= _FEW:
        for visitor in newest:
            newest[visitor] = _of_visitor.all(conn, visitor=visitor, **span)
    elif newest:
        # For a buyer of many browsers a round trip for each would hold the buyer's lock too long.
        for row in _of_visitors.all(conn, names=names_of(conn, newest), **span):
            if len(found := newest[row.visitor]) < MOST_TOUCHES:
                found.append(row)
    return newest


def _with_first(
    conn: Connection, visitor: str, newest: list[TouchRow], since: int, until: int
) -> list[TouchRow]:
    if len(newest) < MOST_TOUCHES:
        return newest
    span = {"visitor": visitor, "since": since, "until": until}
    first = [_first_of_visitor.first(conn, **span, is_pinterest=flag) for flag in (0, 1)]
    older = {row for row in first if row is not None} - {*newest}
    return [*newest[: MOST_TOUCHES - len(older)], *older]


def seen_by(conn: Connection, visitors: Iterable[str], since: int, until: int) -> list[Touch]:
    """Returns the touches of these visitor ids in [since, until]."""
    return [touch_of(row) for row in of_visitors(conn, visitors, since, until) if row.kind]


def seen_by_each(conn: Connection, searches: Sequence[TouchSearch]) -> list[list[Touch]]:
    """Returns what `seen_by` finds for each search, with one query for nearly all of them."""
    if not searches:
        return []
    wanted = {visitor for each in searches for visitor in each.visitors}
    since = min(each.since for each in searches)
    until = max(each.until for each in searches)
    newest = _newest(conn, wanted, since, until)
    # All rows of the others are known.
    busy = {visitor for visitor, rows in newest.items() if len(rows) == MOST_TOUCHES}
    found: list[list[Touch]] = []
    for each in searches:
        rows = [
            row
            for visitor in each.visitors
            if visitor not in busy
            for row in newest[visitor]
            if row.kind and each.since <= row.at <= each.until
        ]
        seen = [touch_of(row) for row in rows]
        if busy:
            seen += seen_by(conn, busy.intersection(each.visitors), *each[1:])
        found.append(seen)
    return found


def unfilled_links(conn: Connection, since: int, limit: int) -> list[str]:
    """Returns the unfilled parameters of the newest visits since an instant that have any."""
    return [row.unfilled for row in _unfilled.all(conn, since=since, limit=limit)]


def touch_row(touch: Touch) -> TouchRow:
    """Returns a touch as a row."""
    return TouchRow(
        visitor=touch.visitor,
        at=touch.at,
        key=touch.key,
        kind=touch.kind,
        is_pinterest=int(touch.is_pinterest),
        is_direct=int(touch.is_direct),
        source=touch.source,
        medium=touch.medium,
        campaign_id=touch.campaign_id,
        campaign=touch.campaign,
        pin_id=touch.pin_id,
        ad_id=touch.ad_id,
        click_id=touch.click_id,
    )


def touch_of(row: TouchRow) -> Touch:
    """Returns a row as a touch."""
    kind: Kind = row.kind  # type: ignore[assignment]
    return Touch(
        key=row.key,
        at=row.at,
        kind=kind,
        is_pinterest=bool(row.is_pinterest),
        is_direct=bool(row.is_direct),
        campaign_id=row.campaign_id,
        campaign=row.campaign,
        pin_id=row.pin_id,
        ad_id=row.ad_id,
        source=row.source,
        medium=row.medium,
        visitor=row.visitor,
        click_id=row.click_id,
    )


def put_credits(
    conn: Connection, order_id: str, rows: Iterable[CreditRow], known_at: int | None
) -> None:
    """Replaces the credits of an order, which by its earlier state was placed at the instant
    `known_at` (seconds UTC); None for a new one."""
    if known_at is not None:
        _drop_credits.run(conn, placed_at=known_at, order_id=order_id)
    _add_credit.run_many(conn, (row._asdict() for row in rows))


def credits_of(conn: Connection, order_id: str, placed_at: int) -> list[CreditRow]:
    """Returns the credits of an order that was placed at an instant (seconds UTC)."""
    return _credits_of.all(conn, placed_at=placed_at, order_id=order_id)
