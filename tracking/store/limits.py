"""The rate limits: the instant at which each is free again, moved on by one statement per take.

A limit allows one call every `interval_ms`, and up to `burst` calls at once after a pause (the
generic cell rate algorithm). Its whole state is one instant, so two processes that take at the
same time cannot get the same call and need no lock of their own.
"""

from math import ceil
from typing import NamedTuple

from sqlalchemy import bindparam, case, delete, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import limits

# No process can take more than a burst ahead. An instant that lies further ahead than a burst and
# this was written before a clock was set back, and must not close the limit until then.
_SKEW_MS = 60_000
# The limit of the purge. It is kept, since it also tells when the last one was.
PURGING = "purging"


class _NextCall(NamedTuple):
    next_at: int


_free_at = case(
    (limits.c.next_at.between(bindparam("now"), bindparam("horizon")), limits.c.next_at),
    else_=bindparam("now"),
)
_take = Query(
    _NextCall,
    insert(limits)
    .values(name=bindparam("name"), next_at=bindparam("now") + bindparam("cost"))
    .on_conflict_do_update(
        index_elements=[limits.c.name],
        set_={"next_at": _free_at + bindparam("cost")},
        where=_free_at <= bindparam("latest"),
    )
    .returning(limits.c.next_at),
)
_next = Query(_NextCall, select(limits.c.next_at).where(limits.c.name == bindparam("name")))
_put = Statement(
    insert(limits)
    .values(name=bindparam("name"), next_at=bindparam("next_at"))
    .on_conflict_do_update(index_elements=[limits.c.name], set_={"next_at": bindparam("next_at")})
)
# Rows that another transaction has locked are skipped, so that no two wait for one another.
_old = (
    select(limits.c.name)
    .where(limits.c.next_at < bindparam("before"), limits.c.name != PURGING)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_forget = Statement(delete(limits).where(limits.c.name.in_(_old)))


def take(
    conn: Connection, name: str, count: int, interval_ms: float, burst: int, now_ms: int
) -> int:
    """Takes `count` calls (at most `burst`) of a limit, all of them or none.

    Returns 0 if they were taken, else in how many milliseconds they can be.
    """
    cost, capacity = ceil(count * interval_ms), ceil(burst * interval_ms)
    taken = _take.first(
        conn,
        name=name,
        now=now_ms,
        cost=cost,
        latest=now_ms + capacity - cost,
        horizon=now_ms + capacity + _SKEW_MS,
    )
    if taken is not None:
        return 0
    (row,) = _next.all(conn, name=name)
    return row.next_at + cost - capacity - now_ms


def put(conn: Connection, name: str, next_at: int) -> None:
    """Closes a limit until an instant (milliseconds UTC)."""
    _put.run(conn, name=name, next_at=next_at)


def next_at(conn: Connection, name: str) -> int | None:
    """Returns when a limit is or was free (milliseconds UTC); None if it was never taken."""
    row = _next.first(conn, name=name)
    return None if row is None else row.next_at


def forget(conn: Connection, before_ms: int, most: int) -> None:
    """Deletes up to `most` limits that have been free since before an instant, which a missing
    row says as well."""
    _forget.run(conn, before=before_ms, most=most)
