"""The spend sync: reads ad spend from Pinterest, and reads it again while it may still change.

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
    MAX_DAYS,
    MAX_IDS,
    MAX_ROWS,
    PinterestAds,
    PinterestAdsAccess,
    PinterestAdsError,
    Throttled,
    Unreachable,
)
from tracking.domain.validation import FieldError, ValidationError
from tracking.operate.error_lines import error_line
from tracking.receive.pinterest.sync_session import (
    LEASE_SECONDS,
    LONGEST_PAUSE,
    Pause,
    SyncSession,
    SyncStopped,
)
from tracking.store import Store, StoreUnavailable, ad_accounts
from tracking.store.ad_accounts import SyncRow

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 3_600
POLL_SECONDS = 30.0
# Pinterest restates the last days; its partners read three of them again, or seven to be safe.
RESTATED_DAYS = 7
_RETRY_SYNC_SECONDS = 600


class SyncBusy(Exception):
    """Another process is reading the account's spend."""


class SyncIncomplete(Exception):
    """The spend was not read to its end. `rows` is the number of rows stored until then."""

    def __init__(self, reason: str, rows: int) -> None:
        super().__init__(reason)
        self.rows = rows


@dataclass(frozen=True, slots=True)
class SyncResult:
    """The UTC days that were read, both included, and the spend of the campaigns on them.

    `unexplained` is the difference between the account's own totals and those of its campaigns,
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
    """Keeps the spend of one ad account up to date. One process at a time reads it."""

    def __init__(
        self, store: Store, access: PinterestAdsAccess, clock: Callable[[], float]
    ) -> None:
        self.store = store
        self.access = access
        self.clock = clock
        # Only in memory: unlike a refresh token, an access token is a complete credential.
        self._token = access.access_token

    @property
    def name(self) -> str:
        """The name of its thread."""
        return f"spend-{self.access.account_id}"

    def sync(self, since: date | None = None, pause: Pause = time.sleep) -> SyncResult:
        """Reads the spend from a UTC day on.

        By default it begins with the days that may have been restated since the last sync; the
        first time with the oldest day that Pinterest reports.

        Raises:
            ValidationError: the day lies further back than Pinterest reports, or ahead.
            SyncBusy: another process is reading the spend.
            SyncIncomplete: a request failed; what was read until then is stored.
            StoreUnavailable: the rest may not have been stored.
        """
        self._check_day(since)
        result = None
        with suppress(SyncStopped):
            result = self._read(since, pause, at_once=True)
        if result is None:
            raise SyncBusy(
                f"the spend of ad account {self.access.account_id} is being read already"
            )
        return result

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Reads the spend once an hour until `stop` is set."""
        while not stop.is_set():
            self._sync_safely(stop.wait)
            stop.wait(poll)

    def _sync_safely(self, pause: Pause) -> None:
        try:
            with self.store.read() as conn:
                known = ad_accounts.of_account(conn, self.access.account_id)
            if ad_accounts.is_due(known, int(self.clock())):
                self._read(None, pause, at_once=False)
        except (SyncIncomplete, SyncStopped):
            return  # It is stored and logged.
        except StoreUnavailable as error:
            logger.log(error.level(logging.WARNING), "reading spend waits for the store: %s", error)
        except Exception as error:
            # The thread must outlive every error of one sync.
            account = self.access.account_id
            logger.error("reading the spend of %s failed: %s", account, error_line(error))

    def _check_day(self, since: date | None) -> None:
        today = self._today()
        if since is not None and not today - timedelta(FURTHEST_BACK_DAYS) <= since <= today:
            accepted = f"the last {FURTHEST_BACK_DAYS} days, in UTC; older spend: import-spend"
            raise ValidationError(FieldError("since", f"Pinterest reports no more than {accepted}"))

    def _today(self) -> date:
        return datetime.fromtimestamp(self.clock(), UTC).date()

    def _read(self, since: date | None, pause: Pause, *, at_once: bool) -> SyncResult | None:
        account, token, now = self.access.account_id, secrets.token_hex(8), int(self.clock())
        until = now + LEASE_SECONDS
        state = self.store.commit(
            lambda conn: ad_accounts.claim(conn, account, token, now, until, at_once)
        )
        if state is None:
            return None
        with closing(PinterestAds(self.access)) as ads:
            ads.token = self._token
            session = SyncSession(self.store, ads, self.access, token, self.clock, pause)
            reader = _SpendReader(session, state, self._today())
            try:
                result = reader.read(since)
            except PinterestAdsError as failure:
                self._store_failure(token, failure)
                raise SyncIncomplete(str(failure), reader.rows) from failure
            except BaseException:
                with suppress(StoreUnavailable):
                    self.store.commit(lambda conn: ad_accounts.release(conn, account, token))
                raise
            finally:
                self._token = ads.token
        self._store_success(token, result)
        return result

    def _store_success(self, token: str, result: SyncResult) -> None:
        account, now = self.access.account_id, int(self.clock())
        next_at = now + INTERVAL_SECONDS
        self.store.commit(lambda conn: ad_accounts.succeed(conn, account, token, now, next_at))
        logger.info(
            "spend of %s read from %s to %s: %d rows of %d campaigns",
            *(account, result.start, result.end, result.rows, result.campaigns),
        )
        if result.unexplained:
            logger.warning("spend of %s: its campaigns do not sum to its total", account)

    def _store_failure(self, token: str, error: PinterestAdsError) -> None:
        account, failure = self.access.account_id, str(error)
        next_at = int(self.clock()) + _wait_after(error)
        self.store.commit(lambda conn: ad_accounts.fail(conn, account, token, failure, next_at))
        level = logging.WARNING if isinstance(error, Unreachable | Throttled) else logging.ERROR
        logger.log(level, "spend of %s was not read to its end: %s", account, failure)


class _SpendReader:
    """Reads the spend of all campaigns, window after window, oldest first."""

    def __init__(self, session: SyncSession, state: SyncRow, today: date) -> None:
        self.rows = 0
        self._session = session
        self._through = state.through
        self._today = today
        self._begin = _begin(self._through, today)
        self._micros = 0
        self._unexplained = 0

    def read(self, since: date | None) -> SyncResult:
        """Reads and stores the spend from a day on.

        Raises:
            PinterestAdsError: a request failed for good.
            StoreUnavailable: the rest may not have been stored.
        """
        start = since or self._begin
        currency = self._session.call(self._session.ads.currency)
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
            page = self._session.call(partial(self._session.ads.campaigns, bookmark))
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
        stored = self._session.stored_keys(first, last)
        by_day: dict[str, int] = {}
        for ids in _chunks(sorted(names), MAX_IDS):
            costs = self._session.call(partial(self._session.ads.spend, ids, first, last))
            spend = {(day, id, currency): micros for (day, id), micros in costs.items()}
            # A campaign that Pinterest leaves out cost nothing, whatever it reported before.
            chunk = set(ids)
            gone = {key: 0 for key in stored if key[1] in chunk and key not in spend}
            self.rows += self._session.store_rows({**spend, **gone}, names)
            for (day, _), micros in costs.items():
                by_day[day] = by_day.get(day, 0) + micros
        self._micros += sum(by_day.values())
        self._compare(first, last, by_day)

    def _compare(self, first: date, last: date, by_day: Mapping[str, int]) -> None:
        """Compares the campaigns with the account's own total, if Pinterest returns one."""
        try:
            totals = self._session.call(partial(self._session.ads.total, first, last))
        except PinterestAdsError as failure:
            logger.warning("the total of %s to %s was not read: %s", first, last, failure)
            return
        # Today's spend still grows between two calls.
        for day in {*totals, *by_day} - {self._today.isoformat()}:
            self._unexplained += abs(totals.get(day, 0) - by_day.get(day, 0))

    def _advance(self, first: date, last: date, currency: str) -> None:
        """Stores the last day that was read, unless a later sync can still fill a gap before it."""
        following = self._begin
        if self._through:
            following = date.fromisoformat(self._through) + timedelta(1)
        if first <= max(following, self._begin):
            if first > following:
                _log_skipped(following, first - timedelta(1))
            self._through = max(self._through, last.isoformat())
        self._session.advance(self._through, currency)


def _log_skipped(first: date, last: date) -> None:
    logger.warning(
        "the spend of %s to %s was not read in time: upload it with import-spend", first, last
    )


def _begin(through: str, today: date) -> date:
    """Returns the first day to read: the oldest reported, or the first that may be restated."""
    furthest = today - timedelta(MAX_DAYS - 1)
    if not through:
        return furthest
    reached = min(date.fromisoformat(through), today)
    return max(furthest, reached - timedelta(RESTATED_DAYS - 1))


def windows(start: date, end: date, campaigns: int) -> Iterator[tuple[date, date]]:
    """Yields the days from `start` to `end` in windows that one call can return, oldest first."""
    most = max(1, min(MAX_DAYS, MAX_ROWS // max(1, min(campaigns, MAX_IDS))))
    while start <= end:
        last = min(end, start + timedelta(most - 1))
        yield start, last
        start = last + timedelta(1)


def _chunks(ids: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), most):
        yield ids[first : first + most]


def _wait_after(error: PinterestAdsError) -> int:
    """Returns the seconds until the next sync after one that failed."""
    match error:
        case Throttled(seconds=seconds):
            return min(max(seconds or 0, LONGEST_PAUSE), INTERVAL_SECONDS)
        case Unreachable():
            return _RETRY_SYNC_SECONDS
        case _:
            return INTERVAL_SECONDS
