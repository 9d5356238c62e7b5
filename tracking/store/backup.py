"""Backup of the SQLite file while the service runs, and restore from a backup.

A copy of the file alone is no backup: the last commits are in the write-ahead log beside it, and a
log that is left beside another file is applied to that file.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tracking.store.engine.file_locks import InUse, alone, present
from tracking.store.migrations import is_known

# The first bytes of every SQLite file.
_HEADER = b"SQLite format 3\0"


class NoBackup(Exception):
    """The backup failed, and no file of it is left."""


class NoRestore(Exception):
    """The restore failed; the database is unchanged."""


def copy(source: Path, target: Path) -> int:
    """Copies the database to a new file, readable by its owner only; returns its size in bytes.

    Raises:
        NoBackup: there is no database, the target exists or cannot be written, or the copy fails
            its integrity check.
    """
    if not source.is_file():
        raise NoBackup(f"there is no database at {source}")
    if target.exists():
        raise NoBackup(f"{target} exists already: name a new file, with the day in its name, say")
    if not target.parent.is_dir():
        raise NoBackup(f"there is no folder {target.parent}")
    try:
        with present(source), _unfinished(target) as part:
            _copy(f"{_uri(source)}?mode=ro", part)
            part.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise NoBackup(str(error)) from error
    return target.stat().st_size


def restore(backup: Path, database: Path, kept_as: Path) -> str:
    """Replaces the database by a backup in one step, and keeps the old database as `kept_as`.

    Returns the schema version of the backup.

    Raises:
        NoRestore: there is no sound backup of this release or an older one, the database is in
            use, or a file cannot be written.
    """
    if not backup.is_file():
        raise NoRestore(f"there is no backup at {backup}")
    if kept_as.exists():
        raise NoRestore(f"{kept_as} exists already")
    # A link stays, and leads to the backup.
    database = database.resolve()
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with alone(database), _unfinished(database) as part:
            # A backup without a log has no writer, and its folder may be read-only.
            is_closed = not Path(f"{backup}-wal").exists()
            _copy(f"{_uri(backup)}?mode=ro{'&immutable=1' if is_closed else ''}", part)
            revision = _revision(part)
            is_there = database.exists()
            if is_there:
                _take_over(database, part)
            # A log that is left without its database would be applied to the backup as well.
            _move_log_away(database, kept_as)
            if is_there:
                kept_as.hardlink_to(database)
            part.rename(database)
            _flush(database.parent)
    except InUse:
        raise NoRestore(f"{database} is in use: stop the service first") from None
    except sqlite3.Error as error:
        raise NoRestore(f"{backup} cannot be restored: {error}") from error
    except OSError as error:
        raise NoRestore(str(error)) from error
    return revision


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Yields a file beside the target, readable by its owner only, for the caller to rename.

    Removes the file in the end if it was not renamed.
    """
    part = target.with_name(f".{target.name}.part")
    beside = [part.with_name(f"{part.name}{end}") for end in ("", "-wal", "-shm", "-journal")]
    try:
        for path in beside:
            path.unlink(missing_ok=True)
        part.touch(mode=0o600)
        yield part
    finally:
        for path in beside:
            path.unlink(missing_ok=True)


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _copy(source: str, target: Path) -> None:
    with (
        closing(sqlite3.connect(source, uri=True)) as original,
        closing(sqlite3.connect(target)) as copied,
    ):
        # All pages in one step: a backup in several steps starts again after every write.
        original.backup(copied)
        (verdict,) = copied.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the copy is not sound: {verdict}")
    _flush(target)


def _revision(path: Path) -> str:
    """Returns the schema version of a copy.

    Raises:
        NoRestore: this release does not know the version.
    """
    with closing(sqlite3.connect(path)) as raw:
        try:
            row = raw.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            row = None
    if row is None:
        raise NoRestore("the backup is none of this service: it has no schema version")
    if not is_known(str(row[0])):
        raise NoRestore(f"the backup is at schema {row[0]}, which this release does not know")
    return str(row[0])


def _take_over(database: Path, part: Path) -> None:
    """Gives the new file the owner and permissions of the old one, which gets its log back."""
    status = database.stat()
    part.chmod(status.st_mode & 0o777)
    with suppress(PermissionError):
        os.chown(part, status.st_uid, status.st_gid)
    with database.open("rb") as opened:
        is_readable = opened.read(len(_HEADER)) == _HEADER
    if is_readable:
        # SQLite would delete the log of a broken database, which may be all that is left of it.
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _move_log_away(database: Path, kept_as: Path) -> None:
    for end in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{database}{end}").rename(f"{kept_as}{end}")


def _flush(path: Path) -> None:
    """Flushes a file, or the list of files of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
