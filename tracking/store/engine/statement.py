"""SQL written once as SQLAlchemy Core, compiled once per dialect, run on the raw cursor.

Building or even only running a Core statement on every call costs more than the rest of a
webhook; the driver's cursor with finished text costs a few microseconds.
"""

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from operator import itemgetter
from typing import Any, Generic, TypeVar

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import ReturnsRows

_DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}

# The statements after which a transaction that others wait for should come to its end: some ten
# milliseconds of work.
SHORT_TRANSACTION = 400

# The values of a statement's placeholders, in their order.
Parameters = Sequence[object]
# A statement's text, what picks these values from those by name, and the values that are fixed.
_Compiled = tuple[str, Callable[[Mapping[str, Any]], Parameters], dict[str, Any]]

# A NamedTuple whose fields are the columns of a query.
R = TypeVar("R", bound=tuple[Any, ...])


class StoreUnavailable(Exception):
    """Nothing was stored, or it is unknown if it was: the sender must send it again."""

    # The store has logged the cause, once for all callers that meet it.
    is_logged = False

    def level(self, usual: int) -> int:
        """Returns the level at which a caller logs this error, which is `usual` for most."""
        return logging.DEBUG if self.is_logged else usual


class ServerAway(StoreUnavailable):
    """The database does not answer anybody, so that other writes would fail as well."""


class Contended(StoreUnavailable):
    """Other transactions held for too long what this one needs, and nothing was stored."""


class Connection:
    """A driver's connection inside a transaction that the store begins and ends.

    `locks` are the keys of the advisory locks that the transaction holds, `needed_locks` those
    that an attempt before it turned out to need. `executed` counts the statements, which is the
    measure of the work that a transaction has done. `remembered` are the values that were read by
    name, where none is to be read twice.
    """

    __slots__ = ("cursor", "dialect", "executed", "locks", "needed_locks", "raw", "remembered")

    def __init__(self, raw: Any, dialect: str, needed_locks: Set[int] = frozenset()) -> None:
        self.raw = raw
        self.dialect = dialect
        self.cursor = raw.cursor()
        self.executed = 0
        self.locks: set[int] = set()
        self.needed_locks = needed_locks
        self.remembered: dict[Hashable, dict[Any, list[str]]] | None = None


class Statement:
    """One statement. Parameters are named; every one of them must be passed at each call."""

    def __init__(self, build: ClauseElement | dict[str, ClauseElement]) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def run(self, conn: Connection, **values: Any) -> None:
        """Executes the statement."""
        self._executed(conn, values)

    def run_many(self, conn: Connection, rows: Iterable[Mapping[str, Any]], **same: Any) -> int:
        """Executes the statement once for each row of values, which are completed by those that are
        the `same` in every row; of an UPDATE it returns how many rows of the table were changed."""
        text, pick, fixed = self._text(conn.dialect)
        shared = {**fixed, **same}
        bound = [pick({**shared, **row}) for row in rows]
        conn.executed += len(bound)
        if len(bound) == 1:
            conn.cursor.execute(text, bound[0])
        elif bound:
            conn.cursor.executemany(text, bound)
        return conn.cursor.rowcount if bound else 0

    def prepare(self, dialect: str) -> None:
        """Compiles the statement for a dialect, unless it was compiled before."""
        self._text(dialect)

    def _executed(self, conn: Connection, values: dict[str, Any]) -> Any:
        text, pick, fixed = self._text(conn.dialect)
        cursor = conn.cursor
        conn.executed += 1
        cursor.execute(text, pick({**fixed, **values}))
        return cursor

    def _text(self, dialect: str) -> _Compiled:
        try:
            return self._compiled[dialect]
        except KeyError:
            return self._compile(dialect)

    def _compile(self, dialect: str) -> _Compiled:
        build = self._build[dialect] if isinstance(self._build, dict) else self._build
        compiled: Compiled = build.compile(
            dialect=_DIALECTS[dialect], compile_kwargs={"render_postcompile": True}
        )
        names: Sequence[str] = compiled.positiontup or ()  # type: ignore[attr-defined]
        fixed = {k: v for k, v in compiled.params.items() if v is not None}
        statement = (str(compiled), _picker_of(names), fixed)
        self._compiled[dialect] = statement
        return statement


class Query(Statement, Generic[R]):
    """A statement that returns rows, each as a NamedTuple of its own.

    Raises TypeError where the fields of the row are not the columns of the statement, so that a
    column that is added in one place only fails as soon as the module is imported.
    """

    def __init__(self, row: type[R], build: ClauseElement | dict[str, ClauseElement]) -> None:
        super().__init__(build)
        self._row = row
        for statement in build.values() if isinstance(build, dict) else (build,):
            columns = _columns_of(statement)
            if columns and columns != (fields := row._fields):  # type: ignore[attr-defined]
                raise TypeError(f"{row.__name__} has {fields}, its statement returns {columns}")

    def all(self, conn: Connection, **values: Any) -> list[R]:
        """Returns every row."""
        return [self._row(*row) for row in self._executed(conn, values).fetchall()]

    def first(self, conn: Connection, **values: Any) -> R | None:
        """Returns the first row, or None."""
        row: tuple[Any, ...] | None = self._executed(conn, values).fetchone()
        return None if row is None else self._row(*row)


def _picker_of(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Parameters]:
    # Takes half the time of a loop, but returns a single value alone.
    return itemgetter(*names) if len(names) > 1 else lambda values: [values[n] for n in names]


def _columns_of(build: ClauseElement) -> tuple[str, ...]:
    """Returns the names of the columns of a statement's rows; none for a statement of text."""
    if not isinstance(build, ReturnsRows):
        return ()
    return tuple(str(getattr(column, "key", "_")) for column in build._all_selected_columns)
