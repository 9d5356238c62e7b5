"""The readings of Pinterest's figures: how far each kind was read for each ad account."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, literal_column, select, union_all, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pinterest_readings as readings
from tracking.store.schema import syncs

# The reading of spend is older than the others, and goes on in the table that the last release
# reads and writes as well.
SPEND = "spend"


class ReadingRow(NamedTuple):
    """A kind of figures of one ad account.

    `through` is the last UTC day (ISO date) that was read without a gap before it, `since` the
    first one, "" where that is not known. `read_at` is when all of it was read last, `next_at` when
    it is due (seconds UTC). `failure` says why it was not read to its end, empty if it was.
    `settings` are those it was read with.
    """

    account: str
    kind: str
    through: str = ""
    read_at: int = 0
    next_at: int = 0
    failure: str = ""
    settings: str = ""
    since: str = ""


_keys = (readings.c.account, readings.c.kind)
_of_spend = select(
    syncs.c.account,
    literal_column(f"'{SPEND}'").label("kind"),
    syncs.c.through,
    syncs.c.synced_at.label("read_at"),
    syncs.c.next_at,
    syncs.c.failure,
    literal_column("''").label("settings"),
    literal_column("''").label("since"),
)
_of_account = Query(
    ReadingRow,
    union_all(
        _of_spend.where(syncs.c.account == bindparam("account")),
        select(readings).where(readings.c.account == bindparam("account")),
    ).order_by("kind"),
)
_row = insert(readings).values({c.name: bindparam(c.name) for c in readings.c})
_put = Statement(
    _row.on_conflict_do_update(
        index_elements=list(_keys),
        set_={c.name: _row.excluded[c.name] for c in readings.c if c not in _keys},
    )
)
_put_spend = Statement(
    update(syncs)
    .where(syncs.c.account == bindparam("b_account"))
    .values(
        through=bindparam("b_through"),
        synced_at=bindparam("b_read_at"),
        next_at=bindparam("b_next_at"),
        failure=bindparam("b_failure"),
    )
)


def of_account(conn: Connection, account: str) -> Sequence[ReadingRow]:
    """Returns the readings of an ad account, that of spend for one that was ever read."""
    return _of_account.all(conn, account=account)


def is_due(row: ReadingRow, now: int, furthest: int) -> bool:
    """Returns True if a kind of figures is to be read again.

    An instant more than `furthest` seconds ahead was stored before the clock was set back.
    """
    return not now < row.next_at <= now + furthest


def put(conn: Connection, row: ReadingRow) -> None:
    """Stores how far a kind of figures was read. Only whoever holds the account's lease may."""
    if row.kind != SPEND:
        _put.run(conn, **row._asdict())
        return
    _put_spend.run(
        conn,
        b_account=row.account,
        b_through=row.through,
        b_read_at=row.read_at,
        b_next_at=row.next_at,
        b_failure=row.failure,
    )
