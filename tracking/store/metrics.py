"""How much there is of what an operator watches; nothing here reads a whole large table at once."""

from sqlalchemy import bindparam, func, literal_column, select, text

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import attempts, conversions, outbox, quarantine, receipts

# The states by which the outbox is indexed. What is settled counts as attempts, below.
OPEN_STATES = ("waiting", "held", "dead")

_open = {
    state: Statement(
        select(
            outbox.c.destination,
            func.count().label("events"),
            func.min(outbox.c.queued_at).label("oldest"),
        )
        .where(outbox.c.state == literal_column(f"'{state}'"))
        .group_by(outbox.c.destination)
        .order_by(outbox.c.destination)
    )
    for state in OPEN_STATES
}
_last_attempt = Statement(select(func.coalesce(func.max(attempts.c.id), 0).label("id")))
_attempts = Statement(
    select(attempts.c.destination, attempts.c.outcome, func.count().label("events"))
    .where(attempts.c.id > bindparam("after"), attempts.c.id <= bindparam("through"))
    .group_by(attempts.c.destination, attempts.c.outcome)
)
_recorded = Statement(
    select(conversions.c.stage, conversions.c.reason, func.count().label("events"))
    .where(conversions.c.at > bindparam("since"))
    .group_by(conversions.c.stage, conversions.c.reason)
    .order_by(conversions.c.stage, conversions.c.reason)
)
_taken = Statement(
    select(receipts.c.topic, func.count().label("bodies"))
    .group_by(receipts.c.topic)
    .order_by(receipts.c.topic)
)
_quarantined = Statement(
    select(quarantine.c.topic, func.count().label("bodies"))
    .where(quarantine.c.replayed_at == 0)
    .group_by(quarantine.c.topic)
    .order_by(quarantine.c.topic)
)
_size = Statement(
    {
        "sqlite": select(literal_column("page_count * page_size").label("bytes")).select_from(
            text("pragma_page_count(), pragma_page_size()")
        ),
        "postgresql": select(
            func.pg_database_size(func.current_database()).label("bytes"),
        ),
    }
)


def open_events(conn: Connection, state: str) -> list[Row]:
    """How many `events` of each destination are in one of `OPEN_STATES`, and since when (`oldest`,
    seconds UTC)."""
    return _open[state].all(conn)


def last_attempt(conn: Connection) -> int:
    """The number of the newest delivery attempt; 0 if there was none."""
    row: Row = _last_attempt.first(conn)
    return int(row.id)


def attempts_between(conn: Connection, after: int, through: int) -> list[Row]:
    """How the delivery attempts of these numbers ended, by destination and outcome."""
    return _attempts.all(conn, after=after, through=through)


def recorded(conn: Connection, since: int) -> list[Row]:
    """The events that happened after an instant, by stage and by the reason they are not sent."""
    return _recorded.all(conn, since=since)


def taken(conn: Connection) -> list[Row]:
    """How many webhook bodies were taken in, by topic. Reads all of them: ask seldom."""
    return _taken.all(conn)


def quarantined(conn: Connection) -> list[Row]:
    """How many bodies are kept that were not understood, by topic."""
    return _quarantined.all(conn)


def size(conn: Connection) -> int:
    """The database's size in bytes, without the log of what was written last."""
    row: Row = _size.first(conn)
    return int(row.bytes)
