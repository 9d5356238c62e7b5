"""Rows of a report as CSV text that is safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from tracking.domain.spreadsheet import FORMULA_BEGINNINGS

ReportLine = Mapping[str, Any]


def csv_text(rows: Iterable[ReportLine]) -> str:
    """Returns the rows as CSV under the names of the first one's fields; "" if there are none."""
    records = list(rows)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    if records:
        writer.writerow(records[0])
        writer.writerows([[_cell(value) for value in row.values()] for row in records])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA_BEGINNINGS) and not _is_number(value):
        return f"'{value}"
    return "" if value is None else value


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()
