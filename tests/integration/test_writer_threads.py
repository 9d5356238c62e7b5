"""Writes of one class share a transaction where writers commit beside one another."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest

from tests.actors import NOW, instant, notes, order
from tests.conftest import BuildService
from tests.reading import until
from tests.store_contents import rows
from tests.watched_loop import WatchedLoop
from tests.watched_store import MeasuredStore
from tracking.receive.tracker import Tracker
from tracking.service import Service
from tracking.store import StoreUnavailable
from tracking.store.engine.group_commit import BUSY, BatchableWrite
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.statement import ServerAway
from tracking.store.engine.writer_threads import MOST, MOST_BYTES, WriterThreads
from tracking.store.identity_graph import MOST_VISITORS

PATIENCE = 60.0
SHOPIFY_WAITS = 5.0


class Name(BatchableWrite):
    """A name to write down; one in capitals has to be written alone, and "bad" never can be."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, conn: Any) -> str:
        if self.text == "bad":
            raise ValueError(self.text)
        return f"{self.text} alone"

    @classmethod
    def attempt(cls, conn: "Desk", works: Sequence["Name"]) -> Sequence[str | None]:
        conn.batches.append(len(works))
        if any(work.text == "bad" for work in works):
            raise ValueError("bad")
        return [None if work.text.isupper() else work.text for work in works]


class BusyName(Name):
    """A name that somebody else writes down so often before it can be."""

    def __init__(self, text: str, busy: int) -> None:
        super().__init__(text)
        self.busy = busy

    @classmethod
    def attempt(cls, conn: Any, works: Sequence[Any]) -> Sequence[Any]:
        for work in works:
            work.busy -= 1
        return [BUSY if work.busy >= 0 else work.text for work in works]


class LongName(Name):
    """A name that takes until everything else has been handed in."""

    released = threading.Event()

    @classmethod
    def attempt(cls, conn: "Desk", works: Sequence[Name]) -> Sequence[str | None]:
        assert cls.released.wait(PATIENCE)
        return super().attempt(conn, works)


class LargeName(Name):
    """A name of which two are too much to be read for one batch."""

    @property
    def size(self) -> int:
        return MOST_BYTES // 2 + 1


class SlowName(Name):
    """A name that is read for a minute."""

    def __init__(self, text: str, desk: "Desk") -> None:
        super().__init__(text)
        self.desk = desk

    @classmethod
    def prepare(cls, works: Sequence[Any]) -> None:
        works[0].desk.seconds += 60


class Desk:
    """Writer threads of which one is kept busy until the desk opens, and the batches written."""

    def __init__(
        self, threads: int = 1, patience: float = PATIENCE, main_loop: MainLoop | None = None
    ) -> None:
        self.batches: list[int] = []
        self.is_away = False
        self._is_open = threading.Event()
        self.seconds = 0.0
        self.is_connected_after = 0.0
        self.begins_anew = False
        self.writers = WriterThreads(
            self._commit, self._commit_batch, threads, patience, lambda: self.seconds, main_loop
        )
        self.writers.submit(lambda _: self._is_open.wait(PATIENCE))

    def writes(self, *works: Callable[[Any], Any]) -> list[Future[Any]]:
        """What became of these writes, which waited together."""
        futures = [self.writers.submit(work) for work in works]
        self._is_open.set()
        return futures

    def end(self) -> None:
        """Opens, so that no thread stays."""
        self._is_open.set()

    def _commit(self, work: Callable[[Any], Any]) -> Any:
        self.seconds += self.is_connected_after
        if self.begins_anew:
            work(self)
        return work(self)

    def _commit_batch(self, work: Callable[[Any], Any]) -> Any:
        if self.is_away:
            raise ServerAway("nobody answers")
        return self._commit(work)


def results(futures: Sequence[Future[Any]]) -> list[Any]:
    """The result of each, or its error."""
    return [future.exception(PATIENCE) or future.result() for future in futures]


def test_writes_that_wait_share_a_transaction() -> None:
    desk = Desk()
    assert results(desk.writes(*map(Name, "abc"))) == ["a", "b", "c"]
    assert desk.batches == [3]


def test_a_batch_is_taken_once_the_main_loop_has_received_all_that_arrived() -> None:
    main_loop = WatchedLoop(PATIENCE)
    main_loop.report_busy()
    desk = Desk(main_loop=main_loop)
    assert main_loop.is_waited_for.wait(PATIENCE)
    futures = desk.writes(*map(Name, "abcd"))
    main_loop.report_idle()
    assert results(futures) == ["a", "b", "c", "d"]
    assert desk.batches == [4]


def test_a_thread_that_was_idle_takes_its_batch_once_the_main_loop_has_received_all() -> None:
    main_loop = WatchedLoop(PATIENCE)
    desk = Desk(main_loop=main_loop)
    results(desk.writes(Name("first")))
    main_loop.report_busy()
    main_loop.is_waited_for.clear()
    futures = desk.writes(Name("a"))
    assert main_loop.is_waited_for.wait(PATIENCE)
    futures += desk.writes(*map(Name, "bc"))
    main_loop.report_idle()
    assert results(futures) == ["a", "b", "c"]
    assert desk.batches == [1, 3]


def test_the_main_loop_is_woken_once_for_the_answers_of_a_batch() -> None:
    main_loop = MainLoop(PATIENCE)
    desk = Desk(main_loop=main_loop)
    answers: list[str] = []
    times: list[int] = []

    def wake() -> None:
        times.append(len(answers))

    def answer(_: Future[Any]) -> None:
        answers.append("answer")
        main_loop.wake(wake)

    main_loop.report_busy()
    for future in desk.writes(*map(Name, "abc")):
        future.add_done_callback(answer)
    main_loop.report_idle()
    until(lambda: bool(times))
    assert times == [3]


def test_the_loop_hears_of_a_refused_write_before_the_others_of_its_batch_are_written() -> None:
    main_loop, is_woken = MainLoop(), threading.Event()
    desk = Desk(patience=61.0, main_loop=main_loop)
    was_woken: list[bool] = []

    class Noting(SlowName):
        """A name that notes whether the loop was woken when it is written."""

        @classmethod
        def attempt(cls, conn: Desk, works: Sequence[Name]) -> Sequence[str | None]:
            was_woken.append(is_woken.is_set())
            return super().attempt(conn, works)

    late = desk.writers.submit(Noting("a", desk))
    late.add_done_callback(lambda _: main_loop.wake(is_woken.set))
    desk.seconds += 2.0
    (in_time,) = desk.writes(Noting("b", desk))

    assert isinstance(late.exception(PATIENCE), StoreUnavailable)
    assert in_time.result(PATIENCE) == "b"
    assert was_woken == [True]


def test_no_more_share_one_than_there_is_room_for_locks() -> None:
    desk = Desk()
    results(desk.writes(*(Name("a") for _ in range(MOST + 5))))
    assert desk.batches == [MOST, 5]


def test_what_is_not_the_usual_case_is_written_alone() -> None:
    assert results(Desk().writes(*map(Name, "aBc"))) == ["a", "B alone", "c"]


def test_what_is_busy_is_tried_again_with_others_and_at_last_alone() -> None:
    names = [BusyName("a", 0), BusyName("b", 1), BusyName("c", 99)]
    assert results(Desk().writes(*names)) == ["a", "b", "c alone"]


def test_the_write_at_fault_fails_alone() -> None:
    first, second, third = results(Desk().writes(Name("a"), Name("bad"), Name("c")))
    assert (first, third) == ("a alone", "c alone")
    assert isinstance(second, ValueError)


def test_other_writes_have_a_transaction_each() -> None:
    desk = Desk()
    assert results(desk.writes(Name("a"), lambda _: 1, Name("c"))) == ["a", 1, "c"]
    assert desk.batches == [1, 1]


def test_writes_that_wait_for_others_leave_a_thread_to_the_usual_ones() -> None:
    desk = Desk(threads=3)
    released = threading.Event()
    # What is written alone may wait for the lock of another transaction.
    locked = desk.writes(*(lambda _: released.wait(PATIENCE) for _ in range(5)))
    assert results(desk.writes(*map(Name, "ab"))) == ["a", "b"]
    assert not any(future.done() for future in locked)
    released.set()
    assert results(locked) == [True] * 5


def test_while_a_batch_is_written_the_next_one_grows_though_a_thread_is_free() -> None:
    desk = Desk(threads=2)
    futures = desk.writes(LongName("long"), *map(Name, "abc"))
    assert results(desk.writes(lambda _: 1)) == [1]
    LongName.released.set()
    assert results(futures) == ["long", "a", "b", "c"]
    assert desk.batches == [1, 3]


def test_no_write_waits_for_another_that_came_before_a_free_thread_woke() -> None:
    desk = Desk(threads=3)
    desk.end()
    until(lambda: desk.writers._idle == 1)
    released = threading.Event()
    # No thread wakes before both are handed in.
    with desk.writers._woken:
        first = desk.writers.submit(lambda _: released.wait(PATIENCE))
        second = desk.writers.submit(lambda _: released.set())
    assert results([first, second]) == [True, None]


def test_a_write_that_may_not_begin_is_refused_in_time_though_a_thread_is_free() -> None:
    desk = Desk(threads=4, patience=1.0)
    desk.end()
    begun, released = threading.Semaphore(0), threading.Event()

    class Held(Name):
        @classmethod
        def attempt(cls, conn: Any, works: Sequence[Name]) -> Sequence[str | None]:
            begun.release()
            assert released.wait(2 * PATIENCE)
            return [work.text for work in works]

    held = []
    for text in "ab":
        held.append(desk.writers.submit(Held(text)))
        assert begun.acquire(timeout=PATIENCE)
    late = desk.writers.submit(Held("c"))
    desk.seconds += 2.0
    assert isinstance(late.exception(PATIENCE), StoreUnavailable)
    released.set()
    assert results(held) == ["a", "b"]


def refused(desk: Desk, *works: Callable[[Any], Any]) -> bool:
    """True if all of these writes are refused, and none was begun."""
    found = results(desk.writes(*works))
    return all(isinstance(each, StoreUnavailable) for each in found) and not desk.batches


def test_a_write_that_has_waited_too_long_is_not_begun() -> None:
    assert refused(Desk(patience=-1.0), Name("a"), Name("B"), lambda _: 1)


def test_a_write_that_waits_while_all_threads_do_is_refused_in_time() -> None:
    desk = Desk(patience=-1.0)
    futures = [desk.writers.submit(work) for work in (Name("a"), lambda _: 1)]
    try:
        assert all(isinstance(each, StoreUnavailable) for each in results(futures))
    finally:
        desk.end()


def test_a_write_whose_connection_comes_too_late_is_not_begun() -> None:
    desk = Desk(patience=1.0)
    desk.is_connected_after = 2.0
    assert refused(desk, Name("a"), Name("B"), lambda _: 1)


def test_a_write_that_was_read_for_too_long_is_not_begun() -> None:
    desk = Desk(patience=1.0)
    assert refused(desk, SlowName("a", desk), SlowName("b", desk))


@pytest.mark.parametrize(("seconds", "is_written"), [(1.5, True), (2.5, False)])
def test_a_write_that_was_begun_in_time_may_begin_anew_for_a_second_more(
    seconds: float, is_written: bool
) -> None:
    desk = Desk(patience=1.0)

    def needs_more_locks(_: Any) -> int:
        desk.seconds += seconds
        return 1

    desk.begins_anew = True
    (found,) = results(desk.writes(needs_more_locks))
    assert (found == 1) is is_written


def test_large_writes_share_no_batch_that_would_be_read_for_long() -> None:
    desk = Desk()
    assert results(desk.writes(*map(LargeName, "abc"))) == ["a", "b", "c"]
    assert desk.batches == [1, 1, 1]


def test_of_writes_that_need_a_transaction_of_their_own_the_oldest_is_next() -> None:
    desk = Desk(patience=1.0)
    written: list[str] = []

    class Alone(Name):
        def __call__(self, conn: Any) -> str:
            written.append(self.text)
            return super().__call__(conn)

    class OtherAlone(Alone):
        pass

    works = [Alone("A"), Alone("B"), OtherAlone("C"), OtherAlone("D")]
    futures = []
    for work in works:
        futures.append(desk.writers.submit(work))
        desk.seconds += 0.1
    desk.end()
    results(futures)
    assert written == ["A", "B", "C", "D"]


def test_while_nobody_answers_a_batch_fails_at_once() -> None:
    desk = Desk()
    desk.is_away = True
    found = results(desk.writes(*map(Name, "ab")))
    assert all(isinstance(each, StoreUnavailable) for each in found)


def delivered(service: Service, bodies: Sequence[bytes]) -> list[str]:
    """What became of new orders that come together, each told again until it is taken."""
    futures = [service.tracker.receive_order_deferred(body, "orders/create") for body in bodies]
    return [taken(service, body, future) for body, future in zip(bodies, futures, strict=True)]


def taken(service: Service, body: bytes, future: Future[Any]) -> str:
    """What became of an order once it is taken."""
    while isinstance(future.exception(PATIENCE), StoreUnavailable):
        future = service.tracker.receive_order_deferred(body, "orders/create")
    status: str = future.result().status
    return status


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_orders_that_come_together_are_each_recorded_once(
    build_service: BuildService, database_url: str
) -> None:
    service: Service = build_service(database_url)
    # Twenty orders of seven buyers, each of them twice.
    bodies = [
        json.dumps(order(id=9_000 + n, customer={"id": n % 7 + 1}, email=None, billing_address={}))
        for n in [*range(20), *range(20)]
    ]

    statuses = delivered(service, [body.encode() for body in bodies])

    assert sorted(statuses) == ["accepted"] * 20 + ["duplicate"] * 20
    assert len(rows(service.store, "orders")) == len(rows(service.store, "conversions")) == 20


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_order_holds_the_lock_of_a_buyer_of_many_browsers_for_few_statements(
    build_service: BuildService, database_url: str
) -> None:
    service: Service = build_service(database_url)
    store = MeasuredStore(service.store)
    tracker = Tracker(store, service.tracker.planner, service.clock)
    for n in range(MOST_VISITORS):
        placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(NOW + n))
        browser = notes(pin_vid=f"browser-of-many-{n}")
        body = order(id=9_000 + n, note_attributes=browser, **placed)
        tracker.receive_order(json.dumps(body).encode(), "orders/create")

    # Each of them looks whether it concerns all before it.
    assert store.largest <= 15 * MOST_VISITORS


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_while_a_foreign_lock_lasts_a_crowd_of_orders_is_refused_before_shopify_hangs_up(
    build_service: BuildService, database_url: str
) -> None:
    service: Service = build_service(database_url)
    bodies = [json.dumps(order(id=9_000 + n, customer={"id": n})).encode() for n in range(30)]
    with psycopg.connect(database_url.replace("+psycopg", "", 1)) as foreign:
        foreign.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        futures = [service.tracker.receive_order_deferred(body, "orders/create") for body in bodies]
        found = results(futures)
        seconds = time.monotonic() - begun
        foreign.rollback()

    assert all(isinstance(each, StoreUnavailable) for each in found)
    assert seconds < SHOPIFY_WAITS
    assert delivered(service, bodies) == ["accepted"] * len(bodies)
