"""Instants of events as tills, data warehouses and spreadsheets write them."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Seconds, or the same in milli-, micro- or nanoseconds.
_UNIX = re.compile(r"([0-9]{10})(?:[0-9]{3}){0,3}(?:\.[0-9]*)?|([0-9]{9})(?:\.[0-9]*)?")
# 1.7643312E9, as Java writes a number whole, and 1.764331e+09, as others round it.
_SCIENTIFIC = re.compile(r"[0-9](?:\.([0-9]{1,20}))?[eE](\+?)0?([0-9]|1[0-9])")
# So many digits follow the point of a number of seconds that was not rounded.
_DIGITS_OF_SECONDS = 9
_ZONE = re.compile(r"(.*[0-9])(?: ?\[([A-Za-z0-9_+/-]+)\]| ([A-Za-z][A-Za-z0-9_+/-]*))")
# The year stands first, so that day and month cannot be mistaken for one another: 2026/11/29 4:00.
_YEAR_FIRST = re.compile(
    r"([0-9]{4})([/-])([0-9]{1,2})\2([0-9]{1,2})(?:[T ]([0-9]{1,2})(:[0-9]{2}.*))?"
)
_OFFSET_APART = re.compile(r"(?<=[0-9]) (?=[+-][0-9]{2}:?[0-9]{2}$)")

# The zones that RFC 2822 names, and those of Europe's clocks. Other abbreviations mean several.
_HOURS = {
    **dict.fromkeys(("UTC", "UT", "GMT", "Z", "WET"), 0),
    **dict.fromkeys(("CET", "WEST"), 1),
    **dict.fromkeys(("EET", "CEST"), 2),
    "EEST": 3,
    "EDT": -4,
    **dict.fromkeys(("EST", "CDT"), -5),
    **dict.fromkeys(("CST", "MDT"), -6),
    **dict.fromkeys(("MST", "PDT"), -7),
    "PST": -8,
}


def unix_seconds(text: str) -> int | None:
    """Returns the seconds UTC of an instant in Unix time or ISO 8601, with the offset, name or
    abbreviation of its zone, or in UTC; None for any other text.

    None, too, for a number that a program has rounded: it would name another hour.
    """
    if scientific := _SCIENTIFIC.fullmatch(text):
        digits, plus, _ = scientific.groups(default="")
        if plus and len(digits) < _DIGITS_OF_SECONDS:
            return None
        text = format(Decimal(text), "f")
    if unix := _UNIX.fullmatch(text):
        return int(unix[1] or unix[2])
    zone: tzinfo = UTC
    if named := _ZONE.fullmatch(text):
        found = _zone(named[2] or named[3])
        if found is None:
            return None
        text, zone = named[1], found
    try:
        moment = datetime.fromisoformat(_OFFSET_APART.sub("", _YEAR_FIRST.sub(_as_iso, text, 1)))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError):
        return None


def _as_iso(found: re.Match[str]) -> str:
    year, _, month, day, hour, rest = found.groups()
    return f"{year}-{month:0>2}-{day:0>2}" + (f"T{hour:0>2}{rest}" if rest else "")


@cache
def _known_zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _zone(name: str) -> tzinfo | None:
    if name.upper() in _HOURS:
        return timezone(timedelta(hours=_HOURS[name.upper()]))
    # Names such as Europe/Berlin: those without a part of the world are old and few.
    return _known_zone(name) if "/" in name else None
