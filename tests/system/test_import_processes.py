"""An import in a process of its own: killed, and in a terminal."""

import io
import os
import pty
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.actors import Clock
from tests.conftest import BuildService
from tests.import_files import _must_not_be, sales, table
from tests.servers import PATIENCE, ROOT, environment, flask_command
from tests.store_contents import rows
from tracking.receive.imports import Importer, ImportSource
from tracking.receive.imports.row_groups import REACH


def recent(count: int) -> bytes:
    """Rows that are young by the machine's clock."""
    return table(sales(count, event_time=str(int(time.time()) - 60)))


def all_of(terminal: int) -> str:
    """What a terminal shows until the last that writes to it is gone."""
    shown = b""
    # At its end Linux reports an error.
    with suppress(OSError):
        while part := os.read(terminal, 65_536):
            shown += part
    return shown.decode()


def test_an_import_that_was_killed_is_finished_by_the_next(
    build_service: BuildService, database_url: str, clock: Clock
) -> None:
    rows_in_all = REACH + 1000
    content = recent(rows_in_all)
    # More lines than rows may lie apart that are joined: some are stored before the file ends,
    # which it does not, so that the import cannot be over before it is killed.
    begun = b"".join(content.splitlines(keepends=True)[: REACH + 500])
    words = flask_command("import-events", "-", "--stop-on-invalid", "--batch-size", "50")
    service = build_service(database_url, PINTEREST_ACCESS_TOKEN="t", PINTEREST_AD_ACCOUNT_ID="1")
    killed = subprocess.Popen(words, cwd=ROOT, env=environment(database_url), stdin=subprocess.PIPE)
    assert killed.stdin is not None
    with killed.stdin as file:
        file.write(begun)
        file.flush()
        deadline = time.monotonic() + PATIENCE
        while not rows(service.store, "conversions"):
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait(PATIENCE)
    left = len(rows(service.store, "conversions"))
    assert 0 < left < rows_in_all
    assert left % 50 == 0

    clock.now = time.time()
    importer = Importer(service.events, service.tracker, int(clock.now), _must_not_be)
    importer.run(ImportSource(io.BytesIO(content)), 500)

    counts = importer.counts
    assert (counts.stored, counts.duplicates) == (rows_in_all - left, left)
    assert len({row["event_id"] for row in rows(service.store, "outbox")}) == rows_in_all
    stored = [len(rows(service.store, table)) for table in ("outbox", "conversions")]
    assert stored == [rows_in_all, rows_in_all]


def test_a_terminal_shows_rate_and_remaining_time(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_bytes(recent(450))
    leader, follower = pty.openpty()
    with ThreadPoolExecutor(1) as pool:
        # The longer the import takes, the more it shows: it must not wait for a reader.
        reading = pool.submit(all_of, leader)
        try:
            found = subprocess.run(
                flask_command("import-events", str(file), "--dry-run"),
                cwd=ROOT,
                env=environment(sqlite_url) | {"TERM": "xterm"},
                stdout=subprocess.PIPE,
                stderr=follower,
                check=True,
            )
        finally:
            os.close(follower)
        shown = reading.result()
    os.close(leader)

    assert found.stdout == b"450 records read, all of them fit; nothing was stored\n"
    assert "checking" in shown
    assert "a second" in shown
    assert "100%" in shown
