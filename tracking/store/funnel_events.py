"""The events that the funnel counts, read a page at a time, so that never all are in memory."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, or_, select

from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import conversions, report_visitors

_PAGE = 5_000


class CountedEvent(NamedTuple):
    """An event that counts in the funnel, and the number of its visitor; None if it has none yet.

    `id` is the number of the event, `at` is seconds UTC.
    """

    id: int
    at: int
    stage: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    visitor: str
    number: int | None


class NumberedEvent(NamedTuple):
    """An event that counts in the funnel, with a number that no other visitor has.

    `id` is the number of the event, `at` is seconds UTC.
    """

    id: int
    at: int
    number: int
    stage: str
    is_pinterest: int
    campaign_id: str
    campaign: str


class _Placed(Protocol):
    @property
    def id(self) -> int:
        """The number of an event."""

    @property
    def at(self) -> int:
        """Its instant, seconds UTC."""


_Event = TypeVar("_Event", bound=_Placed)


def _columns(row: Any) -> list[ColumnElement[Any]]:
    return [conversions.c[name] for name in row._fields if name not in ("number", "visitor")]


def _counted(*columns: ColumnElement[Any]) -> Select[Any]:
    visitors = report_visitors.c.visitor == conversions.c.visitor
    return (
        select(*columns)
        .select_from(conversions.outerjoin(report_visitors, visitors))
        .where(conversions.c.is_counted == literal_column("1"))
    )


# A visitor without a number yet has that of its first event, above all numbers of visitors. There
# is an index of what visitors ordered, and one of the rest.
_other = conversions.alias("other")
_first_event = func.coalesce(
    select(_other.c.id)
    .where(_other.c.visitor == conversions.c.visitor, _other.c.order_id == literal_column("''"))
    .order_by(_other.c.at, _other.c.id)
    .limit(1)
    .scalar_subquery(),
    select(func.min(_other.c.id))
    .where(_other.c.visitor == conversions.c.visitor, _other.c.order_id != literal_column("''"))
    .scalar_subquery(),
)
_number = func.coalesce(report_visitors.c.number, bindparam("numbers") + _first_event)
_id, _at, *_rest = _columns(NumberedEvent)
_numbered = _counted(_id, _at, _number.label("number"), *_rest).where(
    conversions.c.is_pinterest >= bindparam("is_pinterest")
)
_named = _counted(*_columns(CountedEvent), conversions.c.visitor, report_visitors.c.number)
# Of a closed day the figures count the storefront's events, which are deleted by and by.
_is_open = or_(
    conversions.c.at >= bindparam("closed"),
    conversions.c.stage == literal_column("'purchase'"),
)
_numbered_after = Query(
    CountedEvent,
    _named.where(
        conversions.c.id > bindparam("after"), conversions.c.id <= bindparam("until"), _is_open
    ).order_by(conversions.c.id),
)
# By number alone, since there are few such events: an index by time would find all of the span.
_time = conversions.c.at + literal_column("0")
_new_in_span = Query(
    NumberedEvent,
    _numbered.where(
        conversions.c.id > bindparam("after"),
        _time >= bindparam("since"),
        _time < bindparam("before"),
        _is_open,
    )
    .order_by(conversions.c.id)
    .limit(_PAGE),
)


def _by_time(events: Select[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        events.where(
            conversions.c.at >= bindparam("since"),
            conversions.c.at < bindparam("before"),
            or_(
                conversions.c.at > bindparam("since"),
                conversions.c.id > bindparam("after"),
            ),
            conversions.c.id <= bindparam("until"),
            *conditions,
        )
        .order_by(conversions.c.at, conversions.c.id)
        .limit(_PAGE)
    )


# There is an index of the purchases alone.
_is_purchase = conversions.c.stage == literal_column("'purchase'")
_is_of_storefront = conversions.c.stage != literal_column("'purchase'")
_purchases = Query(NumberedEvent, _by_time(_numbered, _is_purchase))
_storefronts = Query(NumberedEvent, _by_time(_numbered, _is_of_storefront))
_named_purchases = Query(CountedEvent, _by_time(_named, _is_purchase))
_named_of_stage = Query(CountedEvent, _by_time(_named, conversions.c.stage == bindparam("stage")))


def events_after(conn: Connection, after: int, until: int, closed: int) -> list[CountedEvent]:
    """Returns the counted events with a number in (after, until], in their order.

    The storefront's events before the instant `closed` are left out.
    """
    return _numbered_after.all(conn, after=after, until=until, closed=closed)


def new_events(
    conn: Connection,
    after: int,
    span: tuple[int, int],
    closed: int,
    numbers: int,
    *,
    all_traffic: bool,
) -> Iterator[list[NumberedEvent]]:
    """Yields pages of the counted events in [since, before), the span, with a number above `after`.

    The storefront's events before the instant `closed` are left out. `numbers` is how many visitors
    have a number.
    """
    since, before = span
    while page := _new_in_span.all(
        conn,
        after=after,
        since=since,
        before=before,
        closed=closed,
        numbers=numbers,
        is_pinterest=int(not all_traffic),
    ):
        yield page
        after = page[-1].id


def events_between(
    conn: Connection,
    span: tuple[int, int],
    until: int,
    numbers: int,
    *,
    purchases: bool,
    all_traffic: bool,
) -> Iterator[list[NumberedEvent]]:
    """Yields pages of the counted events in [since, before), the span, with a number up to `until`:
    the purchases, or the storefront's events.

    `numbers` is how many visitors have a number.
    """
    query = _purchases if purchases else _storefronts
    values = {"until": until, "numbers": numbers, "is_pinterest": int(not all_traffic)}
    yield from _pages(query, conn, span, values)


def events_of_stage(
    conn: Connection, stage: str, since: int, before: int, until: int
) -> Iterator[CountedEvent]:
    """Yields the counted events of a stage in [since, before) with a number up to `until`."""
    query, values = _named_of_stage, {"stage": stage, "until": until}
    if stage == "purchase":
        query, values = _named_purchases, {"until": until}
    for page in _pages(query, conn, (since, before), values):
        yield from page


def _pages(
    query: Query[Any], conn: Connection, span: tuple[int, int], values: dict[str, Any]
) -> Iterator[list[Any]]:
    (since, before), after = span, 0
    while page := query.all(conn, since=since, before=before, after=after, **values):
        yield page
        since, after = page[-1].at, page[-1].id
