"""Values of an inbound event, grouped by the field of Pinterest's event that each belongs to.

An event may come in Pinterest's own form, with nested objects, or as a flat row of an export,
whose columns have numbers where a field holds several values: em, em_1, item_price_2.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from tracking.domain.normalisers import FIELDS as PERSON
from tracking.domain.placeholders import is_placeholder
from tracking.domain.spreadsheet import is_shortened
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input import fields
from tracking.receive.event_input.fields import PLAIN_NAME, Dropped, Parser, Rejected

_MAX_ERRORS = 100
_NUMBERED = re.compile(r"(.+)_([0-9]{1,3})")

# The names in `line_items` of Pinterest's tag.
_TAG_ITEM: Mapping[str, str] = {
    "product_id": "id",
    "product_name": "item_name",
    "product_category": "item_category",
    "product_brand": "item_brand",
    "product_price": "item_price",
    "product_quantity": "quantity",
}
# The columns of a row that describe its products, and the product field of each.
ITEM: Mapping[str, str] = {
    "item_id": "id",
    **{name: name for name in fields.CONTENT if name != "id"},
    "item_quantity": "quantity",
    "price": "item_price",
    **_TAG_ITEM,
}
_TAG_ALIASES: Mapping[str, str] = {"line_items": "contents", "order_quantity": "num_items"}
# Names that data warehouses and Pinterest's tag use for fields.
_ALIASES: Mapping[str, str] = {
    **_TAG_ALIASES,
    "email": "em",
    "phone": "ph",
    "given_name": "fn",
    "surname": "ln",
    "birthdate": "db",
    "gender": "ge",
    "city": "ct",
    "state": "st",
    "postal": "zp",
    "extern_id": "external_id",
    "content_id": "content_ids",
    "timestamp": "event_time",
}
LISTS = frozenset({*PERSON, "content_ids", "contents"})
# The fields whose columns may have numbers.
_NUMBERABLE = LISTS - {"contents"} | ITEM.keys()


def _same_names(*groups: Iterable[str]) -> dict[str, str]:
    return {name: name for names in groups for name in names}


_NESTED: Mapping[str, Mapping[str, str]] = {
    "user_data": _same_names(PERSON, fields.USER),
    "custom_data": {**_same_names(fields.CUSTOM, ("content_ids", "contents")), **_TAG_ALIASES},
}
_TOP: Mapping[str, str] = {
    **_same_names(fields.EVENT, _NESTED, *_NESTED.values(), ITEM),
    **_ALIASES,
}
_CONTENT: Mapping[str, str] = {
    **_same_names(fields.CONTENT),
    "item_id": "id",
    "item_quantity": "quantity",
    **_TAG_ITEM,
}

# The names of a row's columns, without numbers.
COLUMN_NAMES = tuple(sorted(_TOP.keys() - _NESTED.keys()))


class Located(NamedTuple):
    """A value and the JSON pointer to it."""

    pointer: str
    value: object


Values = Mapping[str, Sequence[Located]]


@dataclass(slots=True)
class FieldReader:
    """Parses the fields of one event and collects the errors and the dropped values.

    `pointer` is the JSON pointer to the event.
    """

    pointer: str
    errors: list[FieldError] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def raise_errors(self) -> None:
        """Raises the errors collected so far.

        Raises:
            ValidationError: there are errors.
        """
        if self.errors:
            raise ValidationError(*dict.fromkeys(self.errors))

    def add_error(self, pointer: str, message: str) -> None:
        """Collects an error.

        Raises:
            ValidationError: there are too many errors to go on.
        """
        self.errors.append(FieldError(pointer, message))
        if len(self.errors) >= _MAX_ERRORS:
            self.raise_errors()

    def value(self, located: Located, parse: Parser, *, is_required: bool = False) -> Any:
        """Parses a value of a field; None if it is rejected or dropped."""
        try:
            return parse(located.value)
        except Rejected as error:
            # Exports write \N or #N/A for a missing number or switch, too.
            is_missing = isinstance(located.value, str) and is_placeholder(located.value)
            if is_missing and not is_required:
                self.left_out.append(located.pointer)
            else:
                self.add_error(located.pointer, str(error))
        except Dropped:
            self.left_out.append(located.pointer)
        return None

    def fields(self, values: Values, parsers: Mapping[str, Parser]) -> dict[str, Any]:
        """Parses the fields that hold one value each; fields without a usable value are absent."""
        parsed = {}
        for name, parse in parsers.items():
            located = values.get(name, ())
            for surplus in located[1:]:
                self.add_error(surplus.pointer, f"{name} takes one value")
            if located:
                required = name in fields.REQUIRED
                parsed[name] = self.value(located[0], parse, is_required=required)
        return {name: value for name, value in parsed.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Columns:
    """Values by field name. `products` are the products, each with its values by field name;
    `products_pointer` points to the last product that stands in a list."""

    values: Values
    products: Sequence[Values]
    products_pointer: str

    @classmethod
    def of(cls, tree: Mapping[str, Any], reader: FieldReader) -> "Columns":
        """Groups the values of an object or a row by field."""
        numbered: dict[str, list[tuple[int, Located]]] = {}
        items: dict[int, dict[str, list[Located]]] = {}
        for name, number, located in _walk(tree, reader.pointer, _TOP, reader):
            if name in ITEM:
                items.setdefault(number, {}).setdefault(ITEM[name], []).append(located)
            else:
                values = ((number, value) for value in _each_value(name, located))
                numbered.setdefault(name, []).extend(values)
        # Columns come in any order; their numbers give the order of the values.
        columns = {
            name: [located for _, located in sorted(pairs, key=lambda pair: pair[0])]
            for name, pairs in numbered.items()
        }
        listed = columns.pop("contents", [])
        products = [_product(located, reader) for located in listed]
        products += [items[number] for number in sorted(items)]
        return cls(columns, products, listed[-1].pointer if listed else reader.pointer)


def column_of(name: str) -> tuple[str, int]:
    """The field of a column ("" for none) and the column's number: em_2 is the second em."""
    return _field(name, _TOP)


def pointer_to(pointer: str, key: object) -> str:
    """The pointer to a key, or to its parent if the key is not a plain name."""
    is_name = isinstance(key, str) and PLAIN_NAME.fullmatch(key)
    return f"{pointer}/{key}" if is_name else pointer


def _walk(
    tree: Mapping[str, Any], pointer: str, names: Mapping[str, str], reader: FieldReader
) -> Iterator[tuple[str, int, Located]]:
    """Iterates over field, number and value of an object's keys, nested objects included."""
    for key, value in tree.items():
        name, number = _field(key, names)
        located = Located(f"{pointer}/{key}", value)
        if not name:
            reader.add_error(pointer_to(pointer, key), "not a field of an event")
        elif _is_empty(value):
            continue
        elif name not in _NESTED:
            yield name, number, located
        elif isinstance(value, Mapping):
            yield from _walk(value, located.pointer, _NESTED[name], reader)
        else:
            reader.add_error(located.pointer, "not an object")


def _field(key: object, names: Mapping[str, str]) -> tuple[str, int]:
    """The field of a key ("" for none) and the key's number: em_2 is the second em."""
    lower = key.lower() if isinstance(key, str) else ""
    if lower in names:
        return names[lower], 0
    numbered = _NUMBERED.fullmatch(lower)
    name = names.get(numbered[1], "") if numbered else ""
    return (name, int(numbered[2])) if numbered and name in _NUMBERABLE else ("", 0)


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _each_value(name: str, located: Located) -> Iterator[Located]:
    """Iterates over the values of a field that may hold a list, or the text that exports write
    for a list."""
    value = located.value
    if isinstance(value, str) and name in LISTS:
        values = values_in(name, value)
        yield from (Located(located.pointer, item) for item in values if not _is_empty(item))
    elif isinstance(value, list | tuple):
        for n, item in enumerate(value):
            if not _is_empty(item):
                yield Located(f"{located.pointer}/{n}", item)
    else:
        yield located


def values_in(name: str, text: str) -> Sequence[Any]:
    """The values in the text that an export writes for a field with a list of values."""
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text.encode(errors="replace"), type=list[Any])
        except (msgspec.DecodeError, RecursionError):
            return [text]
    return text.split(",") if name == "content_ids" and not is_shortened(text) else [text]


def _product(located: Located, reader: FieldReader) -> Values:
    if not isinstance(located.value, Mapping):
        reader.add_error(located.pointer, "not an object")
        return {}
    product: dict[str, list[Located]] = {}
    for key, value in located.value.items():
        name = _CONTENT.get(key.lower()) if isinstance(key, str) else None
        if name is None:
            reader.add_error(pointer_to(located.pointer, key), "not a field of a product")
        elif not _is_empty(value):
            product.setdefault(name, []).append(Located(f"{located.pointer}/{key}", value))
    return product
