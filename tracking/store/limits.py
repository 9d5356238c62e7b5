"""When each rate limit is free again. What is taken moves that moment on, in one statement.

A limit lets one call through every `interval_ms`, and up to `burst` of them at once after a pause
(the generic cell rate algorithm). Its whole state is one instant, so two processes that take at
the same time can neither be given the same call nor need a lock of their own.
"""

from math import ceil

from sqlalchemy import bindparam, case, delete, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import limits

# Nobody can have taken more than a burst ahead: an instant that lies further off than this beyond
# it was written before a clock was set back, and must not close the limit until then.
_SKEW_MS = 60_000

_free_at = case(
    (limits.c.next_at.between(bindparam("now"), bindparam("horizon")), limits.c.next_at),
    else_=bindparam("now"),
)
_take = Statement(
    insert(limits)
    .values(name=bindparam("name"), next_at=bindparam("now") + bindparam("cost"))
    .on_conflict_do_update(
        index_elements=[limits.c.name],
        set_={"next_at": _free_at + bindparam("cost")},
        where=_free_at <= bindparam("latest"),
    )
    .returning(limits.c.next_at)
)
_next = Statement(select(limits.c.next_at).where(limits.c.name == bindparam("name")))
# Rows that somebody is about to take from are left alone, so that no two wait for one another.
_old = (
    select(limits.c.name)
    .where(limits.c.next_at < bindparam("before"))
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_forget = Statement(delete(limits).where(limits.c.name.in_(_old)))


def take(
    conn: Connection, name: str, count: int, interval_ms: float, burst: int, now_ms: int
) -> int:
    """Take `count` calls (at most `burst`) of a limit, all of them or none.

    0 if they were taken, else in how many milliseconds they can be.
    """
    cost, room = ceil(count * interval_ms), ceil(burst * interval_ms)
    taken = _take.first(
        conn,
        name=name,
        now=now_ms,
        cost=cost,
        latest=now_ms + room - cost,
        horizon=now_ms + room + _SKEW_MS,
    )
    if taken is not None:
        return 0
    row: Row = _next.first(conn, name=name)
    return int(row.next_at) + cost - room - now_ms


def forget(conn: Connection, before_ms: int, most: int) -> None:
    """Drop up to `most` limits that have been free since before an instant: a row that is not
    there says the same."""
    _forget.run(conn, before=before_ms, most=most)
