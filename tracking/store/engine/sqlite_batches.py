"""Commits the batches of a group commit to a SQLite file: a statement for many, or one by one."""

from collections.abc import Sequence

from tracking.store.engine.group_commit import (
    GroupCommit,
    OneStatementWrite,
    PendingWrite,
    batches_by_class,
)
from tracking.store.engine.open_files import FilesReplaced
from tracking.store.engine.sqlite_errors import is_busy
from tracking.store.engine.sqlite_writer import SqliteWriter
from tracking.store.engine.statement import SHORT_TRANSACTION, Connection

DIALECT = "sqlite"
# Below Shopify's five seconds, so that the response is a clear 503 and not a time-out.
BUSY_SECONDS = 3.0


class SqliteBatches:
    """Commits each batch under one lock, with as few flushes as its writes allow."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer
        # A foreign program held the file for longer than a caller may wait.
        self._is_blocked = False

    def commit(self, group_commit: GroupCommit) -> None:
        """Takes the next batch, and sets the result or the error of each of its writes.

        Raises:
            FilesReplaced: nothing more is written to the file.
        """
        if self._is_blocked:
            # No caller may wait while one batch after the other fails.
            group_commit.put_back(self._commit_rest(group_commit.take(everything=True)))
            return
        put: list[type[OneStatementWrite]] = []
        try:
            with self._writer.locked(meanwhile=group_commit.prepare):
                conn = Connection(self._writer.opened(), DIALECT)
                pending = group_commit.take()
                batches = batches_by_class(pending)
                put += [
                    kind
                    for kind, batch in batches.items()
                    if issubclass(kind, OneStatementWrite) and _put_batch(conn, kind, batch)
                ]
        finally:
            # Also where the files are gone by now, or the next batch would get these results.
            for kind in put:
                works = [write.work for write in batches[kind]]
                for write, result in zip(batches[kind], kind.results(conn, works), strict=True):
                    write.result = result
        rest = [write for write in pending if write.result is None]
        if rest:
            group_commit.put_back(self._commit_rest(rest))
        self._writer.truncate_log_if_due()

    def _commit_rest(self, pending: list[PendingWrite]) -> list[PendingWrite]:
        """Runs the works that no statement wrote together, in one transaction.

        Returns those of the yielding ones that are left, once the transaction has done as much as
        others may have to wait for.
        """
        done, left = 0, pending
        try:
            with self._writer.transaction(pending[0].queued_at + BUSY_SECONDS) as raw:
                conn = Connection(raw, DIALECT)
                try:
                    _attempt_together(conn, pending)
                    left = [write for write in pending if write.result is None]
                    for write in left:
                        if write.yields and conn.executed > SHORT_TRANSACTION:
                            break
                        write.result = write.work(conn)
                        done += 1
                except Exception:
                    done, left = len(pending), pending
                    _run_with_savepoints(conn, pending)
                raw.execute("COMMIT")
            self._is_blocked = False
        except FilesReplaced:
            raise
        except Exception as error:
            self._is_blocked = is_busy(error)
            done, left = len(pending), pending
            # What was put before stays committed.
            for write in pending:
                write.error = error
        return left[done:]


def _put_batch(
    conn: Connection, kind: type[OneStatementWrite], pending: list[PendingWrite]
) -> bool:
    """Writes a batch of one class and commits it, in a single call of SQLite; returns False if
    nothing was written.

    Between two calls the thread may wait for the interpreter while it holds the lock.
    """
    try:
        kind.put(conn, [write.work for write in pending])
    except Exception:
        # Written one by one, only the write at fault fails: its value may be one that the
        # driver cannot pass on.
        return False
    return True


def _attempt_together(conn: Connection, pending: Sequence[PendingWrite]) -> None:
    """Runs the works of a class together where they can share statements."""
    for kind, batch in batches_by_class(pending).items():
        if not issubclass(kind, OneStatementWrite):
            results = kind.attempt(conn, [write.work for write in batch])
            for write, result in zip(batch, results, strict=True):
                write.result = result


def _run_with_savepoints(conn: Connection, pending: list[PendingWrite]) -> None:
    """Begins again with a savepoint around each work, so that the one at fault fails alone."""
    if not conn.raw.in_transaction:
        # A full disk or a broken file has rolled back the whole transaction.
        raise
    conn.raw.execute("ROLLBACK")
    conn.raw.execute("BEGIN IMMEDIATE")
    for write in pending:
        conn.raw.execute("SAVEPOINT pending_write")
        try:
            write.result = write.work(conn)
        except Exception as error:
            if not conn.raw.in_transaction:
                raise
            conn.raw.execute("ROLLBACK TO pending_write")
            write.error = error
        conn.raw.execute("RELEASE pending_write")
