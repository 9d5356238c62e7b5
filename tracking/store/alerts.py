"""The alerts: what the last check found, which stand, and who was told.

One process at a time checks, and one tells of an alert, each by a lease that ends by itself.
"""

from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, literal_column, not_, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import alerts

# Instants further ahead than this were stored before the clock was set back, and count as past.
_FURTHEST = 2 * 3_600
_CHECK = ""


class AlertRow(NamedTuple):
    """One alert. Instants are seconds UTC.

    `is_trouble` (0 or 1) is what the last check found, since `changed_at`. An alert that `stands`
    has done so since `since`. `told` is the state (as `stands`) that every address was told last,
    `reached` are the digests of those that were told the newest, separated by spaces.
    """

    name: str
    is_trouble: int = 0
    changed_at: int = 0
    stands: int = 0
    since: int = 0
    words: str = ""
    told: int = 0
    reached: str = ""
    tries: int = 0
    next_at: int = 0
    failure: str = ""
    claim: str = ""
    leased_until: int = 0


class _AlertName(NamedTuple):
    name: str


_is_leased = and_(
    alerts.c.leased_until > bindparam("b_now"), alerts.c.leased_until <= bindparam("b_horizon")
)
_is_early = and_(alerts.c.next_at > bindparam("b_now"), alerts.c.next_at <= bindparam("b_horizon"))
_is_ours = and_(alerts.c.name == bindparam("b_name"), alerts.c.claim == bindparam("b_claim"))
_all = Query(AlertRow, select(alerts).where(alerts.c.name != _CHECK).order_by(alerts.c.name))
_check = Query(AlertRow, select(alerts).where(alerts.c.name == _CHECK))
_claim_check = Query(
    _AlertName,
    insert(alerts)
    .values(name=_CHECK, claim=bindparam("b_claim"), leased_until=bindparam("b_until"))
    .on_conflict_do_update(
        index_elements=[alerts.c.name],
        set_={
            "claim": literal_column("excluded.claim"),
            "leased_until": literal_column("excluded.leased_until"),
        },
        where=and_(not_(_is_leased), not_(_is_early)),
    )
    .returning(alerts.c.name),
)
_end_check = Query(
    _AlertName,
    update(alerts)
    .where(_is_ours)
    .values(claim="", leased_until=0, next_at=bindparam("b_next_at"))
    .returning(alerts.c.name),
)
_open = Statement(insert(alerts).values(name=bindparam("name")).on_conflict_do_nothing())
# Whoever was told half of a state hears of the next one, too.
_was_told = case((alerts.c.reached != "", alerts.c.stands), else_=alerts.c.told)
_states: dict[str, Any] = {
    name: bindparam(f"b_{name}") for name in ("is_trouble", "changed_at", "since", "words")
}
_put_state = Statement(
    update(alerts)
    .where(alerts.c.name == bindparam("b_name"), alerts.c.stands == bindparam("b_stands"))
    .values(_states)
)
_turn = Statement(
    update(alerts)
    .where(
        alerts.c.name == bindparam("b_name"),
        alerts.c.stands != bindparam("b_stands"),
        # While the other state is being told, it stays.
        not_(_is_leased),
    )
    .values(
        {
            **_states,
            "stands": bindparam("b_stands"),
            "told": _was_told,
            "reached": "",
            "tries": 0,
            "next_at": 0,
            "failure": "",
            "claim": "",
            "leased_until": 0,
        }
    )
)
_claim = Query(
    AlertRow,
    update(alerts)
    .where(
        alerts.c.name == bindparam("b_name"),
        alerts.c.stands != alerts.c.told,
        not_(or_(_is_leased, _is_early)),
    )
    .values(claim=bindparam("b_claim"), leased_until=bindparam("b_until"))
    .returning(*alerts.c),
)
_reach = Query(
    _AlertName,
    update(alerts)
    .where(_is_ours)
    .values(reached=bindparam("b_reached"), leased_until=bindparam("b_until"))
    .returning(alerts.c.name),
)
_settle = Statement(
    update(alerts)
    .where(_is_ours)
    .values(
        told=alerts.c.stands,
        reached="",
        tries=0,
        next_at=0,
        failure=bindparam("b_failure"),
        claim="",
        leased_until=0,
    )
)
_postpone = Statement(
    update(alerts)
    .where(_is_ours)
    .values(
        tries=alerts.c.tries + 1,
        next_at=bindparam("b_next_at"),
        failure=bindparam("b_failure"),
        claim="",
        leased_until=0,
    )
)


def list_all(conn: Connection) -> list[AlertRow]:
    """Returns every alert, whether it stands or not."""
    return _all.all(conn)


def is_check_due(conn: Connection, now: int) -> bool:
    """Returns True if the time of the next check has come and no process is at it."""
    row = _check.first(conn)
    return row is None or not any(
        now < at <= now + _FURTHEST for at in (row.next_at, row.leased_until)
    )


def claim_check(conn: Connection, claim: str, now: int, until: int) -> bool:
    """Leases the check until an instant; returns False if it is not due, or another's."""
    found = _claim_check.first(
        conn, b_claim=claim, b_now=now, b_until=until, b_horizon=now + _FURTHEST
    )
    return found is not None


def end_check(conn: Connection, claim: str, next_at: int) -> bool:
    """Ends the lease of the check; returns False if another process has taken it since."""
    return _end_check.first(conn, b_name=_CHECK, b_claim=claim, b_next_at=next_at) is not None


def put_state(conn: Connection, row: AlertRow, now: int) -> None:
    """Stores what a check found of an alert. One that is being told of does not turn meanwhile."""
    _open.run(conn, name=row.name)
    values = {f"b_{name}": getattr(row, name) for name in (*_states, "name", "stands")}
    _turn.run(conn, **values, b_now=now, b_horizon=now + _FURTHEST)
    _put_state.run(conn, **values)


def claim(conn: Connection, name: str, claim: str, now: int, until: int) -> AlertRow | None:
    """Leases an alert whose state is to be told; returns None if it is not, or is another's."""
    return _claim.first(
        conn, b_name=name, b_claim=claim, b_now=now, b_until=until, b_horizon=now + _FURTHEST
    )


def reach(conn: Connection, name: str, claim: str, reached: str, until: int) -> bool:
    """Stores who was told, and extends the lease; returns False if another process has it."""
    found = _reach.first(conn, b_name=name, b_claim=claim, b_reached=reached, b_until=until)
    return found is not None


def settle(conn: Connection, name: str, claim: str, failure: str = "") -> None:
    """Stores that the state was told, or given up with a `failure`, and ends the lease."""
    _settle.run(conn, b_name=name, b_claim=claim, b_failure=failure)


def postpone(conn: Connection, name: str, claim: str, failure: str, next_at: int) -> None:
    """Stores why some address was not told, and when to try again, and ends the lease."""
    _postpone.run(conn, b_name=name, b_claim=claim, b_failure=failure, b_next_at=next_at)
