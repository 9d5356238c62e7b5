"""Erases every person of a shop, page by page, while webhooks go on. What was sold stays."""

import hashlib
import secrets
from collections.abc import Callable, Sequence

import msgspec

from tracking.receive.privacy.erasure import without_person
from tracking.store import (
    erasure,
    funnel_figures,
    orders,
    pending_erasures,
    pinterest_erasures,
    retention,
    shop_erasure,
)
from tracking.store.engine.statement import Connection


class ShopRest(msgspec.Struct, frozen=True, gc=False):
    """The state of a shop's erasure for its next page: where the last one ended, and the secret
    by which all events of one visitor get the same new visitor id."""

    secret: str
    after: str = ""

    def new_id(self, visitor: str) -> str:
        """Returns the new id of a visitor, which nobody can compute once the erasure is over."""
        if visitor.startswith(retention.NOBODY):
            return visitor
        digest = hashlib.blake2b(visitor.encode(), key=bytes.fromhex(self.secret), digest_size=8)
        return f"{retention.NOBODY}{digest.hexdigest()}"


def new_rest() -> str:
    """Returns what the first page has to know."""
    return encoded(ShopRest(secrets.token_hex(32)))


def encoded(rest: ShopRest) -> str:
    """Returns what the next page has to know, as it is stored."""
    return msgspec.json.encode(rest).decode()


def run_page(conn: Connection, stage: int, rest: ShopRest, now: int) -> str | None:
    """Erases the next page of a stage (the first one is 1) and returns where it ends; None after
    the last page of the stage."""
    return STAGES[stage - 1](conn, rest, now)


def _erase_orders(conn: Connection, rest: ShopRest, now: int) -> str | None:
    """Leaves tombstones first: a later state of these orders brings nobody back."""
    rows = shop_erasure.orders_page(conn, rest.after)
    erasure.put_tombstones(conn, (f"or:{row.id}" for row in rows), now)
    for row in rows:
        orders.put(conn, without_person(row))
    return rows[-1].id if rows else None


def _erase_events(conn: Connection, rest: ShopRest, now: int) -> str | None:
    return _text(shop_erasure.erase_events(conn, _id(rest), rest.new_id, now))


def _erase_deliveries(conn: Connection, rest: ShopRest, now: int) -> str | None:
    return _text(shop_erasure.erase_deliveries(conn, _id(rest), now))


def _erase_answers(conn: Connection, rest: ShopRest, now: int) -> str | None:
    return _text(shop_erasure.erase_answers(conn, _id(rest), now))


def _erase_bodies(conn: Connection, rest: ShopRest, now: int) -> str | None:
    ids = shop_erasure.erasable_bodies(conn)
    for id in ids:
        erasure.erase_body(conn, id, now)
    return rest.after if ids else None


def _erase_requests(conn: Connection, rest: ShopRest, now: int) -> str | None:
    """Forgets the visitors first whom the figures know, of whom some have no event any more."""
    last = funnel_figures.forget_page(conn, rest.after, retention.NOBODY)
    if last is None:
        shop_erasure.erase_requests(conn)
        pending_erasures.forget_others(conn)
        pinterest_erasures.forget_open(conn)
    return last


def _delete(table: str) -> Callable[[Connection, ShopRest, int], str | None]:
    def delete(conn: Connection, rest: ShopRest, now: int) -> str | None:
        return rest.after if shop_erasure.delete_page(conn, table) else None

    return delete


def _id(rest: ShopRest) -> int:
    return int(rest.after or 0)


def _text(id: int | None) -> str | None:
    return None if id is None else str(id)


# Orders come first, since a state of an order without a tombstone may bring a link back.
STAGES: Sequence[Callable[[Connection, ShopRest, int], str | None]] = (
    _erase_orders,
    _erase_events,
    _erase_deliveries,
    _erase_answers,
    *map(_delete, shop_erasure.TABLES),
    _erase_bodies,
    _erase_requests,
    *map(_delete, shop_erasure.NEWER_TABLES),
)
