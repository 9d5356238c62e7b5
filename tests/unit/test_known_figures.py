"""A process reads the figures of days once, until one of them changes."""

from collections.abc import Iterator

from pyroaring import BitMap

from tracking.report.known_figures import Figures, KnownFigures
from tracking.store.funnel_figures import StoredFigures

Told = list[tuple[int, int, int, list[int]]]


def stored(*rows: tuple[int, int, int, list[int]]) -> Iterator[StoredFigures]:
    for id, events, newest, visitors in rows:
        yield StoredFigures(id, events, newest, BitMap(visitors).serialize())


def told(figures: Figures) -> Told:
    return [
        (id, events, newest, list(visitors))
        for id, events, newest, visitors in zip(*figures, strict=True)
    ]


def test_figures_of_several_days_are_told_together() -> None:
    rows = stored((7, 3, 50, [1, 2]), (8, 1, 60, [2]), (7, 2, 40, [2, 3]))
    assert told(KnownFigures().of("may", 1, rows)) == [(7, 5, 50, [1, 2, 3]), (8, 1, 60, [2])]


def test_figures_are_read_once_for_each_version() -> None:
    known = KnownFigures()
    known.of("may", 1, stored((7, 1, 50, [1])))

    again = stored((7, 2, 60, [1, 2]))
    assert told(known.of("may", 1, again)) == [(7, 1, 50, [1])]
    assert told(known.of("may", 2, again)) == [(7, 2, 60, [1, 2])]
    assert told(known.of("may", 2, iter(()))) == [(7, 2, 60, [1, 2])]


def test_what_was_asked_for_longest_ago_is_forgotten_first() -> None:
    known = KnownFigures(most_bytes=1_300)
    for month in ("may", "june", "july"):
        known.of((month,), 1, stored((7, 1, 50, [1])))
        known.of(("may",), 1, iter(()))
    known.of(("august",), 1, stored((7, 1, 50, [1])))

    # The forgotten one last: what is asked for anew pushes another one out.
    months = ("august", "july", "may", "june")
    kept = {month for month in months if told(known.of((month,), 1, iter(())))}

    assert kept == {"may", "july", "august"}


def test_figures_that_are_too_large_to_be_kept_are_told_all_the_same() -> None:
    known = KnownFigures(most_bytes=1_000)
    many = [(id, 1, 50, [1]) for id in range(100)]
    assert told(known.of("may", 1, stored(*many))) == many
    assert told(known.of("may", 1, iter(()))) == []


def test_figures_of_nobody_are_forgotten_too() -> None:
    known = KnownFigures(most_bytes=1_000)
    for week in range(30):
        known.of((week,), 1, iter(()))

    assert told(known.of((0,), 1, stored((7, 1, 50, [1])))) == [(7, 1, 50, [1])]
    assert told(known.of((29,), 1, stored((7, 1, 50, [1])))) == []
