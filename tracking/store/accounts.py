"""The sending accounts: rate limit, pause and circuit breaker, shared by all deliverers."""

from typing import NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import accounts

# Seconds.
LONGEST_PAUSE = 900


class AccountRow(NamedTuple):
    """The state of one destination's account.

    `paused_until` and `opened` (the circuit breaker) are seconds UTC, `next_call_at` is
    microseconds UTC, and `next_browser_call_at` that of calls with the pixel's events; `failures`
    counts the failed calls in a row.
    """

    destination: str
    paused_until: int
    pause_reason: str
    failures: int
    opened: int
    next_call_at: int
    next_browser_call_at: int = 0

    def is_paused(self, now: int) -> bool:
        """Returns True if nothing may be sent now.

        A pause that ends later than any lasts was stored before the clock was set back.
        """
        return 0 < self.paused_until - now <= LONGEST_PAUSE


_open_account = Statement(
    insert(accounts).values(destination=bindparam("destination")).on_conflict_do_nothing()
)
_of_destination = Query(
    AccountRow,
    select(accounts).where(accounts.c.destination == bindparam("destination")).with_for_update(),
)
_put = Statement(
    update(accounts)
    .where(accounts.c.destination == bindparam("b_destination"))
    .values(
        paused_until=bindparam("b_paused_until"),
        pause_reason=bindparam("b_pause_reason"),
        failures=bindparam("b_failures"),
        opened=bindparam("b_opened"),
        next_call_at=bindparam("b_next_call_at"),
        next_browser_call_at=bindparam("b_next_browser_call_at"),
    )
)
_all = Query(AccountRow, select(accounts).order_by(accounts.c.destination))


def of_destination(conn: Connection, destination: str) -> AccountRow:
    """Returns the account of a destination, locked until the transaction ends."""
    _open_account.run(conn, destination=destination)
    (account,) = _of_destination.all(conn, destination=destination)
    return account


def put(conn: Connection, account: AccountRow) -> None:
    """Stores the state of an account."""
    _put.run(conn, **{f"b_{name}": value for name, value in account._asdict().items()})


def list_all(conn: Connection) -> list[AccountRow]:
    """Returns the account of every destination."""
    return _all.all(conn)
