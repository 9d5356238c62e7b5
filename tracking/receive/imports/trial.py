"""Trial of a file: sends its events to Pinterest in test calls and stores nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from tracking.receive.imports.file_reader import ImportSource
from tracking.receive.imports.importer import Importer


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Result of a test call for the event of a line; `is_accepted` if Pinterest would count it."""

    line: int
    is_accepted: bool
    message: str


class FileTrial:
    """Tests the events of one file. The importer reads it and counts its records."""

    def __init__(
        self, importer: Importer, trials: EventTrials, pause: Callable[[float], object]
    ) -> None:
        self._importer = importer
        self._trials = trials
        self._pause = pause
        self._planner = importer.events.planner

    def run(self, source: ImportSource) -> Iterator[TrialResult]:
        """Sends the events in test calls of twenty events, and iterates over their results.

        Raises:
            ReportOnly: no Pinterest account is configured.
            UnreadableFile: the file, or the rest of it, cannot be read.
        """
        if PINTEREST not in self._planner.destinations:
            raise ReportOnly
        records = self._importer.usable_records(source)
        while batch := list(islice(records, MAX_TESTED)):
            encoded: list[tuple[int, bytes]] = []
            for record in batch:
                line, event = record.line, self._encoded_event(record.value)
                if isinstance(event, bytes):
                    encoded.append((line, event))
                else:
                    yield TrialResult(line, is_accepted=False, message=event)
            if encoded:
                outcome = self._send([event for _, event in encoded])
                results = _result_of_each(outcome, len(encoded))
                for (line, _), result in zip(encoded, results, strict=True):
                    yield _trial_result(line, result)

    def _send(self, events: Sequence[bytes]) -> Outcome:
        while True:
            try:
                return self._trials.try_out_together(events)
            except TooManyTrials as error:
                self._pause(error.seconds)

    def _encoded_event(self, value: InboundEvent | Order) -> bytes | str:
        """The encoded event, or the reason why there is none."""
        if isinstance(value, InboundEvent):
            return msgspec.json.encode(value.event)
        facts = self._planner.facts_of(value)
        figures = self._planner.figures_of(value)
        conversion = conversion_of(
            value,
            facts.identity,
            facts.consent,
            self._planner.policy,
            page_url=facts.page_url,
            click_id=facts.session.click_id,
            value=figures.revenue,
        )
        reason = reason_not_to_send(
            value,
            facts.consent,
            self._planner.policy,
            is_identified=conversion.is_identified,
            is_credited=True,
            is_refunded=figures.is_refunded,
            now=self._importer.now,
        )
        if reason:
            return REASONS[reason]
        try:
            return self._planner.destinations[PINTEREST].encode(conversion)
        except Unencodable as error:
            return str(error)


def _result_of_each(outcome: Outcome, count: int) -> Sequence[EventResult | str]:
    return outcome.results if isinstance(outcome, Answered) else [outcome.reason] * count


def _trial_result(line: int, result: EventResult | str) -> TrialResult:
    if isinstance(result, str):
        return TrialResult(line, is_accepted=False, message=result)
    if isinstance(result, Accepted):
        return TrialResult(line, is_accepted=True, message=result.warning)
    return TrialResult(line, is_accepted=False, message=result.reason)
