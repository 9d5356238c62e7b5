"""The upload of ad spend, as JSON rows or CSV. All rows are checked before any is stored."""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

import msgspec

from tracking.domain.money import MICROS, is_currency
from tracking.domain.placeholders import is_placeholder, names_nothing
from tracking.domain.spreadsheet import (
    SHORTENED,
    is_shortened,
    plain_id,
    plain_text,
    separator_named_by,
)
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.spend.amounts import WrongAmount, amount_of
from tracking.store import Store, spend
from tracking.store.spend import SpendRow

# The rows of a JSON body, which is stored in one transaction.
MOST_ROWS = 10_000
_MOST_FAULTS = 100
_CAMPAIGN_ID = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
# Thousands of an id: a spreadsheet's format, or the text of another number.
_WITH_THOUSANDS = re.compile(r"[0-9]{1,3}(?:[,.\u00a0\u202f ][0-9]{3})+")

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
# The words before a sum of the lines above it.
_TOTALS = frozenset(
    {
        *("total", "totals", "grand total", "subtotal", "sub total", "overall total", "sum"),
        *("gesamt", "gesamtsumme", "summe", "insgesamt", "total général", "total general"),
        *("totale", "totaal", "totalt", "suma", "razem", "合計"),
    }
)


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
        checked = self._checked(
            (f"/rows/{i}/", row)
            for i, row in enumerate(rows)
            if not (isinstance(row, Mapping) and _is_total(row, row.values()))
        )
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
            sheet = _Sheet(body)
            rows = self._checked(sheet, sheet.separator)
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValidationError(
                FieldError("", f"the body is not CSV in UTF-8 or UTF-16: {error}")
            ) from None
        for first in range(0, len(rows), spend.ROWS_A_COMMIT):
            self._store(rows[first : first + spend.ROWS_A_COMMIT])
        return len(rows)

    def delete(self, date: str | None, campaign_id: str | None, currency: str | None) -> bool:
        """Deletes the spend of a day, campaign and currency; returns False if there is none.

        Pinterest's own figures come back with the next sync, as far back as it reads.

        Raises:
            ValidationError: one of the three is missing or wrong.
            StoreUnavailable: it may still be there.
        """
        errors: list[FieldError] = []
        day, code = _day("", date, errors), _currency("", currency, errors)
        # As it is: what has to go may be an id that would not be taken today.
        if not campaign_id or not _CAMPAIGN_ID.fullmatch(campaign_id):
            errors.append(FieldError("campaign_id", "not an id of 1 to 64 characters"))
        if errors or not campaign_id:
            raise ValidationError(*errors)
        return self.store.commit(
            lambda conn: spend.delete(conn, day, campaign_id=campaign_id, currency=code)
        )

    def _checked(self, rows: Iterable[tuple[str, Any]], separator: str = "") -> list[SpendRow]:
        """Returns the rows, each checked; `rows` has the place of each for the errors.

        Raises:
            ValidationError: a row is wrong.
        """
        errors: list[FieldError] = []
        now = int(self.clock())
        checked: list[SpendRow] = []
        places: dict[tuple[str, ...], str] = {}
        for where, values in rows:
            row = _row(where, values, separator, now, errors)
            if row is not None:
                _refuse_second(where, row, places, errors)
                checked.append(row)
        if errors:
            raise ValidationError(*errors[:_MOST_FAULTS])
        return checked

    def _store(self, rows: Sequence[SpendRow]) -> None:
        self.store.commit(partial(spend.put, rows=rows))


class _Sheet:
    """The lines of a CSV body with our column names and their place, without the totals.

    Raises:
        ValidationError: a column is missing.
        UnicodeDecodeError: the body is no text.
        csv.Error: the body is not CSV.
    """

    def __init__(self, body: bytes) -> None:
        is_utf_16 = body.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        text = body.decode("utf-16" if is_utf_16 else "utf-8-sig")
        first, _, rest = text.partition("\n")
        self._skipped = 0
        self.separator = separator_named_by(first)
        if self.separator:
            self._skipped, text = 1, rest
        else:
            self.separator = max(_SEPARATORS, key=first.count)
        self._reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=self.separator, strict=True
        )
        self._head = next(self._reader, [])
        self._places = _columns(self._head)

    def __iter__(self) -> Iterator[tuple[str, dict[str, str]]]:
        for cells in self._reader:
            line = f"line {self._reader.line_num + self._skipped}"
            row = {name: cells[place] for name, place in self._places.items() if place < len(cells)}
            if _is_blank(row) or _is_total(row, cells):
                continue
            if any(cells[len(self._head) :]):
                count = f"{len(cells)} cells, and the head has {len(self._head)}"
                raise ValidationError(FieldError(line, f"{count}: a comma within needs quotes"))
            yield f"{line}: ", row


def _columns(head: Sequence[str]) -> dict[str, int]:
    """Returns the position of each column, by our name."""
    errors: list[FieldError] = []
    positions: dict[str, int] = {}
    for place, title in enumerate(head):
        name = _NAMES.get(plain_text(title).casefold().replace(" ", "_"))
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


def _is_total(row: Mapping[str, Any], cells: Iterable[Any]) -> bool:
    """Returns True for a line with a total. A campaign may be called Total, but have no such id."""
    day, campaign_id = (_text_of(row.get(name)) for name in ("date", "campaign_id"))
    if day.casefold() in _TOTALS or campaign_id.casefold() in _TOTALS:
        return True
    has_id = row.get("campaign_id") and not (campaign_id and names_nothing(campaign_id))
    return not has_id and any(_text_of(cell).casefold() in _TOTALS for cell in cells)


def _is_blank(row: Mapping[str, str]) -> bool:
    """Returns True for an empty line, and for a sum without a word before it."""
    return not any(_text_of(row.get(name)) for name in ("date", "campaign_id"))


def _text_of(value: Any) -> str:
    return plain_text(value).rstrip(" :") if isinstance(value, str) else ""


def _refuse_second(
    where: str, row: SpendRow, places: dict[tuple[str, ...], str], errors: list[FieldError]
) -> None:
    """Refuses a second row for one key, since only the last of the parts would count."""
    place = where.rstrip("/: ")
    first = places.setdefault((row.date, row.campaign_id, row.currency), place)
    if first != place:
        reason = f"the same day, campaign and currency as {first}: add up the parts of a campaign"
        errors.append(FieldError(place, reason))


def _row(
    where: str, values: Any, separator: str, now: int, errors: list[FieldError]
) -> SpendRow | None:
    """Returns the row that the values make, or None after adding their faults to the errors."""
    if not isinstance(values, Mapping):
        errors.append(FieldError(where.rstrip("/"), "not an object"))
        return None
    known = len(errors)
    date = _day(where, values.get("date"), errors)
    campaign_id = _campaign_id(where, values.get("campaign_id"), errors)
    currency = _currency(where, values.get("currency"), errors)
    micros = _micros(where, values.get("spend"), currency, separator, errors)
    campaign = _name(values.get("campaign"))
    row = SpendRow(date, campaign_id, currency, campaign, micros, now)
    return row if len(errors) == known else None


def _day(where: str, value: Any, errors: list[FieldError]) -> str:
    text = plain_text(value) if isinstance(value, str) else ""
    try:
        if len(text) == 10:
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    errors.append(FieldError(f"{where}date", "not a date of the form YYYY-MM-DD"))
    return ""


def _campaign_id(where: str, value: Any, errors: list[FieldError]) -> str:
    # A number with decimals is a rounded id, or none at all.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = plain_id(str(value) if is_number or isinstance(value, str) else "")
    message = ""
    if is_shortened(text):
        message = SHORTENED
    elif _WITH_THOUSANDS.fullmatch(text):
        message = "a spreadsheet has put separators into this id: let it show the column as text"
    elif not _CAMPAIGN_ID.fullmatch(text) or (isinstance(value, float) and not text.isdigit()):
        message = "not an id of 1 to 64 characters"
    elif names_nothing(text):
        message = "names no campaign"
    if message:
        errors.append(FieldError(f"{where}campaign_id", message))
    return text


def _name(value: Any) -> str:
    text = " ".join(value.replace("\x00", "").split())[:256] if isinstance(value, str) else ""
    return "" if is_placeholder(text) else text


def _currency(where: str, value: Any, errors: list[FieldError]) -> str:
    code = plain_text(value).upper() if isinstance(value, str) else value
    if is_currency(code) and not is_placeholder(code):
        return str(code)
    errors.append(FieldError(f"{where}currency", "not an ISO 4217 code such as USD"))
    return ""


def _micros(where: str, value: Any, currency: str, separator: str, errors: list[FieldError]) -> int:
    try:
        return int(amount_of(value, currency, separator) * MICROS)
    except WrongAmount as error:
        errors.append(FieldError(f"{where}spend", str(error)))
        return 0
