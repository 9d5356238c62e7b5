"""Writers that wait share one commit, and each gets back its own result or its own error."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tracking.store.engine.group_commit import (
    BatchableWrite,
    GroupCommit,
    OneStatementWrite,
    batches_by_class,
)

PATIENCE = 20.0


class Book:
    """What a database does for `GroupCommit`: it takes the batch, carries it out, and may fail."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.begun = threading.Event()
        self.refuses_to_begin = False
        self.refuses_to_commit = False
        self.writers_inside = 0

    def commit(self, group_commit: GroupCommit) -> None:
        """Carry out the next batch once the book is open."""
        self.writers_inside += 1
        assert self.writers_inside == 1, "two writers at once"
        try:
            self.begun.set()
            assert self.is_open.wait(PATIENCE)
            if self.refuses_to_begin:
                raise OSError("cannot begin")
            pending = group_commit.take()
            self.batches.append(len(pending))
            for kind, some in batches_by_class(pending).items():
                works = [write.work for write in some]
                if not issubclass(kind, OneStatementWrite):
                    continue
                kind.put(None, works)
                for write, result in zip(some, kind.results(None, works), strict=True):
                    write.result = result
            for write in pending:
                if write.result is None:
                    write.result = write.work(None)
            if self.refuses_to_commit:
                raise OSError("cannot commit")
        finally:
            self.writers_inside -= 1


class Square(OneStatementWrite):
    """A number that is squared for less when there are others."""

    together_with: list[int]

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_prepared = False

    @classmethod
    def prepare(cls, works: Sequence["Square"]) -> None:
        for work in works:
            work.is_prepared = True

    def __call__(self, conn: Any) -> int:
        return self.number * self.number

    @classmethod
    def attempt(cls, conn: Any, works: Sequence["Square"]) -> Sequence[int]:
        return [work(conn) for work in works]

    @classmethod
    def put(cls, conn: Any, works: Sequence["Square"]) -> None:
        assert all(work.is_prepared for work in works)
        cls.together_with.append(len(works))

    @classmethod
    def results(cls, conn: Any, works: Sequence["Square"]) -> Sequence[int]:
        return [work(conn) for work in works]


def alone(number: int) -> Callable[[Any], int]:
    return lambda _: number * number


class Writers:
    """Threads that each run one work, and what came back to each."""

    def __init__(
        self, group_commit: GroupCommit, work: Callable[[int], Callable[[Any], int]] = alone
    ) -> None:
        self.group_commit = group_commit
        self.work = work
        self.results: dict[int, Any] = {}
        self.errors: dict[int, BaseException] = {}
        self._threads: list[threading.Thread] = []
        self._arriving = threading.Semaphore(0)

    def start(self, count: int) -> None:
        """Send so many writers, numbered on, and return when all are on their way."""
        for _ in range(count):
            number = len(self._threads)
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in range(count):
            assert self._arriving.acquire(timeout=PATIENCE)

    def finish(self) -> None:
        """Wait for all of them; none may hang."""
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a writer hangs"

    def _run(self, number: int) -> None:
        self._arriving.release()
        try:
            self.results[number] = self.group_commit.run(self.work(number))
        except BaseException as error:
            self.errors[number] = error


@pytest.fixture
def book() -> Book:
    return Book()


def busy(
    book: Book, most: int = 64, work: Callable[[int], Callable[[Any], int]] = alone
) -> Writers:
    """Writers of which the first is under way and held up, so that the next ones queue."""
    writers = Writers(GroupCommit(book.commit, most), work)
    book.is_open.clear()
    writers.start(1)
    assert book.begun.wait(PATIENCE)
    return writers


def test_every_writer_gets_its_own_result(book: Book) -> None:
    writers = Writers(GroupCommit(book.commit))
    for _ in range(10):
        writers.start(20)
    writers.finish()
    assert writers.results == {n: n * n for n in range(200)}
    assert sum(book.batches) == 200


def test_writers_that_wait_are_committed_together(book: Book) -> None:
    writers = busy(book)
    writers.start(40)
    book.is_open.set()
    writers.finish()
    assert sum(book.batches) == 41
    assert len(book.batches) < 20


def test_works_of_one_kind_are_carried_out_together_and_each_gets_its_own_result(
    book: Book,
) -> None:
    Square.together_with = []
    writers = busy(book, work=lambda n: Square(n) if n % 3 else alone(n))
    writers.start(30)
    book.is_open.set()
    writers.finish()
    assert writers.results == {n: n * n for n in range(31)}
    assert sum(Square.together_with) == 20
    assert len(Square.together_with) <= len(book.batches)


def test_a_batch_is_never_larger_than_the_most(book: Book) -> None:
    writers = busy(book, most=7)
    writers.start(40)
    book.is_open.set()
    writers.finish()
    assert sum(book.batches) == 41
    assert max(book.batches) <= 7


def test_a_writer_that_arrives_while_the_leader_waits_is_committed_with_it(
    book: Book,
) -> None:
    writers = busy(book)
    writers.start(20)
    book.is_open.set()
    writers.finish()
    assert book.batches[0] > 1


def test_writers_that_yield_share_no_batch_with_the_others_and_take_turns_with_them() -> None:
    batches: list[list[bool]] = []
    is_open = threading.Event()

    def commit(group_commit: GroupCommit) -> None:
        assert is_open.wait(PATIENCE)
        pending = group_commit.take()
        batches.append([write.yields for write in pending])

    group_commit = GroupCommit(commit, most=2)
    futures = [group_commit.submit(alone(n), yields=n % 2 == 1) for n in range(8)]
    is_open.set()
    for future in futures:
        future.result(PATIENCE)

    assert batches == [[False] * 2, [True] * 2, [False] * 2, [True] * 2]


class Noted(BatchableWrite):
    """A write that notes when it is prepared and written."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def __call__(self, conn: Any) -> None:
        """Note that it is written."""
        self.notes.append(f"{self.name} written")

    @classmethod
    def prepare(cls, works: Sequence["Noted"]) -> None:
        """Note that they are prepared."""
        for work in works:
            work.notes.append(f"{work.name} prepared")

    @classmethod
    def attempt(cls, conn: Any, works: Sequence["Noted"]) -> Sequence[None]:
        """Leave them to be written alone."""
        return [None] * len(works)


def test_a_write_is_prepared_in_its_own_turn_and_others_do_not_wait_for_that(book: Book) -> None:
    notes: list[str] = []
    group_commit = GroupCommit(book.commit)
    book.is_open.clear()
    futures = [group_commit.submit(lambda _: notes.append("first written"))]
    assert book.begun.wait(PATIENCE)
    futures.append(group_commit.submit(Noted("pixel", notes), yields=True))
    futures.append(group_commit.submit(Noted("webhook", notes)))
    book.is_open.set()
    for future in futures:
        future.result(PATIENCE)

    assert notes == [
        "first written",
        *("pixel prepared", "pixel written", "webhook prepared", "webhook written"),
    ]


def test_what_is_put_back_is_written_in_the_next_turn(book: Book) -> None:
    group_commit = GroupCommit(lambda each: each.put_back(each.take()[1:]))
    futures = [group_commit.submit(alone(n), yields=True) for n in range(5)]

    assert [future.result(PATIENCE) for future in futures] == [None] * 5


def test_a_commit_that_fails_fails_all_of_its_batch_and_no_writer_hangs(book: Book) -> None:
    writers = busy(book)
    writers.start(20)
    book.refuses_to_commit = True
    book.is_open.set()
    writers.finish()
    assert len(writers.errors) == 21
    assert {str(error) for error in writers.errors.values()} == {"cannot commit"}


def test_a_lock_that_is_not_had_fails_every_writer_that_waits_for_it(book: Book) -> None:
    writers = busy(book)
    writers.start(20)
    book.refuses_to_begin = True
    book.is_open.set()
    writers.finish()
    assert len(writers.errors) == 21
    assert book.batches == []


@pytest.mark.parametrize("trouble", ["refuses_to_begin", "refuses_to_commit"])
def test_after_trouble_the_next_writer_leads_as_if_nothing_had_been(
    book: Book, trouble: str
) -> None:
    writers = busy(book)
    setattr(book, trouble, True)
    book.is_open.set()
    writers.finish()
    setattr(book, trouble, False)
    writers.start(5)
    writers.finish()
    assert writers.results == {n: n * n for n in range(1, 6)}


def test_the_lead_is_handed_over_through_a_long_and_troubled_day() -> None:
    book = Book()
    writers = Writers(GroupCommit(commits_mostly(book), most=3))
    for _ in range(30):
        writers.start(10)
    writers.finish()
    assert len(writers.results) + len(writers.errors) == 300
    assert writers.results == {n: n * n for n in writers.results}
    assert writers.errors


def commits_mostly(book: Book) -> Callable[[GroupCommit], None]:
    """Every third commit fails, by turns before and after the batch was taken."""
    count = 0

    def commit(group_commit: GroupCommit) -> None:
        nonlocal count
        count += 1
        book.refuses_to_begin = count % 6 == 0
        book.refuses_to_commit = count % 6 == 3
        book.commit(group_commit)

    return commit


# --- works that nobody waits for


def test_a_caller_that_does_not_wait_goes_on_at_once_and_gets_the_result_later(book: Book) -> None:
    book.is_open.clear()
    group_commit = GroupCommit(book.commit)
    squares = [group_commit.submit(alone(n)) for n in range(10)]
    assert not any(square.done() for square in squares)
    book.is_open.set()
    assert [square.result(PATIENCE) for square in squares] == [n * n for n in range(10)]


def test_who_waits_and_who_does_not_share_a_commit(book: Book) -> None:
    writers = busy(book)
    squares = [writers.group_commit.submit(alone(n)) for n in range(30)]
    writers.start(10)
    book.is_open.set()
    writers.finish()
    assert [square.result(PATIENCE) for square in squares] == [n * n for n in range(30)]
    assert sum(book.batches) == 41
    assert len(book.batches) < 20


def test_a_work_handed_in_by_the_one_before_it_is_done_too(book: Book) -> None:
    group_commit = GroupCommit(book.commit)
    told: list[int] = []
    is_told = threading.Event()

    def go_on(_: object) -> None:
        group_commit.submit(alone(3)).add_done_callback(lambda square: tell(square.result()))

    def tell(square: int) -> None:
        told.append(square)
        is_told.set()

    group_commit.submit(alone(2)).add_done_callback(go_on)
    assert is_told.wait(PATIENCE)
    assert told == [9]


@pytest.mark.parametrize("trouble", ["refuses_to_begin", "refuses_to_commit"])
def test_what_is_handed_in_for_later_learns_of_trouble_and_the_next_is_done(
    book: Book, trouble: str
) -> None:
    group_commit = GroupCommit(book.commit, translate=lambda error: ValueError(f"told: {error}"))
    setattr(book, trouble, True)
    assert str(group_commit.submit(alone(2)).exception(PATIENCE)).startswith("told: cannot ")
    setattr(book, trouble, False)
    assert group_commit.submit(alone(3)).result(PATIENCE) == 9


def test_the_writing_thread_goes_when_nothing_comes_and_another_takes_its_place(
    book: Book,
) -> None:
    group_commit = GroupCommit(book.commit, idle_seconds=0.01)
    writing: list[threading.Thread] = []

    def note_who_writes(_: object) -> int:
        writing.append(threading.current_thread())
        return len(writing)

    for number in (1, 2, 3):
        assert group_commit.submit(note_who_writes).result(PATIENCE) == number
        writing[-1].join(PATIENCE)
        assert not writing[-1].is_alive()
    assert len(set(writing)) == 3
