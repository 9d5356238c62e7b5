"""Keeps what this process has read of spend, ads and Pinterest's figures, until they change.

Pinterest is asked for them once an hour, or every six hours; reports read them far more often.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

from tracking.store import told_versions
from tracking.store.engine.statement import Connection
from tracking.store.told_versions import Told

# Sums over ninety days of 200 campaigns and 1,000 ads are some 3,000 rows of half a kilobyte each.
MOST_ROWS = 40_000
_Row = TypeVar("_Row")


class _RowsOfVersion(NamedTuple):
    version: int
    rows: Sequence[Any]

    @property
    def size(self) -> int:
        """The room that they take, in rows: where there are none, what was asked for takes some."""
        return len(self.rows) + 1


class KnownRows:
    """The rows that were asked for last, by any number of threads. Nobody may change them."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._rows = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _RowsOfVersion] = OrderedDict()

    def of(
        self,
        conn: Connection,
        table: Told,
        query: Callable[..., Sequence[_Row]],
        *asked: Hashable,
    ) -> Sequence[_Row]:
        """Returns what a query finds in a table, which it reads nothing else of, for these
        arguments; the query is not run if it is known of this version of the table."""
        version = told_versions.of_all(conn).get(table, 0)
        key = (query, *asked)
        with self._lock:
            known = self._known.get(key)
            if known is not None and known.version == version:
                self._known.move_to_end(key)
                return known.rows
        rows = query(conn, *asked)
        self._keep(key, _RowsOfVersion(version, rows))
        return rows

    def _keep(self, key: Hashable, known: _RowsOfVersion) -> None:
        with self._lock:
            replaced = self._known.pop(key, None)
            self._known[key] = known
            self._rows += known.size - (replaced.size if replaced else 0)
            while self._rows > self._most_rows:
                _, oldest = self._known.popitem(last=False)
                self._rows -= oldest.size
