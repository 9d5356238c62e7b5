"""Pinterest's Conversions API on this machine: its documented answers, and its worst days.

It is as strict as Pinterest or stricter. `python -m tests.standins.pinterest --port 9100` runs it
alone; `GET /_control` tells what arrived, `POST /_control {"mode": "flaky", "n": 3}` changes its
mood, `GET /_control/accepted` counts how often each event was accepted.
"""

import argparse
import json
import math
import re
import signal
import socket
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.standins.pinterest_rules import failure_of, faults_of, warning_of
from tracking.destinations.pinterest_schema import problems_of

TOKEN = "pina_stand_in"
ACCOUNT_ID = "123456789012"
MAX_EVENTS = 1000
TESTED_EVENTS = 20
# Calls and the seconds in which they may be made: for the account, and for test calls.
ACCOUNT_LIMIT = (5000, 60.0)
TEST_LIMIT = (10, 1.0)

_EVENTS_PATH = re.compile(r"/v5/ad_accounts/([0-9]+)/events")
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Mode:
    """A mood by its name in MODES. What the figures mean is said there."""

    name: str = "ok"
    seconds: float = 1.0
    n: int = 3
    limit: int = 10
    window: float = 5.0
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the events endpoint, by the stand-in's clock. Status 0: none was given."""

    at: float
    events: int
    is_test: bool
    status: int


@dataclass(frozen=True, slots=True)
class Request:
    """What came in, read to its end."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def is_test(self) -> bool:
        return parse_qs(urlsplit(self.target).query).get("test") == ["true"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out, and in which `manner` if not in the usual one."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Callable[["_Handler", "Reply"], None] | None = None


class FakePinterest:
    """The account `account_id`, open to whoever holds `token`. A context manager.

    Events whose id is in `poisoned` are the ones that the moods partial, reject and unprocessable
    do not take.
    """

    def __init__(
        self,
        token: str = TOKEN,
        account_id: str = ACCOUNT_ID,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.account_id = account_id
        self.clock = clock
        self.poisoned: frozenset[str] = frozenset()
        self.connections = 0
        self.stopped = threading.Event()
        self._changed = threading.Condition()
        self._mode = Mode()
        self._port = port
        self._server: _Server | None = None
        self._calls: list[Call] = []
        self._strays: list[str] = []
        self._accepted: Counter[str] = Counter()
        self._events: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before if it did already."""
        self.stopped.clear()
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="fake-pinterest", daemon=True
        ).start()

    def stop(self) -> None:
        """End every answer under way, close every connection, listen no longer."""
        self.stopped.set()
        self._hang_up()

    @property
    def url(self) -> str:
        """The API's base address."""
        return f"http://127.0.0.1:{self._port}/v5"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode | str) -> None:
        mode = Mode(mode) if isinstance(mode, str) else mode
        if mode.name not in (*MODES, "refused"):
            raise ValueError(f"no such mode: {mode.name}")
        with self._changed:
            was_refused, self._mode = self._mode.name == "refused", mode
            self._changed.notify_all()
        if mode.name == "refused":
            self._hang_up()
        elif was_refused:
            self.start()

    @property
    def accepted(self) -> dict[str, int]:
        """How often each event, by its id, was accepted for good."""
        with self._changed:
            return dict(self._accepted)

    @property
    def events(self) -> dict[str, dict[str, Any]]:
        """The accepted events by id."""
        with self._changed:
            return dict(self._events)

    @property
    def calls(self) -> list[Call]:
        with self._changed:
            return list(self._calls)

    @property
    def strays(self) -> list[str]:
        """Requests to addresses that nobody should ask for."""
        with self._changed:
            return list(self._strays)

    def busiest(self, window: float) -> int:
        """The most calls that were made within any `window` seconds."""
        times = sorted(call.at for call in self.calls)
        ends = (bisect_left(times, at + window) for at in times)
        return max((end - start for start, end in enumerate(ends)), default=0)

    def wait_until(
        self, predicate: Callable[["FakePinterest"], bool], timeout: float = 10.0
    ) -> None:
        """Wait until something that arrived makes the predicate true.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), timeout):
                raise TimeoutError(f"not within {timeout} s; {self.summary()}")

    def summary(self) -> dict[str, Any]:
        """What arrived so far, in counts."""
        calls, accepted = self.calls, self.accepted
        return {
            "mode": self._mode.name,
            "calls": len(calls),
            "statuses": dict(Counter(str(call.status) for call in calls)),
            "largest_call": max((call.events for call in calls), default=0),
            "busiest_minute": self.busiest(60.0),
            "accepted": len(accepted),
            "accepted_twice": sum(times > 1 for times in accepted.values()),
        }

    def forget(self) -> None:
        """Forget what arrived; the mood stays."""
        with self._changed:
            for seen in (self._calls, self._strays, self._accepted, self._events):
                seen.clear()

    def receive(self, request: Request) -> Reply:
        """The answer to a request to anything but the control path."""
        found = _EVENTS_PATH.fullmatch(request.path)
        with self._changed:
            if not found or request.method != "POST":
                self._strays.append(f"{request.method} {request.target}")
                return _error(404 if not found else 405, 0, "There is nothing here.")
            events, reply = self._answer(request, found[1])
            status = 0 if reply.manner in (_hang, _reset) else reply.status
            self._calls.append(Call(self.clock(), len(events), request.is_test, status))
            self._changed.notify_all()
            return reply

    def control(self, request: Request) -> Reply:
        """The answer to a request to the control path."""
        if request.method == "GET":
            told = self.accepted if request.path.endswith("/accepted") else self.summary()
            return Reply(200, json.dumps(told).encode(), _JSON)
        try:
            wanted = json.loads(request.body)
            self._obey(**wanted)
        except (ValueError, TypeError) as error:
            return _error(400, 0, str(error))
        return Reply(200, json.dumps(self.summary()).encode(), _JSON)

    def processed(self, events: Sequence[dict[str, Any]], *, is_test: bool) -> list[dict[str, Any]]:
        """Take the events that can be taken; the status of each in Pinterest's form."""
        statuses = [self._status(event) for event in events]
        for event, status in zip(events, statuses, strict=True):
            if status["status"] == "processed" and not is_test:
                self._accepted[event["event_id"]] += 1
                self._events[event["event_id"]] = event
        return statuses

    def is_poisoned(self, events: Iterable[dict[str, Any]]) -> bool:
        """Whether one of the events is."""
        return any(event["event_id"] in self.poisoned for event in events)

    def seconds_to_wait(self, limit: int, window: float, *, is_test: bool) -> int:
        """How long until one more call stays within the limit; 0 if it does now."""
        now = self.clock()
        recent = takewhile(lambda call: now - call.at < window, reversed(self._calls))
        taken = [c.at for c in recent if c.status != 429 and c.is_test == is_test]
        if len(taken) < limit:
            return 0
        return max(1, math.ceil(taken[limit - 1] + window - now))

    def _obey(
        self, poison: Iterable[str] = (), forget: bool = False, mode: str = "", **figures: Any
    ) -> None:
        if mode == "refused":
            raise ValueError("refused is for tests in this process: nothing could end it")
        if mode or figures:
            self.mode = replace(Mode(mode) if mode else self._mode, **figures)
        if forget:
            self.forget()
        self.poisoned |= frozenset(poison)

    def _answer(self, request: Request, account_id: str) -> tuple[list[Any], Reply]:
        refusal = self._unwelcome(request, account_id)
        if refusal:
            return [], refusal
        events, complaint = _events_of(request)
        if complaint:
            return events, _error(400, 4196, f"Invalid request: {complaint}")
        return events, MODES[self._mode.name](self, request, events)

    def _unwelcome(self, request: Request, account_id: str) -> Reply | None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _error(401, 2, "Authentication failed.")
        if account_id != self.account_id:
            return _error(403, 29, "You are not permitted to access that resource.")
        limit, window = TEST_LIMIT if request.is_test else ACCOUNT_LIMIT
        wait = self.seconds_to_wait(limit, window, is_test=request.is_test)
        return _too_many(limit, window, wait) if wait else None

    def _status(self, event: dict[str, Any]) -> dict[str, Any]:
        failure = failure_of(event, self.clock())
        if not failure and self._mode.name in _CHOOSY and event["event_id"] in self.poisoned:
            failure = f"Invalid event_id: {event['event_id']} is poisoned"
        if failure:
            return {"status": "failed", "error_message": failure, "warning_message": None}
        return {"status": "processed", "error_message": "", "warning_message": warning_of(event)}

    def _hang_up(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut()
            self._server = None


def _events_of(request: Request) -> tuple[list[Any], str]:
    """The events of a request, and what is wrong with it or with one of them."""
    if request.headers.get("Content-Type") != "application/json":
        return [], "the content is not JSON"
    try:
        body = json.loads(request.body, parse_constant=_no_constant)
    except ValueError:
        return [], "the body is not JSON"
    if not isinstance(body, dict) or list(body) != ["data"] or not isinstance(body["data"], list):
        return [], "the body must be an object with the one list 'data'"
    events = body["data"]
    if not 1 <= len(events) <= MAX_EVENTS:
        return events, f"'data' must hold 1 to {MAX_EVENTS} events"
    faults = (fault for event in events for fault in (*faults_of(event), *problems_of(event)))
    return events, str(next(faults, ""))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _error(status: int, code: int, message: str, **more: Any) -> Reply:
    body = {"code": code, "message": message, **more}
    return Reply(status, json.dumps(body).encode(), _JSON)


def _too_many(limit: int, window: float, wait: int, retry_after: int = 0) -> Reply:
    reply = _error(429, 8, "You have exceeded your rate limit. Try again later.")
    limits = {
        "X-RateLimit-Limit": f'{limit}, {limit};w={window:g};name="ads_conversions_ad_account_id"',
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(wait),
    }
    asked = {"Retry-After": str(retry_after)} if retry_after else {}
    return replace(reply, headers={**_JSON, **limits, **asked})


def _told(statuses: list[dict[str, Any]], received: int) -> dict[str, Any]:
    return {
        "num_events_received": received,
        "num_events_processed": sum(s["status"] == "processed" for s in statuses),
        "events": statuses,
    }


def _ok(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """As documented: 200 with a status for each event, 422 if none could be processed."""
    tried = events[:TESTED_EVENTS] if request.is_test else events
    statuses = fake.processed(tried, is_test=request.is_test)
    if all(status["status"] == "failed" for status in statuses):
        return _not_all(statuses, len(events))
    return Reply(200, json.dumps(_told(statuses, len(events))).encode(), _JSON)


def _not_all(statuses: list[dict[str, Any]], received: int) -> Reply:
    message = "Not all events were successfully processed."
    return _error(422, 953, message, details=_told(statuses, received))


def _down(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """503, nothing is taken."""
    return _error(503, 4197, "The service is ramped down.")


def _slow(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """Takes the events at once and answers after `seconds`."""
    return replace(_ok(fake, request, events), manner=_send_late)


def _flaky(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """Only every `n`th call is answered, the others fail with 500."""
    if (len(fake.calls) + 1) % fake.mode.n:
        return _error(500, 0, "Sorry! Something went wrong on our end.")
    return _ok(fake, request, events)


def _throttle(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """429 for more than `limit` calls in `window` seconds, with `retry_after` if it is set."""
    mode = fake.mode
    wait = fake.seconds_to_wait(mode.limit, mode.window, is_test=request.is_test)
    if wait:
        return _too_many(mode.limit, mode.window, wait, mode.retry_after)
    return _ok(fake, request, events)


def _unauthorized(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """401, as for a token that was revoked."""
    return _error(401, 2, "Authentication failed.")


def _forbidden(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """403, as for somebody else's ad account."""
    return _error(403, 29, "You are not permitted to access that resource.")


def _partial(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """200, in which the poisoned events are failed."""
    statuses = fake.processed(events, is_test=request.is_test)
    return Reply(200, json.dumps(_told(statuses, len(events))).encode(), _JSON)


def _reject(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """400 for the whole call if one of its events is poisoned."""
    if fake.is_poisoned(events):
        unexpected = "Additional properties are not allowed ('poison' was unexpected)"
        return _error(400, 4196, f"Invalid request: {unexpected}")
    return _ok(fake, request, events)


def _unprocessable(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """422 with the status of each event below `details` if one of them is poisoned."""
    statuses = fake.processed(events, is_test=request.is_test)
    if all(status["status"] == "processed" for status in statuses):
        return Reply(200, json.dumps(_told(statuses, len(events))).encode(), _JSON)
    return _not_all(statuses, len(events))


def _html(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """200 with a page."""
    return Reply(200, b"<!doctype html><title>Pinterest</title>", {"Content-Type": "text/html"})


def _empty(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """200 with nothing."""
    return Reply(200, b"", _JSON)


def _short(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """200 with a status too few."""
    statuses = fake.processed(events, is_test=True)[1:]
    return Reply(200, json.dumps(_told(statuses, len(events))).encode(), _JSON)


def _no_content(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """204."""
    return Reply(204)


def _redirect(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """302 to an address where every visit is noted as a stray."""
    return Reply(302, b"", {"Location": f"{fake.url}/elsewhere"})


def _garbage(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """422 that is not JSON."""
    return Reply(422, b"\x00\xff<{", _JSON)


def _echo(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """400 that quotes the request's credentials, as debugging proxies do."""
    return _error(400, 1, f"Cannot read Authorization: {request.headers.get('Authorization')}")


def _hanging(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """No answer until the mood changes, and nothing is taken."""
    return Reply(200, manner=_hang)


def _resetting(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """Takes the events and breaks the connection without an answer."""
    return replace(_ok(fake, request, events), manner=_reset)


def _endless(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """An answer that never ends, as fast as it can be read."""
    return Reply(200, b" " * 65536, _JSON, manner=_pour)


def _drip(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """An answer of which one byte arrives every `seconds`."""
    return Reply(200, b" ", _JSON, manner=_drip_body)


def _drip_head(fake: FakePinterest, request: Request, events: list[Any]) -> Reply:
    """A header of which one byte arrives every `seconds`."""
    return Reply(200, b"x", manner=_drip_header)


MODES: Mapping[str, Callable[[FakePinterest, Request, list[Any]], Reply]] = {
    "ok": _ok,
    "down": _down,
    "slow": _slow,
    "flaky": _flaky,
    "throttle": _throttle,
    "unauthorized": _unauthorized,
    "forbidden": _forbidden,
    "partial": _partial,
    "reject": _reject,
    "unprocessable": _unprocessable,
    "html": _html,
    "empty": _empty,
    "short": _short,
    "no_content": _no_content,
    "redirect": _redirect,
    "garbage": _garbage,
    "echo": _echo,
    "hang": _hanging,
    "reset": _resetting,
    "endless": _endless,
    "drip": _drip,
    "drip_head": _drip_head,
}
_CHOOSY = frozenset({"partial", "unprocessable"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], fake: FakePinterest) -> None:
        self.fake = fake
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        self.fake.connections += 1
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        """Break every connection that is open."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # Its own thread was faster.


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    @property
    def fake(self) -> FakePinterest:
        return self.server.fake

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it: what arrived is in `calls`."""

    def send(self, reply: Reply) -> None:
        """The whole answer, as a well-behaved server sends it."""
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def trickle(self, piece: bytes, every: float) -> None:
        """The piece again and again, until the other side or the stand-in has had enough."""
        self.close_connection = True
        mode = self.fake.mode
        while self.fake.mode is mode and not self.fake.stopped.wait(every):
            self.wfile.write(piece)
            self.wfile.flush()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        request = Request(self.command, self.path, self.headers, body)
        is_control = request.path.startswith("/_control")
        reply = self.fake.control(request) if is_control else self.fake.receive(request)
        (reply.manner or _Handler.send)(self, reply)


def _send_late(handler: _Handler, reply: Reply) -> None:
    handler.fake.stopped.wait(handler.fake.mode.seconds)
    handler.send(reply)


def _hang(handler: _Handler, reply: Reply) -> None:
    handler.trickle(b"", 0.02)


def _reset(handler: _Handler, reply: Reply) -> None:
    handler.close_connection = True


def _pour(handler: _Handler, reply: Reply) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    handler.trickle(reply.body, 0)


def _drip_body(handler: _Handler, reply: Reply) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    handler.trickle(reply.body, handler.fake.mode.seconds)


def _drip_header(handler: _Handler, reply: Reply) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    handler.trickle(reply.body, handler.fake.mode.seconds)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stand-in until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m tests.standins.pinterest")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--account", default=ACCOUNT_ID)
    chosen = parser.parse_args(argv)
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())
    with FakePinterest(chosen.token, chosen.account, chosen.port) as fake:
        sys.stdout.write(f"{fake.url} account {fake.account_id} token {fake.token}\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
