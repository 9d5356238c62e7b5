"""Whether the store can do its work right now."""

from sqlalchemy import Column, MetaData, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Statement
from tracking.store.schema import accounts

_version = Table("alembic_version", MetaData(), Column("version_num", Text))
_revision = Statement(select(_version.c.version_num))
_touch = Statement(insert(accounts).values(destination=bindparam("name")).on_conflict_do_nothing())


def revision(conn: Connection) -> str:
    """The migration the database is at."""
    row = _revision.first(conn)
    return "" if row is None else str(row.version_num)


def write(conn: Connection) -> None:
    """Write something harmless, to learn whether writing works."""
    _touch.run(conn, name="readiness")
