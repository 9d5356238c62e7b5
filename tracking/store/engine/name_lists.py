"""Queries for all rows whose column is among many names, in one round trip."""

from collections.abc import Collection
from typing import Any, TypeVar

from sqlalchemy import Column, select

from tracking.store.engine.names import is_among, names_of
from tracking.store.engine.statement import Connection, Query

DIALECTS = ("sqlite", "postgresql")

R = TypeVar("R", bound=tuple[Any, ...])


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
