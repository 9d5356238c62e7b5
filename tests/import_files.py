"""Files of events to import."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.actors import NOW
from tracking.receive.imports import RejectedRecord

SOLD = ("event_name", "action_source", "event_time", "event_id", "em", "value", "currency")


def sale(number: int = 1, **changes: str) -> dict[str, str]:
    """A checkout at the till, as a row."""
    row = {
        "event_name": "checkout",
        "action_source": "offline",
        "event_time": str(NOW - 60),
        "event_id": f"till-{number}",
        "em": f"buyer{number}@example.com",
        "value": "12.50",
        "currency": "EUR",
    }
    return row | changes


def sales(count: int, **changes: str) -> list[dict[str, str]]:
    return [sale(number, **changes) for number in range(1, count + 1)]


def table(rows: Sequence[Mapping[str, str]], separator: str = ",", end: str = "\r\n") -> bytes:
    """Rows as a CSV file."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=end)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return out.getvalue().encode()


def lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def _must_not_be(reading: RejectedRecord) -> None:
    raise AssertionError(reading.reason)
