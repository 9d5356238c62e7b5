"""An import in a process of its own: killed, and in a terminal."""

import io
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

from tests.actors import Clock
from tests.conftest import BuildService
from tests.import_files import _must_not_be, sales, table
from tests.servers import PATIENCE, ROOT, environment, flask_command
from tests.store_contents import rows
from tracking.receive.imports import Importer, ImportSource


def recent(count: int) -> bytes:
    """Rows that are young by the machine's clock."""
    return table(sales(count, event_time=str(int(time.time()) - 60)))


def test_an_import_that_was_killed_is_finished_by_the_next(
    build_service: BuildService, database_url: str, clock: Clock, tmp_path: Path
) -> None:
    content = recent(1500)
    file = tmp_path / "events.csv"
    file.write_bytes(content)
    words = flask_command("import-events", str(file), "--stop-on-invalid", "--batch-size", "50")
    service = build_service(database_url, PINTEREST_ACCESS_TOKEN="t", PINTEREST_AD_ACCOUNT_ID="1")
    killed = subprocess.Popen(words, cwd=ROOT, env=environment(database_url))
    deadline = time.monotonic() + PATIENCE
    while not rows(service.store, "conversions"):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait(PATIENCE)
    left = len(rows(service.store, "conversions"))
    assert 0 < left < 1500
    assert left % 50 == 0

    clock.now = time.time()
    importer = Importer(service.events, service.tracker, int(clock.now), _must_not_be)
    importer.run(ImportSource(io.BytesIO(content)), 500)

    assert (importer.counts.stored, importer.counts.duplicates) == (1500 - left, left)
    assert len({row["event_id"] for row in rows(service.store, "outbox")}) == 1500
    assert len(rows(service.store, "outbox")) == len(rows(service.store, "conversions")) == 1500


def test_a_terminal_shows_rate_and_remaining_time(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_bytes(recent(450))
    leader, follower = pty.openpty()
    found = subprocess.run(
        flask_command("import-events", str(file), "--dry-run"),
        cwd=ROOT,
        env=environment(sqlite_url) | {"TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=follower,
        check=True,
    )
    os.close(follower)
    shown = os.read(leader, 65_536).decode()
    os.close(leader)

    assert found.stdout == b"450 records read, all of them fit; nothing was stored\n"
    assert "checking" in shown
    assert "a second" in shown
    assert "100%" in shown
