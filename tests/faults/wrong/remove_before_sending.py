"""Takes an event out of the outbox first and sends it afterwards, as many queues do."""

from sqlalchemy import bindparam, update

from tests.faults.start_up.clocked import create_app
from tracking.store import claims
from tracking.store.engine.statement import Connection, Statement
from tracking.store.schema import outbox as table

_claim = claims.claim
_removed = Statement(
    update(table).where(table.c.claim == bindparam("b_claim")).values(state="sent")
)


def _claim_and_remove(
    conn: Connection,
    destination: str,
    claim: str,
    now: int,
    until: int,
    most: int,
    *,
    is_browser: bool = False,
) -> list[claims.ClaimedEvent]:
    rows = _claim(conn, destination, claim, now, until, most, is_browser=is_browser)
    _removed.run(conn, b_claim=claim)
    return rows


claims.claim = _claim_and_remove

__all__ = ["create_app"]
