"""Files so large that several processes read them, and batches that find their own size."""

import gzip
import itertools
import multiprocessing
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.actors import NOW
from tests.conftest import BuildService
from tests.import_files import lines, sale, table
from tests.servers import PATIENCE, ROOT, environment, flask_command
from tests.store_contents import rows
from tests.watched_store import WatchedStore
from tracking.domain.conversion import Policy
from tracking.receive.event_input import InboundEvent
from tracking.receive.imports import (
    ImportCounts,
    Importer,
    ImportSource,
    RejectedRecord,
    StopImport,
    UnreadableFile,
)
from tracking.receive.imports.file_reader import BLOCK_SIZE
from tracking.receive.imports.parallel_reader import Block, Entry, blocks_of
from tracking.receive.imports.records import parse_records
from tracking.receive.imports.row_groups import EventRow
from tracking.receive.server_events import ServerEvents
from tracking.service import Service

# With so long a name, two thousand rows are a large file.
LONG = "x" * 600


def large(count: int, at: int = NOW - 60, **changes: Mapping[int, str]) -> list[dict[str, str]]:
    """Rows of which some are changed, by number and column."""
    told = [sale(n, item_name=LONG, event_time=str(at)) for n in range(count)]
    for column, cells in changes.items():
        for number, cell in cells.items():
            told[number][column] = cell
    return told


FAULTS = dict.fromkeys((0, BLOCK_SIZE - 1, BLOCK_SIZE, 777, 1999), "free")


def mixed() -> list[dict[str, str]]:
    return large(2000, value=FAULTS)


def random_names() -> list[dict[str, str]]:
    """Rows of which little is left out by compression."""
    named = [random.Random(n).randbytes(400).hex() for n in range(3000)]
    return [row | {"item_name": name} for row, name in zip(large(len(named)), named, strict=True)]


# Made when they are asked for: whoever collects the tests needs the names alone.
FILES: dict[str, Callable[[], bytes]] = {
    "rows": lambda: table(large(1901)),
    "whole blocks": lambda: table(large(20 * BLOCK_SIZE)),
    "rows with faults": lambda: table(mixed()),
    "rows of another width": lambda: table(large(1901)).replace(b"till-900,", b"till-900,,"),
    "blank lines": lambda: table(large(1901)).replace(b"\r\n", b"\r\n\r\n"),
    "a quote that is never closed": lambda: table(large(1901)).replace(
        b"till-1700,", b'"till-1700,'
    ),
    "JSON lines": lambda: lines(*large(1901)),
    "JSON lines with faults": lambda: lines(*mixed()).replace(
        b'{"event_name": "checkout"', b"{", 3
    ),
    "gzip": lambda: gzip.compress(table(random_names())),
}


def read(service: Service, path: Path, readers: int) -> list[Any]:
    """All that is made of a file's readings, and how it ends."""

    def entries_of(source: ImportSource) -> Iterator[Entry]:
        for reading in parse_records(source, Policy(), NOW):
            if isinstance(reading, RejectedRecord):
                yield reading
            else:
                assert isinstance(reading.value, InboundEvent)
                prepared = service.events.prepare(reading.value, NOW)
                names = (prepared.event_id, prepared.order_id)
                yield EventRow(reading.records, *names, prepared, reading.value.left_out)

    with path.open("rb") as raw:
        blocks = list(blocks_of(ImportSource(raw, path), entries_of, readers))
    assert all(isinstance(block, Block) for block in blocks)
    assert [block.end for block in blocks[:-1]] == [None] * (len(blocks) - 1)
    entries = [entry for block in blocks for entry in block.entries]
    return [*map(_comparable, entries), sum(block.read for block in blocks), blocks[-1].end]


def _comparable(entry: Any) -> Any:
    if isinstance(entry, RejectedRecord):
        return entry.line, entry.reason
    records = [tuple(record) for record in entry.records]
    return records, entry.event_id, entry.prepared, entry.left_out


def must_not_be(refused: RejectedRecord) -> None:
    raise AssertionError(refused.reason)


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str) -> Service:
    env = {"PINTEREST_ACCESS_TOKEN": "pina_test_token", "PINTEREST_AD_ACCOUNT_ID": "1"}
    return build_service(sqlite_url, **env)


@pytest.mark.parametrize("kind", FILES)
def test_however_many_read_a_file_it_says_the_same(
    kind: str, service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "events"
    path.write_bytes(FILES[kind]())
    assert path.stat().st_size > 1024 * 1024

    alone = read(service, path, 0)
    for readers in (1, 3):
        assert read(service, path, readers) == alone


def importing(
    service: Service,
    path: Path,
    refuse: Callable[[RejectedRecord], None] = must_not_be,
    **more: Any,
) -> Importer:
    """An import by several, which has begun and ended."""
    importer = Importer(service.events, service.tracker, NOW, refuse, cores=3, reach=100, **more)
    with path.open("rb") as raw:
        importer.run(ImportSource(raw, path))
    return importer


def test_a_large_file_is_taken_in_once(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(FILES["rows"]())

    first, again = importing(service, path).counts, importing(service, path).counts

    assert (first.read, first.stored, first.duplicates) == (1901, 1901, 0)
    assert (again.read, again.stored, again.duplicates) == (1901, 0, 1901)
    assert first.position == path.stat().st_size
    assert len(rows(service.store, "outbox")) == 1901


def test_what_comes_before_the_first_fault_is_stored_and_nothing_after_it(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(table(large(2000, value={1203: "free"})))

    def stop(refused: RejectedRecord) -> None:
        raise StopImport(f"line {refused.line}")

    with pytest.raises(StopImport, match="line 1205"):
        importing(service, path, stop)

    assert len(rows(service.store, "conversions")) == 1203
    assert not multiprocessing.active_children()


def test_a_reader_that_is_killed_ends_the_import_and_the_next_one_finishes_it(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(table(large(4000)))

    def kill(counts: ImportCounts) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(UnreadableFile, match="a process that read the file was stopped"):
        importing(service, path, on_progress=kill)

    before = len(rows(service.store, "conversions"))
    assert 0 < before < 4000
    assert importing(service, path).counts.stored == 4000 - before


def test_no_reader_outlives_an_import_that_is_killed(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(table(large(30_000, at=int(time.time()) - 60)))
    words = flask_command("import-events", str(path), "--stop-on-invalid")
    importer = subprocess.Popen(
        words, cwd=ROOT, env=environment(sqlite_url), start_new_session=True
    )
    wait_until(lambda: len(members_of(importer.pid)) > 1 or importer.poll() is not None)
    assert importer.poll() is None, "it ended before its readers were seen"

    importer.send_signal(signal.SIGKILL)
    importer.wait(PATIENCE)

    wait_until(lambda: not members_of(importer.pid))


def test_an_import_that_stops_early_says_so_in_one_line(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(table(large(20_000, at=int(time.time()) - 60, value={700: "free"})))
    found = subprocess.run(
        flask_command("import-events", str(path), "--stop-on-invalid"),
        cwd=ROOT,
        env=environment(sqlite_url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    (said,) = found.stderr.splitlines()
    assert said.startswith("Error: line 702: value: ")


def members_of(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(pgrp) == group and state != "Z":
                found.append(int(entry.name))
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("seconds", "commits"), [(0.4, 8), (4.0, 8), (0.001, 4)], ids=["fitting", "slow", "quick"]
)
def test_a_batch_is_as_large_as_can_be_stored_in_half_a_second(
    seconds: float, commits: int, service: Service, tmp_path: Path
) -> None:
    store = WatchedStore(service.store)
    events = ServerEvents(store, service.events.planner, service.clock)
    ticks = itertools.count(0.0, seconds)
    importer = Importer(events, service.tracker, NOW, must_not_be, timer=lambda: next(ticks))
    path = tmp_path / "events.csv"
    path.write_bytes(table(large(4000)))

    with path.open("rb") as raw:
        importer.run(ImportSource(raw))

    assert importer.counts.stored == 4000
    assert store.commits == commits
