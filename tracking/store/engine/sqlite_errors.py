"""Errors of SQLite: the row, the schema, a foreign program or the file may be at fault."""

import re
import sqlite3

from tracking.store.engine import schema_version
from tracking.store.engine.statement import StoreUnavailable

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


def seen_by_caller(error: BaseException, version: str) -> BaseException:
    """Returns the error that the caller of a failed work sees; `version` is the schema's."""
    is_of_row = isinstance(error, FAULTS_OF_THE_ROW)
    is_of_schema = version != schema_version.NEWEST or _is_foreign(error)
    if (is_of_row and not is_of_schema) or not isinstance(error, sqlite3.DatabaseError | OSError):
        return error
    unavailable = StoreUnavailable(f"the database cannot be written: {error}")
    unavailable.__cause__ = error
    return unavailable


def _is_foreign(error: BaseException) -> bool:
    """Returns True if a column is missing in the row that this release does not know."""
    found = re.fullmatch(r"NOT NULL constraint failed: (\w+)\.(\w+)", str(error))
    return found is not None and schema_version.is_foreign(found[1], found[2])
