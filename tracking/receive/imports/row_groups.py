"""Groups the rows of a file by event: an order may have a row for each of its items.

The rows are held for a while, so that those of an order need not stand side by side.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input import InboundEvent
from tracking.receive.event_input.joining import joined
from tracking.receive.imports.file_reader import Record, UnreadableFile
from tracking.receive.imports.numbers_by_hash import NumbersByHash
from tracking.receive.imports.records import RecordParser, RejectedRecord
from tracking.receive.prepared_event import PreparedEvent

# Rows of one event are joined if they are not farther apart than this many records.
REACH = 5000
_MAX_LINES = 10


class EventRow(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="row"):
    """The event of a record, or of several that were joined. While a file is only checked, nothing
    is prepared of it. `left_out` are the JSON pointers to values that could not be used."""

    records: Sequence[Record]
    event_id: str
    order_id: str
    prepared: PreparedEvent | None
    left_out: tuple[str, ...] = ()


Group = list[EventRow] | RejectedRecord


def groups_of(entries: Iterable[EventRow | RejectedRecord], reach: int = REACH) -> Iterator[Group]:
    """Groups rows by event id, in the order of their first record; other entries stay alone.

    Raises:
        UnreadableFile: the entries raised it; all before it are grouped.
    """
    broken: dict[str, int] = {}
    held: deque[tuple[int, Group]] = deque()
    rows: dict[str, list[EventRow]] = {}
    passed = _PassedRows()
    end: UnreadableFile | None = None
    try:
        for number, entry in enumerate(entries):
            if not isinstance(entry, EventRow):
                held.append((number, entry))
                if entry.order_id and len(broken) < reach:
                    broken.setdefault(entry.order_id, entry.line)
            elif (group := rows.get(entry.event_id)) is not None:
                group.append(entry)
            elif (late := passed.late_row(entry, reach)) is not None:
                held.append((number, late))
            else:
                rows[entry.event_id] = [entry]
                held.append((number, rows[entry.event_id]))
            while held and held[0][0] <= number - reach:
                _, first = held.popleft()
                if isinstance(first, list):
                    passed.add(rows.pop(first[0].event_id))
                yield _whole_or_rejected(first, broken)
    except UnreadableFile as error:
        end = error
    yield from (_whole_or_rejected(group, broken) for _, group in held)
    if end is not None:
        raise end


class _PassedRows:
    """The rows of orders that are no longer held, to notice one that comes late: the newest, and as
    many before them."""

    def __init__(self) -> None:
        self._newest = NumbersByHash()
        self._before: NumbersByHash | None = None

    def add(self, group: Sequence[EventRow]) -> None:
        """Adds the rows of an event, if they are those of an order."""
        if not group[0].order_id:
            return
        if self._newest.is_full:
            self._newest, self._before = NumbersByHash(), self._newest
        line = group[0].records[0].line
        for hashed in (hash(group[0].event_id), *map(_row_hash, group)):
            if not self._line(hashed):
                self._newest.put(hashed, line)

    def _line(self, hashed: int) -> int:
        line = self._newest.get(hashed)
        return line if line or self._before is None else self._before.get(hashed)

    def late_row(self, row: EventRow, reach: int) -> RejectedRecord | None:
        """Returns a row as rejected if it is another one of an order that is no longer held; None
        if it is not, or is the same row again."""
        line = self._line(hash(row.event_id)) if row.order_id else 0
        if not line or self._line(_row_hash(row)):
            return None
        error = FieldError(
            "order_id",
            f"line {line} is a row of the same order, more than {reach} rows before: put the rows"
            " of an order closer together",
        )
        return RejectedRecord(row.records, [error])


def _row_hash(row: EventRow) -> int:
    return hash((row.event_id, *row.records[0].cells))


def _whole_or_rejected(group: Group, broken: Mapping[str, int]) -> Group:
    """Returns a group, rejected if another row of its order was: the order would lack an item."""
    if isinstance(group, RejectedRecord) or group[0].order_id not in broken:
        return group
    line = broken[group[0].order_id]
    error = FieldError("order_id", f"line {line}, a row of the same order, cannot be used")
    return RejectedRecord([record for row in group for record in row.records], [error])


def event_of(group: Sequence[EventRow], parser: RecordParser) -> InboundEvent | RejectedRecord:
    """Returns the one event of a group of rows, or all its records as rejected."""
    records = [record for row in group for record in row.records]
    try:
        return joined([parser.event(record) for record in records])
    except ValidationError as error:
        return RejectedRecord(records, [_reason(records, fault) for fault in error.errors])


def _reason(records: Sequence[Record], fault: FieldError) -> FieldError:
    numbers = [str(record.line) for record in records]
    if len(numbers) > _MAX_LINES:
        numbers[_MAX_LINES:] = [f"{len(numbers) - _MAX_LINES} more"]
    where = f"lines {', '.join(numbers[:-1])} and {numbers[-1]}"
    one = "one event by their event_id, or by order_id, event name and time"
    return FieldError("", f"{where} are {one}, but {fault.message}")
