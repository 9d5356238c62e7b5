"""The events of a checked file, which are kept until they are stored."""

import io
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.actors import NOW
from tests.conftest import BuildService
from tests.import_files import _must_not_be, sale, sales, table
from tests.store_contents import is_empty, rows
from tracking.receive.imports import CheckedEvents, Importer, ImportSource, RejectedRecord
from tracking.receive.imports.row_groups import EventRow
from tracking.service import Service
from tracking.store.engine.disk_guard import DiskGuard

PLENTY = 10**12
# So little is kept in memory that all of it is written to the disk.
NOTHING = 1


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str) -> Service:
    return build_service(sqlite_url, PINTEREST_ACCESS_TOKEN="t", PINTEREST_AD_ACCOUNT_ID="1")


def disk(folder: Path, free: int = PLENTY, floor: int = 0) -> DiskGuard:
    return DiskGuard(folder, floor, lambda _: free)


def importer(service: Service, refuse: Callable[[RejectedRecord], None] = _must_not_be) -> Importer:
    return Importer(service.events, service.tracker, NOW, refuse, reach=10)


def check(
    service: Service,
    content: bytes,
    kept: CheckedEvents,
    refuse: Callable[[RejectedRecord], None] = _must_not_be,
) -> None:
    importer(service, refuse).check(ImportSource(io.BytesIO(content)), kept)


def large() -> bytes:
    """Rows of which one comes twice, and two are one order."""
    told = sales(450)
    items = [sale(500, order_id="7", item_id=n, item_name=f"Mug {n}") for n in ("11", "12")]
    for item in items:
        item["event_id"] = ""
    header = dict.fromkeys(items[0], "")
    return table([header | row for row in (*told, told[-1], *items)])


def stored(service: Service) -> list[object]:
    """The rows of each table but for their numbers, which tell of the order of storing."""
    return [
        sorted(str({**row, "id": 0}) for row in rows(service.store, table))
        for table in ("conversions", "links", "outbox")
    ]


@pytest.mark.parametrize("in_memory", [PLENTY, NOTHING, 50_000])
def test_what_is_kept_of_a_file_is_stored_as_the_file_itself_would_be(
    in_memory: int, service: Service, build_service: BuildService, tmp_path: Path
) -> None:
    shutil.copy(tmp_path / "tracking.db", tmp_path / "other.db")
    other = build_service(
        f"sqlite:///{tmp_path}/other.db", PINTEREST_ACCESS_TOKEN="t", PINTEREST_AD_ACCOUNT_ID="1"
    )
    read, told = importer(other), importer(service)
    read.run(ImportSource(io.BytesIO(large())))

    with CheckedEvents(disk(tmp_path), in_memory) as kept:
        check(service, large(), kept)
        assert is_empty(service.store)
        told.store(kept)

    assert told.counts == read.counts
    assert stored(service) == stored(other)


def test_events_are_stored_in_the_order_of_their_persons(service: Service, tmp_path: Path) -> None:
    with CheckedEvents(disk(tmp_path), NOTHING) as kept:
        check(service, table(sales(250)), kept)
        blocks = list(kept.blocks())

    events = [row.prepared for _, told in blocks for row in told if row.prepared]
    persons = [event.visitor[:8] for event in events]
    assert len({event.event_id for event in events}) == 250
    assert persons == sorted(persons)
    positions = [position for position, _ in blocks]
    assert positions == sorted(positions)
    assert positions[-1] == len(table(sales(250)))


@pytest.mark.parametrize("column", ["event_id", "order_id"])
def test_of_one_event_or_order_the_first_row_of_the_file_is_stored_first(
    column: str, service: Service, tmp_path: Path
) -> None:
    """However far apart they are, and whoever they name."""
    told = sales(100)
    others = [row | {"em": f"other{n}@example.com"} for n, row in enumerate(told)]
    if column == "order_id":
        told = [row | {"order_id": f"o{n}"} for n, row in enumerate(told)]
        others = [
            row | {"event_id": f"other-{n}", "order_id": f"o{n}"} for n, row in enumerate(others)
        ]

    with CheckedEvents(disk(tmp_path)) as kept:
        check(service, table([*told, *others]), kept)
        lines = [
            (getattr(row, column), row.records[0].line) for _, rows in kept.blocks() for row in rows
        ]

    assert len(lines) == 200
    for (name, line), (again, later) in zip(lines[::2], lines[1::2], strict=True):
        assert name == again
        assert line < later


def test_a_postgresql_stores_what_is_kept_in_memory(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    told = importer(service)

    with CheckedEvents(service.disk_guard) as kept:
        check(service, table(sales(250)), kept)
        told.store(kept, batch_size=100)

    assert (told.counts.read, told.counts.stored) == (250, 250)
    assert len(rows(service.store, "conversions")) == 250


def test_on_the_disk_is_a_file_without_a_name_that_holds_no_cell(
    service: Service, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()

    with CheckedEvents(disk(folder), NOTHING) as kept:
        check(service, table(sales(200)), kept)

        assert list(folder.iterdir()) == []
        (file,) = _open_files_in(folder)
        content = file.read_bytes()
        assert b"till-7" in content
        assert b"buyer" not in content
        assert file.stat().st_mode & 0o077 == 0
    assert _open_files_in(folder) == []


def _open_files_in(folder: Path) -> list[Path]:
    opened = list(Path("/proc/self/fd").iterdir())
    return [one for one in opened if one.is_symlink() and folder in one.readlink().parents]


@pytest.mark.parametrize("lacking", ["no room", "no room above the floor", "no folder", "no disk"])
def test_where_they_cannot_be_kept_nothing_is_left_of_them(
    lacking: str, service: Service, tmp_path: Path
) -> None:
    disks = {
        "no room": disk(tmp_path, free=100),
        "no room above the floor": disk(tmp_path, PLENTY, floor=PLENTY),
        "no folder": disk(tmp_path / "gone"),
        "no disk": None,
    }
    with CheckedEvents(disks[lacking], NOTHING) as kept:
        check(service, table(sales(300)), kept)

        assert not kept.is_whole


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Lets this process write no file beyond so many bytes, as on a disk that is full by then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_while_they_are_kept_does_not_end_the_import(
    service: Service, tmp_path: Path
) -> None:
    """What is still buffered cannot be written when their file is closed, either."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with CheckedEvents(disk(folder), NOTHING) as kept:
        with files_no_longer_than(1000):
            check(service, table(sales(200)), kept)

        assert not kept.is_whole
        assert _open_files_in(folder) == []


def test_an_error_is_told_although_what_is_buffered_cannot_be_written(
    service: Service, tmp_path: Path
) -> None:
    stop = KeyError("the file cannot be read")

    def refuse(_: RejectedRecord) -> None:
        raise stop

    with (
        files_no_longer_than(1000),
        pytest.raises(KeyError),
        CheckedEvents(disk(tmp_path), NOTHING) as kept,
    ):
        check(service, table([*sales(200), sale(201, value="x")]), kept, refuse)


def test_there_must_be_room_for_them_and_for_as_much_in_the_database(
    service: Service, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    # More than is written at a time, so that most of it is on the disk when room is looked for.
    content = table(sales(6500))

    def kept_size(room: int) -> int:
        """The bytes of the file of kept events; 0 if they are not kept."""

        def written() -> int:
            return sum(file.stat().st_size for file in _open_files_in(folder))

        of_room = DiskGuard(folder, 0, lambda _: room - written())
        with CheckedEvents(of_room, NOTHING) as kept:
            check(service, content, kept)
            return written() if kept.is_whole else 0

    size = kept_size(PLENTY)
    assert size > 2_000_000
    assert kept_size(size * 21 // 10) == size
    assert kept_size(size * 12 // 10) == 0


def test_of_a_file_with_a_fault_nothing_is_kept(service: Service, tmp_path: Path) -> None:
    refused: list[RejectedRecord] = []

    with CheckedEvents(disk(tmp_path)) as kept:
        check(service, table([*sales(200), sale(201, value="x")]), kept, refused.append)

        assert not kept.is_whole
    assert [record.line for record in refused] == [202]


class CountedEvents(CheckedEvents):
    """Checked events that count how many were added."""

    added = 0

    def add(self, row: EventRow, position: int) -> None:
        """Count it."""
        self.added += 1
        super().add(row, position)


def test_after_the_first_fault_of_a_file_no_more_of_it_is_kept(
    service: Service, tmp_path: Path
) -> None:
    refused: list[RejectedRecord] = []

    with CountedEvents(disk(tmp_path)) as kept:
        content = table([*sales(4), sale(5, value="x"), *sales(200)[10:]])
        check(service, content, kept, refused.append)

        assert kept.added == 4
    assert [record.line for record in refused] == [6]


def test_a_conflict_that_only_the_store_knows_of_names_the_line(
    service: Service, tmp_path: Path
) -> None:
    importer(service).run(ImportSource(io.BytesIO(table([sale(150, value="1.00")]))))
    refused: list[RejectedRecord] = []

    with CheckedEvents(disk(tmp_path), NOTHING) as kept:
        check(service, table(sales(200)), kept)
        told = importer(service, refused.append)
        told.store(kept)

    assert [record.line for record in refused] == [151]
    assert (told.counts.stored, told.counts.rejected) == (199, 1)
