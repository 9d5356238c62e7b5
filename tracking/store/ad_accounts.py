"""The spend syncs: up to which day each ad account's spend was read, and which process reads it.

One process at a time reads an account, by a lease that ends by itself.
"""

from typing import NamedTuple

from sqlalchemy import and_, bindparam, literal_column, not_, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import syncs, tokens

# Instants further ahead than this were stored before the clock was set back, and count as past.
_FURTHEST = 2 * 3_600


class SyncRow(NamedTuple):
    """The sync of one ad account. `through` is an ISO date, instants are seconds UTC."""

    account: str
    currency: str
    through: str
    synced_at: int
    next_at: int
    failure: str
    claim: str
    leased_until: int


class _LeasedAccount(NamedTuple):
    account: str


class _StoredToken(NamedTuple):
    token: str


_is_leased = and_(
    syncs.c.leased_until > bindparam("now"), syncs.c.leased_until <= bindparam("horizon")
)
_is_early = and_(syncs.c.next_at > bindparam("now"), syncs.c.next_at <= bindparam("horizon"))
_of_account = Query(SyncRow, select(syncs).where(syncs.c.account == bindparam("account")))
_claim = Query(
    SyncRow,
    insert(syncs)
    .values(account=bindparam("account"), claim=bindparam("claim"), leased_until=bindparam("until"))
    .on_conflict_do_update(
        index_elements=[syncs.c.account],
        set_={
            "claim": literal_column("excluded.claim"),
            "leased_until": literal_column("excluded.leased_until"),
        },
        where=and_(not_(_is_leased), or_(bindparam("at_once") == 1, not_(_is_early))),
    )
    .returning(*syncs.c),
)
_is_ours = and_(syncs.c.account == bindparam("b_account"), syncs.c.claim == bindparam("b_claim"))
_hold = Query(
    _LeasedAccount,
    update(syncs)
    .where(_is_ours)
    .values(leased_until=bindparam("b_until"))
    .returning(syncs.c.account),
)
_advance = Statement(
    update(syncs)
    .where(_is_ours)
    .values(through=bindparam("b_through"), currency=bindparam("b_currency"))
)
_release = Statement(update(syncs).where(_is_ours).values(claim="", leased_until=0))
_succeed = Statement(
    update(syncs)
    .where(_is_ours)
    .values(failure="", synced_at=bindparam("b_now"), next_at=bindparam("b_next_at"))
)
_fail = Statement(
    update(syncs)
    .where(_is_ours)
    .values(failure=bindparam("b_failure"), next_at=bindparam("b_next_at"))
)
_token = Query(_StoredToken, select(tokens.c.token).where(tokens.c.origin == bindparam("origin")))
_put_token = Statement(
    insert(tokens)
    .values(origin=bindparam("origin"), token=bindparam("token"), renewed_at=bindparam("now"))
    .on_conflict_do_update(
        index_elements=[tokens.c.origin],
        set_={
            "token": literal_column("excluded.token"),
            "renewed_at": literal_column("excluded.renewed_at"),
        },
    )
)


def of_account(conn: Connection, account: str) -> SyncRow | None:
    """Returns the sync of an ad account, or None if there was none yet."""
    return _of_account.first(conn, account=account)


def claim(
    conn: Connection, account: str, claim: str, now: int, until: int, at_once: bool
) -> SyncRow | None:
    """Leases an account until an instant; returns None if another process has leased it.

    Returns None also before the time of the next sync, unless `at_once`.
    """
    return _claim.first(
        conn,
        account=account,
        claim=claim,
        now=now,
        until=until,
        horizon=now + _FURTHEST,
        at_once=int(at_once),
    )


def is_due(row: SyncRow | None, now: int) -> bool:
    """Returns True if the time of the next sync has come and no process has leased the account."""
    if row is None:
        return True
    return not any(now < at <= now + _FURTHEST for at in (row.next_at, row.leased_until))


def hold(conn: Connection, account: str, claim: str, until: int) -> bool:
    """Extends the lease; returns False if another process has leased the account since."""
    return _hold.first(conn, b_account=account, b_claim=claim, b_until=until) is not None


def advance(conn: Connection, account: str, claim: str, through: str, currency: str) -> None:
    """Stores up to which day (ISO, UTC) the spend was read without a gap, and its currency."""
    _advance.run(conn, b_account=account, b_claim=claim, b_through=through, b_currency=currency)


def release(conn: Connection, account: str, claim: str) -> None:
    """Ends the lease."""
    _release.run(conn, b_account=account, b_claim=claim)


def succeed(conn: Connection, account: str, claim: str, now: int, next_at: int) -> None:
    """Stores that the whole spend was read, and ends the lease."""
    _succeed.run(conn, b_account=account, b_claim=claim, b_now=now, b_next_at=next_at)
    release(conn, account, claim)


def fail(conn: Connection, account: str, claim: str, failure: str, next_at: int) -> None:
    """Stores why the spend was not read to its end, and ends the lease."""
    _fail.run(conn, b_account=account, b_claim=claim, b_failure=failure, b_next_at=next_at)
    release(conn, account, claim)


def token(conn: Connection, origin: str) -> str:
    """Returns the refresh token that replaced a configured one (`origin` is its digest), or ""."""
    row = _token.first(conn, origin=origin)
    return "" if row is None else row.token


def put_token(conn: Connection, origin: str, token: str, now: int) -> None:
    """Stores the refresh token that replaces a configured one."""
    _put_token.run(conn, origin=origin, token=token, now=now)
