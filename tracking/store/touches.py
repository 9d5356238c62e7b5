"""Touches, whose they are, and what they earned."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.attribution import Touch
from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import credits, touches

# Of one visitor, the newest. Without a bound, a script would make each order slower than the last.
MOST_TOUCHES = 100

_touch_row: dict[str, Any] = {c.name: bindparam(c.name) for c in touches.c}
_put = Statement(
    insert(touches)
    .values(_touch_row)
    .on_conflict_do_update(
        index_elements=[touches.c.visitor, touches.c.at, touches.c.key],
        set_={c.name: literal_column(f"excluded.{c.name}") for c in touches.c if not c.primary_key},
    )
)
_add = Statement(
    insert(touches).values(_touch_row).on_conflict_do_nothing().returning(touches.c.key)
)
_drop = Statement(
    delete(touches).where(
        touches.c.visitor == bindparam("visitor"), touches.c.key == bindparam("key")
    )
)
_NO_TOUCH: dict[str, Any] = {
    **dict.fromkeys([c.name for c in touches.c if c.type.python_type is str], ""),
    "is_pinterest": 0,
    "is_direct": 0,
}
_of_visitor = Statement(
    select(touches)
    .where(
        touches.c.visitor == bindparam("visitor"),
        touches.c.at >= bindparam("since"),
        touches.c.at <= bindparam("until"),
    )
    .order_by(touches.c.at.desc(), touches.c.key.desc())
    .limit(MOST_TOUCHES)
)
_add_credit = Statement(insert(credits).values({c.name: bindparam(c.name) for c in credits.c}))
_drop_credits = Statement(delete(credits).where(credits.c.order_id == bindparam("order_id")))
_credits_of = Statement(
    select(credits).where(credits.c.order_id == bindparam("order_id")).order_by(credits.c.n)
)


def put(conn: Connection, row: Mapping[str, Any]) -> None:
    """Insert the touch, or replace the visitor's one of the same time and key."""
    _put.run(conn, **row)


def add(conn: Connection, row: Mapping[str, Any]) -> bool:
    """Insert the touch; false if it was told before."""
    return _add.first(conn, **row) is not None


def drop(conn: Connection, visitor: str, key: str) -> None:
    """Forget a visitor's touch."""
    _drop.run(conn, visitor=visitor, key=key)


def of_visitors(conn: Connection, visitors: Iterable[str], since: int, until: int) -> list[Row]:
    """What these visitor ids did in [since, until]: touches, and orders without a visit."""
    return [
        row
        for visitor in visitors
        for row in _of_visitor.all(conn, visitor=visitor, since=since, until=until)
    ]


def seen_by(conn: Connection, visitors: Iterable[str], since: int, until: int) -> list[Touch]:
    """The touches alone of what these visitor ids did in [since, until]."""
    return [touch_of(row) for row in of_visitors(conn, visitors, since, until) if row.kind]


def touch_row(touch: Touch) -> dict[str, Any]:
    """The core's value as a row."""
    return {
        "key": touch.key,
        "visitor": touch.visitor,
        "at": touch.at,
        "kind": touch.kind,
        "is_pinterest": int(touch.is_pinterest),
        "is_direct": int(touch.is_direct),
        "source": touch.source,
        "medium": touch.medium,
        "campaign_id": touch.campaign_id,
        "campaign": touch.campaign,
        "pin_id": touch.pin_id,
        "ad_id": touch.ad_id,
        "click_id": touch.click_id,
    }


def marker_row(key: str, visitor: str, at: int) -> dict[str, Any]:
    """A row that is no touch: a visitor ordered without visiting. Later touches find the order
    by it."""
    return {**_NO_TOUCH, "key": key, "visitor": visitor, "at": at}


def touch_of(row: Row) -> Touch:
    """A row as the core's value."""
    return Touch(
        key=row.key,
        at=row.at,
        kind=row.kind,
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
    conn: Connection, order_id: str, rows: Iterable[Mapping[str, Any]], *, is_new: bool
) -> None:
    """Replace what the touches earned of an order."""
    if not is_new:
        _drop_credits.run(conn, order_id=order_id)
    _add_credit.run_many(conn, rows)


def credits_of(conn: Connection, order_id: str) -> list[Row]:
    """What the touches earned of an order."""
    return _credits_of.all(conn, order_id=order_id)
