"""Rows of a file, which all have the same columns: the columns are interpreted once.

A regular row takes a fast path, in a fraction of the time. Any other row is read by `event_from`,
which alone decides on errors and their messages.
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
from tracking.domain.identity import Digest, Identity, hashed
from tracking.domain.normalisers import FIELDS as PERSON
from tracking.domain.validation import ValidationError
from tracking.receive.event_input import fields
from tracking.receive.event_input.columns import ITEM, LISTS, column_of, values_in
from tracking.receive.event_input.event import (
    MAX_AHEAD,
    MAX_DIGESTS,
    MAX_PRODUCTS,
    InboundEvent,
    add_summed_value,
    build_event,
    complete,
    consent_of,
    country_of,
    digests_of,
    event_from,
    order_event_id_error,
)
from tracking.receive.event_input.fields import ORDER_EVENT_PREFIX, Dropped, Parser, Rejected

# Characters that no field may hold; spaces around a text are regular.
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_MAX_LENGTH = 512

Column = tuple[int, str, Parser]


class _NeedsFullParse(Exception):
    """The fast path does not cover the row."""


def _cached(parse: Parser) -> Parser:
    # Only for values of a short list, codes and amounts: personal data must not be cached.
    return lru_cache(maxsize=1024)(parse)


def _seconds(cell: Any) -> int:
    # The form of nearly all exports.
    if len(cell) == 10 and cell.isascii() and cell.isdigit():
        return int(cell)
    return fields.seconds_of(cell)


_EVENT: Mapping[str, Parser] = {
    **fields.EVENT,
    "event_time": _seconds,
    **{
        name: _cached(fields.EVENT[name])
        for name in ("event_name", "action_source", "opt_out", "wifi", "language")
    },
}
_CUSTOM: Mapping[str, Parser] = {
    **fields.CUSTOM,
    **{name: _cached(fields.CUSTOM[name]) for name in ("currency", "value")},
}
_CONTENT: Mapping[str, Parser] = {
    **fields.CONTENT,
    **{name: _cached(fields.CONTENT[name]) for name in ("item_price", "quantity")},
}
_country_of: Callable[[str], str] = lru_cache(maxsize=1024)(country_of)
_decimal_text: Callable[[Decimal, str], str] = lru_cache(maxsize=1024)(fields.decimal_text)


@dataclass(frozen=True, slots=True)
class _ColumnPlan:
    """Place in the row, name and parser of each field."""

    event: Sequence[Column]
    user: Sequence[Column]
    custom: Sequence[Column]
    products: Sequence[Sequence[Column]]
    content_ids: Sequence[int]
    person: Sequence[tuple[str, Sequence[int]]]
    countries: Sequence[int]


class RowReader:
    """Reads the rows of a header. Each row must have an event time."""

    def __init__(self, header: Sequence[str], policy: Policy) -> None:
        self.header = tuple(header)
        self._policy = policy
        self._plan = _plan_of(self.header)

    def read(self, cells: Sequence[Any], received_at: int) -> InboundEvent:
        """The event of a row received at an instant (seconds UTC).

        Raises:
            ValidationError: the event has errors; all of them are listed, with a JSON pointer to
                their column.
        """
        if self._plan is not None and set(map(type, cells)) == {str}:
            try:
                return self._read_fast(self._plan, cells, received_at)
            except (_NeedsFullParse, Rejected, Dropped, ValidationError):
                pass
        row = dict(zip(self.header, cells, strict=True))
        return event_from(row, self._policy, received_at, needs_time=True)

    def _read_fast(self, plan: _ColumnPlan, cells: Sequence[str], received_at: int) -> InboundEvent:
        text = "".join(cells)
        if not text.isprintable() and _CONTROL.search(text):
            raise _NeedsFullParse
        event, user, custom = (_read(cells, part) for part in (plan.event, plan.user, plan.custom))
        event_time = event.pop("event_time", None)
        if event_time is None or not -MAX_AHEAD <= received_at - event_time <= MAX_EVENT_AGE:
            raise _NeedsFullParse
        if not event.keys() >= {"event_name", "action_source"}:
            raise _NeedsFullParse
        event_id = event.get("event_id", "")
        if event_id.startswith(ORDER_EVENT_PREFIX) and order_event_id_error(
            event, custom, event_id.removeprefix(ORDER_EVENT_PREFIX)
        ):
            raise _NeedsFullParse

        consent, limited = consent_of(event, custom, self._policy)
        value = custom.get("value")
        _add_products(custom, plan, cells)
        is_value_summed = add_summed_value(custom)
        if is_value_summed:
            value = Decimal(custom["value"])
        identity, left_out = self._identity_of(plan, cells, limited=limited)
        complete(event, user, custom, identity, event_time, received_at, self._policy)
        if not is_valid(event):
            raise _NeedsFullParse
        return build_event(
            event,
            identity,
            consent,
            value,
            limited=limited,
            left_out=left_out,
            is_value_summed=is_value_summed,
        )

    def _identity_of(
        self, plan: _ColumnPlan, cells: Sequence[str], *, limited: bool
    ) -> tuple[Identity, tuple[str, ...]]:
        country = next(filter(None, (_country_of(cells[place]) for place in plan.countries)), "")
        by_field: dict[str, tuple[Digest, ...]] = {}
        left_out: list[str] = []
        for name, places in plan.person:
            digests: list[Digest] = []
            for place in places:
                text = cells[place].strip()
                if not text:
                    continue
                if text[0] == "[" or len(text) > _MAX_LENGTH:
                    raise _NeedsFullParse
                if name == "external_id":
                    text = fields.external_id_text(text)
                if not limited:
                    found = hashed(name, text, country)
                    added = [found] if found else []
                else:
                    added = digests_of(name, text, country, limited=True)
                if not added:
                    left_out.append(f"/{self.header[place]}")
                digests += added
            if digests:
                by_field[name] = tuple(dict.fromkeys(digests) if len(digests) > 1 else digests)
        return Identity(**by_field), tuple(left_out)


def _read(cells: Sequence[str], columns: Iterable[Column]) -> dict[str, Any]:
    return {
        name: parse(cells[place])
        for place, name, parse in columns
        if cells[place] and not cells[place].isspace()
    }


def _add_products(custom: dict[str, Any], plan: _ColumnPlan, cells: Sequence[str]) -> None:
    values = chain.from_iterable(values_in("content_ids", cells[n]) for n in plan.content_ids)
    ids = [value for value in values if not isinstance(value, str) or value.strip()]
    contents = [product for columns in plan.products if (product := _read(cells, columns))]
    if max(len(ids), len(contents)) > MAX_PRODUCTS:
        raise _NeedsFullParse
    if ids:
        custom["content_ids"] = [fields.content_id(value) for value in ids]
    if contents:
        custom["contents"] = contents
    currency = custom.get("currency", "")
    for part in (custom, *contents):
        for name in fields.AMOUNTS & part.keys():
            part[name] = _decimal_text(part[name], currency)


def _plan_of(header: Sequence[str]) -> _ColumnPlan | None:
    """Plan the places of a header's fields; None if rows need `event_from`."""
    places: dict[str, list[tuple[int, int]]] = {}
    products: dict[int, dict[str, int]] = {}
    for place, key in enumerate(header):
        name, number = column_of(key)
        if name in ITEM:
            if ITEM[name] in products.setdefault(number, {}):
                return None
            products[number][ITEM[name]] = place
        else:
            places.setdefault(name, []).append((number, place))
    lists = {name: [n for _, n in sorted(places.pop(name, ()))] for name in LISTS}
    singles = {*_EVENT, *fields.USER, *_CUSTOM}
    if lists.pop("contents") or not places.keys() <= singles:
        return None
    if any(len(numbered) > 1 for numbered in places.values()) or len(products) > MAX_PRODUCTS:
        return None
    if any(len(lists[name]) > MAX_DIGESTS for name in PERSON):
        return None
    place_of = {name: numbered[0][1] for name, numbered in places.items()}
    return _ColumnPlan(
        event=_columns(place_of, _EVENT),
        user=_columns(place_of, fields.USER),
        custom=_columns(place_of, _CUSTOM),
        products=[_columns(products[number], _CONTENT) for number in sorted(products)],
        content_ids=lists["content_ids"],
        person=[(name, lists[name]) for name in PERSON if lists[name]],
        countries=lists["country"],
    )


def _columns(place_of: Mapping[str, int], parsers: Mapping[str, Parser]) -> Sequence[Column]:
    return [(place_of[name], name, parse) for name, parse in parsers.items() if name in place_of]
