"""Counts events and distinct visitors. A visitor is a number in a roaring bitmap."""

from collections.abc import Iterable, Sequence
from typing import Self

from pyroaring import BitMap

from tracking.store.funnel_events import CountedEvent, NumberedEvent


class Numbering:
    """The numbers of visitors. A visitor without one gets the next, as `new` has it."""

    def __init__(self, count: int) -> None:
        """Begins after the `count` numbers that visitors have."""
        self.new: dict[str, int] = {}
        self._count = count

    @property
    def count(self) -> int:
        """The number of numbers that visitors have."""
        return self._count + len(self.new)

    def of(self, event: CountedEvent) -> int:
        """Returns the number of an event's visitor."""
        if event.number is not None:
            return event.number
        number = self.new.get(event.visitor)
        if number is None:
            number = self.new[event.visitor] = self.count + 1
        return number


class Tally:
    """The number of some events, the instant of the newest, and their visitors."""

    __slots__ = ("_parts", "events", "newest", "visitors")

    def __init__(self) -> None:
        self.events = 0
        self.newest = 0
        self.visitors = BitMap()
        self._parts: list[BitMap] = []

    def add(self, number: int, at: int) -> None:
        """Adds an event of a visitor."""
        self.events += 1
        self.newest = max(self.newest, at)
        self.visitors.add(number)

    def add_all(self, events: Sequence[NumberedEvent]) -> None:
        """Adds events."""
        numbers = [event.number for event in events]
        self.events += len(numbers)
        self.newest = max(self.newest, *(event.at for event in events))
        self.visitors.update(numbers)

    def merge(self, events: int, visitors: BitMap, newest: int = 0) -> None:
        """Adds figures, of which the visitors must not change any more."""
        self.events += events
        if newest > self.newest:
            self.newest = newest
        self._parts.append(visitors)

    @classmethod
    def together(cls, tallies: Iterable[Self]) -> Self:
        """Returns several tallies as one: a visitor of two of them is one visitor."""
        whole = cls()
        for tally in tallies:
            whole.events += tally.events
            whole.newest = max(whole.newest, tally.newest)
            whole.visitors |= tally.visitors
            whole._parts += tally._parts
        return whole

    def counts(self) -> tuple[int, int]:
        """Returns the events and the distinct visitors."""
        some = [part for part in (self.visitors, *self._parts) if part]
        if len(some) > 2:
            # The largest part is not copied.
            *few, most = sorted(some, key=len)
            some = [_union(few), most]
        return self.events, some[0].union_cardinality(some[-1]) if some else 0

    def stored(self) -> bytes:
        """Returns the visitors as they are stored."""
        visitors = self.union()
        visitors.run_optimize()
        return visitors.serialize()

    def union(self) -> BitMap:
        """Returns the visitors."""
        return _union([self.visitors, *self._parts])


def _union(parts: Iterable[BitMap]) -> BitMap:
    # One after the other, which takes half the time of `BitMap.union`.
    whole = BitMap()
    for part in parts:
        whole |= part
    return whole
