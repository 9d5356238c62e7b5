"""What the store promises, on SQLite and PostgreSQL alike: on disk once, and to whom."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.actors import NOW, at_once
from tests.store_contents import names_of, put_event, rows
from tracking.domain.attribution import Touch
from tracking.domain.order import Refund
from tracking.store import (
    Store,
    StoreUnavailable,
    claims,
    dead_letter_queue,
    identity_graph,
    open_store,
    orders,
    outbox,
    quarantine,
    refunds,
    touches,
)
from tracking.store import spend as spends
from tracking.store.claims import ClaimedEvent, Settlement
from tracking.store.engine import advisory_locks, many_rows
from tracking.store.engine.advisory_locks import LockHeldElsewhere
from tracking.store.engine.postgres import POOL_SIZE
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import MOST_VISITORS
from tracking.store.migrations import migrate
from tracking.store.outbox import OutboxRow
from tracking.store.schema import links
from tracking.store.spend import SpendRow
from tracking.store.touches import MOST_TOUCHES

PATIENCE = 20.0
# What Shopify waits for an answer, less what the rest of a webhook may take.
IN_TIME = 4.5


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = open_store(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    opened = open_store(sqlite_url)
    yield opened
    opened.close()


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def put_nonsense(conn: Connection, name: str) -> str:
    """Begin well, and then write a row that no database takes."""
    put_event(conn, name)
    nothing: Any = None
    row = SpendRow("2026-11-20", "1", "USD", campaign="", micros=nothing, recorded_at=NOW)
    spends.put(conn, [row])
    return name


def settled(row: ClaimedEvent, state: str = "sent", reason: str = "") -> Settlement:
    """What a deliverer writes about a claimed event."""
    return Settlement(
        id=row.id,
        state=state,
        payload=b"stripped",
        reason=reason,
        due_at=NOW,
        used=1,
        settled_at=NOW if state != "waiting" else 0,
    )


def only(store: Store, name: str) -> OutboxRow:
    with store.read() as conn:
        (row,) = outbox.of_event(conn, name)
    return row


def claimed(store: Store, token: str, now: int = NOW, most: int = 1000) -> list[ClaimedEvent]:
    """Events leased for a minute."""
    return store.commit(lambda conn: claims.claim(conn, "pinterest", token, now, now + 60, most))


def put_events(store: Store, *names: str) -> None:
    store.commit(lambda conn: [put_event(conn, name) for name in names])


# --- Transactions


def test_many_threads_each_get_their_own_result_and_lose_nothing(store: Store) -> None:
    names = [f"event-{n}" for n in range(160)]
    with ThreadPoolExecutor(16) as threads:
        found = threads.map(lambda n: store.commit(lambda conn: put_event(conn, n)), names)
    assert list(found) == names
    assert names_of(store) == set(names)


def test_a_work_that_the_database_refuses_leaves_nothing_and_says_what_was_wrong(
    store: Store,
) -> None:
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        store.commit(lambda conn: put_nonsense(conn, "bad"))
    assert names_of(store) == set()


def test_a_work_that_raises_leaves_nothing_and_raises_its_own_error(store: Store) -> None:
    def work(conn: Connection) -> None:
        put_event(conn, "half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.commit(work)
    assert names_of(store) == set()
    assert store.commit(lambda conn: put_event(conn, "whole")) == "whole"


def test_one_bad_work_fails_alone_and_its_neighbours_are_committed(store: Store) -> None:
    good = [partial(store.commit, partial(put_event, name=f"good-{n}")) for n in range(10)]
    bad = [partial(store.commit, partial(put_nonsense, name=f"bad-{n}")) for n in range(2)]
    found = at_once(store, [*good[:5], *bad, *good[5:]])
    errors = [type(work.exception()).__name__ for work in found]
    assert errors == ["NoneType"] * 5 + [errors[5]] * 2 + ["NoneType"] * 5
    assert errors[5] in ("IntegrityError", "NotNullViolation")
    assert [work.result() for work in found[:5]] == [f"good-{n}" for n in range(5)]
    assert names_of(store) == {f"good-{n}" for n in range(10)}


def test_of_rows_inserted_together_none_stays_if_one_is_refused(store: Store) -> None:
    def insert(conn: Connection, wrong: str | None) -> None:
        told = [("em:a", "v1"), ("em:b", wrong), ("em:c", "v3")]
        many_rows.insert(conn, links, ("link", "visitor"), told)

    bad, good = partial(store.commit, partial(insert, wrong=None)), partial(put_event, name="good")
    found = at_once(store, [bad, partial(store.commit, good)])

    assert type(found[0].exception()).__name__ in ("IntegrityError", "NotNullViolation")
    assert rows(store, "links") == []
    assert names_of(store) == {"good"}
    store.commit(partial(insert, wrong="v2"))
    assert [row["visitor"] for row in rows(store, "links")] == ["v1", "v2", "v3"]


def test_a_read_sees_one_state_however_much_is_written_meanwhile(store: Store) -> None:
    put_events(store, "before")
    with store.read() as conn:
        first = outbox.waiting(conn).events
        put_events(store, "meanwhile")
        second = outbox.waiting(conn).events
    assert (first, second) == (1, 1)
    assert names_of(store) == {"before", "meanwhile"}


def test_a_reader_does_not_wait_for_a_writer(store: Store) -> None:
    put_events(store, "before")

    def look(conn: Connection) -> int:
        put_event(conn, "uncommitted")
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(count).result(PATIENCE)

    def count() -> int:
        with store.read() as conn:
            return int(outbox.waiting(conn).events)

    # It ends only once the reader has read.
    assert store.commit(look) == 1


def test_a_reader_cannot_write(store: Store) -> None:
    with (
        pytest.raises((sqlite3.OperationalError, psycopg.Error, StoreUnavailable)),
        store.read() as conn,
    ):
        put_event(conn, "written")
    assert names_of(store) == set()


def test_a_store_that_is_not_used_opens_nothing(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/never.db").close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/missing/tracking.db")
    with pytest.raises(StoreUnavailable):
        store.commit(lambda conn: put_event(conn, "lost"))
    with pytest.raises(StoreUnavailable), store.read():
        pass


def test_a_full_disk_is_unavailable_until_there_is_room_again(sqlite_store: Store) -> None:
    sqlite_store.commit(lambda conn: conn.cursor.execute("PRAGMA max_page_count=1"))
    big = b"x" * 1_000_000
    with pytest.raises(StoreUnavailable, match="full"):
        sqlite_store.commit(lambda conn: put_event(conn, "big", payload=big))
    # Whether a full disk costs the transaction alone or the connection as well is SQLite's choice.
    sqlite_store.commit(lambda conn: conn.cursor.execute("PRAGMA max_page_count=100000"))
    sqlite_store.commit(lambda conn: put_event(conn, "later", payload=big))
    assert names_of(sqlite_store) == {"later"}


# --- Several processes, and foreign programs


@contextmanager
def locked(url: str) -> Iterator[Callable[[], None]]:
    """A foreign program holds everything back, until it is told to end, or this does."""
    if url.startswith("sqlite"):
        foreign: Any = sqlite3.connect(path_of(url), isolation_level=None, check_same_thread=False)
        foreign.execute("BEGIN IMMEDIATE")
    else:
        foreign = psycopg.connect(url.replace("+psycopg", "", 1))
        foreign.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
    try:
        yield foreign.rollback
    finally:
        foreign.rollback()
        foreign.close()


def test_a_foreign_lock_is_a_clear_refusal_before_shopify_hangs_up(
    store: Store, database_url: str
) -> None:
    with locked(database_url):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.commit(lambda conn: put_event(conn, "in vain"))
        seconds = time.monotonic() - began
    assert seconds < IN_TIME
    assert store.commit(lambda conn: put_event(conn, "later")) == "later"
    assert names_of(store) == {"later"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_while_a_foreign_lock_lasts_a_crowd_is_refused_as_soon_as_one(
    store: Store, database_url: str
) -> None:
    with locked(database_url):
        began = time.monotonic()
        crowd = [store.commit_later(lambda conn: put_event(conn, "in vain")) for _ in range(300)]
        errors = [work.exception(PATIENCE) for work in crowd]
        seconds = time.monotonic() - began
    assert {type(error) for error in errors} == {StoreUnavailable}
    assert seconds < IN_TIME
    assert store.commit(lambda conn: put_event(conn, "later")) == "later"
    assert names_of(store) == {"later"}


def test_a_foreign_lock_that_ends_in_time_is_waited_for(store: Store, database_url: str) -> None:
    with locked(database_url) as end, ThreadPoolExecutor(1) as thread:
        work = thread.submit(store.commit, lambda conn: put_event(conn, "patient"))
        threading.Timer(0.3, end).start()
        assert work.result(PATIENCE) == "patient"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_opens_connections_of_its_own(store: Store) -> None:
    mine = store.commit(lambda conn: conn.raw)
    with store.read() as conn:
        mine_too = conn.raw

    def is_apart() -> bool:
        written = store.commit(lambda conn: (conn.raw, put_event(conn, "child")))[0]
        with store.read() as conn:
            return not any(raw in (mine, mine_too) for raw in (written, conn.raw))

    assert forked(is_apart)
    put_events(store, "parent")
    assert names_of(store) == {"child", "parent"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_first_writers_of_a_forked_process_may_come_all_at_once(store: Store) -> None:
    put_events(store, "parent")
    children = [[f"child-{child}-{n}" for n in range(8)] for child in range(5)]
    assert all(forked(partial(write_at_once, store, names)) for names in children)
    assert names_of(store) == {"parent", *(name for names in children for name in names)}


def write_at_once(store: Store, names: list[str]) -> bool:
    together = threading.Barrier(len(names))

    def write(name: str) -> str:
        together.wait(PATIENCE)
        return store.commit(lambda conn: put_event(conn, name))

    with ThreadPoolExecutor(len(names)) as threads:
        return list(threads.map(write, names)) == names


def forked(work: Callable[[], bool]) -> bool:
    """Whether a forked process did it, and waits for nothing that the parent alone has."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    end = threading.Timer(PATIENCE, os.kill, (child, signal.SIGKILL))
    end.start()
    _, status = os.waitpid(child, 0)
    end.cancel()
    return os.waitstatus_to_exitcode(status) == 0


def test_every_sqlite_connection_flushes_each_commit_to_a_write_ahead_log(
    sqlite_store: Store,
) -> None:
    def pragmas(conn: Connection) -> tuple[Any, ...]:
        names = ("synchronous", "journal_mode")
        return tuple(conn.cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in names)

    found = [sqlite_store.commit(pragmas)]
    with sqlite_store.read() as one, sqlite_store.read() as two:
        found += [pragmas(one), pragmas(two)]
    assert found == [(2, "wal")] * 3


def test_every_postgresql_commit_is_flushed_whatever_the_server_prefers(postgres_url: str) -> None:
    store = open_store(f"{postgres_url}%20-csynchronous_commit%3Doff")
    found = store.commit(lambda c: c.cursor.execute("SHOW synchronous_commit").fetchone())
    store.close()
    assert found == ("on",)


def test_the_address_of_a_database_is_understood_as_it_is_written(postgres_url: str) -> None:
    store = open_store(f"{postgres_url}&application_name=my%20shop%2B1")
    found = store.commit(lambda c: c.cursor.execute("SHOW application_name").fetchone())
    store.close()
    assert found == ("my shop+1",)


def test_sessions_that_became_read_only_leave_the_pool_at_once(postgres_url: str) -> None:
    store = open_store(postgres_url)
    taken = threading.Barrier(POOL_SIZE)

    def spoil(conn: Connection) -> None:
        conn.cursor.execute("SET SESSION default_transaction_read_only = on")
        taken.wait(PATIENCE)

    with ThreadPoolExecutor(POOL_SIZE) as threads:
        for each in [threads.submit(store.commit, spoil) for _ in range(POOL_SIZE)]:
            each.result(PATIENCE)
    names = [f"late-{n}" for n in range(2 * POOL_SIZE)]
    for name in names:
        store.commit(partial(put_event, name=name))

    assert names_of(store) >= set(names)
    store.close()


def test_a_pooler_that_passes_for_the_server_is_found_out_by_its_first_error(
    postgres_url: str,
) -> None:
    store = open_store(postgres_url)
    for n in range(20):
        store.commit(partial(put_event, name=f"early-{n}"))
    # As a pooler does that gives the next transaction another session.
    store.commit(lambda conn: conn.cursor.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"))
    for n in range(20):
        store.commit(partial(put_event, name=f"late-{n}"))

    assert names_of(store) >= {f"{when}-{n}" for when in ("early", "late") for n in range(20)}
    store.close()


def test_a_transaction_that_the_server_rolled_back_is_not_taken_for_committed(
    postgres_url: str,
) -> None:
    store = open_store(postgres_url)

    def catch(conn: Connection) -> None:
        put_event(conn, "caught")
        with suppress(psycopg.Error):
            conn.cursor.execute("SELECT 1 / 0")

    with pytest.raises(StoreUnavailable, match="rolled back"):
        store.commit(catch)
    store.close()


@contextmanager
def an_order_locked_in(url: str) -> Iterator[None]:
    holder = open_store(url)
    locked, done = threading.Event(), threading.Event()

    def wait_locked(conn: Connection) -> None:
        advisory_locks.hold(conn, ("5001",))
        locked.set()
        assert done.wait(PATIENCE)

    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(holder.commit, wait_locked)
        assert locked.wait(PATIENCE)
        try:
            yield
        finally:
            done.set()
        held.result()
    holder.close()


def lock_the_order(url: str) -> None:
    store = open_store(url)
    try:
        store.commit(lambda conn: advisory_locks.hold(conn, ("5001",)))
    finally:
        store.close()


def test_an_order_locked_by_another_process_is_waited_for(postgres_url: str) -> None:
    with an_order_locked_in(postgres_url), pytest.raises(StoreUnavailable, match="lock timeout"):
        lock_the_order(postgres_url)


def test_transactions_that_lock_in_opposite_orders_take_all_locks_in_one_step_instead_of_waiting(
    postgres_url: str,
) -> None:
    stores = [open_store(postgres_url) for _ in range(2)]
    both_begun = threading.Barrier(2)
    steps: dict[str, list[str]] = {"5001": [], "5002": []}

    def lock_both(conn: Connection, first: str, second: str) -> None:
        begins_anew = bool(steps[first])
        steps[first].append("begin")
        advisory_locks.hold(conn, (first,))
        if not begins_anew:
            both_begun.wait(PATIENCE)
        try:
            advisory_locks.hold(conn, (second,))
        except LockHeldElsewhere:
            steps[first].append("held elsewhere")
            raise
        steps[first].append("done")

    with ThreadPoolExecutor(2) as threads:
        works = [partial(lock_both, first="5001", second="5002")]
        works.append(partial(lock_both, first="5002", second="5001"))
        found = [threads.submit(s.commit, w) for s, w in zip(stores, works, strict=True)]
        for future in found:
            future.result(PATIENCE)
    for each in stores:
        each.close()
    anew = ["begin", "held elsewhere", "begin", "done"]
    assert anew in steps.values()
    assert all(told in (anew, ["begin", "done"]) for told in steps.values())


def test_a_lock_that_never_comes_free_is_a_clear_refusal_also_in_a_second_step(
    postgres_url: str,
) -> None:
    store = open_store(postgres_url)

    def lock_both(conn: Connection) -> None:
        advisory_locks.hold(conn, ("5002",))
        advisory_locks.hold(conn, ("5001",))

    with (
        an_order_locked_in(postgres_url),
        pytest.raises(StoreUnavailable, match="lock timeout"),
    ):
        store.commit(lock_both)
    store.close()


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
def test_shops_in_two_schemas_of_one_postgresql_do_not_wait_for_each_other(
    postgres_url: str, new_url: str
) -> None:
    migrate(new_url)
    with an_order_locked_in(postgres_url):
        lock_the_order(new_url)


# --- Once


def test_a_body_is_new_to_exactly_one_of_those_who_bring_it_at_once(store: Store) -> None:
    def bring(_: int) -> bool:
        return store.commit(lambda conn: orders.is_new_body(conn, "d", "orders/paid", "1", NOW))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(bring, range(16))) == 1


def test_of_each_refund_the_newest_state_holds_whichever_comes_last(store: Store) -> None:
    def put(currency: str = "USD", **changes: Any) -> None:
        state = Refund(**{"id": "7", "order_id": "1", "at": NOW, "goods": 1000, **changes})
        store.commit(lambda conn: refunds.put(conn, [state], "1", currency))

    put(version="2", status="failed", is_listed=True)
    put(version="1", status="paid", paid=1000)
    put(id="8", goods=50, extra=-20, version="1")
    put("EUR", id="9", goods=9, version="1")
    with store.read() as conn:
        found = refunds.of_order(conn, "1", "USD")

    states = [(r.id, r.goods, r.extra, r.paid, r.status, r.is_listed) for r in found]
    assert states == [("7", 1000, 0, 0, "failed", True), ("8", 50, -20, 0, "", False)]


def test_a_body_that_cannot_be_understood_is_kept_once_and_erased_on_release(store: Store) -> None:
    for _ in range(2):
        store.commit(lambda conn: quarantine.add(conn, "d", "orders/paid", "odd", b"{\xff", NOW))
    with store.read() as conn:
        (kept,) = quarantine.page(conn)
        (body,) = quarantine.bodies(conn)
    assert (kept.topic, kept.reason, kept.size) == ("orders/paid", "odd", 2)
    assert body.body == b"{\xff"

    store.commit(lambda conn: quarantine.release(conn, kept.id, NOW))
    with store.read() as conn:
        assert (quarantine.page(conn), quarantine.bodies(conn)) == ([], [])
    assert [bytes(row["body"]) for row in rows(store, "quarantine")] == [b""]


# --- Who is who


def test_one_person_has_every_visitor_id_seen_with_one_of_the_links(store: Store) -> None:
    store.commit(lambda conn: identity_graph.link(conn, ["em:a", "ph:b"], "phone-browser"))
    store.commit(lambda conn: identity_graph.link(conn, ["em:a"], "tablet-browser"))
    store.commit(lambda conn: identity_graph.link(conn, ["em:z"], "stranger"))
    with store.read() as conn:
        found = identity_graph.person_of(conn, ["em:a"], "new-browser")
    assert {"phone-browser", "tablet-browser", "new-browser"} <= set(found)
    assert "stranger" not in found


@pytest.mark.parametrize(("sharers", "joins"), [(MOST_VISITORS, True), (MOST_VISITORS + 1, False)])
def test_a_link_that_a_crowd_shares_joins_nobody(store: Store, sharers: int, joins: bool) -> None:
    def crowd(conn: Connection) -> None:
        for n in range(sharers):
            identity_graph.link(conn, ["ph:of-the-shop"], f"visitor-{n}")

    store.commit(crowd)
    with store.read() as conn:
        found = identity_graph.person_of(conn, ["ph:of-the-shop"], "visitor-0")
    assert ("visitor-1" in found) is joins
    assert "visitor-0" in found


def test_of_very_many_touches_the_first_and_the_newest_are_found(store: Store) -> None:
    def visit(conn: Connection) -> None:
        for n in range(MOST_TOUCHES + 5):
            seen = Touch(f"touch-{n:04d}", NOW + n, "click", n > 1, False, visitor="busy-one")
            touches.put(conn, touches.touch_row(seen))

    store.commit(visit)
    newest = f"touch-{MOST_TOUCHES + 4:04d}"
    with store.read() as conn:
        found = touches.of_visitors(conn, ["busy-one"], NOW, NOW + 1000)
    assert {row.key for row in found} >= {"touch-0000", "touch-0002", newest}
    assert len(found) == MOST_TOUCHES


# --- The outbox


def test_an_event_is_claimed_by_one_of_many_at_once(store: Store) -> None:
    def fill(conn: Connection) -> None:
        for n in range(200):
            put_event(conn, f"event-{n}")

    def take(thread: int) -> list[str]:
        taken: list[str] = []
        for turn in range(50):
            rows = claimed(store, f"{thread}-{turn}", most=7)
            assert len(rows) <= 7
            taken += [row.event_id for row in rows]
            if not rows:
                return taken
        raise AssertionError("never empty")

    store.commit(fill)
    with ThreadPoolExecutor(8) as threads:
        taken = [name for names in threads.map(take, range(8)) for name in names]
    assert len(taken) == 200
    assert set(taken) == {f"event-{n}" for n in range(200)}


def test_a_claim_is_served_in_order_and_only_with_what_is_due(store: Store) -> None:
    put_events(store, "first", "second", "third")
    store.commit(
        lambda conn: outbox.queue(conn, "later", "pinterest", b"", event_time=NOW, now=NOW + 1)
    )
    store.commit(
        lambda conn: outbox.queue(conn, "elsewhere", "track_ai", b"", event_time=NOW, now=NOW)
    )
    assert [row.event_id for row in claimed(store, "a")] == ["first", "second", "third"]


def test_a_lease_ends_by_itself(store: Store) -> None:
    put_events(store, "event")
    assert len(claimed(store, "dies")) == 1
    assert claimed(store, "early", now=NOW + 59) == []
    assert len(claimed(store, "heir", now=NOW + 60)) == 1


def test_a_stale_claim_cannot_settle_what_passed_on_to_another(store: Store) -> None:
    put_events(store, "event")
    (row,) = claimed(store, "slow")
    claimed(store, "heir", now=NOW + 60)
    store.commit(lambda conn: claims.settle(conn, "slow", [settled(row, "dead")]))
    assert only(store, "event").state == "waiting"
    store.commit(lambda conn: claims.settle(conn, "heir", [settled(row, "sent")]))
    assert only(store, "event").state == "sent"


def test_a_late_settling_holds_if_nobody_else_claimed_meanwhile(store: Store) -> None:
    put_events(store, "event")
    (row,) = claimed(store, "slow")
    store.commit(lambda conn: claims.settle(conn, "slow", [settled(row)]))
    found = only(store, "event")
    assert (found.state, found.attempts, bytes(found.payload)) == ("sent", 1, b"stripped")


def test_a_released_event_can_be_claimed_at_once(store: Store) -> None:
    put_events(store, "tried", "untried")
    tried, untried = claimed(store, "a")
    store.commit(lambda conn: claims.settle(conn, "a", [settled(tried)]))
    store.commit(lambda conn: claims.release(conn, "a", [tried.id, untried.id]))
    assert [row.event_id for row in claimed(store, "b")] == ["untried"]
    assert only(store, "tried").state == "sent"


def test_a_settled_event_is_not_due_before_its_time(store: Store) -> None:
    put_events(store, "event")
    (row,) = claimed(store, "a")
    later = settled(row, "waiting")._replace(due_at=NOW + 100)
    store.commit(lambda conn: claims.settle(conn, "a", [later]))
    assert claimed(store, "b", now=NOW + 99) == []
    assert len(claimed(store, "c", now=NOW + 100)) == 1


def test_whatever_waits_for_another_attempt_is_hastened_but_not_what_is_under_way(
    store: Store,
) -> None:
    put_events(store, "waits", "leased")
    rows = {row.event_id: row for row in claimed(store, "a")}
    put_off = settled(rows["waits"], "waiting")._replace(due_at=NOW + 900)
    store.commit(lambda conn: claims.settle(conn, "a", [put_off]))
    store.commit(lambda conn: claims.retry_now(conn, "pinterest", NOW))
    assert [row.event_id for row in claimed(store, "b")] == ["waits"]


def test_a_waiting_event_is_replaced_by_a_newer_one(store: Store) -> None:
    put_events(store, "event")
    store.commit(lambda conn: put_event(conn, "event", payload=b"newer"))
    (row,) = claimed(store, "a")
    assert bytes(row.payload) == b"newer"


@pytest.mark.parametrize("state", ["leased", "sent", "dead"])
def test_an_event_that_pinterest_may_know_is_not_replaced(store: Store, state: str) -> None:
    put_events(store, "event")
    (row,) = claimed(store, "a")
    if state != "leased":
        store.commit(lambda conn: claims.settle(conn, "a", [settled(row, state)]))
    before = only(store, "event")
    store.commit(lambda conn: put_event(conn, "event", payload=b"newer"))
    assert only(store, "event") == before


def test_a_waiting_event_is_withdrawn_and_comes_back_when_it_is_queued_again(store: Store) -> None:
    put_events(store, "event")
    store.commit(lambda conn: outbox.withdraw(conn, "event", "cancelled", NOW))
    found = only(store, "event")
    assert (found.state, found.reason) == ("withdrawn", "cancelled")
    assert claimed(store, "a") == []
    put_events(store, "event")
    assert len(claimed(store, "b")) == 1


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        ("sent", "sent", ""),
        ("dead", "dead", "Pinterest's words"),
        ("waiting", "withdrawn", "cancelled"),
    ],
)
def test_an_event_withdrawn_under_way_is_withdrawn_unless_it_arrived(
    store: Store, outcome: str, state: str, reason: str
) -> None:
    put_events(store, "event")
    (row,) = claimed(store, "a")
    store.commit(lambda conn: outbox.withdraw(conn, "event", "cancelled", NOW))
    words = {"sent": "", "dead": "Pinterest's words", "waiting": "HTTP 503"}[outcome]
    store.commit(lambda conn: claims.settle(conn, "a", [settled(row, outcome, reason=words)]))
    found = only(store, "event")
    assert (found.state, found.reason) == (state, reason)


def test_payloads_are_read_as_bytes(store: Store) -> None:
    put_events(store, "event", "withdrawn")
    store.commit(lambda conn: outbox.withdraw(conn, "withdrawn", "cancelled", NOW))
    (row,) = claimed(store, "a")
    payloads = (row.payload, only(store, "event").payload, only(store, "withdrawn").payload)
    assert [type(payload) for payload in payloads] == [bytes, bytes, bytes]


def test_an_event_that_is_withdrawn_keeps_no_address_and_browser(store: Store) -> None:
    clear = b'{"user_data":{"client_ip_address":"203.0.113.7"}}'
    store.commit(lambda conn: put_event(conn, "event", payload=clear))
    store.commit(lambda conn: outbox.withdraw(conn, "event", "cancelled", NOW))
    assert b"203.0.113.7" not in only(store, "event").payload


def test_dead_letters_are_paged_and_replayed_once(store: Store) -> None:
    put_events(store, "one", "two", "three", "fine")
    fates = [
        settled(row, "sent" if row.event_id == "fine" else "dead", reason="Pinterest's words")
        for row in claimed(store, "a")
    ]
    store.commit(lambda conn: claims.settle(conn, "a", fates))
    with store.read() as conn:
        first = dead_letter_queue.dead(conn, most=2)
        rest = dead_letter_queue.dead(conn, after=first[-1].id, most=2)
    assert [row.event_id for row in (*first, *rest)] == ["one", "two", "three"]
    assert {row.reason for row in first} == {"Pinterest's words"}

    since = NOW - 100
    assert store.commit(lambda conn: dead_letter_queue.replay(conn, NOW, since, "two")) == 1
    assert store.commit(lambda conn: dead_letter_queue.replay(conn, NOW, since)) == 2
    assert store.commit(lambda conn: dead_letter_queue.replay(conn, NOW, since)) == 0
    assert len(claimed(store, "b")) == 3


def test_a_dead_letter_too_old_to_send_is_not_replayed(store: Store) -> None:
    put_events(store, "old")
    (row,) = claimed(store, "a")
    store.commit(lambda conn: claims.settle(conn, "a", [settled(row, "dead")]))
    assert store.commit(lambda conn: dead_letter_queue.replay(conn, NOW, NOW)) == 0
