"""Finds a person or an order in a body that could not be understood, slice by slice.

The body is foreign text of up to two megabytes, and an expression holds up every thread while it
runs: each is linear, and gets no more than a slice at once.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from tracking.domain.identity import hashed, identity_key

# Characters of a body that are searched at once.
SLICE = 4_096
# Longer than any address, phone or number that could be a person's.
_OVERLAP = 1_024
# A phone without a country code is tried in every country that the body names, up to so many: an
# order names two.
MOST_COUNTRIES = 16

_NOT_IN_ADDRESSES = r"\s\"'<>(),;:\\@"
# It begins only where a run of such letters does, so none is read again from each of its letters.
_ADDRESS = re.compile(
    rf"(?<![^{_NOT_IN_ADDRESSES}])[^{_NOT_IN_ADDRESSES}]++@[^{_NOT_IN_ADDRESSES}]++"
)
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,20}+(?![0-9])")
_PHONE = re.compile(r"\+?[0-9(][0-9 ().\-]{5,24}[0-9]")
_COUNTRY = re.compile(r'"country_code"\s*+:\s*+"([A-Z]{2})"')


class BodySearch:
    """The search for a person, by identity keys, and for orders in one body."""

    def __init__(self, body: bytes, keys: Iterable[str], order_ids: Iterable[str]) -> None:
        self._text = body.decode("utf-8", "replace").replace("\\u0040", "@").replace("\\/", "/")
        self._keys = frozenset(keys)
        self._order_ids = frozenset(order_ids)
        self._kinds = {key.partition(":")[0] for key in self._keys}
        named = dict.fromkeys(match[1] for match in _COUNTRY.finditer(self._text))
        self._countries = ("", *islice(named, MOST_COUNTRIES))

    def positions(self, start: int = 0) -> range:
        """Returns where the slices begin that are left at a position."""
        return range(start, len(self._text), SLICE)

    def finds_at(self, start: int) -> bool:
        """Returns True if the slice that begins here names the person or one of the orders."""
        numbers = set(self._found(_NUMBER, start))
        if not self._order_ids.isdisjoint(numbers):
            return True
        return any(self._is_persons(*text) for text in self._candidates(start, numbers))

    def _candidates(
        self, start: int, numbers: Iterable[str]
    ) -> Iterator[tuple[str, str, str, str]]:
        """Yields kind, field, text and country of all that may be the person's."""
        if "em" in self._kinds:
            yield from (("em", "em", text, "") for text in set(self._found(_ADDRESS, start)))
        if "id" in self._kinds:
            yield from (("id", "external_id", text, "") for text in numbers)
        if "ph" in self._kinds:
            for text in set(self._found(_PHONE, start)):
                # With a plus it names its country itself.
                countries = ("",) if text.startswith("+") else self._countries
                yield from (("ph", "ph", text, country) for country in countries)

    def _is_persons(self, kind: str, field: str, text: str, country: str) -> bool:
        digest = hashed(field, text, country)
        return digest is not None and identity_key(kind, digest) in self._keys

    def _found(self, pattern: re.Pattern[str], start: int) -> Iterator[str]:
        end = start + SLICE
        for match in pattern.finditer(self._text, start, end + _OVERLAP):
            if match.start() >= end:
                return
            yield match[0]
