"""The figures that only the alerts ask for."""

from typing import NamedTuple

from sqlalchemy import bindparam, case, exists, func, literal_column, select

from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import attempts, conversions, outbox

# However many attempts were made: the newest tell enough.
_MOST_ATTEMPTS = 20_000


class OutcomeCount(NamedTuple):
    """The number of delivery attempts that ended in one outcome."""

    outcome: str
    attempts: int


class SharedIdShare(NamedTuple):
    """The purchases sent under the id of the storefront's event, of those that should be."""

    shared: int
    purchases: int


_newest_id = select(func.coalesce(func.max(attempts.c.id), 0)).scalar_subquery()
_outcomes = Query(
    OutcomeCount,
    select(attempts.c.outcome, func.count().label("attempts"))
    .where(
        attempts.c.id > _newest_id - _MOST_ATTEMPTS,
        attempts.c.at > bindparam("since"),
        attempts.c.at <= bindparam("until"),
    )
    .group_by(attempts.c.outcome),
)


# No join: SQLite would begin with the whole outbox.
_should_be_shared = exists(
    select(literal_column("1")).where(
        outbox.c.event_id == conversions.c.event_id, outbox.c.shares_id == 1
    )
)
_is_shared = conversions.c.sent_as != conversions.c.event_id
_shared_ids = Query(
    SharedIdShare,
    select(
        func.coalesce(func.sum(case((_is_shared, 1), else_=0)), 0).label("shared"),
        func.count().label("purchases"),
    ).where(
        # As text, for the index of the purchases.
        conversions.c.stage == literal_column("'purchase'"),
        conversions.c.at > bindparam("since"),
        conversions.c.sent_as != literal_column("''"),
        _should_be_shared,
    ),
)


def shared_ids(conn: Connection, since: int) -> SharedIdShare:
    """Returns how many purchases after an instant share their ids with Pinterest's own app."""
    (row,) = _shared_ids.all(conn, since=since)
    return SharedIdShare(int(row.shared), row.purchases)


def outcomes(conn: Connection, since: int, until: int) -> dict[str, int]:
    """Returns how many of the newest attempts between two instants ended in which outcome."""
    return {row.outcome: row.attempts for row in _outcomes.all(conn, since=since, until=until)}
