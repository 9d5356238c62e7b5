"""Queries for all rows whose column is among many names, which are passed as one value."""

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, bindparam, func, select

from tracking.store.engine.statement import Connection, Query

DIALECTS = ("sqlite", "postgresql")

R = TypeVar("R", bound=tuple[Any, ...])


def is_among(dialect: str, column: ColumnElement[str]) -> ColumnElement[bool]:
    """Returns the condition that a column is among the `names_of` passed as "names"."""
    if dialect == "postgresql":
        return column == func.any(bindparam("names"))
    return column.in_(select(func.json_each(bindparam("names")).table_valued("value").c.value))


def names_of(conn: Connection, names: Iterable[str]) -> list[str] | str:
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
