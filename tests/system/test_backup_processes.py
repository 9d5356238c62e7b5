"""Backups of a service under load, and a restore that is killed."""

import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.actors import API_TOKEN, SECRET
from tests.orders import paid
from tests.servers import PATIENCE, ROOT, serving
from tests.standins.pinterest import FakePinterest
from tests.store_contents import Database, rows
from tests.strace import needs_strace
from tracking.store import backup, open_store
from tracking.store.backup import restore
from tracking.store.engine.file_locks import lock, open_lock, presence_path

RESTORE = """
import sys
from pathlib import Path
from tracking.store.backup import restore
restore(*map(Path, sys.argv[1:]))
"""


@needs_strace
@pytest.mark.parametrize("moment", ["link,linkat:when=1", "rename:when=1"])
def test_killed_at_any_moment_there_is_one_whole_database_or_the_other(
    database: Database, copy: Path, kept_as: Path, moment: str
) -> None:
    call, _, when = moment.partition(":")
    kill = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:{when}")
    program = [sys.executable, "-c", RESTORE]
    paths = [str(path) for path in (copy, database.path, kept_as)]

    done = subprocess.run([*kill, *program, *paths], cwd=ROOT, timeout=PATIENCE)

    assert done.returncode != 0
    assert database.names in ({"early"}, {"early", "late"})
    kept_as.unlink(missing_ok=True)
    restore(copy, database.path, kept_as)
    assert database.names == {"early"}


def test_the_last_backup_holds_every_order_acknowledged_before_it_began(
    tmp_path: Path,
) -> None:
    with FakePinterest() as pinterest:
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": f"sqlite:///{tmp_path}/tracking.db",
            "PINTEREST_ACCESS_TOKEN": pinterest.token,
            "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
            "PINTEREST_API_BASE": pinterest.url,
            "PINTEREST_SEND": "all",
            "WEB_CONCURRENCY": "1",
        }
        before: set[int] = set()
        acknowledged: set[int] = set()
        numbers = itertools.count(1)
        with serving(tmp_path, env) as server:
            enough = threading.Event()

            def post_orders() -> None:
                while not enough.is_set():
                    number = next(numbers)
                    server.takes("orders/create", paid(number))
                    acknowledged.add(number)

            with ThreadPoolExecutor(3) as callers:
                load = [callers.submit(post_orders) for _ in range(3)]
                try:
                    for n in range(3):
                        more = len(acknowledged) + 40
                        server.wait_until(partial(are_as_many, acknowledged, more))
                        before = set(acknowledged)
                        backup.copy(tmp_path / "tracking.db", tmp_path / f"copy-{n}.db")
                finally:
                    enough.set()
                for each in load:
                    each.result(PATIENCE)
            server.kill()
        # The kernel needs a moment to bury whom it killed.
        wait_until_nobody_has(tmp_path / "tracking.db")
        restore(tmp_path / "copy-2.db", tmp_path / "tracking.db", tmp_path / "before.db")

        store = open_store(env["DATABASE_URL"])
        known = {int(row["id"]) for row in rows(store, "orders")}
        store.close()
        with serving(tmp_path, env) as server:
            assert len(before) > 100
            assert before <= known <= acknowledged
            # What was delivered since the backup comes again, under the ids that it had.
            server.wait_until(lambda: {f"checkout-{n}" for n in known} <= set(pinterest.accepted))
            report = server.reads("/roi-analysis")
            assert report["orders"] == len(known)


def are_as_many(found: set[int], count: int) -> bool:
    return len(found) >= count


def wait_until_nobody_has(database: Path) -> None:
    descriptor = open_lock(presence_path(database))
    lock(descriptor)
    os.close(descriptor)
