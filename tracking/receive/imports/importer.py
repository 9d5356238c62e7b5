"""Takes in what a file tells, a batch in a transaction."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from tracking.clients.outcome import Accepted, Answered, EventResult, Outcome
from tracking.destinations import Unencodable
from tracking.destinations.base import PINTEREST
from tracking.destinations.pinterest_test_call import MAX_TESTED
from tracking.domain.conversion import REASONS, conversion_of, reason_not_to_send
from tracking.domain.order import Order
from tracking.receive.event_input import InboundEvent
from tracking.receive.event_trials import EventTrials, ReportOnly, TooManyTrials
from tracking.receive.imports.file_reader import ImportSource, UnreadableFile
from tracking.receive.imports.parallel_reader import Block, blocks_of
from tracking.receive.imports.records import Reading, RejectedRecord, UsableRecord, readings_of
from tracking.receive.server_events import AT_ONCE, EventRow, ServerEvents
from tracking.receive.tracker import Tracker

TOPIC = "orders/export"
# The larger a batch, the fewer pages of the database each of its rows costs; but webhooks wait
# while it is stored.
_BATCH_SECONDS = 0.4
_FIRST_BATCH, _LARGEST_BATCH = 500, 10_000


@dataclass(slots=True)
class Counts:
    """How many were read, up to which byte of the file, and what became of them so far. `known`
    were taken in before."""

    read: int = 0
    position: int = 0
    taken: int = 0
    known: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What Pinterest says of what a line tells; `is_taken` if it would count it."""

    line: int
    is_taken: bool
    words: str


class Stop(Exception):
    """Raised by whoever is told of something refused, so that nothing after it is taken."""


Refuse = Callable[[RejectedRecord], None]


@dataclass
class Importer:
    """One import of a file at an instant (seconds UTC).

    `refuse` is told of whatever cannot be used, `news` now and then that the reading goes on. A
    large file is read by several processes, if there are so many `cores`.
    """

    events: ServerEvents
    tracker: Tracker
    now: int
    refuse: Refuse
    news: Callable[[Counts], None] = lambda counts: None
    cores: int = 1
    timer: Callable[[], float] = time.perf_counter
    counts: Counts = field(default_factory=Counts)

    def check(self, source: ImportSource) -> None:
        """Read all of a file and store nothing.

        Raises:
            UnreadableFile: the file, or the rest of it, cannot be read.
        """
        readers = self.cores if self.cores > 1 else 0
        for _ in self._usable(blocks_of(source, self._checked, readers)):
            pass
        self.news(self.counts)

    def take(self, source: ImportSource, batch_size: int | None = None) -> None:
        """Take a file in. What is known already is left as it is, so that a file can be taken
        again from its beginning whatever ended the last time.

        Args:
            batch_size: how many are stored at a time; by default as many as take half a second.

        Raises:
            UnreadableFile: the rest of the file cannot be read; what is before it is stored.
            Stop: as `refuse` raised it; what is before that is stored.
            StoreUnavailable: not all was stored.
        """
        usable = self._usable(blocks_of(source, self._prepared, self.cores - 1))
        size = batch_size or _FIRST_BATCH
        end: Exception | None = None
        rate: Future[float] | None = None
        # While one batch is stored the next one is gathered.
        with (
            closing(usable),
            ThreadPoolExecutor(AT_ONCE[self.events.store.dialect]) as crowd,
            ThreadPoolExecutor(1) as storer,
        ):
            while end is None:
                batch: list[EventRow | Order] = []
                try:
                    for value in islice(usable, size):
                        batch.append(value)
                except (Stop, UnreadableFile) as error:
                    end = error
                if rate is not None:
                    fitting = int(rate.result() * _BATCH_SECONDS)
                    size = batch_size or max(_FIRST_BATCH, min(fitting, 2 * size, _LARGEST_BATCH))
                if not batch:
                    break
                rate = storer.submit(self._store, batch, crowd)
            if rate is not None:
                rate.result()
        self.news(self.counts)
        if end is not None:
            raise end

    def try_out(
        self, source: ImportSource, trials: EventTrials, pause: Callable[[float], object]
    ) -> Iterator[TrialResult]:
        """Show a file to Pinterest, which checks it, twenty events a call. Nothing is stored.

        Raises:
            ReportOnly: there are no credentials to ask with.
            UnreadableFile: the file, or the rest of it, cannot be read.
        """
        if PINTEREST not in self.events.planner.destinations:
            raise ReportOnly
        usable = self._shown(source)
        while batch := list(islice(usable, MAX_TESTED)):
            ready: list[tuple[int, bytes]] = []
            for line, value in batch:
                event = self._event(value)
                if isinstance(event, bytes):
                    ready.append((line, event))
                else:
                    yield TrialResult(line, is_taken=False, words=event)
            if ready:
                outcome = _answer(trials, [event for _, event in ready], pause)
                for (line, _), result in zip(ready, _each(outcome, len(ready)), strict=True):
                    yield _tried(line, result)
        self.news(self.counts)

    def _usable(self, blocks: Iterable[Block]) -> Generator[EventRow | Order, None, None]:
        for block in blocks:
            self._count(block.read, block.position)
            for entry in block.entries:
                if isinstance(entry, RejectedRecord):
                    self._refuse(entry)
                elif entry is not None:
                    yield entry
            if block.end:
                raise UnreadableFile(block.end)

    def _shown(self, source: ImportSource) -> Iterator[UsableRecord]:
        for reading in self._readings(source):
            self._count(1, source.position)
            if isinstance(reading, RejectedRecord):
                self._refuse(reading)
            else:
                yield reading

    def _count(self, read: int, position: int) -> None:
        self.counts.read += read
        self.counts.position = position
        self.news(self.counts)

    def _refuse(self, refused: RejectedRecord) -> None:
        self.counts.refused += 1
        self.refuse(refused)

    def _readings(self, source: ImportSource) -> Iterator[Reading]:
        return readings_of(source, self.events.planner.policy, self.now)

    def _checked(self, source: ImportSource) -> Iterator[RejectedRecord | None]:
        for reading in self._readings(source):
            yield reading if isinstance(reading, RejectedRecord) else None

    def _prepared(self, source: ImportSource) -> Iterator[EventRow | Order | RejectedRecord]:
        for reading in self._readings(source):
            if isinstance(reading, RejectedRecord):
                yield reading
            elif isinstance(reading.value, Order):
                yield reading.value
            else:
                yield self.events.row_of(reading.value, self.now)

    def _store(self, batch: Sequence[EventRow | Order], crowd: ThreadPoolExecutor) -> float:
        """Store a batch; how many of it a second."""
        began = self.timer()
        events = [value for value in batch if isinstance(value, EventRow)]
        orders = [value for value in batch if isinstance(value, Order)]
        for found in self.events.record_all(events):
            self._tell(found)
        for receipt in crowd.map(lambda order: self.tracker.record(order, TOPIC), orders):
            self._tell([receipt.status])
        return len(batch) / max(self.timer() - began, 0.001)

    def _tell(self, found: Sequence[str]) -> None:
        taken = found.count("accepted")
        self.counts.taken += taken
        self.counts.known += len(found) - taken

    def _event(self, value: InboundEvent | Order) -> bytes | str:
        """The finished event, or why there is none."""
        if isinstance(value, InboundEvent):
            return msgspec.json.encode(value.event)
        planner = self.events.planner
        facts = planner.facts_of(value)
        conversion = conversion_of(
            value,
            facts.identity,
            facts.consent,
            planner.policy,
            page_url=facts.page_url,
            click_id=facts.session.click_id,
        )
        reason = reason_not_to_send(
            value,
            facts.consent,
            planner.policy,
            is_identified=conversion.is_identified,
            is_credited=True,
            now=self.now,
        )
        if reason:
            return REASONS[reason]
        try:
            return planner.destinations[PINTEREST].encode(conversion)
        except Unencodable as error:
            return str(error)


def _answer(
    trials: EventTrials, events: Sequence[bytes], pause: Callable[[float], object]
) -> Outcome:
    while True:
        try:
            return trials.try_out_together(events)
        except TooManyTrials as error:
            pause(error.seconds)


def _each(outcome: Outcome, count: int) -> Sequence[EventResult | str]:
    return outcome.results if isinstance(outcome, Answered) else [outcome.reason] * count


def _tried(line: int, result: EventResult | str) -> TrialResult:
    if isinstance(result, str):
        return TrialResult(line, is_taken=False, words=result)
    if isinstance(result, Accepted):
        return TrialResult(line, is_taken=True, words=result.warning)
    return TrialResult(line, is_taken=False, words=result.reason)
