"""The newest consent of each visitor id, by itself and joined with that of an order."""

from typing import Any, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.consent import Consent
from tracking.domain.visitor import BROWSER_METHODS, Match
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.orders import OrderRow
from tracking.store.schema import visitors as table
from tracking.store.values import consent_from_json


class VisitorRow(NamedTuple):
    """The newest answers of a visitor id about consent: 1, 0, or None where there is none."""

    visitor: str
    marketing: int | None = None
    marketing_at: int = 0
    sale_of_data: int | None = None
    sale_of_data_at: int = 0

    @property
    def consent(self) -> Consent:
        """The answers without their instants."""
        return Consent(_flag(self.marketing), _flag(self.sale_of_data))

    def answered(self, consent: Consent, at: int) -> "VisitorRow":
        """Returns the row with the answers of an instant (seconds UTC) as well: of each answer the
        newest counts, of two of the same second the refusal."""
        row = self
        if _is_newer(consent.marketing, at, row.marketing, row.marketing_at):
            row = row._replace(marketing=int(bool(consent.marketing)), marketing_at=at)
        if _is_newer(consent.sale_of_data, at, row.sale_of_data, row.sale_of_data_at):
            row = row._replace(sale_of_data=int(bool(consent.sale_of_data)), sale_of_data_at=at)
        return row


_consent = Query(VisitorRow, select(table).where(table.c.visitor == bindparam("visitor")))
_visitor_row: dict[str, Any] = {c.name: bindparam(c.name) for c in table.c}
_put_consent = Statement(
    insert(table)
    .values(_visitor_row)
    .on_conflict_do_update(
        index_elements=[table.c.visitor],
        set_={name: bindparam(name) for name in _visitor_row if name != "visitor"},
    )
)


def of(conn: Connection, visitor: str) -> Consent:
    """Returns the newest answers of a visitor id about consent."""
    row = _consent.first(conn, visitor=visitor)
    return Consent() if row is None else row.consent


def of_browser(conn: Connection, match: Match) -> Consent:
    """Returns the consent that the browser gave which an order was matched with."""
    return of(conn, match.visitor) if match.method in BROWSER_METHODS else Consent()


def of_order(conn: Connection, order: OrderRow, visitor: str) -> Consent:
    """Returns the consent that an order states, joined with that of its browser.

    `visitor` is the visitor id whose purchase the order is.
    """
    browsers = of_browser(conn, Match(visitor, order.match_method))
    return consent_from_json(order.consent).merged_with(browsers)


def put(conn: Connection, visitor: str, consent: Consent, at: int) -> bool:
    """Stores the answers of a visitor id at an instant; returns whether any of them is new."""
    before = _consent.first(conn, visitor=visitor) or VisitorRow(visitor)
    after = before.answered(consent, at)
    if after != before:
        _put_consent.run(conn, **after._asdict())
    return after.consent != before.consent


def _is_newer(answer: bool | None, at: int, known: int | None, known_at: int) -> bool:
    if answer is None or at < known_at:
        return False
    return at > known_at or (not answer and known != 0)


def _flag(number: int | None) -> bool | None:
    return None if number is None else bool(number)
