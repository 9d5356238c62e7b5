"""Checks of the store: its schema, and that it can be written."""

from typing import NamedTuple

from sqlalchemy import (
    Column,
    MetaData,
    Table,
    Text,
    bindparam,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import accounts


class _SchemaVersion(NamedTuple):
    version_num: str


_version = Table("alembic_version", MetaData(), Column("version_num", Text))
_revision = Query(_SchemaVersion, select(_version.c.version_num))
_touch = Statement(insert(accounts).values(destination=bindparam("name")).on_conflict_do_nothing())


def revision(conn: Connection) -> str:
    """Returns the migration that the database is at, "" if none."""
    row = _revision.first(conn)
    return "" if row is None else row.version_num


def write(conn: Connection) -> None:
    """Writes a harmless row, which fails if the database cannot be written."""
    _touch.run(conn, name="readiness")
