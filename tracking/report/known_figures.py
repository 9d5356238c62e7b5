"""Keeps what this process has added up of the figures by day, for as long as no day changes."""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from pyroaring import BitMap

from tracking.store.funnel_figures import StoredFigures

# Of the funnel of ninety days with ten million events and 401 campaigns it takes a half.
MOST_BYTES = 48_000_000
# What a period that is asked for takes in memory; a bitmap and each of its containers beside their
# values.
_BYTES_A_PERIOD = 110
_BYTES_A_BITMAP = 250
_BYTES_A_CONTAINER = 40


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
    by_id: dict[int, list[StoredFigures]] = defaultdict(list)
    for row in rows:
        by_id[row.id].append(row)
    return Figures(
        tuple(by_id),
        tuple(sum(row.events for row in some) for some in by_id.values()),
        tuple(max(row.newest for row in some) for some in by_id.values()),
        # The rows of each are let go as soon as they are united.
        tuple(_united(by_id.pop(id)) for id in [*by_id]),
    )


def _united(rows: Iterable[StoredFigures]) -> BitMap:
    # What is decoded for one campaign takes the place of what was for the one before. All campaigns
    # of a day, and then of the next, scatter over memory, which takes a tenth longer.
    first, *others = rows
    visitors = BitMap.deserialize(first.visitors)
    for row in others:
        visitors |= BitMap.deserialize(row.visitors)
    visitors.shrink_to_fit()
    return visitors


def _size(visitors: BitMap) -> int:
    found = visitors.get_statistics()
    return (
        _BYTES_A_BITMAP
        + _BYTES_A_CONTAINER * found["n_containers"]
        + found["n_bytes_array_containers"]
        + found["n_bytes_run_containers"]
        + found["n_bytes_bitset_containers"]
    )
