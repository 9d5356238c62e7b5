"""The service behind a pooler that gives each transaction another session."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import psycopg
import pytest

from tests.faults.catalogue import Fault
from tests.faults.choice import found_of, short_on
from tests.faults.pooler import SESSIONS, PooledCluster
from tests.faults.postgres import NoPostgres
from tests.faults.world import World, world
from tests.servers import PATIENCE
from tests.store_contents import put_event, rows
from tracking.store import Store, StoreUnavailable, open_store
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.migrations import migrate

# Of each kind one: killed, many at once, out of order, erased.
FAULTS = {"F1", "F18", "F21", "F31"}


@pytest.fixture(scope="module")
def pooled() -> Iterator[PooledCluster]:
    """A server behind a pooler; skipped where there is none."""
    try:
        server = PooledCluster()
    except NoPostgres as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def url(pooled: PooledCluster) -> str:
    return pooled.new_database()


@pytest.fixture(scope="module")
def behind_pgbouncer(
    pooled: PooledCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The service as it ships, without a setting for the pooler."""
    with world(tmp_path_factory.mktemp("pooled"), "postgresql", pooled) as there:
        yield there


@pytest.mark.parametrize(
    "fault", [each for each in short_on("postgresql") if each.values[0].number in FAULTS]
)
def test_what_is_promised_holds_behind_a_pooler_too(fault: Fault, behind_pgbouncer: World) -> None:
    found = found_of(fault, behind_pgbouncer)

    assert not found.broken, found
    assert "prepared statement" not in behind_pgbouncer.server.log


def test_many_stores_share_few_sessions(url: str) -> None:
    stores = [open_store(url) for _ in range(6)]
    with ThreadPoolExecutor(12) as threads:
        works = [
            threads.submit(stores[n % 6].commit, partial(put_event, name=f"event-{n}"))
            for n in range(300)
        ]
        for work in works:
            work.result(PATIENCE)

    assert len(rows(stores[0], "outbox")) == 300
    for store in stores:
        store.close()


def test_settings_and_locks_end_with_their_transaction(url: str) -> None:
    shown = (
        "SELECT current_setting('lock_timeout'), current_setting('synchronous_commit'),"
        " current_setting('idle_in_transaction_session_timeout')"
    )

    def inside(conn: Connection) -> tuple[str, ...]:
        advisory_locks.hold(conn, ("5001",))
        found: tuple[str, ...] = conn.cursor.execute(shown).fetchone()
        return found

    with closing(open_store(url)) as store:
        assert store.commit(inside) == ("1200ms", "on", "30s")
        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as other:
            assert {other.execute(shown).fetchone() for _ in range(20)} == {("0", "on", "0")}
            held = other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            assert held.fetchone() == (0,)


def test_migrations_that_begin_together_take_turns(pooled: PooledCluster) -> None:
    url = pooled.empty_database()
    with ThreadPoolExecutor(3) as threads:
        for each in [threads.submit(migrate, url) for _ in range(3)]:
            each.result(PATIENCE)

    with closing(open_store(url)) as store:
        assert rows(store, "orders") == []


def test_sessions_that_became_read_only_are_ended(pooled: PooledCluster) -> None:
    read_only = "SET SESSION default_transaction_read_only = on"
    with closing(open_store(pooled.new_database())) as store:
        taken = threading.Barrier(SESSIONS)

        def spoil(conn: Connection) -> None:
            conn.cursor.execute(read_only)
            taken.wait(PATIENCE)

        with ThreadPoolExecutor(SESSIONS) as threads:
            for each in [threads.submit(store.commit, spoil) for _ in range(SESSIONS)]:
                each.result(PATIENCE)
        began = time.monotonic()
        while not _is_written(store):
            assert time.monotonic() < began + PATIENCE
            time.sleep(0.02)


def _is_written(store: Store) -> bool:
    try:
        return all(store.commit(partial(put_event, name=f"late-{n}")) for n in range(SESSIONS))
    except StoreUnavailable:
        return False
