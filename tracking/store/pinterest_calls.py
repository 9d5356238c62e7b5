"""The requests for an ad account's figures, counted by UTC day: Pinterest limits them by day."""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pinterest_calls as calls


class CallCount(NamedTuple):
    """The requests of one day so far."""

    calls: int


_count = Query(
    CallCount,
    insert(calls)
    .values(account=bindparam("account"), day=bindparam("day"), calls=1)
    .on_conflict_do_update(
        index_elements=[calls.c.account, calls.c.day],
        set_={"calls": calls.c.calls + 1},
        where=calls.c.calls < bindparam("most"),
    )
    .returning(calls.c.calls),
)
_forget = Statement(
    delete(calls).where(calls.c.account == bindparam("account"), calls.c.day < bindparam("before"))
)
_of_day = Query(
    CallCount,
    select(calls.c.calls).where(
        calls.c.account == bindparam("account"), calls.c.day == bindparam("day")
    ),
)


def count(conn: Connection, account: str, day: str, most: int) -> bool:
    """Counts one more request of a day (ISO date, UTC); returns False if `most` were sent."""
    return _count.first(conn, account=account, day=day, most=most) is not None


def of_day(conn: Connection, account: str, day: str) -> int:
    """Returns how many requests were sent on a day."""
    row = _of_day.first(conn, account=account, day=day)
    return 0 if row is None else row.calls


def forget(conn: Connection, account: str, before: str) -> None:
    """Deletes the counts of the days before one (ISO date)."""
    _forget.run(conn, account=account, before=before)
