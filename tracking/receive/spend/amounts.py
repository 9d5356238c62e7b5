"""Amounts of spend: numbers of programs, and texts that were written for people."""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tracking.domain.money import digits
from tracking.domain.spreadsheet import plain_text

# No campaign costs more in a day, and sums of so much fit the databases' integers.
_MOST_SPEND = 10**9
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,40})?")
# With commas between the thousands. A group of thousands does not begin with zero.
_WRITTEN = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]{1,40})?")
# Written in another country, this is an amount of thousands.
_LIKE_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
_SIGNED = re.compile(r"([^0-9.,\s+-]*)\s*([0-9][0-9.,]*)\s*([^0-9.,\s+-]*)")
# Sums of floats miss the true one by less than this, however many are added.
_NOISE = Decimal("1e-9")
_DOLLARS = "USD AUD CAD NZD SGD HKD TWD MXN ARS CLP COP UYU DOP JMD TTD BBD BSD BZD BND FJD NAD"
_CURRENCIES_OF: Mapping[str, frozenset[str]] = {
    sign: frozenset(codes.split())
    for sign, codes in {
        "$": _DOLLARS,
        "US$": "USD",
        "A$": "AUD",
        "AU$": "AUD",
        "C$": "CAD",
        "CA$": "CAD",
        "NZ$": "NZD",
        "S$": "SGD",
        "HK$": "HKD",
        "NT$": "TWD",
        "MX$": "MXN",
        "R$": "BRL",
        "€": "EUR",
        "£": "GBP EGP GIP FKP SHP LBP SYP",
        "¥": "JPY CNY",
        "￥": "JPY CNY",
        "円": "JPY",
        "₹": "INR",
        "₩": "KRW",
        "₺": "TRY",
        "₽": "RUB",
        "₪": "ILS",
        "₫": "VND",
        "₱": "PHP",
        "฿": "THB",
        "₴": "UAH",
        "zł": "PLN",
        "Kč": "CZK",
        "Ft": "HUF",
        "kr": "SEK NOK DKK ISK",
    }.items()
}


class WrongAmount(ValueError):
    """The value is no amount of spend. The message says why."""


def amount_of(value: Any, currency: str, separator: str = "") -> Decimal:
    """Returns the amount of a JSON value or of a cell.

    Args:
        value: a number or a text.
        currency: ISO 4217, or "" if it is not known.
        separator: what stands between the cells of a file; "" for JSON, where an amount has
            neither a sign nor commas.

    Raises:
        WrongAmount: it is none, or can be read in two ways.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = format(Decimal(repr(value)), "f") if abs(value) < 10**12 else ""
    else:
        text = _plain(value, currency, separator) if isinstance(value, str) else ""
    if not _AMOUNT.fullmatch(text):
        raise WrongAmount("not an amount of zero or more, such as 12.50")
    return _checked(Decimal(text), currency)


def _plain(value: str, currency: str, separator: str) -> str:
    """Returns the digits of a text, with a point before the decimals."""
    text = plain_text(value)
    if separator:
        text = _without_sign(text, currency)
    places = digits(currency) if currency else 2
    # Where a comma stands between the cells, none is a decimal one.
    is_point_decimal = separator in ("", ",") and places == 3
    if _LIKE_THOUSANDS.fullmatch(text) and not is_point_decimal:
        raise WrongAmount("can be read in two ways: write it without thousands, such as 1250.00")
    if separator and _WRITTEN.fullmatch(text):
        if "." not in text and (separator != "," or places == 3) and text.count(",") == 1:
            raise WrongAmount("can be read in two ways: write 1250.00 or 1.25")
        return text.replace(",", "")
    return text


def _without_sign(text: str, currency: str) -> str:
    signed = _SIGNED.fullmatch(text)
    if signed is None or bool(signed[1]) == bool(signed[3]):
        return text
    sign = signed[1] or signed[3]
    if sign not in _CURRENCIES_OF:
        return text
    if currency and currency not in _CURRENCIES_OF[sign]:
        raise WrongAmount(f"has the sign of another currency than {currency}")
    return signed[2]


def _checked(found: Decimal, currency: str) -> Decimal:
    if found > _MOST_SPEND:
        raise WrongAmount(f"more than {_MOST_SPEND}")
    if not currency:
        return found
    exact = found.quantize(Decimal(1).scaleb(-digits(currency)), ROUND_HALF_UP)
    if abs(found - exact) > _NOISE * max(Decimal(1), found):
        raise WrongAmount(f"has more decimals than {currency}")
    return exact
