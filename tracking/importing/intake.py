"""Takes in what a file tells, a batch in a transaction."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from tracking.conversion import REASONS, conversion_of, reason_not_to_send
from tracking.destinations import Unencodable
from tracking.destinations.pinterest_trial import MOST_TRIED
from tracking.eventing import PINTEREST, Events, ReportOnly, TooManyTrials
from tracking.given import Given
from tracking.importing.files import Source, Unreadable
from tracking.importing.readings import Reading, readings_of
from tracking.order import Order
from tracking.outcome import Accepted, Answered, EventResult, Outcome
from tracking.tracker import Tracker

TOPIC = "orders/export"
# Orders that wait at the same time share a commit, as those of webhooks do.
_AT_ONCE = 32
_NEWS_AFTER = 200


@dataclass(slots=True)
class Counts:
    """How many were read, and what became of them so far. `known` were taken in before."""

    read: int = 0
    taken: int = 0
    known: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Tried:
    """What Pinterest says of what a line tells; `is_taken` if it would count it."""

    line: int
    is_taken: bool
    words: str


class Stop(Exception):
    """Raised by whoever is told of something refused, so that nothing after it is taken."""


Refuse = Callable[[Reading], None]


@dataclass
class Importer:
    """One import of a file at an instant (seconds UTC).

    `refuse` is told of whatever cannot be used, `news` now and then that the reading goes on.
    """

    events: Events
    tracker: Tracker
    now: int
    refuse: Refuse
    news: Callable[[Counts], None] = lambda counts: None
    counts: Counts = field(default_factory=Counts)

    def check(self, source: Source) -> None:
        """Read all of a file and store nothing.

        Raises:
            Unreadable: the file, or the rest of it, cannot be read.
        """
        for _ in self._usable(source):
            pass
        self.news(self.counts)

    def take(self, source: Source, batch_size: int) -> None:
        """Take a file in. What is known already is left as it is, so that a file can be taken
        again from its beginning whatever ended the last time.

        Raises:
            Unreadable: the rest of the file cannot be read; what is before it is stored.
            Stop: as `refuse` raised it; what is before that is stored.
            StoreUnavailable: not all was stored.
        """
        readings = self._usable(source)
        end: Exception | None = None
        # One after the other: a thread that reads would take the interpreter from the one that
        # writes after each row, and webhooks wait while that one holds the lock.
        with ThreadPoolExecutor(_AT_ONCE) as crowd:
            while end is None:
                batch: list[Given | Order] = []
                try:
                    for _, value in islice(readings, batch_size):
                        batch.append(value)
                except (Stop, Unreadable) as error:
                    end = error
                if not batch:
                    break
                self._store(batch, crowd)
        self.news(self.counts)
        if end is not None:
            raise end

    def try_out(self, source: Source, pause: Callable[[float], object]) -> Iterator[Tried]:
        """Show a file to Pinterest, which checks it, twenty events a call. Nothing is stored.

        Raises:
            ReportOnly: there are no credentials to ask with.
            Unreadable: the file, or the rest of it, cannot be read.
        """
        if PINTEREST not in self.events.planner.destinations:
            raise ReportOnly
        readings = self._usable(source)
        while batch := list(islice(readings, MOST_TRIED)):
            ready: list[tuple[int, bytes]] = []
            for line, value in batch:
                event = self._event(value)
                if isinstance(event, bytes):
                    ready.append((line, event))
                else:
                    yield Tried(line, is_taken=False, words=event)
            if ready:
                outcome = self._answer([event for _, event in ready], pause)
                for (line, _), result in zip(ready, _each(outcome, len(ready)), strict=True):
                    yield _tried(line, result)
        self.news(self.counts)

    def _usable(self, source: Source) -> Iterator[tuple[int, Given | Order]]:
        """What can be used, with the line it begins on."""
        for reading in readings_of(source, self.events.planner.policy, self.now):
            self.counts.read += 1
            if self.counts.read % _NEWS_AFTER == 0:
                self.news(self.counts)
            if reading.value is None:
                self.counts.refused += 1
                self.refuse(reading)
            else:
                yield reading.line, reading.value

    def _store(self, batch: Sequence[Given | Order], crowd: ThreadPoolExecutor) -> None:
        given = [value for value in batch if isinstance(value, Given)]
        orders = [value for value in batch if isinstance(value, Order)]
        found: list[str] = list(self.events.take_all(given)) if given else []
        found += (r.status for r in crowd.map(lambda o: self.tracker.record(o, TOPIC), orders))
        taken = found.count("accepted")
        self.counts.taken += taken
        self.counts.known += len(found) - taken

    def _event(self, value: Given | Order) -> bytes | str:
        """The finished event, or why there is none."""
        if isinstance(value, Given):
            return msgspec.json.encode(value.event)
        planner = self.events.planner
        draft = planner.draft_of(value)
        conversion = conversion_of(
            value,
            draft.identity,
            draft.consent,
            planner.policy,
            page_url=draft.page_url,
            click_id=draft.session.click_id,
        )
        reason = reason_not_to_send(
            value,
            draft.consent,
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

    def _answer(self, events: Sequence[bytes], pause: Callable[[float], object]) -> Outcome:
        while True:
            try:
                return self.events.try_out_together(events)
            except TooManyTrials as error:
                pause(error.seconds)


def _each(outcome: Outcome, count: int) -> Sequence[EventResult | str]:
    return outcome.results if isinstance(outcome, Answered) else [outcome.reason] * count


def _tried(line: int, result: EventResult | str) -> Tried:
    if isinstance(result, str):
        return Tried(line, is_taken=False, words=result)
    if isinstance(result, Accepted):
        return Tried(line, is_taken=True, words=result.warning)
    return Tried(line, is_taken=False, words=result.reason)
