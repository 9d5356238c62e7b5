"""What it takes to find all that is kept about a person, and to forget it."""

from collections.abc import Iterable, Mapping

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import (
    TOMBSTONE_LENGTH,
    attempts,
    checkouts,
    conversions,
    links,
    orders,
    outbox,
    privacy_requests,
    quarantine,
    tombstones,
    touches,
    visitors,
)

# The most links that a request of Shopify's can name a person by.
MOST_ASKED = 3

_NO_PAYLOAD = literal(b"", LargeBinary)
_put_mark = Statement(
    insert(tombstones)
    .values(mark=bindparam("mark"), erased_at=bindparam("erased_at"))
    .on_conflict_do_nothing()
)
_any_mark = Statement(select(tombstones.c.mark).limit(1))
_mark = Statement(select(tombstones.c.mark).where(tombstones.c.mark == bindparam("mark")))
_mark_all_orders = Statement(
    insert(tombstones)
    .from_select(
        ["mark", "erased_at"],
        select(literal_column("'or:'") + orders.c.id, bindparam("erased_at")).where(
            literal_column("1 = 1")
        ),
    )
    .on_conflict_do_nothing()
)
_visitors_of = Statement(select(links.c.visitor).where(links.c.link == bindparam("link")))
_links_of = Statement(select(links.c.link).where(links.c.visitor == bindparam("visitor")))
_touches_of = Statement(
    select(touches).where(touches.c.visitor == bindparam("visitor")).order_by(touches.c.at)
)
_sightings_of = Statement(
    select(conversions)
    .where(
        conversions.c.visitor == bindparam("visitor"),
        conversions.c.order_id == literal_column("''"),
    )
    .order_by(conversions.c.at, conversions.c.id)
)


def _tells(*columns: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether one of the asked links stands in a column; "" is none."""
    asked: list[BindParameter[str]] = [bindparam(f"link{n}") for n in range(MOST_ASKED)]
    return or_(*(and_(one != "", column.contains(one)) for one in asked for column in columns))


_orders_that_tell = Statement(
    select(orders.c.id).where(_tells(orders.c.links, orders.c.visitor, orders.c.path))
)
_forget: Mapping[str, Statement] = {
    "links": Statement(delete(links).where(links.c.visitor == bindparam("visitor"))),
    "touches": Statement(delete(touches).where(touches.c.visitor == bindparam("visitor"))),
    "visitors": Statement(delete(visitors).where(visitors.c.visitor == bindparam("visitor"))),
}
_forget_touch = Statement(
    delete(touches).where(
        touches.c.visitor == bindparam("visitor"), touches.c.key == bindparam("key")
    )
)
_forget_link = Statement(delete(links).where(links.c.link == bindparam("link")))
_unlink = Statement(
    delete(links).where(links.c.link == bindparam("link"), links.c.visitor == bindparam("visitor"))
)
_forget_checkout = Statement(delete(checkouts).where(checkouts.c.link == bindparam("link")))
_rename_sightings = Statement(
    update(conversions)
    .where(
        conversions.c.visitor == bindparam("b_visitor"),
        conversions.c.order_id == literal_column("''"),
    )
    .values(visitor=bindparam("b_new"))
)
_rename = Statement(
    update(conversions)
    .where(conversions.c.event_id == bindparam("b_event_id"))
    .values(visitor=bindparam("b_new"))
)
_all_visitors = Statement(select(conversions.c.id, conversions.c.visitor))
_rename_row = Statement(
    update(conversions)
    .where(conversions.c.id == bindparam("b_id"))
    .values(visitor=bindparam("b_new"))
)

_was_not_told = exists(
    select(outbox.c.id).where(
        outbox.c.event_id == conversions.c.event_id,
        outbox.c.state.in_([literal_column("'waiting'"), literal_column("'held'")]),
    )
)
_reasoned = update(conversions).values(reason="erased")
_explained = update(conversions).values(detail="")
# One that is under way is on its way; what comes of it is written without its payload.
_withdrawn = (
    update(outbox)
    .where(outbox.c.state != literal_column("'sent'"))
    .values(
        state="withdrawn",
        is_withdrawn=1,
        payload=_NO_PAYLOAD,
        reason="erased",
        settled_at=bindparam("b_now"),
    )
)
_emptied = (
    update(outbox)
    .where(outbox.c.state == literal_column("'sent'"))
    .values(payload=_NO_PAYLOAD, reason="")
)
_answered = update(attempts).values(detail="")
_event: BindParameter[str] = bindparam("b_event_id")
_erase_event = (
    Statement(_reasoned.where(conversions.c.event_id == _event, _was_not_told)),
    Statement(_explained.where(conversions.c.event_id == _event)),
    Statement(_withdrawn.where(outbox.c.event_id == _event)),
    Statement(_emptied.where(outbox.c.event_id == _event)),
    Statement(_answered.where(attempts.c.event_id == _event)),
)
_erase_events = (
    Statement(_reasoned.where(_was_not_told)),
    Statement(_explained.where(conversions.c.detail != "")),
    Statement(_withdrawn),
    Statement(_emptied),
    Statement(_answered.where(attempts.c.detail != "")),
)
_forget_all = tuple(Statement(delete(table)) for table in (links, touches, visitors, checkouts))
_orders = Statement(
    select(orders).where(orders.c.id > bindparam("after")).order_by(orders.c.id).limit(500)
)

_bodies = Statement(
    select(quarantine.c.id, quarantine.c.body)
    .where(func.length(quarantine.c.body) > 0, quarantine.c.id > bindparam("after"))
    .order_by(quarantine.c.id)
    .limit(100)
)
_erased_body = update(quarantine).values(
    body=_NO_PAYLOAD, reason="erased", replayed_at=bindparam("b_now")
)
_erase_body = Statement(_erased_body.where(quarantine.c.id == bindparam("b_id")))
_erase_bodies = Statement(_erased_body.where(func.length(quarantine.c.body) > 0))
_erase_requests = Statement(update(privacy_requests).values(links="", orders=""))

# --- tombstones


def tombstone_of(link: str) -> str:
    """What stays of a link or of "or:<order id>" when it is erased."""
    return link if link.startswith("or:") else link[:TOMBSTONE_LENGTH]


def put_tombstones(conn: Connection, names: Iterable[str], now: int) -> None:
    """Remember for good that these links and orders ("or:…") were erased."""
    marks = sorted({tombstone_of(name) for name in names})
    _put_mark.run_many(conn, ({"mark": mark, "erased_at": now} for mark in marks))


def tombstoned(conn: Connection, names: Iterable[str]) -> frozenset[str]:
    """Those of the links and orders ("or:…") that were erased."""
    if _any_mark.first(conn) is None:
        return frozenset()
    return frozenset(n for n in names if _mark.first(conn, mark=tombstone_of(n)) is not None)


# --- what is kept about a person


def visitors_of(conn: Connection, link: str) -> list[str]:
    """Every visitor id that was seen with a link, however common it is."""
    return [row.visitor for row in _visitors_of.all(conn, link=link)]


def links_of(conn: Connection, visitor: str) -> list[str]:
    """Every link that a visitor id was seen with."""
    return [row.link for row in _links_of.all(conn, visitor=visitor)]


def touches_of(conn: Connection, visitor: str) -> list[Row]:
    """Everything a visitor id did, orders without a visit too."""
    return _touches_of.all(conn, visitor=visitor)


def browser_events_of(conn: Connection, visitor: str) -> list[Row]:
    """Every storefront event of a visitor id."""
    return _sightings_of.all(conn, visitor=visitor)


def orders_that_tell(conn: Connection, asked: Iterable[str]) -> list[str]:
    """The orders in which one of these links stands. It reads every order there is."""
    asked = sorted(asked)
    if not asked:
        return []
    found: set[str] = set()
    for n in range(0, len(asked), MOST_ASKED):
        some = [*asked[n : n + MOST_ASKED], *[""] * MOST_ASKED][:MOST_ASKED]
        rows = _orders_that_tell.all(conn, **{f"link{k}": link for k, link in enumerate(some)})
        found.update(row.id for row in rows)
    return sorted(found)


def orders_page(conn: Connection, after: str) -> list[Row]:
    """The next orders by id."""
    return _orders.all(conn, after=after)


def bodies(conn: Connection, after: int = 0) -> list[Row]:
    """A page of the quarantined bodies that still hold something."""
    return _bodies.all(conn, after=after)


# --- forgetting


def forget_visitor(conn: Connection, visitor: str, new: str) -> None:
    """Forget who a visitor id was and what brought it. Its events count on as those of `new`."""
    for link in links_of(conn, visitor):
        if link.startswith(("ck:", "ca:")):
            _forget_checkout.run(conn, link=link)
    for statement in _forget.values():
        statement.run(conn, visitor=visitor)
    _rename_sightings.run(conn, b_visitor=visitor, b_new=new)


def forget_link(conn: Connection, link: str) -> None:
    """Forget who was seen with a link, and what was opened under it."""
    _forget_link.run(conn, link=link)
    _forget_checkout.run(conn, link=link)


def unlink(conn: Connection, link: str, visitor: str) -> None:
    """Forget that a visitor id was seen with a link."""
    _unlink.run(conn, link=link, visitor=visitor)


def forget_touch(conn: Connection, visitor: str, key: str) -> None:
    """Forget one touch of a visitor id."""
    _forget_touch.run(conn, visitor=visitor, key=key)


def rename_purchase(conn: Connection, event_id: str, new: str) -> None:
    """Let a purchase be that of another visitor id."""
    _rename.run(conn, b_event_id=event_id, b_new=new)


def erase_event(conn: Connection, event_id: str, now: int) -> None:
    """Hold an event back for good, wherever it stands, and forget what it told."""
    for statement in _erase_event:
        statement.run(conn, b_event_id=event_id, b_now=now)


def erase_body(conn: Connection, id: int, now: int) -> None:
    """Erase a quarantined body."""
    _erase_body.run(conn, b_id=id, b_now=now)


def forget_everybody(conn: Connection, new_ids: Mapping[str, str], now: int) -> None:
    """Forget every person but in the rows of the orders. The visitors of the events get their
    new ids."""
    _mark_all_orders.run(conn, erased_at=now)
    for statement in _erase_events:
        statement.run(conn, b_now=now)
    for statement in _forget_all:
        statement.run(conn)
    _erase_bodies.run(conn, b_now=now)
    _erase_requests.run(conn)
    rows = _all_visitors.all(conn)
    _rename_row.run_many(
        conn, ({"b_id": row.id, "b_new": new_ids[row.visitor]} for row in rows if row.visitor)
    )


def all_visitors(conn: Connection) -> set[str]:
    """Every visitor id that events count for."""
    return {row.visitor for row in _all_visitors.all(conn) if row.visitor}
