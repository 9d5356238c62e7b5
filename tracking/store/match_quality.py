"""The figures by day of what sent events have of the fields that Pinterest scores.

They are counted in the transaction that settles an event, so each counts once. Days are of UTC.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.conversion import EVENT_NAMES
from tracking.domain.match_quality import BITS, FIELDS
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import match_days, match_examples, orders, outbox

# The orders that are kept of each day as examples of a field that lacks.
EXAMPLES = 5


class SentEvent(msgspec.Struct, frozen=True, gc=False):
    """A sent event of a day (the ordinal of a UTC day); `fields` has a bit for each of FIELDS."""

    day: int
    event_name: str
    action_source: str
    event_id: str
    order_id: str
    fields: int


class EventKind(NamedTuple):
    """A kind of event, which is judged by itself."""

    event_name: str
    action_source: str


class MatchDay(NamedTuple):
    """The number of sent events of a kind and UTC day (an ordinal), and of those that have each
    field, in the order of FIELDS."""

    day: int
    event_name: str
    action_source: str
    events: int
    click_id_epik: int
    hashed_email: int
    advertiser_external_id: int
    hashed_maid: int
    ip_address: int
    user_agent: int
    external_event_id: int
    order_id: int
    order_value: int
    product_id: int
    source_url: int

    @property
    def having(self) -> Sequence[int]:
        """The number of events that have each field, in the order of FIELDS."""
        return self[4:]


class DayShare(NamedTuple):
    """The number of `events` sent of a UTC day (an ordinal), and of those `having` a field."""

    day: int
    events: int
    having: int


class LackingOrder(NamedTuple):
    """An order whose event lacks a field, and the channel that it was placed in, "" if unknown."""

    order_id: str
    source_name: str | None


class _FirstDay(NamedTuple):
    day: int | None


_Key = tuple[int, str, str]
_KEY = [match_days.c[name] for name in ("day", "event_name", "action_source")]
_FIGURES = ("events", *FIELDS)
_add = Query(
    MatchDay,
    insert(match_days)
    .values({name: bindparam(name) for name in MatchDay._fields})
    .on_conflict_do_update(
        index_elements=_KEY,
        set_={name: match_days.c[name] + literal_column(f"excluded.{name}") for name in _FIGURES},
    )
    .returning(*(match_days.c[name] for name in MatchDay._fields)),
)
# An event that was erased while it was sent has no payload any more.
_is_known = exists(
    select(literal_column("1")).where(
        outbox.c.event_id == bindparam("event_id"), func.length(outbox.c.payload) > 0
    )
)
_columns_of_example = [column.key for column in match_examples.columns]
_add_example = Statement(
    insert(match_examples)
    .from_select(
        _columns_of_example,
        select(
            *(
                bindparam(name, type_=match_examples.c[name].type).label(name)
                for name in _columns_of_example
            )
        ).where(_is_known),
    )
    .on_conflict_do_nothing()
)
_days = Query(
    MatchDay,
    select(*(match_days.c[name] for name in MatchDay._fields))
    .where(match_days.c.day >= bindparam("first"), match_days.c.day <= bindparam("last"))
    .order_by(*_KEY),
)
_first_day = Query(_FirstDay, select(func.min(match_days.c.day).label("day")))
_lacking = Query(
    LackingOrder,
    select(match_examples.c.order_id, orders.c.source_name)
    .select_from(match_examples.outerjoin(orders, orders.c.id == match_examples.c.order_id))
    .where(
        match_examples.c.event_name == bindparam("event_name"),
        match_examples.c.action_source == bindparam("action_source"),
        match_examples.c.field == bindparam("field"),
        match_examples.c.day >= bindparam("first"),
        match_examples.c.day <= bindparam("last"),
    )
    .order_by(match_examples.c.day.desc(), match_examples.c.event_id.desc())
    .limit(bindparam("most")),
)
_forget = Statement(
    delete(match_examples).where(match_examples.c.event_id == bindparam("b_event_id"))
)


def add(conn: Connection, events: Iterable[SentEvent]) -> None:
    """Counts events that this transaction settles as sent, and keeps examples of what they lack."""
    by_key: dict[_Key, list[SentEvent]] = defaultdict(list)
    for event in events:
        by_key[event.day, event.event_name, event.action_source].append(event)
    # In one order, so that two processes never wait for each other.
    for key in sorted(by_key):
        some = by_key[key]
        added = _added(key, some)
        for day in _add.all(conn, **added._asdict()):
            _add_example.run_many(conn, _examples_of(day, added, some))


def _added(key: _Key, events: Sequence[SentEvent]) -> MatchDay:
    by_fields = Counter([event.fields for event in events])
    having = [sum(count for fields, count in by_fields.items() if fields & bit) for bit in BITS]
    return MatchDay(*key, len(events), *having)


def _examples_of(
    day: MatchDay, added: MatchDay, events: Iterable[SentEvent]
) -> Iterator[Mapping[str, int | str]]:
    """Yields the examples that a day still has room for, of the events just added to it."""
    for n, (bit, field) in enumerate(BITS.items()):
        lacking = added.events - added.having[n]
        room = EXAMPLES - (day.events - day.having[n] - lacking)
        if not lacking or room <= 0:
            continue
        some = (event for event in events if event.order_id and not event.fields & bit)
        for event in islice(some, room):
            yield {
                "event_name": day.event_name,
                "action_source": day.action_source,
                "field": field,
                "day": day.day,
                "event_id": event.event_id,
                "order_id": event.order_id,
            }


def forget(conn: Connection, event_id: str) -> None:
    """Deletes an event from the examples; the counts, which are of nobody, stay."""
    _forget.run(conn, b_event_id=event_id)


def days(conn: Connection, first: int, last: int) -> list[MatchDay]:
    """Returns the counts of the UTC days (ordinals) from `first` to `last`."""
    return _days.all(conn, first=first, last=last)


def first_day(conn: Connection) -> int | None:
    """Returns the first UTC day (an ordinal) that is counted; None if nothing was sent yet."""
    (row,) = _first_day.all(conn)
    return row.day


def lacking(
    conn: Connection, kind: EventKind, field: str, first: int, last: int, most: int
) -> list[LackingOrder]:
    """Returns orders of some UTC days whose events lack a field, of the newest day first."""
    return _lacking.all(conn, **kind._asdict(), field=field, first=first, last=last, most=most)


def click_ids_by_day(conn: Connection, first: int, last: int) -> list[DayShare]:
    """Returns how many of the purchases of each UTC day (an ordinal) were sent with a click id."""
    return [
        DayShare(row.day, row.events, row.click_id_epik) for row in _purchases(conn, first, last)
    ]


def emails_by_day(conn: Connection, first: int, last: int) -> list[DayShare]:
    """Returns how many of the purchases of each UTC day (an ordinal) were sent with an e-mail."""
    return [
        DayShare(row.day, row.events, row.hashed_email) for row in _purchases(conn, first, last)
    ]


def _purchases(conn: Connection, first: int, last: int) -> list[MatchDay]:
    """Returns the counts of purchases in the browser."""
    wanted = (EVENT_NAMES["purchase"], "web")
    return [row for row in days(conn, first, last) if (row.event_name, row.action_source) == wanted]
