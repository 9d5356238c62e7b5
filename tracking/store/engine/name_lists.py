"""Queries for all rows whose column is among many names, which are passed as one value."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Select,
    Text,
    bindparam,
    cast,
    func,
    select,
    true,
)
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.sql.selectable import LateralFromClause

from tracking.store.engine.statement import Connection, Query

DIALECTS = ("sqlite", "postgresql")

R = TypeVar("R", bound=tuple[Any, ...])
T = TypeVar("T", str, int)


def is_among(dialect: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Returns the condition that a column is among the `names_of` passed as "names"."""
    if dialect == "postgresql":
        return column == func.any(bindparam("names"))
    return column.in_(select(func.json_each(bindparam("names")).table_valued("value").c.value))


class NamedValue(NamedTuple):
    """A value that was found for one of the names."""

    name: str
    value: str


class ValuesOfNames:
    """The query for the values of each of many names: `rows(name)` selects those of one name.

    PostgreSQL, where each query costs a round trip, gets one for all names.
    """

    def __init__(self, rows: Callable[[ColumnElement[str]], Select[tuple[str]]]) -> None:
        self._of_one = Query(_OneValue, rows(bindparam("name")).subquery("of_one").select())
        name, values = _of_each_name(rows)
        joined = name.table.join(values, true())
        self._of_each = Query(
            NamedValue, select(name, values.c.value.label("value")).select_from(joined)
        )

    def find(self, conn: Connection, names: Collection[str], **more: Any) -> dict[str, list[str]]:
        """Returns the values of the names; a name without any may be missing."""
        if conn.remembered is None:
            return self._read(conn, names, more)
        known = conn.remembered.setdefault((self, *more.items()), {})
        unread = [name for name in names if name not in known]
        if unread:
            found = self._read(conn, unread, more)
            known.update((name, found.get(name, [])) for name in unread)
        return {name: known[name] for name in names}

    def _read(
        self, conn: Connection, names: Collection[str], more: Mapping[str, Any]
    ) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        if conn.dialect == "postgresql":
            for row in self._of_each.all(conn, names=[*names], **more) if names else ():
                found.setdefault(row.name, []).append(row.value)
            return found
        for name in names:
            found[name] = [row.value for row in self._of_one.all(conn, name=name, **more)]
        return found


@contextmanager
def remembered(conn: Connection) -> Iterator[None]:
    """Reads the values of each name once. What they are read from must not be written meanwhile."""
    conn.remembered = {}
    try:
        yield
    finally:
        conn.remembered = None


class _OneValue(NamedTuple):
    value: str


def rows_of_names(row: type[R], rows: Callable[[ColumnElement[str]], Select[Any]]) -> Query[R]:
    """Returns PostgreSQL's query for the rows of all names passed as "names": `rows(name)` selects
    those of one."""
    name, found = _of_each_name(rows)
    return Query(row, select(found).select_from(name.table.join(found, true())))


def _of_each_name(
    rows: Callable[[ColumnElement[str]], Select[Any]],
) -> tuple[KeyedColumnElement[Any], LateralFromClause]:
    names = func.unnest(cast(bindparam("names"), ARRAY(Text)))
    name = names.table_valued("name").render_derived(name="names").c.name
    return name, rows(name).lateral("of_each")


def names_of(conn: Connection, names: Iterable[T]) -> list[T] | str:
    """Returns the names as the one value that `is_among` compares with."""
    listed = list(names)
    return listed if conn.dialect == "postgresql" else msgspec.json.encode(listed).decode()


def selected(row: type[R], of: Column[str], *columns: Column[Any]) -> Query[R]:
    """Returns the query for the distinct `columns` (or `of`) of the rows with `of` among names."""
    return Query(
        row,
        {
            dialect: select(*(columns or (of,))).where(is_among(dialect, of)).distinct()
            for dialect in DIALECTS
        },
    )


def among(conn: Connection, query: Query[R], names: Collection[str]) -> list[R]:
    """Returns the rows of a query by `is_among`; no names need no query."""
    if not names:
        return []
    return query.all(conn, names=names_of(conn, names))
