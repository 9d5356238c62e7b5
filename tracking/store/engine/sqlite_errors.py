"""Errors of SQLite: the row, the schema, a foreign program or the file may be at fault."""

import re
import sqlite3

from tracking.store.engine import schema_version

# These errors mean that one statement was wrong, not that the file cannot be written.
FAULTS_OF_THE_ROW = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.NotSupportedError,
)


def is_busy(error: Exception) -> bool:
    """Returns True if a foreign program holds the lock that was asked for."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def is_foreign(error: BaseException) -> bool:
    """Returns True if a column is missing in the row that this release does not know."""
    found = re.fullmatch(r"NOT NULL constraint failed: (\w+)\.(\w+)", str(error))
    return found is not None and schema_version.is_foreign(found[1], found[2])
