"""The value that Pinterest was told of a purchase."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from tracking.domain.money import amount, is_currency, to_minor


class ToldValue(NamedTuple):
    """An amount in major units and its currency, as an event tells them; "" if it tells none."""

    value: str = ""
    currency: str = ""

    def in_minor(self, currency: str) -> int | None:
        """Returns the amount in minor units; None if it is none in this currency."""
        value = amount(self.value) if self.currency == currency else None
        return None if value is None else to_minor(value, currency)


class _CustomData(msgspec.Struct):
    currency: str = ""
    value: str = ""


class _Event(msgspec.Struct):
    custom_data: _CustomData = msgspec.field(default_factory=_CustomData)


_decode: Callable[[bytes], _Event] = msgspec.json.Decoder(_Event).decode


def told_value_in(event: bytes) -> ToldValue:
    """Returns the value in a finished event, and nothing else that stands in its place."""
    if not event:
        return ToldValue()
    told = _decode(event).custom_data
    if amount(told.value) is None or not is_currency(told.currency):
        return ToldValue()
    return ToldValue(told.value, told.currency)
