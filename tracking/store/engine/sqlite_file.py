"""Writes a SQLite file that holds exported tables and nothing else."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from sqlalchemy import Column, Integer, MetaData, Table, Text, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

# Decimal text stays text: SQLite would keep it as floating point.
Kind = Literal["text", "decimal", "whole"]

_DIALECT = sqlite.dialect(paramstyle="qmark")


def write(
    path: Path, name: str, columns: Mapping[str, Kind], rows: Iterable[Sequence[object]]
) -> int:
    """Adds a table to the file; returns its number of rows.

    Raises:
        OSError: the file cannot be written.
    """
    table = Table(
        name,
        MetaData(),
        *(Column(column, Integer if kind == "whole" else Text) for column, kind in columns.items()),
    )
    try:
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
            statement = str(insert(table).compile(dialect=_DIALECT))
            return max(0, raw.executemany(statement, rows).rowcount)
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}") from error
