"""Touches, whose they are, and what they earned."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, delete, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.attribution import Touch
from tracking.store.orders import LINK_NAMES, link_values
from tracking.store.schema import credits, links, touches
from tracking.store.statement import Connection, Row, Statement

# An address that a whole staff orders with must not make each order slower than the last.
MOST_TOUCHES = 200

_touch_row = {c.name: bindparam(c.name) for c in touches.c}
_put = Statement(
    insert(touches)
    .values(_touch_row)
    .on_conflict_do_update(
        index_elements=[touches.c.key],
        set_={c.name: literal_column(f"excluded.{c.name}") for c in touches.c if c.name != "key"},
    )
)
_drop = Statement(delete(touches).where(touches.c.key == bindparam("key")))
_of_person = Statement(
    select(touches)
    .distinct()
    .join(links, links.c.visitor == touches.c.visitor)
    .where(
        links.c.link.in_([bindparam(n) for n in LINK_NAMES]),
        touches.c.at >= bindparam("since"),
        touches.c.at <= bindparam("until"),
    )
    .order_by(touches.c.at.desc(), touches.c.key.desc())
    .limit(MOST_TOUCHES)
)
_add_link = Statement(
    insert(links)
    .values(link=bindparam("link"), visitor=bindparam("visitor"))
    .on_conflict_do_nothing()
)
_add_credit = Statement(insert(credits).values({c.name: bindparam(c.name) for c in credits.c}))
_drop_credits = Statement(delete(credits).where(credits.c.order_id == bindparam("order_id")))
_credits_of = Statement(
    select(credits).where(credits.c.order_id == bindparam("order_id")).order_by(credits.c.n)
)


def put(conn: Connection, touch: Touch) -> None:
    """Insert the touch or replace the one of the same key."""
    _put.run(
        conn,
        key=touch.key,
        visitor=touch.visitor,
        at=touch.at,
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


def drop(conn: Connection, key: str) -> None:
    """Forget a touch that a newer state of its order no longer shows."""
    _drop.run(conn, key=key)


def of_person(conn: Connection, person: tuple[str, ...], since: int, until: int) -> list[Touch]:
    """The touches in [since, until] of any visitor id seen with one of these links; the newest,
    should there be more than MOST_TOUCHES."""
    rows = _of_person.all(conn, since=since, until=until, **link_values(person))
    return [touch_of(row) for row in rows]


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


def link(conn: Connection, person: Iterable[str], visitor: str) -> None:
    """Note that this visitor id was seen with these identity digests."""
    _add_link.run_many(conn, ({"link": key, "visitor": visitor} for key in person))


def put_credits(
    conn: Connection, order_id: str, rows: list[dict[str, Any]], *, is_new: bool
) -> None:
    """Replace what the touches earned of an order."""
    if not is_new:
        _drop_credits.run(conn, order_id=order_id)
    _add_credit.run_many(conn, rows)


def credits_of(conn: Connection, order_id: str) -> list[Row]:
    """What the touches earned of an order."""
    return _credits_of.all(conn, order_id=order_id)
