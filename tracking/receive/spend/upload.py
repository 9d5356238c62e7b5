"""The upload of ad spend, as JSON rows or CSV. All rows are checked before any is stored."""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from tracking.domain.money import MICROS, amount, is_currency
from tracking.domain.validation import FieldError, ValidationError
from tracking.store import Store, spend
from tracking.store.spend import SpendRow

# The rows of a JSON body, which is stored in one transaction.
MOST_ROWS = 10_000
_MOST_FAULTS = 100
# No campaign costs more in a day, and sums of so much fit the databases' integers.
_MOST_SPEND = 10**9
_CAMPAIGN_ID = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_SHORTENED = re.compile(r"\d([.,]\d+)?e\+\d+", re.IGNORECASE)

# The names of the columns, ours and those in exports of Pinterest's Ads Manager.
_NAMES = {
    "date": "date",
    "day": "date",
    "campaign_id": "campaign_id",
    "campaign": "campaign",
    "campaign_name": "campaign",
    "spend": "spend",
    "spend_in_account_currency": "spend",
    "currency": "currency",
}
_NEEDED = {
    "date": "the column is missing",
    "campaign_id": "the column is missing",
    "spend": "the column is missing",
    "currency": "the column is missing: add a column `currency` with the ad account's, such as USD",
}
_SEPARATORS = ",;\t"
# An amount written for people: with a sign of its currency, and commas between the thousands.
_WRITTEN_AMOUNT = re.compile(r"[$€£¥₹]? ?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?) ?[$€£¥₹]?")


class SpendUpload:
    """Stores uploaded spend. The last figure for a day, campaign and currency holds."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock

    def take_json(self, body: bytes) -> int:
        """Stores the rows of a JSON body, `{"rows": […]}` or a list; returns their number.

        Raises:
            ValidationError: a row is wrong; nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ValidationError(FieldError("", "the body is not JSON")) from None
        rows = decoded.get("rows") if isinstance(decoded, dict) else decoded
        if not isinstance(rows, list):
            raise ValidationError(FieldError("/rows", "not a list of rows"))
        if len(rows) > MOST_ROWS:
            raise ValidationError(FieldError("/rows", f"more than {MOST_ROWS} rows"))
        checked = self._checked((f"/rows/{i}/", row) for i, row in enumerate(rows))
        self._store(checked)
        return len(checked)

    def take_csv(self, body: bytes) -> int:
        """Stores the rows of a CSV body whose first line names the columns; returns their number.

        All are checked before the first is stored. Then they are stored in parts, so that a long
        file does not hold up the webhooks.

        Raises:
            ValidationError: a row is wrong; nothing was stored.
            StoreUnavailable: not all may have been stored; the same body again does no harm.
        """
        try:
            rows = self._checked(_lines(body))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValidationError(
                FieldError("", f"the body is not CSV in UTF-8 or UTF-16: {error}")
            ) from None
        for first in range(0, len(rows), spend.ROWS_A_COMMIT):
            self._store(rows[first : first + spend.ROWS_A_COMMIT])
        return len(rows)

    def _checked(self, rows: Iterable[tuple[str, Any]]) -> list[SpendRow]:
        """Returns the rows, each checked; `rows` has the place of each for the errors.

        Raises:
            ValidationError: a row is wrong.
        """
        errors: list[FieldError] = []
        now = int(self.clock())
        checked: list[SpendRow] = []
        places: dict[tuple[str, ...], str] = {}
        for where, values in rows:
            row = _row(where, values, now, errors)
            if row is not None:
                _refuse_second(where, row, places, errors)
                checked.append(row)
        if errors:
            raise ValidationError(*errors[:_MOST_FAULTS])
        return checked

    def _store(self, rows: Sequence[SpendRow]) -> None:
        self.store.commit(partial(spend.put, rows=rows))


def _lines(body: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the lines of a CSV body with our column names and their place, without the totals."""
    is_utf_16 = body.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    text = body.decode("utf-16" if is_utf_16 else "utf-8-sig")
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    head = next(reader, [])
    columns = _columns(head)
    for cells in reader:
        if any(cells[len(head) :]):
            words = f"{len(cells)} cells, and the head has {len(head)}: a comma within needs quotes"
            raise ValidationError(FieldError(f"line {reader.line_num}", words))
        row = {name: cells[place] for name, place in columns.items() if place < len(cells)}
        if _is_spend(row):
            row["spend"] = _without_separators(row.get("spend", ""), separator)
            yield f"line {reader.line_num}: ", row


def _columns(head: Sequence[str]) -> dict[str, int]:
    """Returns the position of each column, by our name."""
    errors: list[FieldError] = []
    positions: dict[str, int] = {}
    for place, title in enumerate(head):
        name = _NAMES.get(title.strip().casefold().replace(" ", "_"))
        if name in positions:
            errors.append(FieldError(name, "there are several columns of it"))
        elif name:
            positions[name] = place
    errors += [
        FieldError(name, reason) for name, reason in _NEEDED.items() if name not in positions
    ]
    if errors:
        raise ValidationError(*errors)
    return positions


def _is_spend(row: Mapping[str, str]) -> bool:
    """Returns False for a line with a total, and for an empty one."""
    day, campaign_id = (row.get(name, "").strip() for name in ("date", "campaign_id"))
    return bool(campaign_id) or day.casefold() not in ("", "total", "totals")


def _without_separators(amount: str, separator: str) -> str:
    """Returns the amount without thousands separators and currency sign, if it is unambiguous."""
    found = _WRITTEN_AMOUNT.fullmatch(amount.strip())
    # Where semicolons stand between the cells, the comma in 1,012 may be a decimal one.
    if not found or (separator == ";" and "." not in found[1] and "," in found[1]):
        return amount
    return found[1].replace(",", "")


def _refuse_second(
    where: str, row: SpendRow, places: dict[tuple[str, ...], str], errors: list[FieldError]
) -> None:
    """Refuses a second row for one key, since only the last of the parts would count."""
    place = where.rstrip("/: ")
    first = places.setdefault((row.date, row.campaign_id, row.currency), place)
    if first != place:
        reason = f"the same day, campaign and currency as {first}: add up the parts of a campaign"
        errors.append(FieldError(place, reason))


def _row(where: str, values: Any, now: int, errors: list[FieldError]) -> SpendRow | None:
    """Returns the row that the values make, or None after adding their faults to the errors."""
    if not isinstance(values, Mapping):
        errors.append(FieldError(where.rstrip("/"), "not an object"))
        return None
    known = len(errors)
    row = SpendRow(
        date=_day(where, values.get("date"), errors),
        campaign_id=_campaign_id(where, values.get("campaign_id"), errors),
        campaign=_name(values.get("campaign")),
        currency=_currency(where, values.get("currency"), errors),
        micros=_micros(where, values.get("spend"), errors),
        recorded_at=now,
    )
    return row if len(errors) == known else None


def _day(where: str, value: Any, errors: list[FieldError]) -> str:
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    errors.append(FieldError(f"{where}date", "not a date of the form YYYY-MM-DD"))
    return ""


def _campaign_id(where: str, value: Any, errors: list[FieldError]) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and _SHORTENED.fullmatch(text.strip()):
        reason = "a spreadsheet has shortened this id: let it show the column as text"
        errors.append(FieldError(f"{where}campaign_id", reason))
        return ""
    if isinstance(text, str) and _CAMPAIGN_ID.fullmatch(text.strip()):
        return text.strip()
    errors.append(FieldError(f"{where}campaign_id", "not an id of 1 to 64 characters"))
    return ""


def _name(value: Any) -> str:
    return " ".join(value.replace("\x00", "").split())[:256] if isinstance(value, str) else ""


def _currency(where: str, value: Any, errors: list[FieldError]) -> str:
    code = value.strip().upper() if isinstance(value, str) else value
    if is_currency(code):
        return str(code)
    errors.append(FieldError(f"{where}currency", "not an ISO 4217 code such as USD"))
    return ""


def _micros(where: str, value: Any, errors: list[FieldError]) -> int:
    found = amount(value.strip() if isinstance(value, str) else value)
    if found is None or found < 0:
        errors.append(FieldError(f"{where}spend", "not an amount of zero or more, such as 12.50"))
        return 0
    if found > _MOST_SPEND:
        errors.append(FieldError(f"{where}spend", f"more than {_MOST_SPEND}"))
        return 0
    return int(found * Decimal(MICROS))
