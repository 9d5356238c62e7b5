"""Reads the query parameters of a report."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from tracking.domain.shop_days import ShopDays
from tracking.domain.validation import FieldError, ValidationError

_C = TypeVar("_C", bound=str)
DEFAULT_DAYS = 30
# Of reports of which each day is a line.
MOST_DAYS = 366
# No shop sold anything on other days.
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2200, 12, 31)


@dataclass(frozen=True, slots=True)
class Days:
    """Shop days, both ends included, and the instants (seconds UTC) at which they begin and end."""

    start: date
    end: date
    since: int
    before: int

    def told(self, zone: ZoneInfo) -> dict[str, str]:
        """Returns the days, and the time zone whose days they are, as a report begins."""
        return {
            "start_date": self.start.isoformat(),
            "end_date": self.end.isoformat(),
            "timezone": zone.key,
        }


def raise_if_any(errors: list[FieldError]) -> None:
    """Raises the errors, if there are any.

    Raises:
        ValidationError: there are errors.
    """
    if errors:
        raise ValidationError(*errors)


def date_of(name: str, value: str | None, errors: list[FieldError]) -> date | None:
    """Returns the date of an ISO text; None, with an error added, if it is not one."""
    if not value:
        return None
    try:
        # fromisoformat accepts several forms, the contract has one.
        day = date.fromisoformat(value) if len(value) == 10 else None
    except ValueError:
        day = None
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        errors.append(FieldError(name, "not a date of the form YYYY-MM-DD"))
        return None
    return day


def choice_of(
    name: str, value: str | None, choices: tuple[_C, ...], errors: list[FieldError]
) -> _C:
    """Returns the choice that the value names, and the first one for an empty value.

    For a value that names none it returns the first one too, with an error added.
    """
    if not value:
        return choices[0]
    for choice in choices:
        if choice == value:
            return choice
    accepted = ", ".join(dict.fromkeys(filter(None, choices)))
    errors.append(FieldError(name, f"not one of: {accepted}"))
    return choices[0]


def whole_number_of(
    name: str, value: str | None, default: int, span: tuple[int, int], errors: list[FieldError]
) -> int:
    """Returns the number; the default, with an error added, if it is not within the span."""
    if not value:
        return default
    least, most = span
    is_whole = value.isascii() and value.isdigit() and len(value) <= 19
    if not (is_whole and least <= int(value) <= most):
        errors.append(FieldError(name, f"not a whole number from {least} to {most}"))
        return default
    return int(value)


def days_of(
    start: str | None,
    end: str | None,
    calendar: ShopDays,
    now: float,
    errors: list[FieldError],
    most: int | None = None,
) -> Days:
    """Returns the days from one date to another, `most` of them; by default the last thirty.

    For dates that are none it returns some days, with errors added.
    """
    today = datetime.fromtimestamp(now, calendar.zone).date()
    last = date_of("end_date", end, errors) or today
    first = date_of("start_date", start, errors) or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last and not errors:
        errors.append(FieldError("start_date", "lies after end_date"))
    if most is not None and (last - first).days >= most:
        errors.append(FieldError("start_date", f"lies {most} days or more before the end"))
    since, before = map(calendar.begin, (first.toordinal(), last.toordinal() + 1))
    return Days(first, last, since, before)
