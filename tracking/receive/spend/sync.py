"""Spend as Pinterest tells it, read into the store, and read again while it may still change.

Days are Pinterest's, which are UTC.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from tracking.clients.pinterest_ads import (
    FURTHEST_BACK_DAYS,
    MOST_DAYS,
    MOST_IDS,
    MOST_ROWS,
    PinterestAds,
    PinterestAdsAccess,
    PinterestAdsError,
    Throttled,
    Unreachable,
)
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.spend.sync_session import (
    LEASE_SECONDS,
    LONGEST_PAUSE,
    Pause,
    SyncSession,
    SyncStopped,
)
from tracking.store import Store, StoreUnavailable, spend_syncs
from tracking.store.spend_syncs import SyncRow

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 3_600
POLL_SECONDS = 30.0
# Pinterest restates the last days; its partners read three of them again, or seven to be sure.
RESTATED_DAYS = 7
_RETRY_SYNC_SECONDS = 600


class SyncBusy(Exception):
    """Another process reads the account's spend right now."""


class SyncIncomplete(Exception):
    """Not all of the spend could be read. `rows` is how many were stored until then."""

    def __init__(self, reason: str, rows: int) -> None:
        super().__init__(reason)
        self.rows = rows


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What was read: the UTC days, both included, and what the campaigns cost on them.

    `unexplained` is by how much the account's own totals differ from those of its campaigns,
    summed over the days that are over, in millionths.
    """

    start: date
    end: date
    campaigns: int
    rows: int
    currency: str
    micros: int
    unexplained: int


class SpendSync:
    """Keeps the spend of one ad account as Pinterest tells it. Of all processes one reads."""

    def __init__(
        self, store: Store, access: PinterestAdsAccess, clock: Callable[[], float]
    ) -> None:
        self.store = store
        self.access = access
        self.clock = clock
        # Only in memory: unlike a refresh token it opens the account by itself.
        self._token = access.access_token

    @property
    def name(self) -> str:
        """What its thread and its log lines are called."""
        return f"spend-{self.access.account_id}"

    def sync(self, since: date | None = None, pause: Pause = time.sleep) -> SyncResult:
        """Read the spend from a UTC day on, else from where the last reading ended, less the days
        that may have been restated; the first time all that Pinterest still tells.

        Raises:
            ValidationError: the day lies further back than Pinterest tells, or ahead.
            SyncBusy: somebody else reads it right now.
            SyncIncomplete: Pinterest did not tell everything; what it told is stored.
            StoreUnavailable: the rest may not have been stored.
        """
        self._refuse_day(since)
        synced = None
        with suppress(SyncStopped):
            synced = self._synced(since, pause, at_once=True)
        if synced is None:
            raise SyncBusy(
                f"the spend of ad account {self.access.account_id} is being read already"
            )
        return synced

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Read once an hour until told to stop."""
        while not stop.is_set():
            self._sync_safely(stop.wait)
            stop.wait(poll)

    def _sync_safely(self, pause: Pause) -> None:
        try:
            with self.store.read() as conn:
                known = spend_syncs.of_account(conn, self.access.account_id)
            if spend_syncs.is_due(known, int(self.clock())):
                self._synced(None, pause, at_once=False)
        except (SyncIncomplete, SyncStopped):
            return  # It is noted and logged.
        except StoreUnavailable as error:
            logger.warning("reading spend waits for the store: %s", error)
        except Exception:
            # The thread must outlive whatever went wrong in one round.
            logger.exception("reading the spend of %s failed", self.access.account_id)

    def _refuse_day(self, since: date | None) -> None:
        today = self._today()
        if since is not None and not today - timedelta(FURTHEST_BACK_DAYS) <= since <= today:
            accepted = f"the last {FURTHEST_BACK_DAYS} days, in UTC; older spend: import-spend"
            raise ValidationError(FieldError("since", f"Pinterest tells no more than {accepted}"))

    def _today(self) -> date:
        return datetime.fromtimestamp(self.clock(), UTC).date()

    def _synced(self, since: date | None, pause: Pause, *, at_once: bool) -> SyncResult | None:
        account, token, now = self.access.account_id, secrets.token_hex(8), int(self.clock())
        until = now + LEASE_SECONDS
        state = self.store.commit(
            lambda conn: spend_syncs.claim(conn, account, token, now, until, at_once)
        )
        if state is None:
            return None
        with closing(PinterestAds(self.access)) as ads:
            ads.token = self._token
            desk = SyncSession(self.store, ads, self.access, token, self.clock, pause)
            reading = _Reading(desk, state, self._today())
            try:
                synced = reading.read(since)
            except PinterestAdsError as trouble:
                self._note_failure(token, trouble)
                raise SyncIncomplete(str(trouble), reading.rows) from trouble
            except BaseException:
                with suppress(StoreUnavailable):
                    self.store.commit(lambda conn: spend_syncs.release(conn, account, token))
                raise
            finally:
                self._token = ads.token
        self._note_success(token, synced)
        return synced

    def _note_success(self, token: str, synced: SyncResult) -> None:
        account, now = self.access.account_id, int(self.clock())
        next_at = now + INTERVAL_SECONDS
        self.store.commit(lambda conn: spend_syncs.succeed(conn, account, token, now, next_at))
        logger.info(
            "spend of %s read from %s to %s: %d rows of %d campaigns",
            *(account, synced.start, synced.end, synced.rows, synced.campaigns),
        )
        if synced.unexplained:
            logger.warning("spend of %s: its campaigns do not sum to its total", account)

    def _note_failure(self, token: str, trouble: PinterestAdsError) -> None:
        account, failure = self.access.account_id, str(trouble)
        next_at = int(self.clock()) + _wait_after(trouble)
        self.store.commit(lambda conn: spend_syncs.fail(conn, account, token, failure, next_at))
        level = logging.WARNING if isinstance(trouble, Unreachable | Throttled) else logging.ERROR
        logger.log(level, "spend of %s was not read to its end: %s", account, failure)


class _Reading:
    """One reading: campaign after campaign, window after window, oldest first."""

    def __init__(self, desk: SyncSession, state: SyncRow, today: date) -> None:
        self.rows = 0
        self._desk = desk
        self._through = state.through
        self._today = today
        self._begin = _begin(self._through, today)
        self._micros = 0
        self._unexplained = 0

    def read(self, since: date | None) -> SyncResult:
        """Read and store all of it.

        Raises:
            PinterestAdsError: Pinterest did not tell all.
            StoreUnavailable: it may not have been stored.
        """
        start = since or self._begin
        currency = self._desk.asked(self._desk.ads.currency)
        names = self._names()
        for first, last in windows(start, self._today, len(names)):
            self._read_window(first, last, names, currency)
            self._advance(first, last, currency)
        return SyncResult(
            start,
            self._today,
            len(names),
            self.rows,
            currency,
            self._micros,
            self._unexplained,
        )

    def _names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        seen, bookmark = {""}, ""
        while True:
            page = self._desk.asked(partial(self._desk.ads.campaigns, bookmark))
            names.update(page.names)
            bookmark = page.bookmark
            if not bookmark:
                return names
            if bookmark in seen:
                raise PinterestAdsError("Pinterest's list of campaigns leads back to where it was")
            seen.add(bookmark)

    def _read_window(
        self, first: date, last: date, names: Mapping[str, str], currency: str
    ) -> None:
        on_record = self._desk.on_record(first, last)
        by_day: dict[str, int] = {}
        for ids in _chunks(sorted(names), MOST_IDS):
            costs = self._desk.asked(partial(self._desk.ads.spend, ids, first, last))
            told = {(day, id, currency): micros for (day, id), micros in costs.items()}
            # What Pinterest leaves out cost nothing, whatever was told of it before.
            asked = set(ids)
            gone = {key: 0 for key in on_record if key[1] in asked and key not in told}
            self.rows += self._desk.store_rows({**told, **gone}, names)
            for (day, _), micros in costs.items():
                by_day[day] = by_day.get(day, 0) + micros
        self._micros += sum(by_day.values())
        self._compare(first, last, by_day)

    def _compare(self, first: date, last: date, by_day: Mapping[str, int]) -> None:
        """Weigh the campaigns against the account's own total, if that can be had."""
        try:
            totals = self._desk.asked(partial(self._desk.ads.total, first, last))
        except PinterestAdsError as trouble:
            logger.warning("the total of %s to %s was not told: %s", first, last, trouble)
            return
        # Today still grows between two calls.
        for day in {*totals, *by_day} - {self._today.isoformat()}:
            self._unexplained += abs(totals.get(day, 0) - by_day.get(day, 0))

    def _advance(self, first: date, last: date, currency: str) -> None:
        """Note how far it was read, unless a gap was left before that a reading can still fill."""
        following = self._begin
        if self._through:
            following = date.fromisoformat(self._through) + timedelta(1)
        if first <= max(following, self._begin):
            if first > following:
                _log_skipped(following, first - timedelta(1))
            self._through = max(self._through, last.isoformat())
        self._desk.advance(self._through, currency)


def _log_skipped(first: date, last: date) -> None:
    logger.warning(
        "the spend of %s to %s was not read in time: hand it in with import-spend", first, last
    )


def _begin(through: str, today: date) -> date:
    """The first day to read: the first that Pinterest tells, or that may have been restated."""
    furthest = today - timedelta(MOST_DAYS - 1)
    if not through:
        return furthest
    reached = min(date.fromisoformat(through), today)
    return max(furthest, reached - timedelta(RESTATED_DAYS - 1))


def windows(start: date, end: date, campaigns: int) -> Iterator[tuple[date, date]]:
    """The days from `start` to `end` in pieces one call can answer, oldest first."""
    most = max(1, min(MOST_DAYS, MOST_ROWS // max(1, min(campaigns, MOST_IDS))))
    while start <= end:
        last = min(end, start + timedelta(most - 1))
        yield start, last
        start = last + timedelta(1)


def _chunks(ids: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), most):
        yield ids[first : first + most]


def _wait_after(trouble: PinterestAdsError) -> int:
    """Seconds until the next reading after one that failed."""
    match trouble:
        case Throttled(seconds=asked):
            return min(max(asked or 0, LONGEST_PAUSE), INTERVAL_SECONDS)
        case Unreachable():
            return _RETRY_SYNC_SECONDS
        case _:
            return INTERVAL_SECONDS
