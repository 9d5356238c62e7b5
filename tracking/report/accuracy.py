"""The accuracy report: which orders were sent, left out for a reason, or lost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tracking.domain.conversion import REASONS
from tracking.domain.shop_days import QUARTER_HOUR, ShopDays
from tracking.report.known_rows import KnownRows, SummedDays, parts_of
from tracking.report.shared_figures import is_of_this_release
from tracking.store import accuracy, report_progress
from tracking.store.accuracy import FateCount
from tracking.store.engine.statement import Connection

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
# What Pinterest's schema refuses is lost, whether we find it out or Pinterest does.
_NO_REASON = frozenset({"unencodable"})
# Digits of the accuracy, which is rounded down: only what lost nothing is accurate.
_MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A number of orders by what became of them: `left_out` by reason, `lost` those of which
    Pinterest was not told although no reason kept them back."""

    sent: int
    left_out: Mapping[str, int]
    waiting: int
    lost: int

    @property
    def orders(self) -> int:
        """The number of the orders."""
        return self.settled + self.waiting

    @property
    def settled(self) -> int:
        """The number of those that do not wait."""
        return self.accounted_for + self.lost

    @property
    def accounted_for(self) -> int:
        """The number of those that were sent, or left out for a reason."""
        return self.sent + sum(self.left_out.values())

    @property
    def share(self) -> float | None:
        """Their share of those that do not wait, rounded down to millionths; None without any."""
        if not self.settled:
            return None
        return self.accounted_for * _MILLIONTHS // self.settled / _MILLIONTHS


def accuracy_between(conn: Connection, since: int, before: int, forgotten: int = 0) -> Accuracy:
    """Returns what became of the orders placed in [since, before), seconds UTC, counted one by one.

    Deliveries settled before the instant `forgotten` have been deleted.
    """
    length = max(1, before - since)
    return _accuracy_of(_tally(accuracy.counted(conn, since, before, length, forgotten)))


def accuracy_by_day(
    conn: Connection, first: int, last: int, days: ShopDays, forgotten: int, known: KnownRows
) -> dict[int, Accuracy]:
    """Returns what became of the orders of each shop day [first, last] (ordinals), exact to the
    newest order."""
    progress = report_progress.of(conn, "accuracy")
    found: dict[int, Accuracy] = {}
    for begin, end in _equal_days(first, last, days):
        since, before = days.begin(begin), days.begin(end + 1)
        counts: list[FateCount]
        if before <= progress.through:
            is_kept = is_of_this_release(progress)
            counts = [*_stored(conn, range(begin, end + 1), days, known if is_kept else None)]
            counts += _news(conn, since, before, forgotten)
        else:
            counts = accuracy.counted(conn, since, before, _DAY, forgotten)
        tallies = {day: Counter[str]() for day in range(begin, end + 1)}
        for count in counts:
            # A day of 25 hours is alone.
            tallies[min(begin + count.part, end)][count.fate] += count.orders
        found |= {day: _accuracy_of(tally) for day, tally in tallies.items()}
    return found


def _stored(
    conn: Connection, span: range, days: ShopDays, known: KnownRows | None
) -> Iterator[FateCount]:
    """Yields the stored figures of days, in parts of 24 hours."""
    for part in parts_of(span):
        asked = (days.begin(part.start), days.begin(part.stop), _DAY)
        if known is None:
            rows: Sequence[FateCount] = accuracy.stored(conn, *asked)
        else:
            weeks = SummedDays("accuracy", "order_date", utc_days(asked[0], asked[1]))
            rows = known.of_sums(conn, weeks, accuracy.stored, *asked)
        skipped = part.start - span.start
        yield from (row._replace(part=row.part + skipped) for row in rows) if skipped else rows


def utc_days(since: int, before: int) -> range:
    """Returns the UTC days (ordinals) with the instants [since, before)."""
    return range(_EPOCH + since // _DAY, _EPOCH + (before - 1) // _DAY + 1)


def accuracy_report(by_day: Mapping[int, Accuracy]) -> dict[str, Any]:
    """Returns the totals and the days of the report."""
    left_out: Counter[str] = Counter()
    for day in by_day.values():
        left_out.update(day.left_out)
    total = Accuracy(
        sent=sum(day.sent for day in by_day.values()),
        left_out=left_out,
        waiting=sum(day.waiting for day in by_day.values()),
        lost=sum(day.lost for day in by_day.values()),
    )
    return {
        "totals": _line(total),
        "days": [
            {"date": date.fromordinal(day).isoformat(), **_line(found)}
            for day, found in by_day.items()
        ],
    }


def _line(found: Accuracy) -> dict[str, Any]:
    return {
        "orders": found.orders,
        "sent": found.sent,
        "left_out": {reason: found.left_out[reason] for reason in sorted(found.left_out)},
        "waiting": found.waiting,
        "lost": found.lost,
        "accuracy": found.share,
    }


def _equal_days(first: int, last: int, days: ShopDays) -> Iterator[tuple[int, int]]:
    """Yields the days in runs of which each day has 24 hours; any other day is alone."""
    begin = first
    for day in range(first, last + 1):
        if days.begin(day + 1) - days.begin(day) == _DAY:
            continue
        if begin < day:
            yield begin, day - 1
        yield day, day
        begin = day + 1
    if begin <= last:
        yield begin, last


def _news(conn: Connection, since: int, before: int, forgotten: int) -> Iterator[FateCount]:
    """Yields what is to be added to the stored figures, or taken off them."""
    for at in accuracy.marked(conn, since, before):
        part = (at - since) // _DAY
        for old in accuracy.of_quarter(conn, at):
            yield old._replace(part=part, orders=-old.orders)
        for new in accuracy.counted(conn, at, at + QUARTER_HOUR, QUARTER_HOUR, forgotten):
            yield new._replace(part=part)


def _tally(counts: Iterable[FateCount]) -> Counter[str]:
    tally: Counter[str] = Counter()
    for count in counts:
        tally[count.fate] += count.orders
    return tally


def _accuracy_of(tally: Mapping[str, int]) -> Accuracy:
    reasons = {
        fate: number
        for fate, number in tally.items()
        if number and fate in REASONS and fate not in _NO_REASON
    }
    sent, waiting = tally.get("sent", 0), tally.get("waiting", 0)
    lost = sum(tally.values()) - sent - waiting - sum(reasons.values())
    return Accuracy(sent=sent, left_out=reasons, waiting=waiting, lost=lost)
