"""Import of a file's events and orders, a batch per transaction."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from tracking.domain.order import Order
from tracking.receive.imports.file_reader import ImportSource, UnreadableFile
from tracking.receive.imports.parallel_reader import Block, blocks_of
from tracking.receive.imports.records import (
    ParsedRecord,
    RejectedRecord,
    UsableRecord,
    parse_records,
)
from tracking.receive.server_events import AT_ONCE, PreparedEvent, ServerEvents
from tracking.receive.tracker import Tracker

TOPIC = "orders/export"
# The larger a batch, the fewer database pages each of its rows writes; but webhooks wait while it
# is stored.
_BATCH_SECONDS = 0.4
_FIRST_BATCH, _LARGEST_BATCH = 500, 10_000


@dataclass(slots=True)
class ImportCounts:
    """Records read so far, the position in the file (bytes), and the results.

    `duplicates` were stored before.
    """

    read: int = 0
    position: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0


class StopImport(Exception):
    """Raised by a reject handler to end the import at the rejected record."""


RejectHandler = Callable[[RejectedRecord], None]


@dataclass
class Importer:
    """Imports one file at an instant (seconds UTC).

    `on_reject` is called with records that cannot be used, `on_progress` after each block. A large
    file is read by several processes if there are several `cores`.
    """

    events: ServerEvents
    tracker: Tracker
    now: int
    on_reject: RejectHandler
    on_progress: Callable[[ImportCounts], None] = lambda counts: None
    cores: int = 1
    timer: Callable[[], float] = time.perf_counter
    counts: ImportCounts = field(default_factory=ImportCounts)

    def check(self, source: ImportSource) -> None:
        """Reads all of a file and store nothing.

        Raises:
            UnreadableFile: the file, or the rest of it, cannot be read.
        """
        readers = self.cores if self.cores > 1 else 0
        with closing(blocks_of(source, self._check_entries, readers)) as blocks:
            for _ in self._usable_entries(blocks):
                pass
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
        size = batch_size or _FIRST_BATCH
        end: Exception | None = None
        rate: Future[float] | None = None
        # While a batch is stored the next one is read. Closing the blocks ends their processes.
        with (
            closing(blocks_of(source, self._import_entries, self.cores - 1)) as blocks,
            ThreadPoolExecutor(AT_ONCE[self.events.store.dialect]) as order_threads,
            ThreadPoolExecutor(1) as writer,
        ):
            usable = self._usable_entries(blocks)
            while end is None:
                batch: list[PreparedEvent | Order] = []
                try:
                    for value in islice(usable, size):
                        batch.append(value)
                except (StopImport, UnreadableFile) as error:
                    end = error
                if rate is not None:
                    fitting = int(rate.result() * _BATCH_SECONDS)
                    size = batch_size or max(_FIRST_BATCH, min(fitting, 2 * size, _LARGEST_BATCH))
                if not batch:
                    break
                rate = writer.submit(self._store, batch, order_threads)
            if rate is not None:
                rate.result()
        self.on_progress(self.counts)
        if end is not None:
            raise end

    def usable_records(self, source: ImportSource) -> Iterator[UsableRecord]:
        """Iterates over the parsed records of a file; rejected ones go to `on_reject`.

        Raises:
            UnreadableFile: the file, or the rest of it, cannot be read.
        """
        for parsed in self._parsed(source):
            self._count(1, source.position)
            if isinstance(parsed, RejectedRecord):
                self._reject(parsed)
            else:
                yield parsed
        self.on_progress(self.counts)

    def _usable_entries(self, blocks: Iterable[Block]) -> Iterator[PreparedEvent | Order]:
        for block in blocks:
            self._count(block.read, block.position)
            for entry in block.entries:
                if isinstance(entry, RejectedRecord):
                    self._reject(entry)
                elif entry is not None:
                    yield entry
            if block.end:
                raise UnreadableFile(block.end)

    def _count(self, read: int, position: int) -> None:
        self.counts.read += read
        self.counts.position = position
        self.on_progress(self.counts)

    def _reject(self, rejected: RejectedRecord) -> None:
        self.counts.rejected += 1
        self.on_reject(rejected)

    def _parsed(self, source: ImportSource) -> Iterator[ParsedRecord]:
        return parse_records(source, self.events.planner.policy, self.now)

    def _check_entries(self, source: ImportSource) -> Iterator[RejectedRecord | None]:
        for parsed in self._parsed(source):
            yield parsed if isinstance(parsed, RejectedRecord) else None

    def _import_entries(
        self, source: ImportSource
    ) -> Iterator[PreparedEvent | Order | RejectedRecord]:
        for parsed in self._parsed(source):
            if isinstance(parsed, RejectedRecord):
                yield parsed
            elif isinstance(parsed.value, Order):
                yield parsed.value
            else:
                yield self.events.prepare(parsed.value, self.now)

    def _store(
        self, batch: Sequence[PreparedEvent | Order], order_threads: ThreadPoolExecutor
    ) -> float:
        """Stores a batch; returns the rate in records a second."""
        began = self.timer()
        events = [value for value in batch if isinstance(value, PreparedEvent)]
        orders = [value for value in batch if isinstance(value, Order)]
        for statuses in self.events.record_all(events):
            self._count_results(statuses)
        for receipt in order_threads.map(lambda order: self.tracker.record(order, TOPIC), orders):
            self._count_results([receipt.status])
        return len(batch) / max(self.timer() - began, 0.001)

    def _count_results(self, statuses: Sequence[str]) -> None:
        stored = statuses.count("accepted")
        self.counts.stored += stored
        self.counts.duplicates += len(statuses) - stored
