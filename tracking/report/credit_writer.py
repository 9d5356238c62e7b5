"""Writes the sums of the credits by day: of all orders once, and then of what changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from tracking.domain.attribution import bits_of
from tracking.domain.shop_days import WEEK, ShopDays
from tracking.report.campaigns import CampaignLabel, label_of
from tracking.report.shared_figures import SharedFigures, is_of_this_release, written
from tracking.store import Store, ad_figures, credit_figures, report_progress
from tracking.store.ad_figures import AdDay, SummedAds
from tracking.store.credit_figures import (
    FOREVER,
    SUMS_OF_TYPE,
    CreditChange,
    CreditDay,
    Period,
    ReportDay,
    SummedDay,
)
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Progress
from tracking.store.summed_weeks import ChangedWeek

# So many changes are summed up at once: a few milliseconds of the write lock, or up to a hundred if
# they are of as many days and campaigns.
CHANGES = 500

_Key = tuple[Period, int, int, CampaignLabel, str]


class _SomeDays(NamedTuple):
    """Some of the sums, which may be deleted first."""

    credits: SummedDay | None
    ads: SummedAds | None


class CreditWriter:
    """Brings the sums of the credits up to date, step by step.

    Each step reads a snapshot, sums up without any lock, and writes the sums, unless they changed
    meanwhile. Until the orders of all days are in them, it goes on by a day of orders at a step.
    """

    def __init__(self, store: Store, days: ShopDays, longest_window: int) -> None:
        """Sums up for these shop days; the longest attribution window is in seconds."""
        self._store = store
        self._figures = SharedFigures(store, "credits")
        self._days = days
        self._longest_window = longest_window

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
            has_changes = credit_figures.has_changes(conn)
        if progress.zone != self._days.zone.key or not is_of_this_release(progress):
            # Of other days, or written by an older release, which knows no ads.
            return self._begin_anew(progress)
        if not has_changes and progress.through == FOREVER:
            return False
        self._sum_up()
        return True

    def _begin_anew(self, progress: Progress) -> bool:
        """Deletes the sums of other days, a part at a time, and begins those of this zone."""
        self._figures.begin_anew(
            written(progress),
            self._days.zone.key,
            _some_days,
            _drop_days,
        )
        return True

    def _sum_up(self) -> None:
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            changes = credit_figures.changes_before(conn, progress.through, CHANGES)
            done = [change.id for change in changes]
            through = progress.through
            if through < FOREVER:
                through = self._end_of_orders_at(credit_figures.first_order(conn, through))
                changes += credit_figures.credits_of_orders(conn, progress.through, through)
                # They are part of the orders' credits just read.
                done += credit_figures.change_ids(conn, progress.through, through)
            labels = {label_of(change) for change in changes}
        ids = self._store.commit(partial(report_progress.campaign_ids, labels=sorted(labels)))
        # Should the sums change meanwhile, nothing is written.
        with self._store.read() as conn:
            rows = [*self._rows(conn, changes, ids)]
            of_ads = [*self._ad_rows(conn, changes, ids)]

        def put(conn: Connection) -> None:
            credit_figures.drop_changes(conn, done)
            credit_figures.put(conn, rows)
            ad_figures.put(conn, of_ads)

        new = written(progress)._replace(through=through)
        self._figures.write(progress, new, put, _weeks_of(rows))

    def _end_of_orders_at(self, at: int | None) -> int:
        """Returns when the shop day of an instant ends."""
        return FOREVER if at is None else self._days.begin(self._days.day_of(at) + 1)

    def _rows(
        self, conn: Connection, changes: Iterable[CreditChange], ids: Mapping[CampaignLabel, int]
    ) -> Iterator[CreditDay]:
        """Yields the sums of the days, campaigns and pairs that the changes are of."""
        for (by, bit, day, label, currency), sums in self._summed(changes).items():
            change = CreditDay(by, bit, day, ids[label], currency, *sums[:-1])
            known = credit_figures.of_key(conn, change)
            whole = change if known is None else _added(known, change)
            if sums[-1] >= whole.newest and whole.credits:
                # The newest credit was dropped.
                report_by, days = _DAYS_OF[by]
                span = self._days.begin(day * days), self._days.begin(day * days + days)
                newest = credit_figures.newest_credit(
                    conn, report_by, bit, label, currency, span, self._longest_window
                )
                whole = whole._replace(newest=newest)
            yield whole

    def _ad_rows(
        self, conn: Connection, changes: Iterable[CreditChange], ids: Mapping[CampaignLabel, int]
    ) -> Iterator[AdDay]:
        """Yields the sums of the days, ads and pins that the changes are of."""
        summed: dict[AdDay, AdDay] = {}
        for change in changes:
            if change.is_pinterest:
                for key in self._ad_keys(change, ids[label_of(change)]):
                    summed[key] = _with_change(summed.get(key, key), change)
        for key, news in summed.items():
            known = ad_figures.of_key(conn, key)
            yield news if known is None else _together(known, news)

    def _ad_keys(self, change: CreditChange, campaign: int) -> Iterator[AdDay]:
        """Yields the keys, as sums of nothing, of the sums of ads that a credit is in."""
        is_told = int(change.ad_id is not None)
        link = (change.ad_id or "", change.pin_id or "", is_told)
        at = self._days_of(change)
        for by, (report_by, days) in _DAYS_OF.items():
            day = at[report_by] // days
            yield AdDay(by, day, campaign, *link, change.currency, change.mask)

    def _days_of(self, change: CreditChange) -> Mapping[ReportDay, int]:
        return {
            "order_date": self._days.day_of(change.placed_at),
            "click_date": self._days.day_of(change.credited_at),
        }

    def _summed(self, changes: Iterable[CreditChange]) -> dict[_Key, list[int]]:
        """Returns the sums of changes by key, in the order of a CreditDay, and at the end the
        newest credited instant of those that were dropped."""
        # By mask first: there are few masks, of many bits each.
        by_mask: dict[_Key, list[int]] = {}
        for change in changes:
            label, sign = label_of(change), change.sign
            news = (
                sign,
                sign * change.share,
                sign * change.gross,
                sign * change.net,
                sign * change.cancellations,
                *(
                    sign * getattr(change, name) * (change.customer_type == kind)
                    for _, name, kind in SUMS_OF_TYPE
                ),
                change.credited_at if sign > 0 else 0,
                change.credited_at if sign < 0 else 0,
            )
            at = self._days_of(change)
            for by, (report_by, days) in _DAYS_OF.items():
                key = (by, change.mask, at[report_by] // days, label, change.currency)
                _add_to(by_mask, key, news)
        summed: dict[_Key, list[int]] = {}
        for (by, mask, day, label, currency), sums in by_mask.items():
            for bit in bits_of(mask):
                _add_to(summed, (by, bit, day, label, currency), sums)
        return summed


def _weeks_of(rows: Iterable[CreditDay]) -> Iterator[ChangedWeek]:
    for row in rows:
        report_by, days = _DAYS_OF[row.report_by]
        yield ChangedWeek(report_by, row.day * days // WEEK)


def _with_change(sums: AdDay, change: CreditChange) -> AdDay:
    return sums._replace(
        credits=sums.credits + change.sign,
        share=sums.share + change.sign * change.share,
        gross=sums.gross + change.sign * change.gross,
        net=sums.net + change.sign * change.net,
        cancellations=sums.cancellations + change.sign * change.cancellations,
    )


def _together(known: AdDay, news: AdDay) -> AdDay:
    """Returns two sums of the same key as one."""
    return known._replace(
        credits=known.credits + news.credits,
        share=known.share + news.share,
        gross=known.gross + news.gross,
        net=known.net + news.net,
        cancellations=known.cancellations + news.cancellations,
    )


def _some_days(conn: Connection) -> _SomeDays | None:
    some = _SomeDays(credit_figures.some_day(conn), ad_figures.some_day(conn))
    return some if any(some) else None


def _drop_days(conn: Connection, some: _SomeDays) -> None:
    if some.credits is not None:
        credit_figures.drop_day(conn, some.credits)
    if some.ads is not None:
        ad_figures.drop_day(conn, some.ads)


# The position of the newest instant among the sums of a key.
_NEWEST = 5 + len(SUMS_OF_TYPE)
# The date by which each period counts, and its days.
_DAYS_OF: Mapping[Period, tuple[ReportDay, int]] = {
    "order_date": ("order_date", 1),
    "click_date": ("click_date", 1),
    "order_week": ("order_date", WEEK),
    "click_week": ("click_date", WEEK),
}


def _add_to(summed: dict[_Key, list[int]], key: _Key, news: Sequence[int]) -> None:
    sums = summed.get(key)
    if sums is None:
        summed[key] = [*news]
        return
    for n in range(_NEWEST):
        sums[n] += news[n]
    sums[_NEWEST:] = map(max, sums[_NEWEST:], news[_NEWEST:])


def _added(known: CreditDay, change: CreditDay) -> CreditDay:
    """Returns two sums of the same key as one."""
    return known._replace(
        credits=known.credits + change.credits,
        share=known.share + change.share,
        gross=known.gross + change.gross,
        net=known.net + change.net,
        cancellations=known.cancellations + change.cancellations,
        new_share=known.new_share + change.new_share,
        new_net=known.new_net + change.new_net,
        returning_share=known.returning_share + change.returning_share,
        newest=max(known.newest, change.newest),
    )
