"""A copy of the SQLite file, taken while the service goes on."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path


class NoBackup(Exception):
    """The copy was not made, and nothing is left of it."""


def copy(source: Path, target: Path) -> int:
    """Copy one moment of the database to a new file, readable by its owner only; its bytes.

    Raises:
        NoBackup: there is no database, the target exists or cannot be written, or the copy is
            not sound.
    """
    if not source.is_file():
        raise NoBackup(f"there is no database at {source}")
    if target.exists():
        raise NoBackup(f"{target} exists already")
    unfinished = target.with_name(f".{target.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        _copy(source, unfinished)
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise NoBackup(str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(target)) as copied,
    ):
        # All pages in one step: a backup in several begins anew whenever somebody writes.
        original.backup(copied)
        (verdict,) = copied.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the copy is not sound: {verdict}")
    with target.open("rb") as written:
        os.fsync(written.fileno())
