"""The threads that write and the main loop of a server take turns with the interpreter."""

import functools
import os
import runpy
import selectors
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from server.deferred_answers import DeferredAnswers
from server.worker import BufferingWorker
from tests.actors import SECRET
from tests.house import ROOT
from tests.resting_worker import resting_worker
from tests.watched_loop import WatchedLoop
from tracking.store import open_store
from tracking.store.engine.file_locks import lock_at, lock_path, writing
from tracking.store.engine.group_commit import BatchableWrite, GroupCommit
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.migrations import migrate

PATIENCE = 20.0


@pytest.fixture
def main_loop() -> WatchedLoop:
    """A loop for which a batch would wait longer than any test lasts."""
    return WatchedLoop(PATIENCE)


@pytest.fixture
def batches() -> list[int]:
    """The sizes of the batches that were committed."""
    return []


@pytest.fixture
def group_commit(batches: list[int], main_loop: MainLoop) -> GroupCommit:
    return GroupCommit(lambda each: batches.append(len(each.take())), main_loop=main_loop)


def test_a_batch_begins_once_the_loop_has_received_all_that_arrived(
    group_commit: GroupCommit, batches: list[int], main_loop: WatchedLoop
) -> None:
    main_loop.report_busy()
    futures = [group_commit.submit(lambda _: None)]
    assert main_loop.is_waited_for.wait(PATIENCE)
    futures += [group_commit.submit(lambda _: None) for _ in range(4)]
    main_loop.report_idle()
    for future in futures:
        future.result(PATIENCE)

    assert batches == [5]


def test_a_batch_begins_although_the_loop_always_has_something_to_do() -> None:
    main_loop, begun = MainLoop(), threading.Event()
    main_loop.report_busy()

    GroupCommit(lambda _: begun.set(), main_loop=main_loop).submit(lambda _: None)

    assert begun.wait(PATIENCE)


def test_a_batch_waits_for_no_loop_where_none_reports(group_commit: GroupCommit) -> None:
    group_commit.submit(lambda _: None).result(PATIENCE / 2)


def test_the_writers_of_each_database_take_turns_with_the_loop(
    database_url: str, main_loop: WatchedLoop
) -> None:
    with closing(open_store(database_url, main_loop)) as opened:
        for store in (opened, opened.yielding()):
            main_loop.is_waited_for.clear()
            store.commit_later(lambda _: None).result(PATIENCE)
            assert main_loop.is_waited_for.is_set()


class Woken:
    """A loop that notes whom it could answer each time it was woken."""

    def __init__(self, main_loop: MainLoop) -> None:
        self.times: list[int] = []
        self.is_woken = threading.Event()
        wake = self._wake
        self.answers = DeferredAnswers(lambda: main_loop.wake(wake))

    def answer(self, *_: Any) -> None:
        """Add an answer, as a webhook's future does once it is on disk."""
        self.answers.add(None, None)  # type: ignore[arg-type]

    def _wake(self) -> None:
        self.times.append(len(self.answers.take_all()))
        self.is_woken.set()


def test_the_loop_is_woken_once_for_all_answers_of_a_batch(
    group_commit: GroupCommit, main_loop: MainLoop
) -> None:
    woken = Woken(main_loop)
    main_loop.report_busy()
    for _ in range(5):
        group_commit.submit(lambda _: None).add_done_callback(woken.answer)
    main_loop.report_idle()

    assert woken.is_woken.wait(PATIENCE)
    assert woken.times == [5]


def test_the_loop_is_woken_at_once_for_an_answer_of_another_thread(main_loop: MainLoop) -> None:
    woken = Woken(main_loop)
    with main_loop.answering():
        other = threading.Thread(target=woken.answer)
        other.start()
        other.join(PATIENCE)
        assert woken.times == [1]


def test_a_thread_that_has_given_all_its_answers_wakes_the_loop_at_once_again(
    main_loop: MainLoop,
) -> None:
    woken = Woken(main_loop)
    with main_loop.answering():
        woken.answer()
    woken.answer()

    assert woken.times == [1, 1]


def test_the_loop_is_woken_although_one_answer_of_a_batch_fails(main_loop: MainLoop) -> None:
    woken = Woken(main_loop)
    with pytest.raises(OSError, match="fails"), main_loop.answering():
        woken.answer()
        raise OSError("fails")

    assert woken.times == [1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    database = tmp_path / "tracking.db"
    migrate(f"sqlite:///{database}")
    with closing(SqliteStore(database)) as opened:
        yield opened


def test_writes_that_arrive_while_another_process_writes_are_prepared_meanwhile(
    store: SqliteStore,
) -> None:
    prepared: list[str] = []
    second_came = threading.Event()

    class Second(BatchableWrite):
        """A write that says when it is prepared."""

        def __call__(self, conn: Any) -> None:
            """Write nothing."""

        @classmethod
        def attempt(cls, conn: Any, works: Sequence[Any]) -> Sequence[None]:
            """Leave them to be written alone."""
            return [None] * len(works)

        @classmethod
        def prepare(cls, works: Sequence[Any]) -> None:
            """Note it."""
            prepared.append("second")
            second_came.set()

    class First(Second):
        """A write during whose preparation the second arrives."""

        @classmethod
        def prepare(cls, works: Sequence[Any]) -> None:
            """Have the second arrive."""
            later.append(store.commit_later(Second()))

    later: list[Any] = []
    with writing(store.path):
        first = store.commit_later(First())
        assert second_came.wait(PATIENCE)
        assert not first.done()
    for future in (first, *later):
        future.result(PATIENCE)

    assert prepared == ["second"]


def test_the_lock_is_waited_for_after_what_is_done_meanwhile(tmp_path: Path) -> None:
    path, held = tmp_path / "held", threading.Event()
    done: list[str] = []
    with writing(path):
        waiting = threading.Thread(
            target=lambda: os.close(lock_at(lock_path(path), None, held.set))
        )
        waiting.start()
        assert held.wait(PATIENCE)
        done.append("meanwhile")
    waiting.join(PATIENCE)

    os.close(lock_at(lock_path(path), None, lambda: done.append("although it is free")))
    assert done == ["meanwhile"]


class Reported:
    """Notes what the loop reports."""

    def __init__(self) -> None:
        self.reports: list[str] = []

    def report_busy(self) -> None:
        """Note it."""
        self.reports.append("works")

    def report_idle(self) -> None:
        """Note it."""
        self.reports.append("waits")

    def wake(self, call: Callable[[], None]) -> None:
        """Note it."""
        self.reports.append("woken")


@pytest.fixture
def worker() -> Iterator[BufferingWorker]:
    with resting_worker() as made:
        yield made


def test_the_loop_is_woken_in_turn(worker: BufferingWorker) -> None:
    listener = Reported()
    worker.report_to(listener)
    worker.deferred_answers.add(None, None)  # type: ignore[arg-type]

    assert listener.reports == ["woken"]


def test_the_writers_of_an_application_take_turns_with_the_loop_that_serves_it(
    worker: BufferingWorker, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("DELIVER", "false")
    stops: list[Callable[[], object]] = []
    monkeypatch.setattr(
        "atexit.register", lambda stop, *args: stops.append(functools.partial(stop, *args))
    )
    worker.wsgi = create_app()
    runpy.run_path(str(ROOT / "gunicorn.conf.py"))["post_worker_init"](worker)
    is_asked, is_woken = threading.Event(), threading.Event()
    order: list[str] = []

    def wake() -> None:
        order.append("woken")
        is_woken.set()

    def answer(_: Any) -> None:
        worker.listener.wake(wake)
        order.append("answered")

    store = worker.wsgi.extensions["service"].store
    store.commit_later(lambda _: is_asked.wait(PATIENCE)).add_done_callback(answer)
    is_asked.set()
    assert is_woken.wait(PATIENCE)
    for stop in stops:
        stop()
    store.close()

    assert order == ["answered", "woken"]


def test_the_loop_reports_that_it_waits_only_once_all_that_arrived_is_served(
    worker: BufferingWorker,
) -> None:
    listener = Reported()
    worker.report_to(listener)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.poller.register(
            ours, selectors.EVENT_READ, lambda _: listener.reports.append(ours.recv(1).decode())
        )
        theirs.send(b"ab")
        for _ in range(3):
            worker.wait_for_and_dispatch_events(0)

    assert listener.reports == ["a", "b", "waits", "works"]
