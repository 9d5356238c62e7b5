"""Nothing that SQLite does behind the scenes may cost an order: its log, its locks, its disk."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from commands.doctor import findings
from config import ConfigurationError, Settings
from tests.actors import SECRET
from tests.conftest import BuildService
from tests.reading import until
from tests.servers import PATIENCE
from tracking.service import open_service
from tracking.store import StoreUnavailable, open_store, quarantine
from tracking.store.engine import filesystems
from tracking.store.engine.file_locks import lock_path, open_lock, writing
from tracking.store.engine.filesystems import shared_by
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.statement import Connection
from tracking.store.engine.write_ahead_log import LONGEST_LOG, protection
from tracking.store.migrations import migrate

MEGABYTE = 1_000_000
# How long the log may be where nobody reads for long. What is written below is twice as much.
LOG_LIMIT = 48 * MEGABYTE


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def bulky(number: int) -> Callable[[Connection], None]:
    """A megabyte on its way into the quarantine."""
    body = b"x" * MEGABYTE
    return lambda conn: quarantine.add(conn, str(number), "orders/create", "odd", body, 0)


@pytest.fixture
def store(sqlite_url: str) -> Iterator[SqliteStore]:
    opened = open_store(sqlite_url)
    assert isinstance(opened, SqliteStore)
    yield opened
    opened.close()


def log_bytes(store: SqliteStore) -> int:
    return Path(f"{store.path}-wal").stat().st_size


# --- the log, and who moves it into the file


def test_a_migration_waits_for_its_turn_to_write(tmp_path: Path) -> None:
    database = tmp_path / "tracking.db"
    with writing(database):
        migration = threading.Thread(target=migrate, args=(f"sqlite:///{database}",), daemon=True)
        migration.start()
        wait_for_waiter(Path(f"{database}.lock"))
        assert not database.exists()
    migration.join(PATIENCE)

    assert not migration.is_alive()
    assert database.exists()


def wait_for_waiter(path: Path) -> None:
    """Until somebody waits for the lock of this file, as the kernel lists it."""
    number = f":{path.stat().st_ino}"

    def is_waited_for() -> bool:
        lines = Path("/proc/locks").read_text().splitlines()
        return any("->" in line and line.split()[6].endswith(number) for line in lines)

    until(is_waited_for)


def test_a_start_keeps_no_writer_waiting_while_another_program_holds_the_database(
    store: SqliteStore,
) -> None:
    store.commit(lambda _: None)
    url = f"sqlite:///{store.path}"
    with (
        ThreadPoolExecutor(2) as pool,
        closing(sqlite3.connect(store.path, isolation_level=None)) as foreign,
    ):
        foreign.execute("BEGIN IMMEDIATE")
        start = pool.submit(migrate, url)
        try:
            while not _is_locked(lock_path(store.path)):
                assert not start.done()
            with pytest.raises(StoreUnavailable):
                pool.submit(store.commit, lambda _: None).result(PATIENCE)
            assert not start.done()
        finally:
            foreign.execute("ROLLBACK")
        assert start.result(PATIENCE) is None


def _is_locked(path: Path) -> bool:
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_connections_that_read_make_no_checkpoints(store: SqliteStore) -> None:
    with store.read() as conn:
        reads = conn.cursor.execute("PRAGMA wal_autocheckpoint").fetchone()
    writes = store.commit(lambda conn: conn.cursor.execute("PRAGMA wal_autocheckpoint").fetchone())

    assert (reads, writes) == ((0,), (4000,))


def test_the_log_stays_short_while_many_write_and_read(store: SqliteStore) -> None:
    enough = threading.Event()

    def look() -> None:
        while not enough.is_set():
            with store.read() as conn:
                quarantine.count(conn)

    with ThreadPoolExecutor(6) as threads:
        readers = [threads.submit(look) for _ in range(2)]
        lengths = list(
            threads.map(lambda n: (store.commit(bulky(n)), log_bytes(store))[1], range(80))
        )
        enough.set()
        for reader in readers:
            reader.result(PATIENCE)

    assert max(lengths) < LOG_LIMIT


def test_a_log_that_grew_beside_a_long_reader_is_cut_back(store: SqliteStore) -> None:
    with store.read() as conn:
        quarantine.count(conn)
        for number in range(60):
            store.commit(bulky(number))
        grown = log_bytes(store)
    until(lambda: (store.commit(bulky(60)), log_bytes(store) <= LONGEST_LOG)[1])

    assert grown > 60 * MEGABYTE > LONGEST_LOG >= log_bytes(store)


def test_a_log_that_grew_while_much_was_written_is_cut_back_at_its_end(store: SqliteStore) -> None:
    with store.bulk():
        for number in range(60):
            store.commit(bulky(number))
        grown = log_bytes(store)

    assert grown > 40 * MEGABYTE > LONGEST_LOG >= log_bytes(store)


def test_what_is_erased_is_wiped_from_the_log_at_once(store: SqliteStore) -> None:
    store.commit(bulky(1))

    store.wipe_log()

    assert log_bytes(store) == 0


def test_a_log_that_somebody_reads_is_wiped_by_the_next_who_writes(store: SqliteStore) -> None:
    store.commit(bulky(1))
    with store.read() as conn:
        quarantine.count(conn)
        store.commit(bulky(2))
        store.wipe_log()
        assert log_bytes(store) > 0

    until(lambda: (store.commit(quarantine.count), log_bytes(store) == 0)[1])


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ((3, 40, 1), "SQLite 3.40.1: checkpoints only under the write lock, as this version needs"),
        ((3, 44, 6), "SQLite 3.44.6: checkpoints only under the write lock"),
        ((3, 45, 0), "SQLite 3.45.0: checkpoints only under the write lock, as this version needs"),
        ((3, 50, 7), "SQLite 3.50.7: checkpoints only under the write lock"),
        ((3, 51, 2), "SQLite 3.51.2: checkpoints only under the write lock, as this version needs"),
        ((3, 51, 3), "SQLite 3.51.3: checkpoints only under the write lock"),
        ((3, 54, 0), "SQLite 3.54.0: checkpoints only under the write lock"),
    ],
)
def test_it_is_said_which_protection_is_in_force(version: tuple[int, ...], said: str) -> None:
    assert protection(version) == said


def test_the_doctor_says_it_too(build_service: BuildService, sqlite_url: str) -> None:
    found = {each.subject: each.text for each in findings(build_service(sqlite_url))}

    assert found["log"] == protection()


# --- where the file may lie

MOUNTS = r"""
proc /proc proc rw,nosuid 0 0
/dev/vda1 / ext4 rw,relatime 0 0
10.0.0.5:/export /srv/shared nfs4 rw,vers=4.2 0 0
//nas/share /mnt/win\040dows cifs rw 0 0
host /mnt/host 9p rw,trans=virtio 0 0
me@there:/home /home/me/there fuse.sshfs rw 0 0
/dev/vdb1 /srv/shared/local ext4 rw 0 0
bucket /mnt/bucket fuse.s3fs rw 0 0
portal /run/user/1000/doc fuse.portal rw 0 0
/dev/sdc1 /media/usb fuseblk rw 0 0
overlay /var/lib/app overlay rw 0 0
a:/x /covered nfs rw 0 0
/dev/vdc1 /covered xfs rw 0 0
/dev/vdc1 /covered-too xfs rw 0 0
b:/x /covered-too nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/shared/tracking.db", "nfs4"),
        ("/srv/shared/deep/er/tracking.db", "nfs4"),
        ("/mnt/win dows/tracking.db", "cifs"),
        ("/mnt/host/tracking.db", "9p"),
        ("/home/me/there/tracking.db", "fuse.sshfs"),
        ("/mnt/bucket/tracking.db", "fuse.s3fs"),
        ("/covered-too/tracking.db", "nfs"),
        ("/data/tracking.db", ""),
        ("/srv/sharedness/tracking.db", ""),
        ("/srv/shared/local/tracking.db", ""),
        ("/run/user/1000/doc/tracking.db", ""),
        ("/media/usb/tracking.db", ""),
        ("/var/lib/app/tracking.db", ""),
        ("/covered/tracking.db", ""),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(path: str, kind: str) -> None:
    assert shared_by(Path(path), MOUNTS) == kind


def test_a_link_is_followed_to_where_the_file_really_lies(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "here").symlink_to(there)

    assert shared_by(tmp_path / "here" / "tracking.db", f"a:/x {there} nfs rw 0 0\n") == "nfs"


@pytest.mark.parametrize("mounts", ["", "\n", "nonsense", "a b\n\n", "/dev/vda1 / ext4"])
def test_where_nothing_is_known_nothing_is_refused(mounts: str) -> None:
    assert shared_by(Path("/data/tracking.db"), mounts) == ""


def test_the_service_does_not_start_on_a_network_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"10.0.0.5:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystems, "MOUNTS", mounts)
    url = f"sqlite:///{tmp_path}/tracking.db"
    settings = Settings.from_env({"SHOPIFY_WEBHOOK_SECRET": SECRET, "DATABASE_URL": url})

    with pytest.raises(ConfigurationError, match=r"DATABASE_URL: .* \(nfs4\), .* accepted: a disk"):
        open_service(settings, float)

    assert not path_of(url).exists()


# --- errors of the disk
