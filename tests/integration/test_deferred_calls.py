"""Calls of the pixel that the main loop receives: the thread that writes reads them."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app import assemble
from server.deferred import ANSWER_DEFERRED, DEFERRED, MUST_NOT_WAIT
from tests.actors import COLLECTOR_KEY, NOW, instant
from tests.conftest import BuildService
from tests.pixel_events import CHROME, call, event, view
from tests.store_contents import rows
from tracking.receive import pixel_recorder
from tracking.receive.pixel_recorder import PixelRecorder
from tracking.service import Service
from tracking.store import Store, StoreUnavailable
from tracking.store.engine.statement import Contended

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PATIENCE = 20.0


class MainLoop:
    """A server that runs the application in its main loop, and sends answers later."""

    def __init__(self, service: Service) -> None:
        self._app = assemble(service).wsgi_app

    def begins(self, told: object, **headers: str) -> "Answer":
        """Post a call; its answer, which may not be known yet."""
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        given = {"User-Agent": CHROME, "Origin": "null", **headers}
        environ = EnvironBuilder(
            "/collect", method="POST", data=body, headers=list(given.items())
        ).get_environ()
        answer = Answer(environ)
        environ |= {ANSWER_DEFERRED: answer.later.set_result, MUST_NOT_WAIT: True}
        answer.begin(self._app)
        return answer

    def tells(self, told: object, **headers: str) -> tuple[int, Any]:
        """Post a call; the status and the content of its answer."""
        return self.begins(told, **headers).content()


class Answer:
    """The answer to a call, which may come later."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self.later: Future[WSGIApplication] = Future()
        self.is_at_once = True
        self.headers: Mapping[str, str] = {}

    def begin(self, app: "WSGIApplication") -> None:
        """Run the application for the first time."""
        begun: list[Any] = []

        def start(*told: Any) -> Callable[[bytes], object]:
            begun.append(told)
            return lambda piece: None

        pieces: Iterable[bytes] = app(self._environ, start)
        self.is_at_once = pieces is not DEFERRED
        if self.is_at_once:
            told = list(pieces)

            def repeat(_: object, again: Any) -> Iterable[bytes]:
                again(*begun[0])
                return told

            self.later.set_result(repeat)

    def content(self) -> tuple[int, Any]:
        """The status and the content."""
        pieces, status, headers = run_wsgi_app(self.later.result(PATIENCE), self._environ)
        self.headers = dict(headers)
        return int(status.split()[0]), json.loads(b"".join(pieces))


@pytest.fixture
def service(build_service: BuildService, database_url: str) -> Service:
    """A service with a collector, on each database."""
    return build_service(database_url, COLLECTOR_KEY=COLLECTOR_KEY)


def told(n: int, **more: Any) -> dict[str, Any]:
    return call(view(id=f"sh-{n:06}", timestamp=instant(NOW), **more))


def test_a_call_is_answered_once_it_is_stored(service: Service) -> None:
    answer = MainLoop(service).begins(told(1))

    assert answer.content() == (202, {"accepted": 1, "ignored": 0, "refused": []})
    assert not answer.is_at_once
    assert answer.headers["Access-Control-Allow-Origin"] == "null"
    assert len(rows(service.store, "conversions")) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b'{"key": "another", "events": [{}]}', 401), (b" " * 70_000, 413)],
)
def test_what_is_no_call_is_refused_at_once(service: Service, body: bytes, status: int) -> None:
    loop = MainLoop(service)
    # The first call of an address asks the store for its share.
    loop.tells(told(1))

    answer = loop.begins(body)

    assert answer.is_at_once
    assert answer.content()[0] == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_call_without_a_usable_event_is_told_why_and_one_that_is_not_allowed_is_ignored(
    service: Service,
) -> None:
    loop = MainLoop(service)

    status, problem = loop.tells(call(view(id="sh-1", timestamp="yesterday")))
    refused = loop.tells(told(2) | {"consent": {"analytics": False}})

    assert (status, [each["field"] for each in problem["errors"]]) == (400, ["/events/0/timestamp"])
    assert refused == (202, {"accepted": 0, "ignored": 1, "refused": []})
    assert rows(service.store, "conversions") == []


def test_a_call_that_cannot_be_read_costs_no_other_of_its_batch(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, read = MainLoop(service), PixelRecorder.record_later

    def fails(recorder: PixelRecorder, reading: Any, turn: Any) -> Future[float]:
        def reading_or_failing() -> Sequence[Any]:
            events: Sequence[Any] = reading()
            if events[0].event_id.endswith("sh-000002"):
                raise RuntimeError("a fault of ours")
            return events

        return read(recorder, reading_or_failing, turn)

    monkeypatch.setattr(PixelRecorder, "record_later", fails)
    answers = [loop.begins(told(n)) for n in (1, 2, 3)]

    assert [answer.content()[0] for answer in answers] == [202, 500, 202]


class Waiting:
    """A store whose writes stay in its queue until they are let through."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queue: list[tuple[Any, Future[Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit_later(self, work: Any) -> Future[Any]:
        """Queue it."""
        self.queue.append((work, Future()))
        return self.queue[-1][1]

    def let_through(self) -> None:
        """Write what waits."""
        queue, self.queue = self.queue, []
        for work, written in queue:
            try:
                written.set_result(self._store.commit(work))
            except StoreUnavailable as error:
                written.set_exception(error)


def slowed(service: Service) -> Waiting:
    store: Any = Waiting(service.tracker.pixel._store)
    service.tracker.pixel._store = store
    return store  # type: ignore[no-any-return]


def test_where_too_many_calls_wait_more_are_refused_until_those_are_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, loop = slowed(service), MainLoop(service)
    monkeypatch.setattr(service.tracker.pixel, "_waiting", threading.BoundedSemaphore(2))
    first = [loop.begins(told(n)) for n in (1, 2)]

    third = loop.begins(told(3))

    assert third.is_at_once
    assert third.content()[0] == 503
    assert int(third.headers["Retry-After"]) > 0
    store.let_through()
    assert [answer.content()[0] for answer in first] == [202, 202]
    fourth = loop.begins(told(4))
    store.let_through()
    assert fourth.content()[0] == 202


def test_calls_that_are_refused_leave_one_line(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = MainLoop(service)
    monkeypatch.setattr(service.tracker.pixel, "_waiting", threading.BoundedSemaphore(1))
    service.tracker.pixel._waiting.acquire()

    assert [loop.tells(told(n))[0] for n in (1, 2, 3)] == [503] * 3

    lines = [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]
    assert lines == [
        "calls of the pixel are refused: too many calls of the pixel wait to be written"
    ]


def test_a_call_that_waited_in_vain_is_recorded_in_the_background(service: Service) -> None:
    store, loop = slowed(service), MainLoop(service)
    answer = loop.begins(told(1))
    (_, written), store.queue = store.queue[0], []

    # Nothing has read it yet.
    written.set_exception(Contended("others write"))
    store.let_through()

    assert answer.content() == (202, {"accepted": 1, "ignored": 0, "refused": []})
    assert service.tracker.pixel.record_waiting()
    assert len(rows(service.store, "conversions")) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_call_that_waits_behind_others_for_too_long_is_stored_while_those_still_wait(
    service: Service,
) -> None:
    is_open = threading.Event()
    # As the first of a buyer's checkouts waits for the lock of the buyer.
    held = service.tracker.pixel._store.commit_later(lambda _: is_open.wait(PATIENCE))
    try:
        checkout = event("checkout_started", id="sh-1", timestamp=instant(NOW))
        status, _ = MainLoop(service).tells(call(checkout))
        assert (status, held.done()) == (202, False)
    finally:
        is_open.set()
    assert held.result(PATIENCE)
    assert service.tracker.pixel.record_waiting()


def test_calls_that_waited_in_vain_have_no_more_room_in_the_backlog_than_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_recorder, "LONGEST_BACKLOG", 2)
    store, loop = slowed(service), MainLoop(service)
    answers = [loop.begins(told(n)) for n in (1, 2, 3)]
    queue, store.queue = store.queue, []

    for _, written in queue:
        written.set_exception(Contended("others write"))
    store.let_through()

    assert [answer.content()[0] for answer in answers] == [202, 202, 503]
