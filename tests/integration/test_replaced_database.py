"""A SQLite file that is moved, replaced or deleted while it is open takes no order any more."""

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from app import assemble
from config import ConfigurationError, Settings
from tests.actors import NOW, SECRET, Clock, Shop, instant, order
from tests.conftest import BuildService
from tests.store_contents import Database, body_named, rows
from tracking.receive.received_order import ReceivedOrder
from tracking.service import open_service, place_problem
from tracking.store import StoreUnavailable, backup, open_store
from tracking.store.engine.file_locks import lock, lock_path, open_lock
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.statement import Connection

Act = Callable[[Path], object]


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    shutil.copy(path, other)
    other.rename(path)


ACTS: dict[str, Act] = {
    "moved": lambda path: path.rename(path.with_name("away.db")),
    "deleted": Path.unlink,
    "replaced": replace,
    "its folder moved": lambda path: path.parent.rename(path.parent.with_name("away")),
    "its log deleted": lambda path: Path(f"{path}-wal").unlink(),
    "its log replaced": lambda path: replace(Path(f"{path}-wal")),
    "its index deleted": lambda path: Path(f"{path}-shm").unlink(),
}


@pytest.fixture
def store(database: Database) -> Iterator[SqliteStore]:
    """The database, opened and written to."""
    opened = opened_at(database.path)
    put(opened, "known")
    yield opened
    opened.close()


def opened_at(path: Path) -> SqliteStore:
    opened = open_store(f"sqlite:///{path}")
    assert isinstance(opened, SqliteStore)
    return opened


def put(store: SqliteStore, name: str) -> None:
    store.commit(partial(body_named, name))


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_nothing_is_acknowledged_that_a_restart_would_not_find(
    store: SqliteStore, act: Act
) -> None:
    act(store.path)

    for name in ("one", "two"):
        with pytest.raises(StoreUnavailable, match="not at its path"):
            put(store, name)
        with pytest.raises(StoreUnavailable, match="not at its path"):
            store.commit_later(partial(body_named, name)).result(20)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_is_written_while_the_file_goes_is_not_acknowledged(
    store: SqliteStore, act: Act
) -> None:
    def last(conn: object) -> None:
        act(store.path)

    with pytest.raises(StoreUnavailable, match="not at its path"):
        store.commit(last)


def test_an_error_does_not_make_it_go_on_with_another_file(store: SqliteStore) -> None:
    replace(store.path)
    store._writer.drop()

    with pytest.raises(StoreUnavailable, match="not at its path"):
        put(store, "late")


def test_no_reader_makes_a_new_file_where_the_database_was(store: SqliteStore) -> None:
    store.path.unlink()

    with pytest.raises(StoreUnavailable), store.read():
        pass
    assert not store.path.exists()


def test_back_at_its_path_it_is_written_again(store: SqliteStore, database: Database) -> None:
    away = store.path.with_name("away.db")
    store.path.rename(away)
    with pytest.raises(StoreUnavailable):
        put(store, "late")
    away.rename(store.path)
    put(store, "later")
    store.close()

    assert database.names == {"early", "known", "later"}


class Leaving(ReceivedOrder):
    """An order that is written at the moment in which the database is moved away."""

    path: Path

    @classmethod
    def put(cls, conn: Connection, works: Sequence[ReceivedOrder]) -> None:
        super().put(conn, works)
        cls.path.rename(cls.path.with_name("away.db"))


def test_what_was_written_while_the_file_went_answers_for_nothing_later(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url)
    tracker, path = service.tracker, Path(sqlite_url.removeprefix("sqlite:///"))
    buyer = {"email": "ben@example.com", "contact_email": None, "customer": None}
    known, another = order(id=1), order(id=2, billing_address=None, **buyer)
    newer = order(id=1, updated_at=instant(NOW + 60), financial_status="voided")
    tracker.receive_order(json.dumps(known).encode(), "orders/create")
    Leaving.path = path
    with pytest.raises(StoreUnavailable):
        service.store.commit(Leaving(tracker._desk, "orders/create", json.dumps(another).encode()))
    path.with_name("away.db").rename(path)

    tracker.receive_order(json.dumps(newer).encode(), "orders/updated")
    states = {row["id"]: row["financial_status"] for row in rows(service.store, "orders")}
    assert states["1"] == "voided"


def test_an_open_file_that_is_closed_takes_the_one_at_its_path(
    store: SqliteStore, database: Database
) -> None:
    replace(store.path)
    store.close()
    put(store, "late")

    assert "late" in database.names


@pytest.mark.parametrize("ends", [("-wal",), ("-wal", "-shm"), ("-shm",)], ids=" ".join)
def test_without_its_log_nothing_is_lost_that_was_acknowledged(
    store: SqliteStore, tmp_path: Path, ends: tuple[str, ...]
) -> None:
    for end in ends:
        Path(f"{store.path}{end}").unlink()
    with pytest.raises(StoreUnavailable):
        put(store, "late")
    # As after a kill, which leaves what is in the folder.
    shutil.copytree(store.path.parent, tmp_path / "left")

    assert "known" in Database(tmp_path / "left" / store.path.name).names


def test_a_process_that_comes_after_its_log_was_deleted_writes_nothing(store: SqliteStore) -> None:
    Path(f"{store.path}-wal").unlink()
    other = opened_at(store.path)

    with pytest.raises(StoreUnavailable):
        put(other, "late")
    other.close()


def test_the_log_says_once_that_it_is_gone_and_that_it_is_back(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    away = store.path.with_name("away.db")
    with caplog.at_level(logging.INFO):
        store.path.rename(away)
        for name in "abc":
            with pytest.raises(StoreUnavailable):
                put(store, name)
        away.rename(store.path)
        put(store, "d")

    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert str(store.path) in caplog.text


def test_webhooks_come_again_and_it_is_not_ready(
    build_service: BuildService, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = build_service(sqlite_url)
    client = assemble(service).test_client()
    shop = Shop(client)
    assert shop.sends("orders/create", order(id=1)).status_code == 200
    assert client.get("/ready").status_code == 200
    with caplog.at_level(logging.INFO):
        Path(sqlite_url.removeprefix("sqlite:///")).unlink()
        statuses = {
            shop.sends(topic, order(id=2)).status_code
            for topic in ("orders/create", "refunds/create", "orders/delete", "checkouts/create")
        }
        ready = client.get("/ready")

    assert statuses == {503}
    assert (ready.status_code, ready.get_json()) == (503, {"status": "unavailable"})
    assert [record.levelname for record in caplog.records] == ["ERROR"]


# --- links and mounts


@pytest.fixture
def link(database: Database, tmp_path: Path) -> Path:
    """Another path of the database."""
    made = tmp_path / "link.db"
    made.symlink_to(database.path)
    return made


def test_a_link_is_followed_and_its_log_found(link: Path, database: Database) -> None:
    store = opened_at(link)
    put(store, "late")
    store.close()

    assert database.names == {"early", "late"}


def test_a_link_that_leads_elsewhere_now_takes_nothing(link: Path, database: Database) -> None:
    store = opened_at(link)
    put(store, "late")
    other = shutil.copy(database.path, database.path.with_name("other.db"))
    link.unlink()
    link.symlink_to(other)

    with pytest.raises(StoreUnavailable, match="not at its path"):
        put(store, "later")
    store.close()


def test_by_link_and_by_name_a_database_has_the_same_locks(link: Path, database: Database) -> None:
    assert lock_path(link) == lock_path(database.path)


def test_a_restore_keeps_a_link(link: Path, copy: Path, kept_as: Path, database: Database) -> None:
    backup.restore(copy, link, kept_as)

    assert link.is_symlink()
    assert database.names == {"early"}


def test_a_deleted_lock_file_lets_no_second_writer_in(store: SqliteStore) -> None:
    path = lock_path(store.path)
    path.unlink()
    held = open_lock(path)
    lock(held)
    waiting = threading.Thread(target=put, args=(store, "late"))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    os.close(held)
    waiting.join(20)

    assert not waiting.is_alive()


def test_a_restore_applies_no_log_that_was_left_without_its_database(
    database: Database, copy: Path, kept_as: Path
) -> None:
    database.put_in_log("newest")
    database.path.unlink()
    backup.restore(copy, database.path, kept_as)

    assert Path(f"{kept_as}-wal").exists()
    assert database.names == {"early"}


def test_a_start_makes_no_new_database_beside_the_log_of_the_old_one(database: Database) -> None:
    database.put_in_log("newest")
    away = database.path.rename(database.path.with_name("away.db"))
    settings = Settings.from_env(
        {"SHOPIFY_WEBHOOK_SECRET": SECRET, "DATABASE_URL": f"sqlite:///{database.path}"}
    )

    with pytest.raises(ConfigurationError, match="put the file back"):
        open_service(settings, Clock(NOW))
    away.rename(database.path)

    assert "newest" in database.names


def test_no_process_that_has_not_written_yet_makes_a_new_database(
    database: Database,
) -> None:
    store = opened_at(database.path)
    database.path.unlink()

    with pytest.raises(StoreUnavailable, match="not at its path"):
        put(store, "late")
    assert not database.path.exists()
    store.close()


def test_a_file_that_is_mounted_alone_is_refused() -> None:
    mounts = "/dev/sda1 / ext4 rw 0 0\n/dev/sda1 /data/tracking.db ext4 rw 0 0\n"

    assert "mount its folder" in place_problem(Path("/data/tracking.db"), mounts)
    assert place_problem(Path("/data/other.db"), mounts) == ""
