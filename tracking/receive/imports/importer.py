"""Import of a file's events and orders, a batch per transaction."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, TypeVar

from tracking.domain.order import Order
from tracking.domain.validation import FieldError
from tracking.receive.event_input import InboundEvent
from tracking.receive.imports.checked_events import CheckedEvents
from tracking.receive.imports.file_reader import ImportSource, Record, UnreadableFile
from tracking.receive.imports.parallel_reader import Block, blocks_of, rare_collections
from tracking.receive.imports.records import (
    ParsedRecord,
    RecordParser,
    RejectedRecord,
    UsableRecord,
    is_of_orders,
    parse_records,
)
from tracking.receive.imports.row_groups import REACH, EventRow, event_of, groups_of
from tracking.receive.prepared_event import PreparedEvent
from tracking.receive.server_events import AT_ONCE, BatchResult, ServerEvents
from tracking.receive.tracker import Tracker

TOPIC = "orders/export"
# The larger a batch, the fewer database pages each of its rows writes; but webhooks wait while it
# is stored.
_BATCH_SECONDS = 0.4
_FIRST_BATCH, _LARGEST_BATCH = 500, 3_000


@dataclass(slots=True)
class ImportCounts:
    """Records read so far, the position in the file (bytes), and the results.

    `duplicates` were stored before, `resent` too, and only a setting held them back. `not_sent`
    counts the stored ones that are not sent, for each reason (a key of REASONS). `left_out` counts,
    for each field of the file, the values of usable records that could not be used.
    """

    read: int = 0
    position: int = 0
    stored: int = 0
    duplicates: int = 0
    resent: int = 0
    rejected: int = 0
    not_sent: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


class _StoredBatch(NamedTuple):
    """The rate at which a batch was stored, in records a second, and its records that were not."""

    rate: float
    rejected: Sequence[RejectedRecord]


_CONFLICT = FieldError(
    "",
    "another event on record has this event_id, or this order_id with the event name and time: its"
    " kind, time, value or person differs",
)


class StopImport(Exception):
    """Raised by a reject handler to end the import at the rejected record."""


_T = TypeVar("_T")
RejectHandler = Callable[[RejectedRecord], None]


@dataclass
class Importer:
    """Imports one file at an instant (seconds UTC).

    `on_reject` is called with records that cannot be used, `on_progress` after each block. A large
    file is read by several processes if there are several `cores`. Rows of one event are joined if
    they are at most `reach` records apart. `defaults` are values of columns that rows leave out.
    With `resends` what only a setting held back, which is another now, is sent.
    """

    events: ServerEvents
    tracker: Tracker
    now: int
    on_reject: RejectHandler
    on_progress: Callable[[ImportCounts], None] = lambda counts: None
    cores: int = 1
    reach: int = REACH
    defaults: Mapping[str, str] = field(default_factory=dict)
    resends: bool = False
    timer: Callable[[], float] = time.perf_counter
    counts: ImportCounts = field(default_factory=ImportCounts)

    def check(self, source: ImportSource, kept: CheckedEvents | None = None) -> None:
        """Reads all of a file and stores nothing.

        Args:
            kept: takes the events of a file without a fault, for `store`; an export's orders are
                not kept.

        Raises:
            UnreadableFile: the file, or the rest of it, cannot be read.
        """
        readers = self.cores if self.cores > 1 else 0
        if kept is not None and is_of_orders(source):
            kept.discard()
            kept = None
        entries_of = self._check_entries if kept is None else self._import_entries
        with (
            rare_collections(),
            closing(blocks_of(source, entries_of, readers)) as blocks,
        ):
            for entry in self._usable_entries(source, blocks):
                self._count_left_out(entry)
                has_fault = bool(self.counts.rejected)
                if kept is not None and isinstance(entry, EventRow) and not has_fault:
                    kept.add(entry, self.counts.position)
        if kept is not None and self.counts.rejected:
            kept.discard()
        elif kept is not None:
            kept.finish()
        self.on_progress(self.counts)

    def run(self, source: ImportSource, batch_size: int | None = None) -> None:
        """Imports a file. Records that are stored already stay unchanged, so an interrupted import
        can be repeated from the beginning of the file.

        Args:
            batch_size: records stored at a time; by default as many as take half a second.

        Raises:
            UnreadableFile: the rest of the file cannot be read; the records before it are stored.
            StopImport: `on_reject` raised it; the records before the rejected one are stored.
            StoreUnavailable: not every record was stored.
        """
        # Closing the blocks ends their processes.
        with (
            rare_collections(),
            self.events.store.bulk(),
            closing(blocks_of(source, self._import_entries, self.cores - 1)) as blocks,
        ):
            self._store_all(self._usable_entries(source, blocks), batch_size)

    def store(self, kept: CheckedEvents, batch_size: int | None = None) -> None:
        """Stores the events of a file that was checked, as `run` does.

        Raises:
            StopImport: `on_reject` raised it; the events before the rejected one are stored.
            StoreUnavailable: not every event was stored.
            OSError: the disk cannot be read.
        """
        with rare_collections(), self.events.store.bulk():
            self._store_all(self._rows_of(kept), batch_size)

    def _rows_of(self, kept: CheckedEvents) -> Iterator[EventRow]:
        for position, rows in kept.blocks():
            self._count(sum(len(row.records) for row in rows), position)
            yield from rows

    def _store_all(self, usable: Iterator[EventRow | Order], batch_size: int | None) -> None:
        """Stores events and orders in batches, as far as they can be read; raises as `run` does."""
        size = batch_size or _FIRST_BATCH
        end: Exception | None = None
        stored: Future[_StoredBatch] | None = None
        # While a batch is stored the next one is read.
        with (
            ThreadPoolExecutor(AT_ONCE[self.events.store.dialect]) as order_threads,
            ThreadPoolExecutor(1) as writer,
        ):
            while end is None:
                batch: list[EventRow | Order] = []
                try:
                    for value in islice(usable, size):
                        batch.append(value)
                except (StopImport, UnreadableFile) as error:
                    end = error
                if stored is not None:
                    fitting = int(stored.result().rate * _BATCH_SECONDS)
                    size = batch_size or max(_FIRST_BATCH, min(fitting, 2 * size, _LARGEST_BATCH))
                    end = self._reject_all(stored.result().rejected) or end
                    stored = None
                if not batch:
                    break
                stored = writer.submit(self._store, batch, order_threads)
            if stored is not None:
                end = self._reject_all(stored.result().rejected) or end
        self.on_progress(self.counts)
        if end is not None:
            raise end

    def usable_records(self, source: ImportSource) -> Iterator[UsableRecord]:
        """Iterates over the parsed records of a file; rejected ones go to `on_reject`.

        Raises:
            UnreadableFile: the file, or the rest of it, cannot be read.
        """
        if is_of_orders(source):
            yield from self._usable(self._counted(source), is_each_alone=True)
        else:
            parser = self._parser(source)
            rows = (_row_of(parsed) for parsed in self._counted(source))
            for group in self._usable(groups_of(rows, self.reach)):
                event = event_of(group, parser)
                if isinstance(event, RejectedRecord):
                    self._reject(event, len(event.records))
                else:
                    for row in group:
                        self._count_left_out(row)
                    yield UsableRecord(group[0].records, event)
        self.on_progress(self.counts)

    def _counted(self, source: ImportSource) -> Iterator[ParsedRecord]:
        for parsed in self._parsed(source):
            self._count(1, source.position)
            yield parsed

    def _usable_entries(
        self, source: ImportSource, blocks: Iterable[Block]
    ) -> Iterator[EventRow | Order]:
        """Iterates over the orders and events of a file, each event with all its rows."""
        entries = self._entries_of(blocks)
        if is_of_orders(source):
            orders: Iterator[EventRow | Order] = self._usable(entries, is_each_alone=True)
            yield from orders
            return
        parser = self._parser(source)
        rows = (entry for entry in entries if not isinstance(entry, Order))
        for group in self._usable(groups_of(rows, self.reach)):
            if len(group) == 1:
                yield group[0]
            else:
                yield from self._joined(group, parser)

    def _usable(
        self, entries: Iterable[_T | RejectedRecord], *, is_each_alone: bool = False
    ) -> Iterator[_T]:
        for entry in entries:
            if isinstance(entry, RejectedRecord):
                self._reject(entry, 1 if is_each_alone else len(entry.records))
            else:
                yield entry

    def _joined(self, group: Sequence[EventRow], parser: RecordParser) -> Iterator[EventRow]:
        event = event_of(group, parser)
        if isinstance(event, RejectedRecord):
            self._reject(event, len(event.records))
            return
        records = [record for row in group for record in row.records]
        prepared = self.events.prepare(event, self.now)
        if all(row.prepared == prepared for row in group):
            # The same row again is counted as known already.
            yield from group
        else:
            left_out = tuple(pointer for row in group for pointer in row.left_out)
            yield EventRow(records, prepared.event_id, prepared.order_id, prepared, left_out)

    def _entries_of(self, blocks: Iterable[Block]) -> Iterator[EventRow | Order | RejectedRecord]:
        for block in blocks:
            self._count(block.read, block.position)
            yield from (entry for entry in block.entries if entry is not None)
            if block.end:
                raise UnreadableFile(block.end)

    def _count(self, read: int, position: int) -> None:
        self.counts.read += read
        self.counts.position = position
        self.on_progress(self.counts)

    def _reject(self, rejected: RejectedRecord, count: int = 1) -> None:
        self.counts.rejected += count
        self.on_reject(rejected)

    def _reject_all(self, records: Iterable[RejectedRecord]) -> StopImport | None:
        """Rejects records; returns why the import ends, if a reject handler ends it."""
        try:
            for rejected in records:
                self._reject(rejected, len(rejected.records))
        except StopImport as stop:
            return stop
        return None

    def _parser(self, source: ImportSource) -> RecordParser:
        return RecordParser(source, self.events.planner.policy, self.now, self.defaults)

    def _parsed(self, source: ImportSource) -> Iterator[ParsedRecord]:
        return parse_records(source, self.events.planner.policy, self.now, self.defaults)

    def _check_entries(self, source: ImportSource) -> Iterator[EventRow | RejectedRecord | None]:
        is_order = is_of_orders(source)
        for parsed in self._parsed(source):
            is_usable_order = is_order and isinstance(parsed, UsableRecord)
            yield None if is_usable_order else _row_of(parsed)

    def _import_entries(self, source: ImportSource) -> Iterator[EventRow | Order | RejectedRecord]:
        for parsed in self._parsed(source):
            if isinstance(parsed, RejectedRecord):
                yield parsed
            elif isinstance(parsed.value, Order):
                yield parsed.value
            else:
                prepared = self.events.prepare(parsed.value, self.now)
                yield _event_row(parsed.records, parsed.value, prepared)

    def _store(
        self, batch: Sequence[EventRow | Order], order_threads: ThreadPoolExecutor
    ) -> _StoredBatch:
        """Stores a batch; returns the rate in records a second and what was not stored."""
        began = self.timer()
        rows = [value for value in batch if isinstance(value, EventRow)]
        orders = [value for value in batch if isinstance(value, Order)]
        rejected: list[RejectedRecord] = []
        following = iter(rows)
        prepared = [row.prepared for row in rows if row.prepared]
        for results in self.events.record_all(prepared, resends=self.resends):
            for result, row in zip(results, following, strict=False):
                self._count_result(result)
                if result.status == "conflict":
                    rejected.append(RejectedRecord(row.records, [_CONFLICT]))
                elif row.left_out:
                    self._count_left_out(row)
        for result in order_threads.map(self._store_order, orders):
            self._count_result(result)
        rate = len(batch) / max(self.timer() - began, 0.001)
        return _StoredBatch(rate, rejected)

    def _store_order(self, order: Order) -> BatchResult:
        receipt = self.tracker.record(order, TOPIC)
        if receipt.status != "accepted":
            is_sent = self.resends and self.tracker.resend(order)
            return BatchResult("resent" if is_sent else "duplicate")
        return BatchResult("accepted", self.tracker.reason_of(order.id))

    def _count_result(self, result: BatchResult) -> None:
        if result.status == "accepted":
            self.counts.stored += 1
        elif result.status == "duplicate":
            self.counts.duplicates += 1
        elif result.status == "resent":
            self.counts.resent += 1
        if result.reason:
            self.counts.not_sent[result.reason] += 1

    def _count_left_out(self, entry: EventRow | Order) -> None:
        if isinstance(entry, EventRow) and entry.left_out:
            self.counts.left_out.update(map(_field_of, entry.left_out))


def _row_of(parsed: ParsedRecord) -> EventRow | RejectedRecord:
    """Returns the row of an event, of which nothing is prepared."""
    if isinstance(parsed, RejectedRecord):
        return parsed
    event = parsed.value
    if isinstance(event, Order):
        return EventRow(parsed.records, event.id, event.id, None)
    return _event_row(parsed.records, event, None)


def _event_row(
    records: Sequence[Record], event: InboundEvent, prepared: PreparedEvent | None
) -> EventRow:
    told = event.conversion
    return EventRow(records, told.event_id, told.order_id, prepared, event.left_out)


# A file leaves out the same columns in many of its rows.
@lru_cache(maxsize=4096)
def _field_of(pointer: str) -> str:
    """Returns the field that a JSON pointer leads to, whichever of its values that is."""
    return "/".join(part for part in pointer.split("/") if part and not part.isdecimal())
