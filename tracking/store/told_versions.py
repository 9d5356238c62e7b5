"""The versions of the tables of spend, ads and Pinterest's figures."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sqlalchemy import select

from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import told_versions

Told = Literal["spend", "ad_spend", "pinterest_ads", "pinterest_figures"]


class _ToldVersion(NamedTuple):
    name: str
    version: int


_all = Query(_ToldVersion, select(told_versions))


def of_all(conn: Connection) -> Mapping[str, int]:
    """Returns the version of each table that was ever written to: as long as it is the same, so are
    the table's rows."""
    return {row.name: row.version for row in _all.all(conn)}
