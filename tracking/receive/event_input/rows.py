"""Rows of a file, which all have the same columns: what those mean is found out once.

A row in which nothing is odd is read straight through, in a fraction of the time. Any other is
read by `event_from`, which has the last word on what is wrong and how it is said.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import Any

from tracking.destinations.pinterest_schema import is_valid
from tracking.domain.conversion import MAX_EVENT_AGE, Policy
from tracking.domain.identity import FIELDS as PERSON
from tracking.domain.identity import Digest, Identity
from tracking.domain.validation import ValidationError
from tracking.receive.event_input import fields
from tracking.receive.event_input.columns import ITEM, LISTS, column_of, several_of
from tracking.receive.event_input.event import (
    MOST_AHEAD,
    MOST_DIGESTS,
    MOST_PRODUCTS,
    ORDERS_OWN,
    InboundEvent,
    complete,
    consent_of,
    country_of,
    digests_of,
    event_from,
    fault_of_own_id,
    finished,
)
from tracking.receive.event_input.fields import Dropped, Reader, Rejected

# What no text of a field may hold; spaces around a text are nothing odd.
_ODD = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST = 512

Column = tuple[int, str, Reader]


class _Odd(Exception):
    """The row has something that the straight way does not know."""


def _remembered(read: Reader) -> Reader:
    # Words of a short list, codes and amounts, never what a person might be known by.
    return lru_cache(maxsize=1024)(read)


def _seconds(cell: Any) -> int:
    # As nearly all exports write it.
    if len(cell) == 10 and cell.isascii() and cell.isdigit():
        return int(cell)
    return fields.seconds_of(cell)


_EVENT: Mapping[str, Reader] = {
    **fields.EVENT,
    "event_time": _seconds,
    **{
        name: _remembered(fields.EVENT[name])
        for name in ("event_name", "action_source", "opt_out", "wifi", "language")
    },
}
_CUSTOM: Mapping[str, Reader] = {
    **fields.CUSTOM,
    **{name: _remembered(fields.CUSTOM[name]) for name in ("currency", "value")},
}
_CONTENT: Mapping[str, Reader] = {
    **fields.CONTENT,
    **{name: _remembered(fields.CONTENT[name]) for name in ("item_price", "quantity")},
}
_country_of: Callable[[str], str] = lru_cache(maxsize=1024)(country_of)
_decimal_text: Callable[[Decimal, str], str] = lru_cache(maxsize=1024)(fields.decimal_text)


@dataclass(frozen=True, slots=True)
class _ColumnPlan:
    """Where in a row each field stands: its place, its name and who reads it."""

    event: Sequence[Column]
    user: Sequence[Column]
    custom: Sequence[Column]
    goods: Sequence[Sequence[Column]]
    content_ids: Sequence[int]
    person: Sequence[tuple[str, Sequence[int]]]
    countries: Sequence[int]


class RowReader:
    """Reads rows that have these columns, each of which must tell its time."""

    def __init__(self, header: Sequence[str], policy: Policy) -> None:
        self.header = tuple(header)
        self._policy = policy
        self._plan = _plan_of(self.header)

    def read(self, cells: Sequence[Any], received_at: int) -> InboundEvent:
        """The event of a row received at an instant (seconds UTC).

        Raises:
            ValidationError: it has faults; all of them are named, with a JSON pointer to their
                column.
        """
        if self._plan is not None and all(type(cell) is str for cell in cells):
            try:
                return self._straight(self._plan, cells, received_at)
            except (_Odd, Rejected, Dropped, ValidationError):
                pass
        row = dict(zip(self.header, cells, strict=True))
        return event_from(row, self._policy, received_at, needs_time=True)

    def _straight(self, plan: _ColumnPlan, cells: Sequence[str], received_at: int) -> InboundEvent:
        text = "".join(cells)
        if not text.isprintable() and _ODD.search(text):
            raise _Odd
        event, user, custom = (_read(cells, p) for p in (plan.event, plan.user, plan.custom))
        stamp = event.pop("event_time", None)
        if stamp is None or not -MOST_AHEAD <= received_at - stamp <= MAX_EVENT_AGE:
            raise _Odd
        if not event.keys() >= {"event_name", "action_source"}:
            raise _Odd
        event_id = event.get("event_id", "")
        if event_id.startswith(ORDERS_OWN) and fault_of_own_id(
            event, custom, event_id.removeprefix(ORDERS_OWN)
        ):
            raise _Odd

        consent, limited = consent_of(event, custom, self._policy)
        value = custom.get("value")
        _put_products(custom, plan, cells)
        identity, left_out = self._person(plan, cells, limited=limited)
        complete(event, user, custom, identity, stamp, received_at)
        if not is_valid(event):
            raise _Odd
        return finished(event, identity, consent, value, limited=limited, left_out=left_out)

    def _person(
        self, plan: _ColumnPlan, cells: Sequence[str], *, limited: bool
    ) -> tuple[Identity, tuple[str, ...]]:
        country = next(filter(None, (_country_of(cells[place]) for place in plan.countries)), "")
        found: dict[str, tuple[Digest, ...]] = {}
        left_out: list[str] = []
        for name, places in plan.person:
            digests: list[Digest] = []
            for place in places:
                text = cells[place].strip()
                if not text:
                    continue
                if text[0] == "[" or len(text) > _LONGEST:
                    raise _Odd
                some = digests_of(name, text, country, limited=limited)
                if not some:
                    left_out.append(f"/{self.header[place]}")
                digests += some
            if digests:
                found[name] = tuple(dict.fromkeys(digests) if len(digests) > 1 else digests)
        return Identity(**found), tuple(left_out)


def _read(cells: Sequence[str], columns: Iterable[Column]) -> dict[str, Any]:
    return {
        name: read(cells[place])
        for place, name, read in columns
        if cells[place] and not cells[place].isspace()
    }


def _put_products(custom: dict[str, Any], plan: _ColumnPlan, cells: Sequence[str]) -> None:
    told = chain.from_iterable(several_of("content_ids", cells[n]) for n in plan.content_ids)
    ids = [one for one in told if not isinstance(one, str) or one.strip()]
    contents = [found for columns in plan.goods if (found := _read(cells, columns))]
    if max(len(ids), len(contents)) > MOST_PRODUCTS:
        raise _Odd
    if ids:
        custom["content_ids"] = [fields.content_id(one) for one in ids]
    if contents:
        custom["contents"] = contents
    currency = custom.get("currency", "")
    for place in (custom, *contents):
        for name in fields.AMOUNTS & place.keys():
            place[name] = _decimal_text(place[name], currency)


def _plan_of(header: Sequence[str]) -> _ColumnPlan | None:
    """Where everything stands; None if it takes `event_from` to say."""
    places: dict[str, list[tuple[int, int]]] = {}
    goods: dict[int, dict[str, int]] = {}
    for place, key in enumerate(header):
        name, number = column_of(key)
        if name in ITEM:
            if ITEM[name] in goods.setdefault(number, {}):
                return None
            goods[number][ITEM[name]] = place
        else:
            places.setdefault(name, []).append((number, place))
    several = {name: [n for _, n in sorted(places.pop(name, ()))] for name in LISTS}
    singles = {*_EVENT, *fields.USER, *_CUSTOM}
    if several.pop("contents") or not places.keys() <= singles:
        return None
    if any(len(some) > 1 for some in places.values()) or len(goods) > MOST_PRODUCTS:
        return None
    if any(len(several[name]) > MOST_DIGESTS for name in PERSON):
        return None
    where = {name: some[0][1] for name, some in places.items()}
    return _ColumnPlan(
        event=_columns(where, _EVENT),
        user=_columns(where, fields.USER),
        custom=_columns(where, _CUSTOM),
        goods=[_columns(goods[number], _CONTENT) for number in sorted(goods)],
        content_ids=several["content_ids"],
        person=[(name, several[name]) for name in PERSON if several[name]],
        countries=several["country"],
    )


def _columns(where: Mapping[str, int], readers: Mapping[str, Reader]) -> Sequence[Column]:
    return [(where[name], name, read) for name, read in readers.items() if name in where]
