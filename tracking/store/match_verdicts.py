"""Pinterest's verdict on the events that it got: how many have each field, and what it says of it.

Shares are millionths.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import match_components, match_verdicts


class VerdictRow(NamedTuple):
    """Pinterest's verdict on a source, over the days of a lookback. `read_at` is seconds UTC."""

    lookback: str
    source_platform: str
    ingestion_source: str
    overall_status: str
    read_at: int


class ComponentRow(NamedTuple):
    """Pinterest's findings on a field (`component`) in the events of one name of a source.

    `overlap` is the share of event ids that came from another source as well, None for another
    field; `issues` is JSON.
    """

    lookback: str
    source_platform: str
    ingestion_source: str
    event_name: str
    component: str
    coverage: int
    overlap: int | None
    issues: str


class LookbackVerdicts(NamedTuple):
    """All that Pinterest says over the days of a lookback."""

    lookback: str
    verdicts: list[VerdictRow]
    components: list[ComponentRow]


# The kind of the reading that brings the verdicts.
READING = "quality"
_API, _TAG = "CONVERSIONS_API", "TAG"
_TABLES = (match_verdicts, match_components)
_forget = [
    Statement(delete(table).where(table.c.lookback == bindparam("b_lookback"))) for table in _TABLES
]
_put_verdict, _put_component = (
    Statement(insert(table).values({column.key: bindparam(column.key) for column in table.columns}))
    for table in _TABLES
)
_verdicts = Query(
    VerdictRow,
    select(*(match_verdicts.c[name] for name in VerdictRow._fields)).order_by(
        *match_verdicts.primary_key.columns
    ),
)
_components = Query(
    ComponentRow,
    select(*(match_components.c[name] for name in ComponentRow._fields)).order_by(
        *match_components.primary_key.columns
    ),
)


def put(conn: Connection, newest: Iterable[LookbackVerdicts]) -> None:
    """Stores the newest verdicts of lookbacks in place of the ones before."""
    for told in newest:
        for statement in _forget:
            statement.run(conn, b_lookback=told.lookback)
        _put_verdict.run_many(conn, (row._asdict() for row in told.verdicts))
        _put_component.run_many(conn, (row._asdict() for row in told.components))


def verdicts(conn: Connection) -> list[VerdictRow]:
    """Returns the newest verdict on each source."""
    return _verdicts.all(conn)


def components(conn: Connection) -> list[ComponentRow]:
    """Returns the parts of the newest verdicts."""
    return _components.all(conn)


def overlaps(conn: Connection, event_name: str = "checkout") -> list[ComponentRow]:
    """Returns how many event ids of web events of this name came from the tag as well, by lookback.

    Where nothing came from a tag there is nothing to overlap with, and no row.
    """
    found = [
        row
        for row in components(conn)
        if (row.event_name, row.component) == (event_name, "external_event_id")
    ]
    tagged = {row.lookback for row in found if row.ingestion_source == _TAG}
    return [
        row
        for row in found
        if (row.source_platform, row.ingestion_source) == ("WEB", _API)
        and row.lookback in tagged
        and row.overlap is not None
    ]
