"""The Pinterest sync: keeps what is read from Pinterest up to date, one ad account at a time."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, cast

from tracking.clients.pinterest_ads import (
    FURTHEST_BACK_DAYS,
    PinterestAds,
    PinterestAdsAccess,
    PinterestAdsError,
    Throttled,
    TokenRefused,
    Unreachable,
    Unreadable,
)
from tracking.domain.validation import FieldError, ValidationError
from tracking.operate.background import outliving_errors
from tracking.receive.pinterest.ads import AdsReading
from tracking.receive.pinterest.conversions import ConversionsReading
from tracking.receive.pinterest.quality import QualityReading
from tracking.receive.pinterest.reading import Reading, ReadingOptions, ReadingResult
from tracking.receive.pinterest.spend import SpendReading, SpendResult
from tracking.receive.pinterest.sync_session import (
    LEASE_SECONDS,
    LONGEST_PAUSE,
    BudgetSpent,
    Pause,
    SyncSession,
    SyncStopped,
)
from tracking.store import Store, StoreUnavailable, ad_accounts, pinterest_readings
from tracking.store.pinterest_readings import ReadingRow

logger = logging.getLogger(__name__)

POLL_SECONDS = 30.0
_RETRY_SECONDS = 600
_LONGEST_WAIT = 3_600

# What is read, in this order: of the calls of a day spend takes its part first.
READINGS: tuple[type[Reading], ...] = (
    SpendReading,
    ConversionsReading,
    AdsReading,
    QualityReading,
)


class SyncBusy(Exception):
    """Another process is reading the ad account."""


class SyncIncomplete(Exception):
    """Some figures were not read to their end. `rows` is the number of rows stored until then."""

    def __init__(self, reason: str, rows: int) -> None:
        super().__init__(reason)
        self.rows = rows


class ReadingOutcome(NamedTuple):
    """A kind of figures, with what was read or why it was not read to its end."""

    kind: str
    result: ReadingResult | SyncIncomplete


class PinterestSync:
    """Keeps the figures of one ad account up to date. One process at a time reads it."""

    def __init__(
        self,
        store: Store,
        access: PinterestAdsAccess,
        options: ReadingOptions,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.access = access
        self.options = options
        self.clock = clock
        # Only in memory: unlike a refresh token, an access token is a complete credential.
        self._token = access.access_token

    @property
    def name(self) -> str:
        """The name of its thread."""
        return f"pinterest-{self.access.account_id}"

    def sync_spend(self, since: date | None = None, pause: Pause = time.sleep) -> SpendResult:
        """Reads the spend from a UTC day on.

        By default it begins with the days that may have been restated since the last sync; the
        first time with the oldest day that Pinterest reports.

        Raises:
            ValidationError: the day lies further back than Pinterest reports, or ahead.
            SyncBusy: another process is reading the account.
            SyncIncomplete: a request failed; what was read until then is stored.
            StoreUnavailable: the rest may not have been stored.
        """
        self._check_day(since)
        with self._session(pause) as session:
            return cast("SpendResult", self._read(session, SpendReading, since))

    def sync_all(self, pause: Pause = time.sleep) -> list[ReadingOutcome]:
        """Reads all kinds of figures, due or not.

        Raises:
            SyncBusy: another process is reading the account.
            StoreUnavailable: the rest may not have been stored.
        """
        with self._session(pause) as session:
            return list(self._read_each(session, READINGS))

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Reads each kind of figures when it is due, until `stop` is set."""
        while not stop.is_set():
            self._sync_safely(stop.wait)
            stop.wait(poll)

    def _sync_safely(self, pause: Pause) -> None:
        fails = f"reading Pinterest for {self.access.account_id} failed"
        with (
            outliving_errors(logger, "reading Pinterest waits for the store", fails),
            # The other process reads them.
            suppress(SyncBusy),
        ):
            if self._may_begin():
                with self._session(pause) as session:
                    # Those that another process has read in the meantime are not due any more.
                    list(self._read_each(session, self._due()))

    def _may_begin(self) -> bool:
        with self.store.read() as conn:
            known = ad_accounts.of_account(conn, self.access.account_id)
        return not ad_accounts.is_leased(known, int(self.clock())) and bool(self._due())

    def _due(self) -> Sequence[type[Reading]]:
        now, rows = int(self.clock()), self._rows()
        return [
            reading
            for reading in READINGS
            if pinterest_readings.is_due(rows[reading.kind], now, 2 * reading.interval_seconds)
        ]

    def _rows(self) -> Mapping[str, ReadingRow]:
        """Returns how far each kind of figures was read."""
        account = self.access.account_id
        with self.store.read() as conn:
            known = {row.kind: row for row in pinterest_readings.of_account(conn, account)}
        return {
            reading.kind: known.get(reading.kind, ReadingRow(account, reading.kind))
            for reading in READINGS
        }

    def _check_day(self, since: date | None) -> None:
        today = datetime.fromtimestamp(self.clock(), UTC).date()
        if since is not None and not today - timedelta(FURTHEST_BACK_DAYS) <= since <= today:
            accepted = f"the last {FURTHEST_BACK_DAYS} days, in UTC; older spend: import-spend"
            raise ValidationError(FieldError("since", f"Pinterest reports no more than {accepted}"))

    @contextmanager
    def _session(self, pause: Pause) -> Iterator[SyncSession]:
        """Leases the account as long as it is read.

        Raises:
            SyncBusy: another process has leased it, or has taken the lease.
        """
        account, claim, now = self.access.account_id, secrets.token_hex(8), int(self.clock())
        until = now + LEASE_SECONDS
        busy = SyncBusy(f"ad account {account} is being read already")
        if not self.store.commit(lambda conn: ad_accounts.claim(conn, account, claim, now, until)):
            raise busy
        with closing(PinterestAds(self.access)) as ads:
            ads.token = self._token
            try:
                yield SyncSession(self.store, ads, self.access, claim, self.clock, pause)
            except SyncStopped as stopped:
                raise busy from stopped
            finally:
                self._token = ads.token
                with suppress(StoreUnavailable):
                    self.store.commit(lambda conn: ad_accounts.release(conn, account, claim))

    def _read_each(
        self, session: SyncSession, readings: Sequence[type[Reading]]
    ) -> Iterator[ReadingOutcome]:
        """Reads one kind of figures after the other, until nothing more can be read for now."""
        failed: PinterestAdsError | None = None
        for reading in readings:
            if failed is not None:
                yield self._put_off(session, reading, failed)
                continue
            try:
                yield ReadingOutcome(reading.kind, self._read(session, reading, None))
            except SyncIncomplete as incomplete:
                yield ReadingOutcome(reading.kind, incomplete)
                failed = _failure_of_all(incomplete)

    def _put_off(
        self, session: SyncSession, reading: type[Reading], failed: PinterestAdsError
    ) -> ReadingOutcome:
        next_at = session.now + _wait_after(failed, reading.interval_seconds)
        session.keep(self._rows()[reading.kind]._replace(failure=str(failed), next_at=next_at))
        return ReadingOutcome(reading.kind, SyncIncomplete(str(failed), 0))

    def _read(
        self, session: SyncSession, reading: type[Reading], since: date | None
    ) -> ReadingResult:
        session.most_calls = reading.most_calls
        running = reading(session, self._rows()[reading.kind], self.options)
        try:
            result = running.read(since)
        except PinterestAdsError as failure:
            next_at = session.now + _wait_after(failure, reading.interval_seconds)
            session.keep(running.row._replace(failure=str(failure), next_at=next_at))
            self._log_failure(reading.kind, failure)
            raise SyncIncomplete(str(failure), running.rows) from failure
        next_at = session.now + reading.interval_seconds
        session.keep(running.row._replace(failure="", read_at=session.now, next_at=next_at))
        logger.info("%s of %s: %s", reading.kind, self.access.account_id, result.summary)
        return result

    def _log_failure(self, kind: str, failure: PinterestAdsError) -> None:
        passes = isinstance(failure, Unreachable | Throttled | BudgetSpent)
        level = logging.WARNING if passes else logging.ERROR
        account = self.access.account_id
        logger.log(level, "%s of %s was not read to its end: %s", kind, account, failure)


def _failure_of_all(incomplete: SyncIncomplete) -> PinterestAdsError | None:
    """Returns the failure if it meets every other request as well."""
    cause = incomplete.__cause__
    if isinstance(cause, Throttled | TokenRefused):
        return cause
    return cause if isinstance(cause, Unreachable) and not isinstance(cause, Unreadable) else None


def _wait_after(error: PinterestAdsError, interval: int) -> int:
    """Returns the seconds until figures are read again that were not read to their end."""
    most = min(interval, _LONGEST_WAIT)
    match error:
        case Throttled(seconds=seconds):
            return min(max(seconds or 0, LONGEST_PAUSE), most)
        case Unreachable() if not isinstance(error, Unreadable):
            return _RETRY_SECONDS
        case _:
            return most
