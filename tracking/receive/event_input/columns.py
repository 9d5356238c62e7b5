"""What a caller wrote, gathered by the field of an event that each part of it stands for.

An event may come as Pinterest's own form, with its objects in it, or as a flat row of an export,
whose columns have numbers where a field holds several values: em, em_1, item_price_2.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from tracking.domain.identity import FIELDS as PERSON
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input import fields
from tracking.receive.event_input.fields import PLAIN_NAME, Dropped, Reader, Rejected

_MOST_FAULTS = 100
_NUMBERED = re.compile(r"(.+)_([0-9]{1,3})")

# The columns of a row that make up its products, and the field of a product each stands for.
ITEM: Mapping[str, str] = {
    "item_id": "id",
    **{name: name for name in fields.CONTENT if name != "id"},
    "item_quantity": "quantity",
    "price": "item_price",
}
# Columns of warehouses that have a name of their own for a field.
_ALIASES: Mapping[str, str] = {
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
# The fields that may have numbers.
_SEVERAL = LISTS - {"contents"} | ITEM.keys()


def _same(*groups: Iterable[str]) -> dict[str, str]:
    return {name: name for names in groups for name in names}


_NESTED: Mapping[str, Mapping[str, str]] = {
    "user_data": _same(PERSON, fields.USER),
    "custom_data": _same(fields.CUSTOM, ("content_ids", "contents")),
}
_TOP: Mapping[str, str] = {
    **_same(fields.EVENT, _NESTED, *_NESTED.values(), ITEM),
    **_ALIASES,
}
_CONTENT: Mapping[str, str] = {
    **_same(fields.CONTENT),
    "item_id": "id",
    "item_quantity": "quantity",
}


# The names that a column of a row may have, without numbers.
COLUMN_NAMES = tuple(sorted(_TOP.keys() - _NESTED.keys()))


class Located(NamedTuple):
    """A value and the JSON pointer to it."""

    pointer: str
    value: Any


Values = Mapping[str, Sequence[Located]]


@dataclass(slots=True)
class Reading:
    """What turns out wrong or of no use while one event is read; `where` is the pointer to it."""

    where: str
    errors: list[FieldError] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def refuse(self) -> None:
        """Go on only if nothing is wrong so far.

        Raises:
            ValidationError: something is.
        """
        if self.errors:
            raise ValidationError(*dict.fromkeys(self.errors))

    def fault(self, pointer: str, message: str) -> None:
        """Note that something is wrong.

        Raises:
            ValidationError: so much is wrong by now that nobody would read more.
        """
        self.errors.append(FieldError(pointer, message))
        if len(self.errors) >= _MOST_FAULTS:
            self.refuse()

    def value(self, told: Located, read: Reader) -> Any:
        """The value as its field takes it, None if it does not."""
        try:
            return read(told.value)
        except Rejected as error:
            self.fault(told.pointer, str(error))
        except Dropped:
            self.left_out.append(told.pointer)
        return None

    def fields(self, told: Values, readers: Mapping[str, Reader]) -> dict[str, Any]:
        """The fields that take one value each, those without one left out."""
        found = {}
        for name, read in readers.items():
            values = told.get(name, ())
            for one in values[1:]:
                self.fault(one.pointer, f"{name} takes one value")
            if values:
                found[name] = self.value(values[0], read)
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Columns:
    """What was told, by the name of its field; `goods` are the products, told field by field, and
    `goods_at` the pointer to the last of them that stands in a list."""

    told: Values
    goods: Sequence[Values]
    goods_at: str

    @classmethod
    def of(cls, tree: Mapping[str, Any], reading: Reading) -> "Columns":
        """Gather what an object or a row tells."""
        found: dict[str, list[tuple[int, Located]]] = {}
        items: dict[int, dict[str, list[Located]]] = {}
        for name, number, told in _gathered(tree, reading.where, _TOP, reading):
            if name in ITEM:
                items.setdefault(number, {}).setdefault(ITEM[name], []).append(told)
            else:
                found.setdefault(name, []).extend((number, one) for one in _spread(name, told))
        # Columns come in any order; the numbers say which was meant first.
        columns = {
            name: [told for _, told in sorted(some, key=lambda one: one[0])]
            for name, some in found.items()
        }
        listed = columns.pop("contents", [])
        goods = [_product(told, reading) for told in listed]
        goods += [items[number] for number in sorted(items)]
        return cls(columns, goods, listed[-1].pointer if listed else reading.where)


def column_of(name: str) -> tuple[str, int]:
    """The field that a column stands for ("" for none), and its number: em_2 is the second em."""
    return _field(name, _TOP)


def pointer_to(where: str, key: object) -> str:
    """The pointer to a key of the caller's own, or to where it stands if it is more than a name."""
    is_name = isinstance(key, str) and PLAIN_NAME.fullmatch(key)
    return f"{where}/{key}" if is_name else where


def _gathered(
    tree: Mapping[str, Any], where: str, names: Mapping[str, str], reading: Reading
) -> Iterator[tuple[str, int, Located]]:
    """Field, number and value of everything an object tells; the objects in it are gone into."""
    for key, value in tree.items():
        name, number = _field(key, names)
        told = Located(f"{where}/{key}", value)
        if not name:
            reading.fault(pointer_to(where, key), "not a field of an event")
        elif _is_nothing(value):
            continue
        elif name not in _NESTED:
            yield name, number, told
        elif isinstance(value, Mapping):
            yield from _gathered(value, told.pointer, _NESTED[name], reading)
        else:
            reading.fault(told.pointer, "not an object")


def _field(key: object, names: Mapping[str, str]) -> tuple[str, int]:
    """The field that a key stands for ("" for none), and its number: em_2 is the second em."""
    low = key.lower() if isinstance(key, str) else ""
    if low in names:
        return names[low], 0
    numbered = _NUMBERED.fullmatch(low)
    name = names.get(numbered[1], "") if numbered else ""
    return (name, int(numbered[2])) if numbered and name in _SEVERAL else ("", 0)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _spread(name: str, told: Located) -> Iterator[Located]:
    """Each value of a field that may hold several, be it a list or what exports write for one."""
    value = told.value
    if isinstance(value, str) and name in LISTS:
        several = several_of(name, value)
        yield from (Located(told.pointer, one) for one in several if not _is_nothing(one))
    elif isinstance(value, list | tuple):
        for n, one in enumerate(value):
            if not _is_nothing(one):
                yield Located(f"{told.pointer}/{n}", one)
    else:
        yield told


def several_of(name: str, text: str) -> Sequence[Any]:
    """The values in the text of a field that takes several, which exports write as one list."""
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text.encode(errors="replace"), type=list[Any])
        except (msgspec.DecodeError, RecursionError):
            return [text]
    return text.split(",") if name == "content_ids" else [text]


def _product(told: Located, reading: Reading) -> Values:
    if not isinstance(told.value, Mapping):
        reading.fault(told.pointer, "not an object")
        return {}
    found: dict[str, list[Located]] = {}
    for key, value in told.value.items():
        name = _CONTENT.get(key.lower()) if isinstance(key, str) else None
        if name is None:
            reading.fault(pointer_to(told.pointer, key), "not a field of a product")
        elif not _is_nothing(value):
            found.setdefault(name, []).append(Located(f"{told.pointer}/{key}", value))
    return found
