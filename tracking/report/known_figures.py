"""Keeps what this process has added up of the figures by day, for as long as no day changes."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from pyroaring import BitMap

# Of the funnel of ninety days with ten million events and 401 campaigns it takes a half.
MOST_BYTES = 48_000_000
# What a period that is asked for takes in memory; a bitmap and each of its containers beside their
# values.
_BYTES_A_PERIOD = 110
_BYTES_A_BITMAP = 250
_BYTES_A_CONTAINER = 40


class StoredFigures(NamedTuple):
    """The figures of a campaign or of all traffic (an id) on a day or in a week."""

    id: int
    events: int
    newest: int
    visitors: bytes


class Figures(NamedTuple):
    """The figures of some days together, of each `ids` at the same place in the other three.

    The bitmaps are shared by all reports: nobody may change one.
    """

    ids: tuple[int, ...]
    events: tuple[int, ...]
    newest: tuple[int, ...]
    visitors: tuple[BitMap, ...]


class _Known(NamedTuple):
    version: int
    size: int
    figures: Figures


class KnownFigures:
    """The figures that were asked for last, by any number of threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[Sequence[Hashable], _Known] = OrderedDict()

    def of(self, asked: Sequence[Hashable], version: int, rows: Iterable[StoredFigures]) -> Figures:
        """Returns the figures of the rows, which are not read if they are known in this version.

        `asked` names the rows, by their periods.
        """
        with self._lock:
            known = self._known.get(asked)
            if known is not None and known.version == version:
                self._known.move_to_end(asked)
                return known.figures
        figures = _together(rows)
        size = _BYTES_A_PERIOD * len(asked) + sum(map(_size, figures.visitors))
        self._keep(asked, _Known(version, size, figures))
        return figures

    def _keep(self, asked: Sequence[Hashable], known: _Known) -> None:
        with self._lock:
            replaced = self._known.pop(asked, None)
            self._known[asked] = known
            self._bytes += known.size - (replaced.size if replaced else 0)
            while self._bytes > self._most_bytes:
                _, oldest = self._known.popitem(last=False)
                self._bytes -= oldest.size


def _together(rows: Iterable[StoredFigures]) -> Figures:
    sums: dict[int, tuple[int, int]] = {}
    visitors: dict[int, BitMap] = {}
    # One row after the other, so that they are never all in memory.
    for id, events, newest, stored in rows:
        events_before, newest_before = sums.get(id, (0, 0))
        sums[id] = events_before + events, max(newest_before, newest)
        if id in visitors:
            visitors[id] |= BitMap.deserialize(stored)
        else:
            visitors[id] = BitMap.deserialize(stored)
    for some in visitors.values():
        some.shrink_to_fit()
    return Figures(
        tuple(sums),
        tuple(events for events, _ in sums.values()),
        tuple(newest for _, newest in sums.values()),
        tuple(visitors.values()),
    )


def _size(visitors: BitMap) -> int:
    found = visitors.get_statistics()
    return (
        _BYTES_A_BITMAP
        + _BYTES_A_CONTAINER * found["n_containers"]
        + found["n_bytes_array_containers"]
        + found["n_bytes_run_containers"]
        + found["n_bytes_bitset_containers"]
    )
