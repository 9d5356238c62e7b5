"""Figures and instants in the form in which people read them."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

NOTHING = "\N{EN DASH}"


def count_text(value: int | None) -> str:
    """Returns a number with commas between its thousands; a dash for None."""
    return NOTHING if value is None else f"{value:,}"


def money_text(value: str | Decimal | None) -> str:
    """Returns an amount with commas between its thousands, and all its decimals."""
    return NOTHING if value in (None, "") else f"{Decimal(value or 0):,}"


def percent_text(share: str | Decimal) -> str:
    """Returns a share of one in percent, with a decimal only where it says something."""
    percent = (Decimal(share) * 100).quantize(Decimal("0.1"))
    return f"{percent:.0f}%" if percent == percent.to_integral_value() else f"{percent}%"


def change_text(value: str | Decimal | None) -> str:
    """Returns an amount as `money_text` does, and with the sign of a rise, too."""
    text = money_text(value)
    return f"+{text}" if value and Decimal(value) > 0 else text


def time_text(seconds: float, zone: ZoneInfo) -> str:
    """Returns an instant (seconds UTC) to the minute, as the clocks of a zone show it."""
    return datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d %H:%M")


def events_unit(count: int) -> str:
    """Returns the word behind a number of events."""
    return "event" if count == 1 else "events"


def destination_title(destination: str) -> str:
    """Returns the name of a destination as it begins a line: "Pinterest"."""
    return destination.replace("_", " ").capitalize()


def orders_text(orders: str | Decimal | None) -> str:
    """Returns a number of orders, with two decimals only where campaigns share one."""
    if orders is None:
        return NOTHING
    number = Decimal(str(orders))
    is_whole = number == number.to_integral_value()
    return f"{number:,.0f}" if is_whole else f"{number:,.2f}"
