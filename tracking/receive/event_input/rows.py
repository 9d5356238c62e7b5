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
from tracking.domain.identity import Digest, Hasher, Identity, hasher_of
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
    # Only for values of a short list, codes, amounts and the ids of products: personal data must
    # not be cached.
    return lru_cache(maxsize=1024)(parse)


def _seconds(cell: Any) -> int:
    # The form of nearly all exports.
    if len(cell) == 10 and cell.isascii() and cell.isdigit():
        return int(cell)
    return fields.seconds_of(cell)


@lru_cache(maxsize=1024)
def _amount_in(cell: str, currency: str) -> tuple[str, int]:
    """Returns an amount in Pinterest's form, and in minor units."""
    amount: Decimal = fields.CUSTOM["value"](cell)
    return fields.decimal_text(amount, currency), fields.minor_units(amount, currency)


# An amount is read when its currency is known.
_LATER: Parser = str
_EVENT: Mapping[str, Parser] = {
    **fields.EVENT,
    **{
        name: _cached(fields.EVENT[name])
        for name in ("event_name", "action_source", "opt_out", "wifi", "language")
    },
}
_CUSTOM: Mapping[str, Parser] = {
    **fields.CUSTOM,
    "currency": _cached(fields.CUSTOM["currency"]),
    **dict.fromkeys(fields.AMOUNTS & fields.CUSTOM.keys(), _LATER),
}
_CONTENT: Mapping[str, Parser] = {
    **fields.CONTENT,
    **{name: _cached(fields.CONTENT[name]) for name in ("id", "quantity")},
    **dict.fromkeys(fields.AMOUNTS & fields.CONTENT.keys(), _LATER),
}
_country_of: Callable[[str], str] = lru_cache(maxsize=1024)(country_of)


@dataclass(frozen=True, slots=True)
class _ColumnPlan:
    """Place in the row, name and parser of each field."""

    event_time: int
    event: Sequence[Column]
    user: Sequence[Column]
    custom: Sequence[Column]
    products: Sequence[Sequence[Column]]
    content_ids: Sequence[int]
    person: Sequence[tuple[int, str, Hasher]]
    countries: Sequence[int]


class RowReader:
    """Reads the rows of a header. Each row must have an event time."""

    def __init__(self, header: Sequence[str], policy: Policy) -> None:
        self.header = tuple(header)
        self._policy = policy
        self._plan = _plan_of(self.header)

    def read(self, cells: Sequence[str], received_at: int) -> InboundEvent:
        """The event of a row received at an instant (seconds UTC).

        Raises:
            ValidationError: the event has errors; all of them are listed, with a JSON pointer to
                their column.
        """
        if self._plan is not None:
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
        cells = [cell.strip() for cell in cells]
        event_time = _seconds(cells[plan.event_time])
        if not -MAX_AHEAD <= received_at - event_time <= MAX_EVENT_AGE:
            raise _NeedsFullParse
        event, user, custom = (_read(cells, part) for part in (plan.event, plan.user, plan.custom))
        if "event_name" not in event or "action_source" not in event:
            raise _NeedsFullParse
        event_id = event.get("event_id", "")
        if event_id.startswith(ORDER_EVENT_PREFIX) and order_event_id_error(
            event, custom, event_id.removeprefix(ORDER_EVENT_PREFIX)
        ):
            raise _NeedsFullParse

        consent, limited = consent_of(event, custom, self._policy)
        value = _add_amounts(custom)
        _add_products(custom, plan, cells)
        is_value_summed = add_summed_value(custom)
        if is_value_summed:
            value = fields.minor_units(Decimal(custom["value"]), custom.get("currency", ""))
        by_field, left_out = self._digests_of(plan, cells, limited=limited)
        person: dict[str, Any] = {name: [*digests] for name, digests in by_field.items()}
        complete(event, person | user, custom, event_time, received_at, self._policy)
        if not _fits(event, is_value_summed=is_value_summed):
            raise _NeedsFullParse
        return build_event(
            event,
            Identity(**by_field),
            consent,
            value,
            limited=limited,
            left_out=left_out,
            is_value_summed=is_value_summed,
        )

    def _digests_of(
        self, plan: _ColumnPlan, cells: Sequence[str], *, limited: bool
    ) -> tuple[dict[str, tuple[Digest, ...]], tuple[str, ...]]:
        """Returns the digests of the fields of a person, and pointers to what was left out."""
        country = ""
        for place in plan.countries:
            country = country or _country_of(cells[place])
        by_field: dict[str, tuple[Digest, ...]] = {}
        left_out: list[str] = []
        for place, name, hash_of in plan.person:
            text = cells[place]
            if not text:
                continue
            if text[0] == "[" or len(text) > _MAX_LENGTH:
                raise _NeedsFullParse
            if name == "external_id":
                text = fields.external_id_text(text)
            if limited:
                added = tuple(digests_of(name, text, country, limited=True))
            else:
                found = hash_of(text, country)
                added = (found,) if found else ()
            if not added:
                left_out.append(f"/{self.header[place]}")
            elif name in by_field:
                by_field[name] = tuple(dict.fromkeys((*by_field[name], *added)))
            else:
                by_field[name] = added
        return by_field, tuple(left_out)


def _read(cells: Sequence[str], columns: Iterable[Column]) -> dict[str, Any]:
    return {name: parse(cell) for place, name, parse in columns if (cell := cells[place])}


def _fits(event: Mapping[str, Any], *, is_value_summed: bool) -> bool:
    """Returns True if Pinterest will accept an event and match it.

    The parsers let pass only what the published schema accepts, but for a sum of items, which may
    have more digits; a test compares them.
    """
    user = event["user_data"]
    is_matched = (
        "em" in user
        or "hashed_maids" in user
        or ("client_ip_address" in user and "client_user_agent" in user)
    )
    return is_matched and (not is_value_summed or is_valid(event))


def _add_amounts(custom: dict[str, Any]) -> int:
    """Writes the amounts in Pinterest's form; returns the value in minor units."""
    value, currency = 0, custom.get("currency", "")
    if "value" in custom:
        custom["value"], value = _amount_in(custom["value"], currency)
    if "predicted_ltv" in custom:
        custom["predicted_ltv"], _ = _amount_in(custom["predicted_ltv"], currency)
    return value


def _add_products(custom: dict[str, Any], plan: _ColumnPlan, cells: Sequence[str]) -> None:
    contents = [product for columns in plan.products if (product := _read(cells, columns))]
    if plan.content_ids:
        values = chain.from_iterable(values_in("content_ids", cells[n]) for n in plan.content_ids)
        ids = [value for value in values if not isinstance(value, str) or value.strip()]
        if len(ids) > MAX_PRODUCTS:
            raise _NeedsFullParse
        if ids:
            custom["content_ids"] = [fields.content_id(value) for value in ids]
    if contents:
        custom["contents"] = contents
        currency = custom.get("currency", "")
        for product in contents:
            if "item_price" in product:
                product["item_price"], _ = _amount_in(product["item_price"], currency)


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
    if "event_time" not in place_of:
        return None
    return _ColumnPlan(
        event_time=place_of.pop("event_time"),
        event=_columns(place_of, _EVENT),
        user=_columns(place_of, fields.USER),
        custom=_columns(place_of, _CUSTOM),
        products=[_columns(products[number], _CONTENT) for number in sorted(products)],
        content_ids=lists["content_ids"],
        person=[(place, name, hasher_of(name)) for name in PERSON for place in lists[name]],
        countries=lists["country"],
    )


def _columns(place_of: Mapping[str, int], parsers: Mapping[str, Parser]) -> Sequence[Column]:
    return [(place_of[name], name, parse) for name, parse in parsers.items() if name in place_of]
