"""The counts of refused webhooks by reason and topic: each minute's, and one sum of older ones."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import receipts, refused_webhooks

MINUTE = 60
# Minutes older than this are added to the sum of their reason and topic, which is minute 0.
_KEPT_SECONDS = 2 * 3_600


class RefusedKey(NamedTuple):
    """The reason why webhooks were refused, and the topic that they came under."""

    reason: str
    topic: str


class RefusedCount(NamedTuple):
    """The webhooks refused for a reason under a topic, and the last instant (seconds UTC)."""

    reason: str
    topic: str
    webhooks: int
    last_at: int


class RefusedTotal(NamedTuple):
    """The webhooks that were ever refused for a reason."""

    reason: str
    webhooks: int


class AcceptedTopic(NamedTuple):
    """The instant at which the last webhook of a topic was accepted (seconds UTC)."""

    topic: str
    last_at: int


_row = insert(refused_webhooks).values({c.name: bindparam(c.name) for c in refused_webhooks.c})
_add = Statement(
    _row.on_conflict_do_update(
        index_elements=list(refused_webhooks.primary_key),
        set_={
            "webhooks": refused_webhooks.c.webhooks + _row.excluded.webhooks,
            "last_at": _row.excluded.last_at,
        },
    )
)
_take_old = Query(
    RefusedCount,
    delete(refused_webhooks)
    .where(refused_webhooks.c.minute > 0, refused_webhooks.c.minute < bindparam("before"))
    .returning(
        refused_webhooks.c.reason,
        refused_webhooks.c.topic,
        refused_webhooks.c.webhooks,
        refused_webhooks.c.last_at,
    ),
)
_since = Query(
    RefusedCount,
    select(
        refused_webhooks.c.reason,
        refused_webhooks.c.topic,
        func.sum(refused_webhooks.c.webhooks).label("webhooks"),
        func.max(refused_webhooks.c.last_at).label("last_at"),
    )
    .where(refused_webhooks.c.minute.between(bindparam("first"), bindparam("last")))
    .group_by(refused_webhooks.c.reason, refused_webhooks.c.topic)
    .order_by(refused_webhooks.c.reason, refused_webhooks.c.topic),
)
_totals = Query(
    RefusedTotal,
    select(refused_webhooks.c.reason, func.sum(refused_webhooks.c.webhooks).label("webhooks"))
    .group_by(refused_webhooks.c.reason)
    .order_by(refused_webhooks.c.reason),
)
_accepted = Query(
    AcceptedTopic,
    select(receipts.c.topic, func.max(receipts.c.received_at).label("last_at"))
    .where(receipts.c.received_at > bindparam("since"))
    .group_by(receipts.c.topic),
)


def add(conn: Connection, counts: Mapping[RefusedKey, int], now: int) -> None:
    """Adds to the counts of this minute, and sums up the minutes that are old."""
    minute = now - now % MINUTE
    for key, webhooks in sorted(counts.items()):
        _add_count(conn, RefusedCount(*key, webhooks, now), minute)
    for old in sorted(_take_old.all(conn, before=now - _KEPT_SECONDS)):
        _add_count(conn, old, 0)


def _add_count(conn: Connection, count: RefusedCount, minute: int) -> None:
    _add.run(conn, **count._asdict(), minute=minute)


def since(conn: Connection, instant: int, now: int) -> list[RefusedCount]:
    """Returns the webhooks that were refused in the minutes after an instant."""
    # A minute that lies further ahead was counted before the clock was set back.
    return _since.all(conn, first=instant, last=now + MINUTE)


def totals(conn: Connection) -> list[RefusedTotal]:
    """Returns how many webhooks were ever refused, by reason."""
    return _totals.all(conn)


def accepted(conn: Connection, since: int) -> dict[str, int]:
    """Returns when the last webhook of each topic was accepted, of those accepted after `since`.

    It reads the whole table of receipts.
    """
    return {row.topic: row.last_at for row in _accepted.all(conn, since=since)}
