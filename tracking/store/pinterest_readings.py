"""The readings of Pinterest's figures: how far each kind was read for each ad account.

Spend is older than the others, and has its own table (`ad_accounts`), with the lease for all.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pinterest_readings as readings


class ReadingRow(NamedTuple):
    """A kind of figures of one ad account.

    `through` is the last UTC day (ISO date) that was read without a gap before it. `read_at` is
    when all of it was read last, `next_at` when it is due (seconds UTC). `failure` says why it was
    not read to its end, empty if it was. `settings` are those it was read with.
    """

    account: str
    kind: str
    through: str = ""
    read_at: int = 0
    next_at: int = 0
    failure: str = ""
    settings: str = ""


_keys = (readings.c.account, readings.c.kind)
_of_account = Query(
    ReadingRow,
    select(readings).where(readings.c.account == bindparam("account")).order_by(readings.c.kind),
)
_row = insert(readings).values({c.name: bindparam(c.name) for c in readings.c})
_put = Statement(
    _row.on_conflict_do_update(
        index_elements=list(_keys),
        set_={c.name: _row.excluded[c.name] for c in readings.c if c not in _keys},
    )
)


def of_account(conn: Connection, account: str) -> Sequence[ReadingRow]:
    """Returns the readings of an ad account that were ever tried."""
    return _of_account.all(conn, account=account)


def put(conn: Connection, row: ReadingRow) -> None:
    """Stores how far a kind of figures was read. Only whoever holds the account's lease may."""
    _put.run(conn, **row._asdict())
