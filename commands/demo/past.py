"""Plays the month before the demo's day through the service, by a clock of its own."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from commands.demo.month import Message, Month
from commands.demo.pinterest import PinterestStandIn
from commands.demo.shop import BROWSER, HOUR
from tracking.deliver.deliverer import Deliverer
from tracking.receive.pixel.event import ClientInfo, PixelEvent, pixel_batch_of
from tracking.service import Service

# Seconds that are played at once: Pinterest counts an event as offline that comes later.
_STEP = HOUR
# The alerts are looked at in the last hours of the month, and while Pinterest does not answer.
_WATCHED = 8 * HOUR
_AFTER_OUTAGE = 3 * HOUR


class PlayedClock:
    """Tells the instant that is played, or the real time once nothing is played (seconds UTC)."""

    def __init__(self) -> None:
        self.played_at: float | None = None

    def __call__(self) -> float:
        return time.time() if self.played_at is None else self.played_at


class Past:
    """The service and the stand-in for Pinterest, as they lived through the month."""

    def __init__(self, service: Service, pinterest: PinterestStandIn, clock: PlayedClock) -> None:
        self._service = service
        self._pinterest = pinterest
        self._clock = clock
        self._deliverers = [
            Deliverer(service.store, destination, clock)
            for destination in service.destinations.values()
        ]

    def play(self, month: Month) -> None:
        """Plays the month, some hours after the other; then the clock tells the real time again."""
        with _quiet():
            for hours, messages in groupby(month.messages, lambda message: message.at // _STEP):
                self._take(list(messages))
                self._clock.played_at = (hours + 1) * _STEP
                self._deliver(is_answered=hours * _STEP not in month.outage)
                if self._is_watched(hours * _STEP, month):
                    self._service.arrivals.write()
                    self._service.alerts.check()
            self._clock.played_at = None
        self._service.figures.finish()

    def _is_watched(self, at: int, month: Month) -> bool:
        """Returns True if somebody looks at the alerts in the hour that begins at an instant."""
        around = range(month.outage.start, month.outage.stop + _AFTER_OUTAGE)
        return at in around or at >= month.messages[-1].at - _WATCHED

    def _take(self, messages: Sequence[Message]) -> None:
        """Records messages, with few commits: those of the pixel first, as they are in no hurry."""
        tracker = self._service.tracker
        calls = [message for message in messages if message.kind == "pixel"]
        self._clock.played_at = messages[0].at
        tracker.record_pixel_events([event for call in calls for event in self._events_of(call)])
        while tracker.pixel.record_waiting():
            pass
        receipts = []
        for message in messages:
            self._clock.played_at = message.at
            self._service.arrivals.count("pixel" if message.kind == "pixel" else "webhook")
            if message.kind != "pixel":
                # A refund is recognised by its shape, and shares the commit of the orders.
                receipts.append(tracker.receive_order_deferred(_body_of(message), message.kind))
        for receipt in receipts:
            receipt.result()

    def _events_of(self, call: Message) -> Sequence[PixelEvent]:
        client = ClientInfo(f"198.51.100.{call.at % 250}", BROWSER)
        policy = self._service.tracker.planner.policy
        return pixel_batch_of(_body_of(call), client, policy, call.at).events

    def _deliver(self, *, is_answered: bool) -> None:
        if not is_answered:
            self._pinterest.stop()
        for deliverer in self._deliverers:
            while deliverer.deliver():
                pass
        if not is_answered:
            self._pinterest.start()


def _body_of(message: Message) -> bytes:
    return json.dumps(message.body).encode()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the service logs in the month, such as the outage, from the demo's own words."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
