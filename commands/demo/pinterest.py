"""A local stand-in for Pinterest's Conversions API, at least as strict as Pinterest.

It answers as Pinterest documents and keeps the events it accepts. `GET /_control` returns counts
of what it received; `GET /_control/accepted` returns how often it accepted each event.
"""

import json
import math
import re
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Self

from commands.demo.http_server import ReceivedRequest, StandInReply, StandInServer
from commands.demo.pinterest_rules import deletion_targets_of, failure_of, faults_of, warning_of
from tracking.destinations.pinterest_schema import problems_of

TOKEN = "pina_stand_in"  # noqa: S105 - only the stand-in accepts it
ACCOUNT_ID = "123456789012"
MAX_EVENTS = 1000
TESTED_EVENTS = 20
# Calls and the seconds in which they may be made: for the account, and for test calls.
ACCOUNT_LIMIT = (5000, 60.0)
TEST_LIMIT = (10, 1.0)

_DELETIONS_PATH = re.compile(r"/v5/ad_accounts/([0-9]+)/conversion_deletion_requests")
_EVENTS_PATH = re.compile(r"/v5/ad_accounts/([0-9]+)/events")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    """A call of the events endpoint: its time by the stand-in's clock, and its reply's status."""

    at: float
    events: int
    is_test: bool
    status: int


class PinterestStandIn:
    """Serves the ad account `account_id` to callers with the token. A context manager."""

    def __init__(
        self,
        token: str = TOKEN,
        account_id: str = ACCOUNT_ID,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.account_id = account_id
        self.port = port
        self.clock = clock
        self.stopped = threading.Event()
        self.changed = threading.Condition()
        self._server: StandInServer | None = None
        self._calls: list[ReceivedCall] = []
        self._accepted: Counter[str] = Counter()
        self._events: dict[str, dict[str, Any]] = {}
        # A token of the Conversions API alone may not be enough: the endpoint is in beta.
        self.refuses_deletions = False
        self._deletions: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listens; after a stop, on the same port as before."""
        self.stopped.clear()
        self._server = self.create_server()
        self.port = self._server.server_address[1]
        self._server.start("pinterest-stand-in")

    def stop(self) -> None:
        """Ends every reply under way, closes every connection and stops listening."""
        self.stopped.set()
        self.hang_up()

    def hang_up(self) -> None:
        """Closes every connection and stops listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut_connections()
            self._server = None

    def create_server(self) -> StandInServer:
        """Creates the server, listening on `port`, or on a free port if that is 0."""
        return StandInServer(self.port, self.respond)

    @property
    def url(self) -> str:
        """The API's base address."""
        return f"http://127.0.0.1:{self.port}/v5"

    @property
    def accepted(self) -> dict[str, int]:
        """The number of times that each event was accepted, by event id."""
        with self.changed:
            return dict(self._accepted)

    @property
    def events(self) -> dict[str, dict[str, Any]]:
        """The accepted events, by event id."""
        with self.changed:
            return dict(self._events)

    @property
    def deletions(self) -> list[dict[str, Any]]:
        """The targets of the deletion requests that were taken, oldest first."""
        with self.changed:
            return list(self._deletions)

    @property
    def calls(self) -> list[ReceivedCall]:
        """The calls of the events endpoint, oldest first."""
        with self.changed:
            return list(self._calls)

    def busiest(self, window: float) -> int:
        """Returns the largest number of calls within any `window` seconds."""
        times = sorted(call.at for call in self.calls)
        ends = (bisect_left(times, at + window) for at in times)
        return max((end - start for start, end in enumerate(ends)), default=0)

    def summary(self) -> dict[str, Any]:
        """Returns counts of what was received so far."""
        calls, accepted = self.calls, self.accepted
        return {
            "calls": len(calls),
            "statuses": dict(Counter(str(call.status) for call in calls)),
            "largest_call": max((call.events for call in calls), default=0),
            "busiest_minute": self.busiest(60.0),
            "accepted": len(accepted),
            "accepted_twice": sum(times > 1 for times in accepted.values()),
        }

    def respond(self, request: ReceivedRequest) -> StandInReply:
        """Answers a request to the API or to the control path."""
        is_control = request.path.startswith("/_control")
        return self.control(request) if is_control else self.receive(request)

    def control(self, request: ReceivedRequest) -> StandInReply:
        """Answers a request to the control path."""
        if request.method != "GET":
            return error_reply(405, 0, "There is nothing here.")
        counts = self.accepted if request.path.endswith("/accepted") else self.summary()
        return json_reply(200, counts)

    def receive(self, request: ReceivedRequest) -> StandInReply:
        """Answers a request to the API, and keeps its call."""
        deletion = _DELETIONS_PATH.fullmatch(request.path)
        if deletion and request.method == "POST":
            return self._take_deletion(request, deletion[1])
        found = _EVENTS_PATH.fullmatch(request.path)
        if not found or request.method != "POST":
            return error_reply(404 if not found else 405, 0, "There is nothing here.")
        with self.changed:
            events, reply = self._checked(request, found[1])
            call = ReceivedCall(self.clock(), len(events), request.is_test, reply.status)
            self._calls.append(call)
            self.changed.notify_all()
            return reply

    def _take_deletion(self, request: ReceivedRequest, account_id: str) -> StandInReply:
        refusal = self._denial_of(request, account_id)
        if refusal is None and self.refuses_deletions:
            refusal = error_reply(403, 29, "You are not permitted to access that resource.")
        targets = deletion_targets_of(request.body)
        if refusal is None and isinstance(targets, str):
            refusal = error_reply(400, 1, f"Invalid request: {targets}")
        if refusal is not None or isinstance(targets, str):
            return refusal or error_reply(400, 1, "Invalid request.")
        with self.changed:
            self._deletions.append(targets)
            self.changed.notify_all()
        return json_reply(200, {"request_id": str(len(self._deletions)), "status": "RECEIVED"})

    def answer(self, request: ReceivedRequest, events: list[Any]) -> StandInReply:
        """Answers an allowed call of valid events: 200, or 422 if none could be processed."""
        tried = events[:TESTED_EVENTS] if request.is_test else events
        statuses = self.process(tried, is_test=request.is_test)
        if all(status["status"] == "failed" for status in statuses):
            return not_all_processed(statuses, len(events))
        return json_reply(200, results(statuses, len(events)))

    def process(self, events: Sequence[dict[str, Any]], *, is_test: bool) -> list[dict[str, Any]]:
        """Accepts the events that can be accepted; returns each one's status."""
        statuses = [self._status(event) for event in events]
        for event, status in zip(events, statuses, strict=True):
            if status["status"] == "processed" and not is_test:
                self._accepted[event["event_id"]] += 1
                self._events[event["event_id"]] = event
        return statuses

    def failure_of(self, event: dict[str, Any]) -> str:
        """Returns why the event fails although the call is accepted, or an empty text."""
        return failure_of(event, self.clock())

    def seconds_to_wait(self, limit: int, window: float, *, is_test: bool) -> int:
        """Returns the seconds until one more call stays within the limit; 0 if it does now."""
        now = self.clock()
        recent = takewhile(lambda call: now - call.at < window, reversed(self._calls))
        counted = [c.at for c in recent if c.status != 429 and c.is_test == is_test]
        if len(counted) < limit:
            return 0
        return max(1, math.ceil(counted[limit - 1] + window - now))

    def _checked(self, request: ReceivedRequest, account_id: str) -> tuple[list[Any], StandInReply]:
        refusal = self._refusal_of(request, account_id)
        if refusal:
            return [], refusal
        events, fault = _events_of(request)
        if fault:
            return events, error_reply(400, 4196, f"Invalid request: {fault}")
        return events, self.answer(request, events)

    def _refusal_of(self, request: ReceivedRequest, account_id: str) -> StandInReply | None:
        denial = self._denial_of(request, account_id)
        if denial is not None:
            return denial
        limit, window = TEST_LIMIT if request.is_test else ACCOUNT_LIMIT
        wait = self.seconds_to_wait(limit, window, is_test=request.is_test)
        return rate_limited(limit, window, wait) if wait else None

    def _denial_of(self, request: ReceivedRequest, account_id: str) -> StandInReply | None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return error_reply(401, 2, "Authentication failed.")
        if account_id != self.account_id:
            return error_reply(403, 29, "You are not permitted to access that resource.")
        return None

    def _status(self, event: dict[str, Any]) -> dict[str, Any]:
        failure = self.failure_of(event)
        if failure:
            return {"status": "failed", "error_message": failure, "warning_message": None}
        return {"status": "processed", "error_message": "", "warning_message": warning_of(event)}


def _events_of(request: ReceivedRequest) -> tuple[list[Any], str]:
    """Returns the events of a request, and the first fault of the request or of an event."""
    if request.headers.get("Content-Type") != "application/json":
        return [], "the content is not JSON"
    try:
        body = json.loads(request.body, parse_constant=_refuse_constant)
    except ValueError:
        return [], "the body is not JSON"
    if not isinstance(body, dict) or list(body) != ["data"] or not isinstance(body["data"], list):
        return [], "the body must be an object with the one list 'data'"
    events = body["data"]
    if not 1 <= len(events) <= MAX_EVENTS:
        return events, f"'data' must hold 1 to {MAX_EVENTS} events"
    faults = (fault for event in events for fault in (*faults_of(event), *problems_of(event)))
    return events, str(next(faults, ""))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def json_reply(status: int, body: object) -> StandInReply:
    """Returns a reply with a JSON body."""
    return StandInReply(status, json.dumps(body).encode(), JSON)


def error_reply(status: int, code: int, message: str, **more: Any) -> StandInReply:
    """Returns an error in Pinterest's form."""
    return json_reply(status, {"code": code, "message": message, **more})


def not_all_processed(statuses: Sequence[dict[str, Any]], received: int) -> StandInReply:
    """Returns 422 with the status of each event below `details`."""
    message = "Not all events were successfully processed."
    return error_reply(422, 953, message, details=results(statuses, received))


def rate_limited(limit: int, window: float, wait: int) -> StandInReply:
    """Returns 429 with Pinterest's headers; `window` and `wait` are seconds."""
    reply = error_reply(429, 8, "You have exceeded your rate limit. Try again later.")
    limits = {
        "X-RateLimit-Limit": f'{limit}, {limit};w={window:g};name="ads_conversions_ad_account_id"',
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(wait),
    }
    return replace(reply, headers={**JSON, **limits})


def results(statuses: Sequence[dict[str, Any]], received: int) -> dict[str, Any]:
    """Returns the body of an answer to a call, in Pinterest's form."""
    return {
        "num_events_received": received,
        "num_events_processed": sum(s["status"] == "processed" for s in statuses),
        "events": statuses,
    }
