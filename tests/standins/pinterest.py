"""Pinterest's Conversions API on this machine with its faults, for the tests.

Without a fault it is the demo's stand-in. `python -m tests.standins.pinterest --port 9100` runs
it alone; `POST /_control {"mode": "flaky", "n": 3}` changes its mode.
"""

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from commands.demo.http_server import (
    ReceivedRequest,
    StandInHandler,
    StandInReply,
    StandInServer,
)
from commands.demo.pinterest import (
    ACCOUNT_ID,
    JSON,
    TOKEN,
    PinterestStandIn,
    error_reply,
    json_reply,
    not_all_processed,
    rate_limited,
    results,
)


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode by its name in MODES, whose functions explain the figures."""

    name: str = "ok"
    seconds: float = 1.0
    n: int = 3
    limit: int = 10
    window: float = 5.0
    retry_after: int = 0


Send = Callable[[StandInHandler, StandInReply], None]


@dataclass(frozen=True, kw_only=True)
class FaultyReply(StandInReply):
    """A reply that is sent in a way of its own. Status 0: no status is sent."""

    send: Send


class FakePinterest(PinterestStandIn):
    """The demo's stand-in with faults: its mode, and `poisoned` events.

    Events whose id is in `poisoned` are the ones that the modes partial, reject and unprocessable
    do not accept, in the words of `refusal` if there are any.
    """

    def __init__(
        self,
        token: str = TOKEN,
        account_id: str = ACCOUNT_ID,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(token, account_id, port, clock)
        self.poisoned: frozenset[str] = frozenset()
        self.refusal = ""
        self.connections = 0
        self._mode = Mode()
        self._strays: list[str] = []

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode | str) -> None:
        mode = Mode(mode) if isinstance(mode, str) else mode
        if mode.name not in (*MODES, "refused"):
            raise ValueError(f"no such mode: {mode.name}")
        with self.changed:
            was_refused, self._mode = self._mode.name == "refused", mode
            self.changed.notify_all()
        if mode.name == "refused":
            self.hang_up()
        elif was_refused:
            self.start()

    @property
    def strays(self) -> list[str]:
        """Requests to addresses that no client should ask for."""
        with self.changed:
            return list(self._strays)

    def create_server(self) -> StandInServer:
        return _FaultyServer(self)

    def wait_until(self, predicate: Callable[[Self], bool], timeout: float = 10.0) -> None:
        """Wait until something that arrived makes the predicate true.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: predicate(self), timeout):
                raise TimeoutError(f"not within {timeout} s; {self.summary()}")

    def summary(self) -> dict[str, Any]:
        return {"mode": self._mode.name, **super().summary()}

    def forget(self) -> None:
        """Forget what arrived; the mode stays."""
        with self.changed:
            for seen in (self._calls, self._strays, self._accepted, self._events):
                seen.clear()

    def receive(self, request: ReceivedRequest) -> StandInReply:
        reply = super().receive(request)
        if reply.status in (404, 405):
            with self.changed:
                self._strays.append(f"{request.method} {request.target}")
        return reply

    def control(self, request: ReceivedRequest) -> StandInReply:
        if request.method == "GET":
            return super().control(request)
        try:
            wanted = json.loads(request.body)
            self._obey(**wanted)
        except (ValueError, TypeError) as error:
            return error_reply(400, 0, str(error))
        return json_reply(200, self.summary())

    def answer(self, request: ReceivedRequest, events: list[Any]) -> StandInReply:
        return MODES[self._mode.name](self, request, events)

    def failure_of(self, event: dict[str, Any]) -> str:
        failure = super().failure_of(event)
        if not failure and self._mode.name in _CHOOSY and event["event_id"] in self.poisoned:
            return self.refusal or f"Invalid event_id: {event['event_id']} is poisoned"
        return failure

    def is_poisoned(self, events: Iterable[dict[str, Any]]) -> bool:
        """Returns True if one of the events is poisoned."""
        return any(event["event_id"] in self.poisoned for event in events)

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


class _FaultyServer(StandInServer):
    def __init__(self, fake: FakePinterest) -> None:
        self._fake = fake
        super().__init__(fake.port, fake.respond, _FaultyHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._fake.connections += 1
        super().process_request(request, client_address)


class _FaultyHandler(StandInHandler):
    def send(self, reply: StandInReply) -> None:
        if isinstance(reply, FaultyReply):
            reply.send(self, reply)
        else:
            super().send(reply)


def _ok(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """As documented: 200 with a status for each event, 422 if none could be processed."""
    return PinterestStandIn.answer(fake, request, events)


def _sent(send: Send, reply: StandInReply) -> FaultyReply:
    return FaultyReply(reply.status, reply.body, reply.headers, send=send)


def _down(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """503, no event is accepted."""
    return error_reply(503, 4197, "The service is ramped down.")


def _slow(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """Accepts the events at once and answers after `seconds`."""
    return _sent(partial(_late, fake), _ok(fake, request, events))


def _flaky(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """Only every `n`th call is answered, the others fail with 500."""
    if (len(fake.calls) + 1) % fake.mode.n:
        return error_reply(500, 0, "Sorry! Something went wrong on our end.")
    return _ok(fake, request, events)


def _throttle(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """429 for more than `limit` calls in `window` seconds, with `retry_after` if it is set."""
    mode = fake.mode
    wait = fake.seconds_to_wait(mode.limit, mode.window, is_test=request.is_test)
    if not wait:
        return _ok(fake, request, events)
    reply = rate_limited(mode.limit, mode.window, wait)
    asked = {"Retry-After": str(mode.retry_after)} if mode.retry_after else {}
    return replace(reply, headers={**reply.headers, **asked})


def _unauthorized(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """401, as for a token that was revoked."""
    return error_reply(401, 2, "Authentication failed.")


def _forbidden(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """403, as for another advertiser's ad account."""
    return error_reply(403, 29, "You are not permitted to access that resource.")


def _partial(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """200, in which the poisoned events are failed."""
    statuses = fake.process(events, is_test=request.is_test)
    return json_reply(200, results(statuses, len(events)))


def _reject(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """400 for the whole call if one of its events is poisoned."""
    if fake.is_poisoned(events):
        unexpected = "Additional properties are not allowed ('poison' was unexpected)"
        return error_reply(400, 4196, f"Invalid request: {unexpected}")
    return _ok(fake, request, events)


def _unprocessable(
    fake: FakePinterest, request: ReceivedRequest, events: list[Any]
) -> StandInReply:
    """422 with the status of each event below `details` if one of them is poisoned."""
    statuses = fake.process(events, is_test=request.is_test)
    if all(status["status"] == "processed" for status in statuses):
        return json_reply(200, results(statuses, len(events)))
    return not_all_processed(statuses, len(events))


def _html(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """200 with a page."""
    return StandInReply(
        200, b"<!doctype html><title>Pinterest</title>", {"Content-Type": "text/html"}
    )


def _empty(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """200 with nothing."""
    return StandInReply(200, b"", JSON)


def _short(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """200 with a status too few."""
    statuses = fake.process(events, is_test=True)[1:]
    return json_reply(200, results(statuses, len(events)))


def _no_content(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """204."""
    return FaultyReply(204, send=_send_status)


def _redirect(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """302 to an address at which every request is kept as a stray."""
    return StandInReply(302, b"", {"Location": f"{fake.url}/elsewhere"})


def _garbage(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """422 that is not JSON."""
    return StandInReply(422, b"\x00\xff<{", JSON)


def _echo(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """400 that quotes the request's credentials, as debugging proxies do."""
    return error_reply(400, 1, f"Cannot read Authorization: {request.headers.get('Authorization')}")


def _hanging(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """No answer until the mode changes, and no event is accepted."""
    return FaultyReply(0, send=partial(_hang, fake))


def _resetting(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """Accepts the events and breaks the connection without an answer."""
    return replace(_sent(_reset, _ok(fake, request, events)), status=0)


def _endless(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """An answer that never ends, as fast as it can be read."""
    return FaultyReply(200, b" " * 65536, JSON, send=partial(_pour, fake))


def _drip(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """An answer of which one byte arrives every `seconds`."""
    return FaultyReply(200, b" ", JSON, send=partial(_drip_body, fake))


def _drip_head(fake: FakePinterest, request: ReceivedRequest, events: list[Any]) -> StandInReply:
    """A header of which one byte arrives every `seconds`."""
    return FaultyReply(200, b"x", send=partial(_drip_header, fake))


MODES: Mapping[str, Callable[[FakePinterest, ReceivedRequest, list[Any]], StandInReply]] = {
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


def _late(fake: FakePinterest, handler: StandInHandler, reply: StandInReply) -> None:
    fake.stopped.wait(fake.mode.seconds)
    StandInHandler.send(handler, reply)


def _send_status(handler: StandInHandler, reply: StandInReply) -> None:
    handler.send_response(reply.status)
    handler.end_headers()
    handler.wfile.flush()


def _hang(fake: FakePinterest, handler: StandInHandler, reply: StandInReply) -> None:
    _trickle(fake, handler, b"", 0.02)


def _reset(handler: StandInHandler, reply: StandInReply) -> None:
    handler.close_connection = True


def _pour(fake: FakePinterest, handler: StandInHandler, reply: StandInReply) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    _trickle(fake, handler, reply.body, 0)


def _drip_body(fake: FakePinterest, handler: StandInHandler, reply: StandInReply) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    _trickle(fake, handler, reply.body, fake.mode.seconds)


def _drip_header(fake: FakePinterest, handler: StandInHandler, reply: StandInReply) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    _trickle(fake, handler, reply.body, fake.mode.seconds)


def _trickle(fake: FakePinterest, handler: StandInHandler, piece: bytes, every: float) -> None:
    """Write the piece again and again, until the client closes or the mode changes."""
    handler.close_connection = True
    mode = fake.mode
    while fake.mode is mode and not fake.stopped.wait(every):
        handler.wfile.write(piece)
        handler.wfile.flush()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stand-in until SIGINT or SIGTERM."""
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
