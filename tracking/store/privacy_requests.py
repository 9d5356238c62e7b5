"""The requests of Shopify's privacy topics, by identity digests and order ids only."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import privacy_requests

DATA_REQUEST = "customers/data_request"
UNINSTALLED = "app/uninstalled"
# The time that Shopify gives the shop's owner to answer a request.
ANSWER_DAYS = 30


class PrivacyRequestRow(NamedTuple):
    """One request. `links` and `orders` are separated by spaces; instants are seconds UTC."""

    id: int
    digest: str
    topic: str
    asked_as: str
    links: str
    orders: str
    received_at: int
    answered_at: int


class _RequestId(NamedTuple):
    id: int


_values: dict[str, Any] = {c.name: bindparam(c.name) for c in privacy_requests.c if c.name != "id"}
_add = Query(
    _RequestId,
    insert(privacy_requests)
    .values(_values)
    .on_conflict_do_nothing()
    .returning(privacy_requests.c.id),
)
_renew = Statement(
    update(privacy_requests)
    .where(privacy_requests.c.digest == bindparam("b_digest"))
    .values(received_at=bindparam("b_now"))
)
_of_topic = Query(
    PrivacyRequestRow,
    select(privacy_requests)
    .where(privacy_requests.c.topic == bindparam("topic"))
    .order_by(privacy_requests.c.received_at, privacy_requests.c.id),
)
_about_a_person = Query(
    PrivacyRequestRow,
    select(privacy_requests)
    .where(or_(privacy_requests.c.links != "", privacy_requests.c.orders != ""))
    .order_by(privacy_requests.c.id),
)
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
    """Stores a request; returns False if the same body was stored before."""
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
    """Stores that the same body was received once more."""
    _renew.run(conn, b_digest=digest, b_now=now)


def of_topic(conn: Connection, topic: str) -> list[PrivacyRequestRow]:
    """Returns every request of a topic, oldest first."""
    return _of_topic.all(conn, topic=topic)


def open_of(rows: Iterable[PrivacyRequestRow]) -> list[PrivacyRequestRow]:
    """Returns the requests that wait for an answer; an erased person gets none."""
    return [row for row in rows if not row.answered_at and (row.links or row.orders)]


def about_a_person(conn: Connection) -> list[PrivacyRequestRow]:
    """Returns every request that names a person or an order."""
    return _about_a_person.all(conn)


def answer(conn: Connection, id: int, now: int) -> None:
    """Stores that the shop's owner got the answer to a request."""
    _answer.run(conn, b_id=id, b_now=now)


def erase(conn: Connection, id: int) -> None:
    """Erases the person from a request."""
    _erase.run(conn, b_id=id)
