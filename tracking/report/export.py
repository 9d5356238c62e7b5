"""The export of events, orders, credits and reports to CSV files or to one SQLite file.

It has no personal data: neither clear text nor digests, visitor ids, IP addresses or click ids.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracking.domain.attribution import MODELS, SCOPES, bit, share_text
from tracking.domain.conversion import REASONS
from tracking.domain.instants import instant
from tracking.domain.money import to_major
from tracking.domain.spreadsheet import FORMULA_BEGINNINGS
from tracking.report.journey import id_sent_as
from tracking.report.parameters import Days
from tracking.report.reports import Reports
from tracking.store import Store, exports
from tracking.store.engine import sqlite_file
from tracking.store.engine.sqlite import SqliteStore

_SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db")

Cells = Sequence[Any]


class NoExport(Exception):
    """Nothing was exported; the message says why."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns."""

    name: str
    columns: Mapping[str, sqlite_file.Kind]
    rows: Iterable[Cells]


def export(
    reports: Reports, to: Path, start_date: str | None, end_date: str | None, *, force: bool
) -> dict[str, int]:
    """Writes the tables to a folder of CSV files, or to a SQLite file if `to` is named like one.

    Returns the number of rows of each table. Existing files are replaced only with `force`.

    Raises:
        ValidationError: a date is not one.
        NoExport: a file exists already, or cannot be written.
        StoreUnavailable: the store cannot be read.
    """
    if _is_of_the_store(to, reports.basis.store):
        raise NoExport(f"{to}: this is the database itself; name another file")
    days = reports.days(start_date, end_date)
    tables = tables_of(reports, days)
    try:
        if to.suffix.lower() in _SQLITE_SUFFIXES:
            return _write_database(to, tables, force=force)
        return _write_folder(to, tables, force=force)
    except OSError as error:
        raise NoExport(f"{error.filename or to}: {error.strerror or error}") from error


def tables_of(reports: Reports, days: Days) -> list[Table]:
    """Returns the tables of some days, whose rows are read while they are written."""
    dates = {"start_date": days.start.isoformat(), "end_date": days.end.isoformat()}
    return [
        Table("events", _EVENTS, _events(reports.basis.store, days)),
        Table("orders", _ORDERS, _orders(reports.basis.store, days)),
        Table("credits", _CREDITS, _credits(reports.basis.store, days)),
        Table("funnel", _FUNNEL, _funnel(reports, dates)),
        Table("roi", _ROI, _roi(reports, dates)),
        Table("roi_totals", _TOTALS, _totals(reports, dates)),
    ]


# --- The tables

_EVENTS: Mapping[str, sqlite_file.Kind] = {
    **dict.fromkeys(("event_id", "event_time", "stage", "order_id"), "text"),
    **dict.fromkeys(("is_counted", "is_pinterest"), "whole"),
    **dict.fromkeys(("campaign_id", "campaign", "currency"), "text"),
    "value": "decimal",
    **dict.fromkeys(("reason", "destination", "state"), "text"),
    "attempts": "whole",
    **dict.fromkeys(("settled_at", "sent_as"), "text"),
}
_ORDERS: Mapping[str, sqlite_file.Kind] = {
    **dict.fromkeys(("order_id", "placed_at", "cancelled_at", "currency"), "text"),
    **dict.fromkeys(("gross_revenue", "refunds", "cancellations", "revenue"), "decimal"),
    **dict.fromkeys(("is_counted", "is_paid", "is_test"), "whole"),
    **dict.fromkeys(("financial_status", "source_name", "match_method"), "text"),
    "is_pinterest": "whole",
    **dict.fromkeys(("campaign_id", "campaign", "reason"), "text"),
}
_CREDITS: Mapping[str, sqlite_file.Kind] = {
    **dict.fromkeys(("order_id", "placed_at", "credited_at", "models", "currency"), "text"),
    "is_pinterest": "whole",
    **dict.fromkeys(("campaign_id", "campaign"), "text"),
    **dict.fromkeys(
        ("share", "gross_revenue", "refunds", "cancellations", "revenue"),
        "decimal",
    ),
}
_FUNNEL: Mapping[str, sqlite_file.Kind] = {
    **dict.fromkeys(("traffic", "campaign_id", "campaign", "stage"), "text"),
    **dict.fromkeys(("events", "visitors"), "whole"),
    "rate_from_previous": "text",
}
_FIGURES: Mapping[str, sqlite_file.Kind] = dict.fromkeys(
    (
        *("roas", "roi", "cpa"),
        *("new_orders", "new_revenue", "new_customer_cpa", "unknown"),
    ),
    "decimal",
)
_ROI: Mapping[str, sqlite_file.Kind] = {
    **dict.fromkeys(("currency", "campaign_id", "campaign"), "text"),
    **dict.fromkeys(("orders", "revenue", "spend"), "decimal"),
    **_FIGURES,
}
_TOTALS: Mapping[str, sqlite_file.Kind] = {
    "currency": "text",
    **dict.fromkeys(("orders", "gross_revenue", "refunds", "cancellations"), "decimal"),
    **dict.fromkeys(("total_revenue", "total_spend"), "decimal"),
    **_FIGURES,
}


def _events(store: Store, days: Days) -> Iterator[Cells]:
    for row in exports.events(store, days.since, days.before):
        yield (
            *(row.event_id, instant(row.at), row.stage, row.order_id),
            *(row.is_counted, row.is_pinterest, row.campaign_id, row.campaign),
            *(row.currency, _money(row.value, row.currency), _reason(row.reason)),
            *(row.destination, row.state or "not_sent", row.attempts),
            instant(row.settled_at) if row.settled_at else None,
            id_sent_as(row.event_id, row.sent_as, [(row.state or "", row.attempts or 0)]),
        )


def _orders(store: Store, days: Days) -> Iterator[Cells]:
    for row in exports.orders_placed(store, days.since, days.before):
        revenue = row.gross - row.refunds - row.cancellations
        amounts = (row.gross, row.refunds, row.cancellations, revenue)
        yield (
            *(row.order_id, instant(row.at)),
            instant(row.cancelled_at) if row.cancelled_at is not None else None,
            *(row.currency, *(_money(amount, row.currency) for amount in amounts)),
            *(row.is_counted, row.is_paid, row.is_test),
            *(row.financial_status, row.source_name, row.match_method),
            *(row.is_pinterest, row.campaign_id, row.campaign, _reason(row.reason)),
        )


def _credits(store: Store, days: Days) -> Iterator[Cells]:
    for row in exports.credits_of(store, days.since, days.before):
        refunds = row.gross - row.net - row.cancellations
        amounts = (row.gross, refunds, row.cancellations, row.net)
        yield (
            *(row.order_id, instant(row.placed_at), instant(row.credited_at)),
            *(_models(row.mask), row.currency),
            *(row.is_pinterest, row.campaign_id, row.campaign),
            share_text(row.share),
            *(_money(amount, row.currency) for amount in amounts),
        )


def _models(mask: int) -> str:
    """Returns the models of a credit, each with its scope: "pinterest/linear"."""
    pairs = ((scope, model) for scope in SCOPES for model in MODELS)
    return " ".join(f"{scope}/{model}" for scope, model in pairs if mask & bit(scope, model))


def _funnel(reports: Reports, dates: Mapping[str, str]) -> Iterator[Cells]:
    for traffic in ("pinterest", "all"):
        report = reports.funnel(**dates, traffic=traffic)
        total = {"campaign_id": "", "campaign": "(all)", **report}
        for group in (total, *report["by_campaign"]):
            for stage in group["stages"]:
                yield (traffic, group["campaign_id"], group["campaign"], *stage.values())


def _roi(reports: Reports, dates: Mapping[str, str]) -> Iterator[Cells]:
    for totals in reports.roi(**dates)["currencies"]:
        for line in totals["campaigns"]:
            row = {"currency": totals["currency"], **line}
            yield tuple(row[name] for name in _ROI)


def _totals(reports: Reports, dates: Mapping[str, str]) -> Iterator[Cells]:
    for totals in reports.roi(**dates)["currencies"]:
        yield tuple(totals[name] for name in _TOTALS)


def _money(minor: int, currency: str) -> str | None:
    return to_major(minor, currency) if currency else None


def _reason(reason: str) -> str:
    return REASONS[reason] if reason else ""


# --- The files


def _write_folder(folder: Path, tables: Sequence[Table], *, force: bool) -> dict[str, int]:
    targets = {table.name: folder / f"{table.name}.csv" for table in tables}
    _refuse_to_replace(targets.values(), force=force)
    folder.mkdir(0o700, parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    parts = {name: _part_of(path) for name, path in targets.items()}
    with _temporary(parts.values()):
        for table in tables:
            counts[table.name] = _write_csv(parts[table.name], table)
        for name, part in parts.items():
            part.replace(targets[name])
    return counts


def _write_csv(path: Path, table: Table) -> int:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(table.columns)
        is_text = [kind == "text" for kind in table.columns.values()]
        count = 0
        for row in table.rows:
            writer.writerow([_cell(v, t) for v, t in zip(row, is_text, strict=True)])
            count += 1
        out.flush()
        os.fsync(out.fileno())
    return count


def _cell(value: object, is_text: bool) -> object:
    if is_text and isinstance(value, str) and value.startswith(FORMULA_BEGINNINGS):
        return f"'{value}"
    return "" if value is None else value


def _write_database(path: Path, tables: Sequence[Table], *, force: bool) -> dict[str, int]:
    _refuse_to_replace([path], force=force)
    part = _part_of(path)
    with _temporary([part]):
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        counts = {t.name: sqlite_file.write(part, t.name, t.columns, t.rows) for t in tables}
        part.replace(path)
    return counts


def _is_of_the_store(to: Path, store: Store) -> bool:
    """Returns True if the path is the database or one of the files beside it."""
    if not isinstance(store, SqliteStore):
        return False
    home = store.path.resolve()
    return to.resolve().parent == home.parent and to.name.startswith(home.name)


def _refuse_to_replace(paths: Iterable[Path], *, force: bool) -> None:
    existing = [str(path) for path in paths if path.exists()]
    if existing and not force:
        raise NoExport(f"{', '.join(existing)}: there already; --force replaces what is there")


def _part_of(path: Path) -> Path:
    """Returns the path at which a file is written before it gets its name."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    return part


@contextmanager
def _temporary(parts: Iterable[Path]) -> Iterator[None]:
    """Removes in the end the files that did not get their names."""
    try:
        yield
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
