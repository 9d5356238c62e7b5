"""Passes many names to a statement as one value, so that it is one round trip."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Column, ColumnElement, bindparam, func, select

from tracking.store.engine.statement import Connection


def is_among(dialect: str, column: Column[str]) -> ColumnElement[bool]:
    """Returns the condition that a column is among the `names_of` passed as "names"."""
    if dialect == "postgresql":
        return column == func.any(bindparam("names"))
    return column.in_(select(func.json_each(bindparam("names")).table_valued("value").c.value))


def names_of(conn: Connection, names: Iterable[str]) -> list[str] | str:
    """Returns the names as the one value that `is_among` compares with."""
    listed = list(names)
    return listed if conn.dialect == "postgresql" else msgspec.json.encode(listed).decode()
