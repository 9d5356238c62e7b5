"""Parser of an import file's records: events of Pinterest's form, or orders of Shopify's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from tracking.domain.conversion import MAX_EVENT_AGE, Policy
from tracking.domain.order import Order, order_id_in
from tracking.domain.spreadsheet import is_shortened, plain_id
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input import InboundEvent, RowReader, inbound_event_of
from tracking.receive.event_input.columns import COLUMN_NAMES, column_of
from tracking.receive.event_input.event import MAX_AHEAD
from tracking.receive.event_input.fields import AMOUNTS
from tracking.receive.imports.file_reader import ImportSource, Record, UnreadableFile, quoted
from tracking.receive.imports.shopify_export import ExportedOrder, OrderExport

# Columns that a rejects file adds; they are ignored when the corrected file is imported.
REFUSED_LINE, REFUSED_REASON = "refused_line", "refused_reason"
_ADDED_COLUMNS = frozenset({REFUSED_LINE, REFUSED_REASON})
_REQUIRED = ("event_name", "action_source", "event_time")
_EXACT = 2**53
NO_DEFAULTS: Mapping[str, str] = MappingProxyType({})


class UsableRecord(NamedTuple):
    """The event or order of one or several records."""

    records: Sequence[Record]
    value: InboundEvent | Order

    @property
    def line(self) -> int:
        """The line on which the first record begins."""
        return self.records[0].line


class RejectedRecord(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="refused"):
    """Records that cannot be used, and their errors; `order_id` is that of a row of an order."""

    records: Sequence[Record]
    errors: Sequence[FieldError]
    order_id: str = ""

    @property
    def line(self) -> int:
        """The line on which the first record begins."""
        return self.records[0].line

    @property
    def reason(self) -> str:
        """The errors in one line, with the names of columns and without their values."""
        return "; ".join(map(_sentence, self.errors))


ParsedRecord = UsableRecord | RejectedRecord


class RecordParser:
    """Parses the records of a file of events, received at an instant (seconds UTC).

    `defaults` are the values of columns that the file lacks, or that are empty in a record.

    Raises:
        UnreadableFile: the columns are not those of events.
    """

    def __init__(
        self,
        source: ImportSource,
        policy: Policy,
        now: int,
        defaults: Mapping[str, str] = NO_DEFAULTS,
    ) -> None:
        self._policy = policy
        self._now = now
        self._defaults = defaults
        self._rows: RowReader | None = None
        # Lines of JSON in one file mostly have the same names.
        self._rows_of = lru_cache(maxsize=16)(partial(RowReader, policy=policy))
        if source.kind == "CSV":
            header = source.header
            self._places = [n for n, h in enumerate(header) if h.lower() not in _ADDED_COLUMNS]
            names = [header[n] for n in self._places]
            columns = {column_of(name): n for n, name in enumerate(names)}
            self._default_at = {
                columns[key]: value
                for name, value in defaults.items()
                if (key := column_of(name)) in columns
            }
            added = {n: v for n, v in defaults.items() if column_of(n) not in columns}
            self._added_cells = list(added.values())
            _check_columns([*names, *added])
            self._rows = RowReader([*names, *added], policy)
            self._is_whole = len(names) == len(header)
            lower = [name.lower() for name in header]
            self._order_place = lower.index("order_id") if "order_id" in lower else len(header)

    def event(self, record: Record) -> InboundEvent:
        """Returns the event of a record.

        Raises:
            ValidationError: the record has errors; all of them are listed.
        """
        if record.error:
            raise ValidationError(FieldError("", record.error))
        if self._rows is None:
            return self._of_line(record.cells[0])
        cells = record.cells if self._is_whole else [record.cells[n] for n in self._places]
        if self._defaults:
            cells = [*cells, *self._added_cells]
            for place, value in self._default_at.items():
                cells[place] = cells[place] if cells[place].strip() else value
        return self._rows.read(cells, self._now)

    def order_id(self, record: Record) -> str:
        """Returns the order id of a record that cannot be used, "" if it has none."""
        cell: object = ""
        if self._rows is not None and self._order_place < len(record.cells):
            cell = record.cells[self._order_place]
        elif self._rows is None:
            with suppress(msgspec.DecodeError, RecursionError):
                tree = msgspec.json.decode(record.cells[0])
                cell = _order_id_in(tree)
        return order_id_in(plain_id(str(cell))) if isinstance(cell, str | int | float) else ""

    def _of_line(self, text: str) -> InboundEvent:
        try:
            tree = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValidationError(FieldError("", f"not JSON: {error}")) from None
        if not isinstance(tree, dict):
            raise ValidationError(FieldError("", "not a JSON object"))
        for name in _ADDED_COLUMNS & tree.keys():
            del tree[name]
        if self._defaults:
            _fill(tree, self._defaults)
        told = [_cell(name, value) for name, value in tree.items()]
        cells = [cell for cell in told if cell is not None]
        if len(cells) == len(told):
            return self._rows_of(tuple(tree)).read(cells, self._now)
        body = msgspec.json.encode(tree)
        return inbound_event_of(body, self._policy, self._now, needs_time=True)


def parse_records(
    source: ImportSource, policy: Policy, now: int, defaults: Mapping[str, str] = NO_DEFAULTS
) -> Iterator[ParsedRecord]:
    """Parses all records of a file, received at an instant (seconds UTC), with the values of
    columns of events that it lacks.

    Raises:
        UnreadableFile: the columns are not those of a file of events or orders, or the rest of the
            file cannot be split into records.
    """
    if is_of_orders(source):
        return _parse_orders(source, now)
    return _parse_events(source, RecordParser(source, policy, now, defaults))


def is_of_orders(source: ImportSource) -> bool:
    """Returns whether a file is Shopify's export of orders, each of which may have several
    records."""
    return source.kind == "CSV" and OrderExport.matches(source.header)


def _parse_events(source: ImportSource, parser: RecordParser) -> Iterator[ParsedRecord]:
    for record in source:
        try:
            yield UsableRecord([record], parser.event(record))
        except ValidationError as error:
            yield RejectedRecord([record], error.errors, parser.order_id(record))


def _fill(tree: dict[str, Any], defaults: Mapping[str, str]) -> None:
    """Adds the defaults of what an event, or the event_data in it, leaves out."""
    event = tree.get("event_data", tree)
    if isinstance(event, dict):
        parts = [event, *(event.get(name) for name in ("user_data", "custom_data"))]
        told = [pair for part in parts if isinstance(part, dict) for pair in part.items()]
        named = {column_of(name) for name, value in told if value is not None and value != ""}
        event |= {n: value for n, value in defaults.items() if column_of(n) not in named}


def _order_id_in(tree: object) -> object:
    for name in ("event_data", "custom_data"):
        if isinstance(tree, dict) and name in tree:
            tree = tree[name]
    return tree.get("order_id", "") if isinstance(tree, dict) else ""


def _cell(name: str, value: object) -> str | None:
    """Returns the CSV cell equal to a JSON value; None if there is none."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        if value.is_integer() and abs(value) < _EXACT and not is_shortened(repr(value)):
            return str(int(value))
        return repr(value) if column_of(name)[0] in _AMOUNT_COLUMNS else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


_AMOUNT_COLUMNS = AMOUNTS | {"price"}


def _parse_orders(source: ImportSource, now: int) -> Iterator[ParsedRecord]:
    export = OrderExport(source.header)
    if missing := export.missing_columns():
        raise UnreadableFile(
            "this looks like Shopify's export of orders, but these columns are missing: "
            + ", ".join(missing)
        )
    for exported in export.orders(source):
        try:
            yield UsableRecord(exported.records, _recent_order(export, exported, now))
        except ValidationError as error:
            yield RejectedRecord(exported.records, error.errors)


def _recent_order(export: OrderExport, exported: ExportedOrder, now: int) -> Order:
    order = export.order(exported)
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
    """Raises the errors of the header once for the file, not once for each row."""
    fields = {column_of(name)[0] for name in header}
    errors = [_unknown_column(name) for name in header if not column_of(name)[0]]
    errors += [f"the column {name} is missing" for name in _REQUIRED if name not in fields]
    if errors:
        raise UnreadableFile("; ".join(errors[:20]))


def _unknown_column(name: str) -> str:
    return f"{quoted(name)} is no column of an event{_hint(name)}"


def _hint(name: str) -> str:
    near = get_close_matches(name.lower()[:64], COLUMN_NAMES, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _sentence(error: FieldError) -> str:
    name = error.field.removeprefix("/")
    hint = _hint(name.rpartition("/")[2]) if error.message == "not a field of an event" else ""
    return f"{name}: {error.message}{hint}" if name else error.message
