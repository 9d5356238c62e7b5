"""What Shopify asked on behalf of a person or of the shop, by digests and order ids only."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import privacy_requests

_row: dict[str, Any] = {c.name: bindparam(c.name) for c in privacy_requests.c if c.name != "id"}
_add = Statement(
    insert(privacy_requests).values(_row).on_conflict_do_nothing().returning(privacy_requests.c.id)
)
_renew = Statement(
    update(privacy_requests)
    .where(privacy_requests.c.digest == bindparam("b_digest"))
    .values(received_at=bindparam("b_now"))
)
_of_topic = Statement(
    select(privacy_requests)
    .where(privacy_requests.c.topic == bindparam("topic"))
    .order_by(privacy_requests.c.received_at, privacy_requests.c.id)
)
_all = Statement(
    select(privacy_requests)
    .where(or_(privacy_requests.c.links != "", privacy_requests.c.orders != ""))
    .order_by(privacy_requests.c.id)
)
_of_id = Statement(select(privacy_requests).where(privacy_requests.c.id == bindparam("id")))
_answer = Statement(
    update(privacy_requests)
    .where(privacy_requests.c.id == bindparam("b_id"))
    .values(answered_at=bindparam("b_now"))
)
_erase = Statement(
    update(privacy_requests)
    .where(privacy_requests.c.id == bindparam("b_id"))
    .values(links="", orders="")
)


def add(
    conn: Connection,
    digest: str,
    topic: str,
    asked_as: str,
    links: Iterable[str],
    orders: Iterable[str],
    now: int,
) -> bool:
    """Note a request; false if the very same body was noted before."""
    row = _add.first(
        conn,
        digest=digest,
        topic=topic,
        asked_as=asked_as,
        links=" ".join(links),
        orders=" ".join(orders),
        received_at=now,
        answered_at=0,
    )
    return row is not None


def renew(conn: Connection, digest: str, now: int) -> None:
    """Note that the very same body came once more."""
    _renew.run(conn, b_digest=digest, b_now=now)


def of_topic(conn: Connection, topic: str) -> list[Row]:
    """Every request of a topic, oldest first."""
    return _of_topic.all(conn, topic=topic)


def open_of(rows: Iterable[Row]) -> list[Row]:
    """Those of the requests that wait for an answer. Who was erased since gets none."""
    return [row for row in rows if not row.answered_at and (row.links or row.orders)]


def all_of(conn: Connection) -> list[Row]:
    """Every request that is about somebody."""
    return _all.all(conn)


def of_id(conn: Connection, id: int) -> Row | None:
    """The request of this number."""
    return _of_id.first(conn, id=id)


def answer(conn: Connection, id: int, now: int) -> None:
    """Note that the shop's owner got what was asked for."""
    _answer.run(conn, b_id=id, b_now=now)


def erase(conn: Connection, id: int) -> None:
    """Forget whom a request was about."""
    _erase.run(conn, b_id=id)


DATA_REQUEST = "customers/data_request"
UNINSTALLED = "app/uninstalled"
# What Shopify gives the shop's owner to answer a request.
ANSWER_DAYS = 30
