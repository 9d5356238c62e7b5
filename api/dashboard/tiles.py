"""Tiles: single figures at the top of a page, each with its change or a word on it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Tone = Literal["", "good", "warns", "bad"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure under its title: `unit` stands behind it, `note` below it, coloured by `tone`."""

    title: str
    value: str
    unit: str = ""
    note: str = ""
    tone: Tone = ""


def change_of(
    now: Decimal | None, before: Decimal | None, *, more_is: Literal["good", "bad", ""]
) -> tuple[str, Tone]:
    """Returns the change from the span before in words, and its tone.

    `more_is` says what a rise means for the shop; "" if nothing by itself.
    """
    if now is None or before is None or (not before and not now):
        return "", ""
    if not before:
        return "new", more_is
    percent = (now - before) * 100 / abs(before)
    rounded = percent.quantize(Decimal(1 if abs(percent) >= 10 else "0.1"))
    if not rounded:
        return "as before", ""
    arrow = "\N{UPWARDS ARROW}" if rounded > 0 else "\N{DOWNWARDS ARROW}"
    return f"{arrow} {abs(rounded):,f}%", _tone(rounded > 0, more_is)


def _tone(is_more: bool, more_is: Literal["good", "bad", ""]) -> Tone:
    if not more_is:
        return ""
    return "good" if is_more == (more_is == "good") else "bad"
