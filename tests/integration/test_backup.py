"""The way back from a backup: everything that was in it, nothing beside it, or no change at all."""

import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask.cli import cli as flask_command

from tests.actors import SECRET
from tests.servers import PATIENCE
from tests.store_contents import Database
from tracking.store import backup, migrations, open_store, quarantine
from tracking.store.backup import NoRestore, restore
from tracking.store.engine.file_locks import present
from tracking.store.migrations import head


def test_a_backup_takes_the_place_of_the_database_which_is_kept(
    database: Database, copy: Path, kept_as: Path
) -> None:
    assert restore(copy, database.path, kept_as) == head()

    assert database.names == {"early"}
    assert Database(kept_as).names == {"early", "late"}


def test_what_the_old_log_held_goes_with_the_old_database_and_not_into_the_new_one(
    database: Database, copy: Path, kept_as: Path
) -> None:
    database.put_in_log("in the log")
    assert Path(f"{database.path}-wal").stat().st_size > 0

    restore(copy, database.path, kept_as)

    assert database.names == {"early"}
    assert Database(kept_as).names == {"early", "late", "in the log"}


def test_a_broken_database_is_replaced_and_kept_as_it_is(
    database: Database, copy: Path, kept_as: Path
) -> None:
    broken = b"no database at all" * 1000
    database.path.write_bytes(broken)
    log = Path(f"{database.path}-wal")
    log.write_bytes(b"what may still be read by somebody")

    restore(copy, database.path, kept_as)

    assert database.names == {"early"}
    assert kept_as.read_bytes() == broken
    assert Path(f"{kept_as}-wal").read_bytes() == b"what may still be read by somebody"


def test_a_backup_is_restored_on_a_new_machine(copy: Path, tmp_path: Path) -> None:
    new = tmp_path / "new" / "tracking.db"

    restore(copy, new, tmp_path / "new" / "before")

    assert Database(new).names == {"early"}
    assert not (tmp_path / "new" / "before").exists()


def test_a_backup_where_nobody_may_write_is_restored_too_and_stays_one_file(
    database: Database, copy: Path, kept_as: Path
) -> None:
    shelf = copy.parent / "shelf"
    shelf.mkdir()
    copy.rename(shelf / "copy.db")
    before = (shelf / "copy.db").read_bytes()
    shelf.chmod(0o500)

    restore(shelf / "copy.db", database.path, kept_as)

    assert database.names == {"early"}
    assert [path.name for path in shelf.iterdir()] == ["copy.db"]
    assert (shelf / "copy.db").read_bytes() == before


def test_the_new_file_has_the_owner_and_the_rights_of_the_old_one(
    database: Database, copy: Path, kept_as: Path
) -> None:
    database.path.chmod(0o640)

    restore(copy, database.path, kept_as)

    assert stat.S_IMODE(database.path.stat().st_mode) == 0o640
    assert database.path.stat().st_uid == kept_as.stat().st_uid


def refusal(copy: Path, database: Database, kept_as: Path) -> str:
    """Why nothing was restored; the database is as it was, and nothing lies about."""
    before, files = database.path.read_bytes(), set(database.path.parent.iterdir())
    with pytest.raises(NoRestore) as told:
        restore(copy, database.path, kept_as)
    assert database.path.read_bytes() == before
    assert {p for p in database.path.parent.iterdir() if p.suffix != ".in-use"} <= files
    return str(told.value)


def test_nothing_is_restored_under_a_running_service(
    database: Database, copy: Path, kept_as: Path
) -> None:
    service = open_store(f"sqlite:///{database.path}")
    with service.read() as conn:
        quarantine.count(conn)

    assert refusal(copy, database, kept_as).endswith("is in use: stop the service first")

    service.close()
    restore(copy, database.path, kept_as)
    assert database.names == {"early"}


def test_nothing_is_restored_while_somebody_makes_a_backup(
    database: Database, copy: Path, kept_as: Path
) -> None:
    with present(database.path):
        assert "in use" in refusal(copy, database, kept_as)


def test_a_service_that_starts_meanwhile_waits_and_finds_the_new_database(
    database: Database, copy: Path, kept_as: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Future[set[str]]] = []
    with ThreadPoolExecutor(1) as threads:
        known = migrations.is_known

        def start(revision: str) -> bool:
            started.append(threads.submit(lambda: database.names))
            return known(revision)

        monkeypatch.setattr(backup, "is_known", start)
        restore(copy, database.path, kept_as)

        assert started[0].result(PATIENCE) == {"early"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


def overwritten(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[8_000:60_000] = bytes(52_000)
    path.write_bytes(body)


def of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE t (a)")


def of_a_later_release(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.commit()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, ""),
        (overwritten, ""),
        (
            lambda path: path.write_bytes(b"an e-mail" * 999),
            "copy.db cannot be restored: file is not a database",
        ),
        (lambda path: path.write_bytes(b""), "no schema version"),
        (lambda path: path.unlink(), "there is no backup at "),
        (of_another_program, "no schema version"),
        (of_a_later_release, "at schema 9999, which this release does not know"),
    ],
    ids=["cut", "overwritten", "other bytes", "empty", "missing", "foreign", "later"],
)
def test_what_is_no_sound_backup_of_ours_is_not_restored(
    database: Database, copy: Path, kept_as: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(copy)

    assert said in refusal(copy, database, kept_as)
    assert database.names == {"early", "late"}


# --- the command


@pytest.fixture
def types(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Types `flask --app app …` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "DATABASE_URL": f"sqlite:///{database.path}",
        "FLASK_SKIP_DOTENV": "1",
    }

    def invoke(*words: str, **more: str) -> Result:
        return CliRunner().invoke(flask_command, ["--app", "app", *words], env={**env, **more})

    return invoke


def test_the_command_says_what_it_did_and_what_is_sent_once_more(
    types: Callable[..., Result], database: Database, copy: Path
) -> None:
    said = types("restore", str(copy))

    assert said.exit_code == 0, said.output
    first, kept, *rest = said.stdout.splitlines()
    assert first == f"{database.path} is {copy} now, at schema {head()}, checked"
    old = Path(kept.removeprefix("what was there before is kept as "))
    assert Database(old).names == {"early", "late"}
    assert "reconcile" in rest[0]
    assert "offline" in rest[1]


def test_the_command_refuses_in_one_line(types: Callable[..., Result], copy: Path) -> None:
    copy.unlink()

    said = types("restore", str(copy))

    assert (said.exit_code, said.stderr) == (1, f"Error: there is no backup at {copy}\n")


def test_for_postgresql_the_command_names_the_tool(
    types: Callable[..., Result], copy: Path
) -> None:
    said = types("restore", str(copy), DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1/none")

    assert said.exit_code == 1
    assert "pg_restore" in said.stderr


# --- under load
