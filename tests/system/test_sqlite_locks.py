"""The locks of a SQLite file that several processes write, and a disk that refuses."""

import subprocess
import sys
from pathlib import Path

import requests

from tests.actors import API_TOKEN, SECRET, bearer
from tests.servers import PATIENCE, ROOT, Server
from tests.strace import LockTrace, needs_strace, tracing
from tracking.store import open_store, quarantine
from tracking.store.migrations import migrate

TWO_WRITERS_WITHOUT_A_LOCK = """
import sqlite3, sys
first, second = (sqlite3.connect(sys.argv[1], isolation_level=None) for _ in range(2))
first.execute("PRAGMA journal_mode=WAL")
first.execute("CREATE TABLE t (body)")
for n in range(30):
    (first, second)[n % 2].execute("INSERT INTO t VALUES (zeroblob(1000000))")
"""


# Each brings the schema up, reads and writes, and in the end moves what is left of the log.
TWO_PROCESSES_OF_OURS = """
import os, sys, threading
from tracking.store import open_store, quarantine
from tracking.store.migrations import migrate
url, child = f"sqlite:///{sys.argv[1]}", os.fork()
migrate(url)
store = open_store(url)
def write(half):
    for n in range(half, 24, 2):
        body = b"x" * 1_000_000
        store.commit(lambda conn: quarantine.add(conn, f"{child} {n}", "", "odd", body, 0))
        with store.read() as conn:
            quarantine.count(conn)
        if n % 10 == 0:
            store.wipe_log()
threads = [threading.Thread(target=write, args=(half,)) for half in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if child: os.waitpid(child, 0)
store.close()
"""


def traced(program: str, folder: Path) -> LockTrace:
    """What a program did to the database that it is given."""
    record, database = folder / "calls", str(folder / "tracking.db")
    command = [*tracing(record), sys.executable, "-c", program, database]
    subprocess.run(command, cwd=ROOT, check=True, timeout=PATIENCE)
    return LockTrace(record)


@needs_strace
def test_every_process_writes_and_checkpoints_only_under_the_lock(tmp_path: Path) -> None:
    seen = traced(TWO_PROCESSES_OF_OURS, tmp_path)

    assert seen.log_writes > 20
    assert seen.checkpoints >= 3
    assert seen.without_lock == []


@needs_strace
def test_that_test_notices_writers_that_take_no_lock(tmp_path: Path) -> None:
    seen = traced(TWO_WRITERS_WITHOUT_A_LOCK, tmp_path)

    assert seen.checkpoints > 2
    assert len(seen.without_lock) == seen.log_writes + seen.checkpoints


@needs_strace
def test_whatever_the_disk_refuses_is_answered_with_503_and_nothing_else_is_lost(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/tracking.db"
    env = {"SHOPIFY_WEBHOOK_SECRET": SECRET, "API_TOKEN": API_TOKEN, "DATABASE_URL": url}
    migrate(url)
    # Now and then the disk has no room for a page, or cannot say whether it wrote one.
    faults = ("pwrite64:error=ENOSPC:when=60+11", "fdatasync:error=EIO:when=20+7")
    inject = [word for fault in faults for word in ("-e", f"inject={fault}")]
    calls = ("-e", "trace=pwrite64,fdatasync")
    under = ("strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *calls, *inject)
    server = Server(tmp_path, {**env, "WEB_CONCURRENCY": "1"}, under=under)
    try:
        server.launch()
        server.wait_until(lambda: is_up(server))
        statuses = {}
        for number in range(60):
            raw = b"%d is no order" % number
            statuses[raw] = server.sends("orders/create", raw).status_code
    finally:
        server.end()

    store = open_store(url)
    with store.read() as conn:
        kept = {bytes(row.body) for row in quarantine.bodies(conn)}
        sound = conn.cursor.execute("PRAGMA integrity_check").fetchone()
    store.close()
    acknowledged = {raw for raw, status in statuses.items() if status == 200}
    assert set(statuses.values()) == {200, 503}
    assert acknowledged <= kept
    assert sound == ("ok",)


def is_up(server: Server) -> bool:
    try:
        return requests.get(f"{server.url}/health", headers=bearer(), timeout=5).ok
    except requests.RequestException:
        return False
