"""Exact money: amounts are integers of the currency's minor unit, and text at the edges."""

import re
from decimal import ROUND_HALF_UP, Decimal

# Ad spend is counted in millionths of the major unit, whatever the currency.
MICROS = 1_000_000

# Minor-unit digits of ISO 4217 where they are not two. A test holds this table to py-moneyed's.
_DIGITS = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}

# Twelve digits before the point: what a shop can charge, and short enough that no text can make
# the arithmetic slow (int(Decimal("1e1000000")) takes half a minute).
_AMOUNT = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
# What a program writes that computes with floats: 19.99 becomes 19.989999999999998.
_LONG_AMOUNT = re.compile(r"-?[0-9]{1,12}\.[0-9]{7,40}")
_MOST = 10**12
_CURRENCY = re.compile(r"[A-Z]{3}")


def is_currency(code: object) -> bool:
    """Returns True if the value has the form of an ISO 4217 code, upper case."""
    return isinstance(code, str) and _CURRENCY.fullmatch(code) is not None


def digits(currency: str) -> int:
    """Returns the number of decimals that amounts of this currency have (ISO 4217)."""
    return _DIGITS.get(currency, 2)


def is_amount(text: str) -> bool:
    """Returns True if the text is an amount in major units of at most six decimals."""
    return _AMOUNT.fullmatch(text) is not None


def amount(value: object) -> Decimal | None:
    """Returns a JSON text or number as an amount in major units; None if it is not an amount.

    Shopify sends decimal text, but real bodies hold numbers too. What has more than six decimals
    carries the rounding error of floats, and is rounded to six.
    """
    if isinstance(value, str):
        if _AMOUNT.fullmatch(value):
            return Decimal(value)
        return rounded_amount(Decimal(value)) if _LONG_AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # NaN is not less than anything.
    if not abs(value) < _MOST:
        return None
    exact = amount(str(value))
    return rounded_amount(value) if exact is None else exact


def rounded_amount(value: float | Decimal) -> Decimal | None:
    """Returns a number as an amount of at most six decimals; None if it is not an amount.

    A sum of floats carries a rounding error: 1.1 * 3 is 3.3000000000000003.
    """
    text = f"{value:.6f}"
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


def to_minor(value: Decimal, currency: str) -> int:
    """Converts major units to minor units, half away from zero."""
    scaled = value.scaleb(digits(currency))
    return int(scaled.to_integral_value(ROUND_HALF_UP))


def to_major(minor: int, currency: str) -> str:
    """Converts minor units to text with the currency's decimals: (1234, "USD") is "12.34"."""
    places = _DIGITS.get(currency, 2)
    if places == 0:
        return str(minor)
    text = str(minor)
    if minor >= 0 and len(text) > places:
        return f"{text[:-places]}.{text[-places:]}"
    sign = "-" if minor < 0 else ""
    text = str(abs(minor)).zfill(places + 1)
    return f"{sign}{text[:-places]}.{text[-places:]}"
