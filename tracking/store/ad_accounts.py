"""The ad accounts that are read: their currency, the tokens, and which process reads them.

One process at a time reads an account, by a lease that ends by itself. How far each kind of figures
was read is in `pinterest_readings`.
"""

from typing import NamedTuple

from sqlalchemy import and_, bindparam, literal_column, not_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import syncs, tokens

# A lease that ends later than this was stored before the clock was set back, and counts as ended.
_FURTHEST = 3_600


class AdAccount(NamedTuple):
    """An ad account: its currency (ISO 4217) and the lease of its reader, until seconds UTC."""

    currency: str
    claim: str
    leased_until: int


class _LeasedAccount(NamedTuple):
    account: str


class StoredToken(NamedTuple):
    """The refresh token that replaced a configured one at an instant (seconds UTC); "" for an
    access token, which this service has known since then."""

    token: str
    renewed_at: int


_is_leased = and_(
    syncs.c.leased_until > bindparam("now"), syncs.c.leased_until <= bindparam("horizon")
)
_of_account = Query(
    AdAccount,
    select(syncs.c.currency, syncs.c.claim, syncs.c.leased_until).where(
        syncs.c.account == bindparam("account")
    ),
)
_claim = Query(
    _LeasedAccount,
    insert(syncs)
    .values(account=bindparam("account"), claim=bindparam("claim"), leased_until=bindparam("until"))
    .on_conflict_do_update(
        index_elements=[syncs.c.account],
        set_={
            "claim": literal_column("excluded.claim"),
            "leased_until": literal_column("excluded.leased_until"),
        },
        where=not_(_is_leased),
    )
    .returning(syncs.c.account),
)
_is_ours = and_(syncs.c.account == bindparam("b_account"), syncs.c.claim == bindparam("b_claim"))
_hold = Query(
    _LeasedAccount,
    update(syncs)
    .where(_is_ours)
    .values(leased_until=bindparam("b_until"))
    .returning(syncs.c.account),
)
_release = Statement(update(syncs).where(_is_ours).values(claim="", leased_until=0))
_put_currency = Statement(
    update(syncs)
    .where(syncs.c.account == bindparam("b_account"))
    .values(currency=bindparam("b_currency"))
)
_token = Query(
    StoredToken,
    select(tokens.c.token, tokens.c.renewed_at).where(tokens.c.origin == bindparam("origin")),
)
_note_token = Statement(
    insert(tokens)
    .values(origin=bindparam("origin"), token="", renewed_at=bindparam("now"))
    .on_conflict_do_nothing()
)
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


def of_account(conn: Connection, account: str) -> AdAccount | None:
    """Returns an ad account, or None if it was never read."""
    return _of_account.first(conn, account=account)


def claim(conn: Connection, account: str, claim: str, now: int, until: int) -> bool:
    """Leases an account until an instant; returns False if another process has leased it."""
    horizon = now + _FURTHEST
    found = _claim.first(conn, account=account, claim=claim, now=now, until=until, horizon=horizon)
    return found is not None


def is_leased(row: AdAccount | None, now: int) -> bool:
    """Returns True if a process has leased the account."""
    return row is not None and now < row.leased_until <= now + _FURTHEST


def hold(conn: Connection, account: str, claim: str, until: int) -> bool:
    """Extends the lease; returns False if another process has leased the account since."""
    return _hold.first(conn, b_account=account, b_claim=claim, b_until=until) is not None


def release(conn: Connection, account: str, claim: str) -> None:
    """Ends the lease."""
    _release.run(conn, b_account=account, b_claim=claim)


def put_currency(conn: Connection, account: str, currency: str) -> None:
    """Stores the currency of an account that is being read."""
    _put_currency.run(conn, b_account=account, b_currency=currency)


def token(conn: Connection, origin: str) -> str:
    """Returns the refresh token that replaced a configured one (`origin` is its digest), or ""."""
    row = stored_token(conn, origin)
    return "" if row is None else row.token


def stored_token(conn: Connection, origin: str) -> StoredToken | None:
    """Returns what is stored about a configured token (`origin` is its digest), or None."""
    return _token.first(conn, origin=origin)


def note_token(conn: Connection, origin: str, now: int) -> None:
    """Stores since when an access token is known, which no other replaces."""
    _note_token.run(conn, origin=origin, now=now)


def put_token(conn: Connection, origin: str, token: str, now: int) -> None:
    """Stores the refresh token that replaces a configured one."""
    _put_token.run(conn, origin=origin, token=token, now=now)
