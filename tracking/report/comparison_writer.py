"""Writes the sums of the comparison by day: of all orders once, and then of what changes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from tracking.domain.attribution import Rules, bits_of
from tracking.domain.shop_days import WEEK, ShopDays
from tracking.domain.waterfall import MOST_ORDER_IDS, kind_of
from tracking.report.campaigns import CampaignLabel
from tracking.report.compared_shares import MaskedShare, shares_between, shares_of_marked
from tracking.report.compared_sums import UTC_DAYS
from tracking.report.shared_figures import SharedFigures, is_of_this_release, written
from tracking.store import Store, compared_figures, report_progress
from tracking.store.compared_figures import ALL_CAMPAIGNS, ComparedCredit, ComparedDay
from tracking.store.credit_figures import FOREVER, Period, ReportDay, week_of
from tracking.store.engine.statement import Connection
from tracking.store.summed_weeks import ChangedWeek

_HOUR, _DAY = 3_600, 86_400
# So many marks are worked off at once.
MARKS = 100


class _SumKey(NamedTuple):
    """The key of sums, under one model or several: see a ComparedDay."""

    mask: int
    report_by: Period
    utc_day: int
    campaign: int
    shop_day: int
    currency: str
    kind: str


@dataclass(slots=True)
class _Change:
    """A change of sums, and of the orders that they name."""

    credits: int = 0
    share: int = 0
    net: int = 0
    value: int = 0
    gone: set[str] = field(default_factory=set)
    new: dict[str, None] = field(default_factory=dict)

    def add(self, sign: int, credit: ComparedCredit) -> None:
        self.credits += sign
        self.share += sign * credit.share
        self.net += sign * credit.net
        self.value += sign * credit.value

    def merge(self, other: "_Change") -> None:
        self.credits += other.credits
        self.share += other.share
        self.net += other.net
        self.value += other.value
        self.gone |= other.gone
        self.new |= other.new


class ComparisonWriter:
    """Brings the sums of the comparison up to date, step by step.

    Each step reads a snapshot, sums up without any lock, and writes, unless the sums changed
    meanwhile. Until the orders of all days are in them, it goes on by an hour of orders at a step.
    """

    def __init__(
        self,
        store: Store,
        days: ShopDays,
        rules: Rules,
        retention_days: int,
        clock: Callable[[], float],
    ) -> None:
        """Sums up for these shop days. Deliveries settled `retention_days` ago are deleted."""
        self._store = store
        self._figures = SharedFigures(store, "comparison")
        self._days = days
        self._rules = rules
        self._retention = retention_days * _DAY
        self._clock = clock

    def restart(self) -> None:
        """Has the next steps make all figures anew.

        Raises:
            StoreUnavailable: they will not.
        """
        self._figures.restart()

    def step(self) -> bool:
        """Writes the next sums; returns False if there was nothing to do.

        Raises:
            StoreUnavailable: nothing was written.
        """
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            has_marks = bool(compared_figures.marks(conn, 1))
        if progress.zone != self._days.zone.key or not is_of_this_release(progress):
            # Of other days, or written by a release that knows no weeks: deleted a part at a time.
            self._figures.begin_anew(
                written(progress),
                self._days.zone.key,
                compared_figures.some_sums,
                compared_figures.drop_sums,
            )
            return True
        if progress.through == FOREVER and not has_marks:
            return False
        self._sum_up()
        return True

    def _sum_up(self) -> None:
        forgotten = int(self._clock()) - self._retention
        done: Sequence[int] = ()
        old: list[ComparedCredit] = []
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            through = progress.through
            if through < FOREVER:
                through = _end_of_hour(compared_figures.first_order(conn, through))
                span = (progress.through, through)
                new = shares_between(conn, span, self._rules, forgotten)
            else:
                done = [mark.id for mark in compared_figures.marks(conn, MARKS)]
                last = max(done, default=0)
                summed = compared_figures.of_marked(conn, last)
                old = [ComparedCredit._make(row[: len(ComparedCredit._fields)]) for row in summed]
                new = shares_of_marked(conn, last, self._rules, forgotten)
        labels = sorted({masked.share.label for masked in new})
        ids = self._store.commit(partial(report_progress.campaign_ids, labels=labels))
        credits = [*_credits(new, ids)]
        # Should the sums change meanwhile, nothing is written.
        with self._store.read() as conn:
            rows = [*self._rows(conn, old, credits)]

        def put(conn: Connection) -> None:
            compared_figures.drop_marks(conn, done)
            dropped = {(row.placed_at, row.order_id) for row in old}
            compared_figures.replace_credits(conn, dropped, credits)
            compared_figures.put(conn, rows)

        new_progress = written(progress)._replace(through=through)
        self._figures.write(progress, new_progress, put, _weeks_of(rows))

    def _rows(
        self, conn: Connection, old: Iterable[ComparedCredit], new: Iterable[ComparedCredit]
    ) -> Iterator[ComparedDay]:
        """Yields the sums that change."""
        # By mask first: there are few masks, of many bits each.
        by_mask: dict[_SumKey, _Change] = {}
        for sign, credits in ((-1, old), (1, new)):
            for credit in credits:
                for key in self._keys(credit):
                    change = by_mask.setdefault(key, _Change())
                    change.add(sign, credit)
                    change.gone.add(credit.order_id)
                    if sign > 0 and _names_orders(key):
                        change.new[credit.order_id] = None
        changes: dict[_SumKey, _Change] = {}
        for key, change in by_mask.items():
            for model_bit in bits_of(key.mask):
                changes.setdefault(key._replace(mask=model_bit), _Change()).merge(change)
        for key, change in changes.items():
            yield _changed(conn, key, change)

    def _keys(self, credit: ComparedCredit) -> Iterator[_SumKey]:
        """Yields the keys of the sums that a credit is in."""
        dates: Mapping[ReportDay, int] = {
            "order_date": credit.placed_at,
            "click_date": credit.credited_at,
        }
        for report_by, at in dates.items():
            utc_day, shop_day = UTC_DAYS.day_of(at), self._days.day_of(at)
            for by, length, campaign in (
                (report_by, 1, ALL_CAMPAIGNS),
                (report_by, 1, credit.campaign),
                (week_of(report_by), WEEK, credit.campaign),
            ):
                place = (credit.mask, by, utc_day // length, campaign, shop_day // length)
                yield _SumKey(*place, credit.currency, credit.kind)


def _weeks_of(rows: Iterable[ComparedDay]) -> Iterator[ChangedWeek]:
    for row in rows:
        if row.report_by == "order_week":
            yield ChangedWeek("order_date", row.utc_day)
        elif row.report_by == "click_week":
            yield ChangedWeek("click_date", row.utc_day)


def _names_orders(key: _SumKey) -> bool:
    """Returns True if sums are a part of the difference, of which some orders are named."""
    kind = kind_of(key.kind)
    return kind.outcome != "sent" or bool(kind.money) or key.utc_day != key.shop_day


def _changed(conn: Connection, key: _SumKey, change: _Change) -> ComparedDay:
    empty = ComparedDay(key.report_by, key.mask, *key[2:])
    known = compared_figures.of_key(conn, empty) or empty
    kept = [id for id in known.order_ids.split() if id not in change.gone]
    return known._replace(
        credits=known.credits + change.credits,
        share=known.share + change.share,
        net=known.net + change.net,
        value=known.value + change.value,
        order_ids=" ".join([*change.new, *kept][:MOST_ORDER_IDS]),
    )


def _end_of_hour(at: int | None) -> int:
    """Returns when the hour of an instant ends; of none it is the end of time."""
    return FOREVER if at is None else at - at % _HOUR + _HOUR


def _credits(
    shares: Iterable[MaskedShare], ids: Mapping[CampaignLabel, int]
) -> Iterator[ComparedCredit]:
    numbers: Counter[tuple[int, str]] = Counter()
    for share, mask in shares:
        order = (share.placed_at, share.order_id)
        yield ComparedCredit(
            *order,
            n=numbers[order],
            mask=mask,
            credited_at=share.credited_at,
            campaign=ids[share.label],
            currency=share.currency,
            kind=share.kind.text(),
            share=share.share,
            net=share.net,
            value=share.value,
        )
        numbers[order] += 1
