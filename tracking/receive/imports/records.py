"""What the records of a file tell: events of Pinterest's, or orders of Shopify's."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec

from tracking.domain.conversion import MAX_EVENT_AGE, Policy
from tracking.domain.order import Order
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input import InboundEvent, RowReader, inbound_event_of
from tracking.receive.event_input.columns import COLUMN_NAMES, column_of
from tracking.receive.event_input.event import MAX_AHEAD
from tracking.receive.event_input.fields import AMOUNTS
from tracking.receive.imports.file_reader import ImportSource, Record, UnreadableFile, shown
from tracking.receive.imports.shopify_export import ExportedOrder, OrderExport

# What a file of refused rows says besides: it can be imported once it is mended.
REFUSED_LINE, REFUSED_REASON = "refused_line", "refused_reason"
_OUR_OWN = frozenset({REFUSED_LINE, REFUSED_REASON})
_NEEDED = ("event_name", "action_source", "event_time")
_EXACT = 2**53


class UsableRecord(NamedTuple):
    """What some records tell, the first of which begins on `line`."""

    line: int
    value: InboundEvent | Order


class RejectedRecord(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="refused"):
    """Records that cannot be used, and what is wrong with them."""

    records: Sequence[Record]
    errors: Sequence[FieldError]

    @property
    def line(self) -> int:
        """The line they begin on."""
        return self.records[0].line

    @property
    def reason(self) -> str:
        """What is wrong, in one line, with the names of columns and none of their values."""
        return "; ".join(map(_worded, self.errors))


Reading = UsableRecord | RejectedRecord


def readings_of(source: ImportSource, policy: Policy, now: int) -> Iterator[Reading]:
    """Everything a file tells, received at an instant (seconds UTC).

    Raises:
        UnreadableFile: the columns are not those of a file of events or orders, or what follows
            cannot be told apart.
    """
    if source.kind == "JSON lines":
        return _of_lines(source, policy, now)
    if OrderExport.is_meant_by(source.header):
        return _of_orders(source, now)
    return _of_rows(source, policy, now)


def is_each_by_itself(source: ImportSource) -> bool:
    """Whether every record is one reading. An order may stand in several."""
    return source.kind == "JSON lines" or not OrderExport.is_meant_by(source.header)


def _of_rows(source: ImportSource, policy: Policy, now: int) -> Iterator[Reading]:
    places = [n for n, name in enumerate(source.header) if name.lower() not in _OUR_OWN]
    header = [source.header[n] for n in places]
    _check_columns(header)
    rows = RowReader(header, policy)
    is_whole = len(places) == len(source.header)
    for record in source:
        if record.fault:
            yield RejectedRecord([record], [FieldError("", record.fault)])
            continue
        cells = record.cells if is_whole else [record.cells[n] for n in places]
        try:
            yield UsableRecord(record.line, rows.read(cells, now))
        except ValidationError as error:
            yield RejectedRecord([record], error.errors)


def _of_lines(source: ImportSource, policy: Policy, now: int) -> Iterator[Reading]:
    rows_of = lru_cache(maxsize=16)(partial(RowReader, policy=policy))
    for record in source:
        try:
            if record.fault:
                raise ValidationError(FieldError("", record.fault))
            yield UsableRecord(record.line, _of_json(record.cells[0], rows_of, policy, now))
        except ValidationError as error:
            yield RejectedRecord([record], error.errors)


def _of_json(text: str, rows_of: Any, policy: Policy, now: int) -> InboundEvent:
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationError(FieldError("", f"not JSON: {error}")) from None
    if not isinstance(tree, dict):
        raise ValidationError(FieldError("", "not a JSON object"))
    for name in _OUR_OWN & tree.keys():
        del tree[name]
    cells = [_cell(name, value) for name, value in tree.items()]
    if None not in cells:
        given: InboundEvent = rows_of(tuple(tree)).read(cells, now)
        return given
    return inbound_event_of(msgspec.json.encode(tree), policy, now, needs_time=True)


def _cell(name: str, value: object) -> str | None:
    """What a row would say for a value; None for what no row can."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        if value.is_integer() and abs(value) < _EXACT:
            return str(int(value))
        return repr(value) if column_of(name)[0] in _AMOUNT_COLUMNS else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


_AMOUNT_COLUMNS = AMOUNTS | {"price"}


def _of_orders(source: ImportSource, now: int) -> Iterator[Reading]:
    export = OrderExport(source.header)
    if missing := export.missing():
        raise UnreadableFile(
            "this looks like Shopify's export of orders, but these columns are missing: "
            + ", ".join(missing)
        )
    for told in export.orders(source):
        try:
            yield UsableRecord(told.records[0].line, _recent(export, told, now))
        except ValidationError as error:
            yield RejectedRecord(told.records, error.errors)


def _recent(export: OrderExport, told: ExportedOrder, now: int) -> Order:
    order = export.read(told)
    if order.placed_at < now - MAX_EVENT_AGE:
        raise ValidationError(
            FieldError("/Created at", "older than the seven days Pinterest accepts")
        )
    if order.placed_at > now + MAX_AHEAD:
        raise ValidationError(
            FieldError("/Created at", f"more than {MAX_AHEAD} seconds in the future")
        )
    return order


def _check_columns(header: Iterable[str]) -> None:
    """Say what is wrong with a whole file once, and not once for each of its rows."""
    found = {column_of(name)[0]: name for name in header}
    errors = [_unknown(name) for name in header if not column_of(name)[0]]
    errors += [f"the column {name} is missing" for name in _NEEDED if name not in found]
    if errors:
        raise UnreadableFile("; ".join(errors[:20]))


def _unknown(name: str) -> str:
    return f"{shown(name)} is no column of an event{_hint(name)}"


def _hint(name: str) -> str:
    near = get_close_matches(name.lower()[:64], COLUMN_NAMES, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _worded(fault: FieldError) -> str:
    name = fault.field.removeprefix("/")
    hint = _hint(name.rpartition("/")[2]) if fault.message == "not a field of an event" else ""
    return f"{name}: {fault.message}{hint}" if name else fault.message
