"""Orders in their newest state, and the receipts of their bodies."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.customer import CustomerType
from tracking.domain.order import is_unpayable
from tracking.store.engine.name_lists import ValuesOfNames
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import conversions, orders, receipts


class OrderRow(NamedTuple):
    """The newest known state of an order.

    Instants are seconds UTC, money is in minor units, flags are 0 or 1. `kept` is what the buyer
    kept by this state, None if it does not say. `sold` and `peak` are those of `Order`, by all its
    states; `taxes_included` is None if no state says it. `is_first` and `has_earlier` are those of
    CustomerFacts, `customer_type` is what follows from them and the pixel. `links` are the identity
    keys of the buyer, separated by spaces; session, consent, path and lines are JSON.
    """

    id: str
    name: str
    version: str
    placed_at: int
    cancelled_at: int | None
    deleted_at: int | None
    currency: str
    gross: int
    refunds: int
    cancellations: int
    is_counted: int
    is_paid: int
    is_test: int
    financial_status: str
    source_name: str
    visitor: str
    match_method: str
    links: str
    session: str
    consent: str
    unusable: str
    path: str
    taxes_included: int | None
    kept: int | None
    sold: int | None
    peak: int | None
    lines: str
    is_first: int | None = None
    has_earlier: int = 0
    customer_type: CustomerType = ""

    @property
    def keys(self) -> list[str]:
        """Returns the identity keys of the buyer."""
        return self.links.split()

    @property
    def is_forgotten(self) -> bool:
        """Returns True if it is older than people are kept: nothing of the buyer and the visits is
        left, and its credits alone tell what it is credited to."""
        return not self.path and bool(self.version)

    @property
    def is_never_paid(self) -> bool:
        """Returns True if its payment failed for good, before it was ever paid."""
        return is_unpayable(self.financial_status) and not self.is_paid

    @property
    def is_cancelled(self) -> bool:
        """Returns True if its revenue was cancelled: by the shop, or as it was never paid."""
        return self.cancelled_at is not None or self.is_never_paid


class SessionText(NamedTuple):
    """The session of an order, as JSON."""

    session: str


class _Digest(NamedTuple):
    digest: str


_add_receipt = Query(
    _Digest,
    insert(receipts)
    .values({c.name: bindparam(c.name) for c in receipts.c})
    .on_conflict_do_nothing()
    .returning(receipts.c.digest),
)
_of_id = Query(OrderRow, select(orders).where(orders.c.id == bindparam("id")))
_names = ValuesOfNames(lambda id: select(orders.c.name.label("value")).where(orders.c.id == id))
_links = ValuesOfNames(lambda id: select(orders.c.links.label("value")).where(orders.c.id == id))
# Orders have no index by time; their events have.
_newest_sessions = Query(
    SessionText,
    select(orders.c.session)
    .join(conversions, conversions.c.order_id == orders.c.id)
    .where(conversions.c.at >= bindparam("since"), conversions.c.order_id != literal_column("''"))
    .order_by(conversions.c.at.desc(), conversions.c.id.desc())
    .limit(bindparam("limit")),
)
_row: dict[str, Any] = {c.name: bindparam(c.name) for c in orders.c}
_put = Statement(
    insert(orders)
    .values(_row)
    .on_conflict_do_update(
        index_elements=[orders.c.id],
        set_={c.name: literal_column(f"excluded.{c.name}") for c in orders.c if c.name != "id"},
    )
)


def is_new_body(conn: Connection, digest: str, topic: str, order_id: str, now: int) -> bool:
    """Stores the receipt of a body; returns False if the same body was received before."""
    row = _add_receipt.first(conn, digest=digest, topic=topic, order_id=order_id, received_at=now)
    return row is not None


def of_id(conn: Connection, order_id: str) -> OrderRow | None:
    """Returns the newest known state of an order."""
    return _of_id.first(conn, id=order_id)


def names_by_id(conn: Connection, ids: Collection[str]) -> dict[str, str]:
    """Returns the names (`#1052`) of orders by their ids; the id itself where there is no name."""
    found = _names.find(conn, ids)
    return {id: next(iter(found.get(id, [])), "") or id for id in ids}


def keys_by_id(conn: Connection, ids: Collection[str]) -> dict[str, frozenset[str]]:
    """Returns the identity keys of the buyers of orders by their ids; none where no order is."""
    found = _links.find(conn, ids)
    return {id: frozenset("".join(found.get(id, [])).split()) for id in ids}


def newest_sessions(conn: Connection, since: int, limit: int) -> list[str]:
    """Returns the sessions of the newest orders placed since an instant, as JSON."""
    return [row.session for row in _newest_sessions.all(conn, since=since, limit=limit)]


def put(conn: Connection, row: OrderRow) -> None:
    """Inserts the order, or replaces its row."""
    _put.run(conn, **row._asdict())
