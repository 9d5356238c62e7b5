"""The progress of the figures of the reports, and marks of what changed after it was counted."""

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple, TypeVar

from sqlalchemy import bindparam, delete, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.shop_days import QUARTER_HOUR
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import conversions, report_campaigns, report_marks, report_progress

Figures = Literal["funnel", "credits", "accuracy", "comparison"]
_Label = TypeVar("_Label", bound=tuple[int, str, str])


class Progress(NamedTuple):
    """The progress of figures, for the days of a zone: see `report_progress` in the schema."""

    zone: str
    through: int
    numbers: int
    version: int
    renamed: int
    closed: int = 0
    closed_zone: str = ""


class Mark(NamedTuple):
    """An event of this stage and instant (seconds UTC) changed after it was counted."""

    id: int
    at: int
    stage: str


class CampaignLabelId(NamedTuple):
    """The id of a campaign as it is named."""

    id: int


class MarkedTime(NamedTuple):
    """A stage that changed within a quarter of an hour after this instant (seconds UTC)."""

    at: int
    stage: str


class _Version(NamedTuple):
    version: int


class _Newest(NamedTuple):
    newest: int


class _Writer(NamedTuple):
    transaction: str


_progress = Query(
    Progress,
    select(*(report_progress.c[name] for name in Progress._fields)).where(
        report_progress.c.name == bindparam("name")
    ),
)
_NEVER_BEGUN = Progress("", 0, 0, 0, 0)
_add = Statement(insert(report_progress).values(name=bindparam("name")).on_conflict_do_nothing())
# Another process may have changed the figures, or a visitor may have been renamed, since the rows
# were read from which the new figures were made.
_advance = Query(
    _Version,
    update(report_progress)
    .where(
        report_progress.c.name == bindparam("b_name"),
        report_progress.c.version == bindparam("b_version"),
        report_progress.c.renamed == bindparam("b_renamed"),
    )
    .values(
        zone=bindparam("b_zone"),
        through=bindparam("b_through"),
        numbers=bindparam("b_numbers"),
        closed=bindparam("b_closed"),
        closed_zone=bindparam("b_closed_zone"),
        version=report_progress.c.version + 1,
    )
    .returning(report_progress.c.version),
)
_newest = Query(_Newest, select(func.coalesce(func.max(conversions.c.id), 0).label("newest")))
# A transaction takes this lock before it takes a number, and holds it until its end.
_writers = Query(
    _Writer,
    text(
        "SELECT virtualtransaction FROM pg_locks WHERE mode = 'RowExclusiveLock' AND locktype ="
        " 'relation' AND relation = 'conversions'::regclass AND database = (SELECT oid FROM"
        " pg_database WHERE datname = current_database())"
    ),
)
_marks = Query(
    Mark,
    select(report_marks.c.id, report_marks.c.at, report_marks.c.stage)
    .order_by(report_marks.c.id)
    .limit(bindparam("most")),
)
_marked = Query(
    MarkedTime,
    select(
        (report_marks.c.at - report_marks.c.at % literal_column(str(QUARTER_HOUR))).label("at"),
        report_marks.c.stage,
    )
    .where(report_marks.c.at >= bindparam("since"), report_marks.c.at < bindparam("before"))
    .distinct(),
)
_open_mark = Query(
    MarkedTime,
    select(report_marks.c.at, report_marks.c.stage)
    .where(
        report_marks.c.at < bindparam("before"),
        report_marks.c.stage != literal_column("'purchase'"),
    )
    .limit(1),
)
_drop_mark = Statement(delete(report_marks).where(report_marks.c.id == bindparam("b_id")))
_add_campaign = Statement(
    insert(report_campaigns)
    .values({name: bindparam(name) for name in ("is_pinterest", "campaign_id", "campaign")})
    .on_conflict_do_nothing()
)
_campaign = Query(
    CampaignLabelId,
    select(report_campaigns.c.id).where(
        report_campaigns.c.is_pinterest == bindparam("is_pinterest"),
        report_campaigns.c.campaign_id == bindparam("campaign_id"),
        report_campaigns.c.campaign == bindparam("campaign"),
    ),
)


def of(conn: Connection, figures: Figures) -> Progress:
    """Returns how far the figures go; their zone is "" if they were never begun."""
    return _progress.first(conn, name=figures) or _NEVER_BEGUN


def begin(conn: Connection, figures: Figures, known: Progress, new: Progress) -> bool:
    """As `advance`, of figures that may never have been begun."""
    _add.run(conn, name=figures)
    return advance(conn, figures, known, new)


def advance(conn: Connection, figures: Figures, known: Progress, new: Progress) -> bool:
    """Stores how far the figures go; returns False, without storing it, if they or the visitors
    that they count have changed since `known` was read."""
    changed = _advance.first(
        conn,
        b_name=figures,
        b_version=known.version,
        b_renamed=known.renamed,
        b_zone=new.zone,
        b_through=new.through,
        b_numbers=new.numbers,
        b_closed=new.closed,
        b_closed_zone=new.closed_zone,
    )
    return changed is not None


def restart(conn: Connection, figures: Figures) -> bool:
    """Has figures begin anew, whichever days they are of; False if they changed meanwhile."""
    known = of(conn, figures)
    return begin(conn, figures, known, known._replace(zone="", through=0))


def newest_event(conn: Connection) -> int:
    """Returns the number of the newest event; 0 if there is none."""
    (row,) = _newest.all(conn)
    return row.newest


def writers(conn: Connection) -> set[str]:
    """Returns the transactions that may have taken a number for an event and not committed it.

    There is never any on SQLite, which commits one transaction after the other.
    """
    if conn.dialect == "sqlite":
        return set()
    return {row.transaction for row in _writers.all(conn)}


def marks(conn: Connection, most: int) -> list[Mark]:
    """Returns the oldest marks, up to `most`."""
    return _marks.all(conn, most=most)


def marked(conn: Connection, since: int, before: int) -> list[MarkedTime]:
    """Returns which stages changed in [since, before), by quarters of an hour."""
    return _marked.all(conn, since=since - since % QUARTER_HOUR, before=before)


def has_open_marks(conn: Connection, before: int) -> bool:
    """Returns True if the storefront's events before an instant are to be counted anew."""
    return _open_mark.first(conn, before=before) is not None


def drop_marks(conn: Connection, ids: Collection[int]) -> None:
    """Deletes marks by their ids."""
    _drop_mark.run_many(conn, ({"b_id": id} for id in ids))


def campaign_ids(conn: Connection, labels: Iterable[_Label]) -> dict[_Label, int]:
    """Returns the ids of campaigns, each (is_pinterest, campaign_id, campaign), and numbers those
    that have none yet."""
    rows = {
        label: {"is_pinterest": int(label[0]), "campaign_id": label[1], "campaign": label[2]}
        for label in labels
    }
    _add_campaign.run_many(conn, rows.values())
    return {
        label: found.id
        for label, row in rows.items()
        if (found := _campaign.first(conn, **row)) is not None
    }
