"""The sending accounts: rate limit, pause and circuit breaker."""

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import accounts

_open_account = Statement(
    insert(accounts).values(destination=bindparam("destination")).on_conflict_do_nothing()
)
_account = Statement(
    select(accounts).where(accounts.c.destination == bindparam("destination")).with_for_update()
)
_put_account = Statement(
    update(accounts)
    .where(accounts.c.destination == bindparam("b_destination"))
    .values(
        paused_until=bindparam("b_paused_until"),
        pause_reason=bindparam("b_pause_reason"),
        failures=bindparam("b_failures"),
        opened=bindparam("b_opened"),
        next_call_at=bindparam("b_next_call_at"),
    )
)
_accounts = Statement(select(accounts).order_by(accounts.c.destination))


def of_destination(conn: Connection, destination: str) -> Row:
    """The shared state of a destination's account, locked until the transaction ends."""
    _open_account.run(conn, destination=destination)
    return _account.first(conn, destination=destination)


def put(
    conn: Connection,
    destination: str,
    paused_until: int,
    pause_reason: str,
    failures: int,
    opened: int,
    next_call_at: int,
) -> None:
    """Write the shared state of a destination's account."""
    _put_account.run(
        conn,
        b_destination=destination,
        b_paused_until=paused_until,
        b_pause_reason=pause_reason,
        b_failures=failures,
        b_opened=opened,
        b_next_call_at=next_call_at,
    )


def list_all(conn: Connection) -> list[Row]:
    """The shared state of every destination's account."""
    return _accounts.all(conn)
