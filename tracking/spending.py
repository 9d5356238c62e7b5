"""Ad spend as it is handed in: rows or CSV, checked whole before any of it is stored."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from tracking.invalid import Fault, Invalid
from tracking.money import amount, is_currency
from tracking.store import Store, spend

MOST_ROWS = 10_000
_MOST_FAULTS = 100
_MICROS = 1_000_000
_COLUMNS = ("date", "campaign_id", "spend", "currency")
_CAMPAIGN_ID = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


class Spending:
    """Takes spend in. The last figure for a day, campaign and currency holds."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock

    def take_json(self, body: bytes) -> int:
        """Store the rows of a JSON body, `{"rows": […]}` or a bare list; how many.

        Raises:
            Invalid: a row is wrong; nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        try:
            given = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Invalid(Fault("", "the body is not JSON")) from None
        rows = given.get("rows") if isinstance(given, dict) else given
        if not isinstance(rows, list):
            raise Invalid(Fault("/rows", "not a list of rows"))
        return self._take((f"/rows/{i}/", row) for i, row in enumerate(rows))

    def take_csv(self, body: bytes) -> int:
        """Store the rows of a CSV body whose first line names the columns; how many.

        Raises:
            Invalid: a row is wrong; nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        try:
            reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise Invalid(*(Fault(name, "the column is missing") for name in missing))
            lines = [(f"line {reader.line_num}: ", row) for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise Invalid(Fault("", f"the body is not CSV in UTF-8: {error}")) from None
        return self._take(lines)

    def _take(self, rows: Iterable[tuple[str, Any]]) -> int:
        faults: list[Fault] = []
        now = int(self.clock())
        found = [{**_row(where, row, faults), "recorded_at": now} for where, row in rows]
        if len(found) > MOST_ROWS:
            raise Invalid(Fault("/rows", f"more than {MOST_ROWS} rows"))
        if faults:
            raise Invalid(*faults[:_MOST_FAULTS])
        self.store.commit(lambda conn: spend.put(conn, found))
        return len(found)


def _row(where: str, row: Any, faults: list[Fault]) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        faults.append(Fault(where.rstrip("/"), "not an object"))
        return {}
    return {
        "date": _day(where, row.get("date"), faults),
        "campaign_id": _campaign_id(where, row.get("campaign_id"), faults),
        "campaign": _name(row.get("campaign")),
        "currency": _currency(where, row.get("currency"), faults),
        "micros": _micros(where, row.get("spend"), faults),
    }


def _day(where: str, value: Any, faults: list[Fault]) -> str:
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    faults.append(Fault(f"{where}date", "not a date of the form YYYY-MM-DD"))
    return ""


def _campaign_id(where: str, value: Any, faults: list[Fault]) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and _CAMPAIGN_ID.fullmatch(text.strip()):
        return text.strip()
    faults.append(Fault(f"{where}campaign_id", "not an id of 1 to 64 characters"))
    return ""


def _name(value: Any) -> str:
    return " ".join(value.replace("\x00", "").split())[:256] if isinstance(value, str) else ""


def _currency(where: str, value: Any, faults: list[Fault]) -> str:
    code = value.strip().upper() if isinstance(value, str) else value
    if is_currency(code):
        return str(code)
    faults.append(Fault(f"{where}currency", "not an ISO 4217 code such as USD"))
    return ""


def _micros(where: str, value: Any, faults: list[Fault]) -> int:
    found = amount(value.strip() if isinstance(value, str) else value)
    if found is None or found < 0:
        faults.append(Fault(f"{where}spend", "not an amount of zero or more, such as 12.50"))
        return 0
    return int(found * Decimal(_MICROS))
