"""The session of one sync: its calls to Pinterest and its writes to the store.

Calls keep the rate limit and the budget of the day, are retried after a passing failure, and renew
an access token that has expired. Writes happen only while the lease holds.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Protocol, TypeVar

from tracking.clients.pinterest_ads import (
    PinterestAds,
    PinterestAdsAccess,
    PinterestAdsError,
    RenewedTokens,
    Throttled,
    TokenRefused,
    Unreachable,
)
from tracking.store import Store, ad_accounts, limits, pinterest_calls, pinterest_readings
from tracking.store.engine.statement import Connection
from tracking.store.pinterest_readings import ReadingRow

# Longer than the longest call and the longest pause before it.
LEASE_SECONDS = 300
RETRY_AFTER = (1.0, 5.0, 25.0)
LONGEST_PAUSE = 60
# Pinterest allows 300 calls a minute; some are left for programs other than this service.
_INTERVAL_MS, _BURST = 250, 20
_LIMIT = "pinterest ads"
# Pinterest allows an app in trial access 1,000 calls a day; some are left for other programs.
CALLS_A_DAY = 900
_COUNTS_KEPT_DAYS = 7
# Webhooks wait while rows are written, so long lists are written this many rows at a time.
_ROWS_A_COMMIT = 500

_T = TypeVar("_T")
_Row = TypeVar("_Row")


class Page(Protocol):
    """A part of a list. `bookmark` is that of the next part, "" for the last one."""

    @property
    def bookmark(self) -> str: ...


_Page = TypeVar("_Page", bound=Page)
# Waits the seconds; returns a true value if the sync must end instead.
Pause = Callable[[float], object]


class SyncStopped(Exception):
    """The process ends, or another process has taken the lease."""


class BudgetSpent(PinterestAdsError):
    """The calls of this UTC day are used up; the next may be sent on the next day."""


class SyncSession:
    """Calls Pinterest and writes to the store for one sync, as long as its lease holds."""

    def __init__(
        self,
        store: Store,
        ads: PinterestAds,
        access: PinterestAdsAccess,
        claim: str,
        clock: Callable[[], float],
        pause: Pause,
    ) -> None:
        self.ads = ads
        self._store = store
        self._access = access
        self._claim = claim
        self._clock = clock
        self._pause = pause
        self._is_renewed = False
        self.today = datetime.fromtimestamp(clock(), UTC).date()
        # The calls of a day after which this reading sends no more.
        self.most_calls = CALLS_A_DAY

    @property
    def account(self) -> str:
        """The ad account that is read."""
        return self._access.account_id

    @cached_property
    def currency(self) -> str:
        """The currency of the account, asked once.

        Raises:
            PinterestAdsError: the currency is not known.
        """
        found = self.call(self.ads.currency)
        account = self._access.account_id
        self._write(lambda conn: ad_accounts.put_currency(conn, account, found))
        return found

    @cached_property
    def campaigns(self) -> dict[str, str]:
        """The names of all campaigns by their ids, asked once.

        Raises:
            PinterestAdsError: the campaigns cannot be read.
        """
        names: dict[str, str] = {}
        for page in self.pages(self.ads.campaigns):
            names.update(page.names)
        return names

    def pages(self, request: Callable[[str], _Page]) -> Iterator[_Page]:
        """Yields the pages of a list, each requested with the bookmark of the one before.

        Raises:
            PinterestAdsError: a page cannot be read, or the list never ends.
        """
        seen, bookmark = {""}, ""
        while True:
            page = self.call(partial(request, bookmark))
            yield page
            bookmark = page.bookmark
            if not bookmark:
                return
            if bookmark in seen:
                raise PinterestAdsError("Pinterest's list leads back to where it was")
            seen.add(bookmark)

    def call(self, request: Callable[[], _T]) -> _T:
        """Returns Pinterest's response to a request, which is retried after a passing failure.

        Raises:
            PinterestAdsError: the request failed for good.
            SyncStopped: the sync must end.
            StoreUnavailable: the rate limit or the lease cannot be stored.
        """
        waits = iter(RETRY_AFTER)
        if not self.ads.token:
            self._renew()
        while True:
            self._wait_for_rate_limit()
            try:
                return request()
            except TokenRefused as refused:
                self._renew_after(refused)
            except (Unreachable, Throttled) as failure:
                least = _least_wait(failure)
                wait = next(waits, None)
                if wait is None or least > LONGEST_PAUSE:
                    raise
                self._wait(max(wait, least))

    def read(self, query: Callable[[Connection], _T]) -> _T:
        """Returns what a query finds in the store.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        with self._store.read() as conn:
            return query(conn)

    def write(self, put: Callable[[Connection, Sequence[_Row]], None], rows: Sequence[_Row]) -> int:
        """Stores rows, some at a time; returns their number.

        Raises:
            SyncStopped: the lease went to another process.
            StoreUnavailable: the rest may not have been stored.
        """
        for first in range(0, len(rows), _ROWS_A_COMMIT):
            some = rows[first : first + _ROWS_A_COMMIT]
            self._write(partial(_put_rows, put, some))
        return len(rows)

    def keep(self, row: ReadingRow) -> None:
        """Stores how far a kind of figures was read.

        Raises:
            SyncStopped: the lease went to another process.
            StoreUnavailable: it may not have been stored.
        """
        self._write(lambda conn: pinterest_readings.put(conn, row))

    @property
    def now(self) -> int:
        """The instant, in seconds UTC."""
        return int(self._clock())

    def _write(self, put: Callable[[Connection], None]) -> None:
        def put_leased(conn: Connection) -> None:
            self._extend_lease(conn)
            put(conn)

        self._store.commit(put_leased)

    def _wait_for_rate_limit(self) -> None:
        """Waits until the rate limit, shared by all processes, allows a call, and counts it."""
        while True:
            wait = self._store.commit(self._take_call)
            if not wait:
                return
            self._wait(wait / 1000)

    def _take_call(self, conn: Connection) -> int:
        self._extend_lease(conn)
        now_ms = int(self._clock() * 1000)
        wait = limits.take(conn, _LIMIT, 1, _INTERVAL_MS, _BURST, now_ms)
        if not wait:
            self._count_call(conn)
        return wait

    def _count_call(self, conn: Connection) -> None:
        account, today = self._access.account_id, datetime.fromtimestamp(self._clock(), UTC).date()
        if not pinterest_calls.count(conn, account, today.isoformat(), self.most_calls):
            raise BudgetSpent(f"{self.most_calls} calls were sent on this UTC day, which is enough")
        before = today - timedelta(_COUNTS_KEPT_DAYS)
        pinterest_calls.forget(conn, account, before.isoformat())

    def _extend_lease(self, conn: Connection) -> None:
        until = int(self._clock()) + LEASE_SECONDS
        if not ad_accounts.hold(conn, self._access.account_id, self._claim, until):
            raise SyncStopped("another process has taken the lease")

    def _wait(self, seconds: float) -> None:
        if self._pause(seconds):
            raise SyncStopped("the process ends")

    def _renew_after(self, refused: TokenRefused) -> None:
        if not self._access.can_renew:
            hint = (
                "PINTEREST_ADS_TOKEN is not accepted: make a new one, or set"
                " PINTEREST_REFRESH_TOKEN, PINTEREST_APP_ID and PINTEREST_APP_SECRET"
            )
            raise TokenRefused(f"{refused}; {hint}") from refused
        if self._is_renewed:
            raise refused
        self._renew()

    def _renew(self) -> None:
        self._is_renewed = True
        configured = self._access.refresh_token
        origin = hashlib.sha256(configured.encode()).hexdigest()
        with self._store.read() as conn:
            stored = ad_accounts.token(conn, origin)
        renewed = self._renewed([stored, configured] if stored else [configured])
        if renewed.refresh_token:
            now = self.now
            self._store.commit(
                lambda conn: ad_accounts.put_token(conn, origin, renewed.refresh_token, now)
            )
        self.ads.token = renewed.access_token

    def _renewed(self, refresh_tokens: Sequence[str]) -> RenewedTokens:
        for token in refresh_tokens:
            try:
                return self.ads.renew_tokens(token)
            except TokenRefused as refused:
                last = refused
        raise TokenRefused(
            f"{last}; the access token cannot be renewed: authorize the app again and set a new"
            " PINTEREST_REFRESH_TOKEN"
        ) from last


def _put_rows(
    put: Callable[[Connection, Sequence[_Row]], None], rows: Sequence[_Row], conn: Connection
) -> None:
    put(conn, rows)


def _least_wait(failure: Unreachable | Throttled) -> int:
    """Returns the seconds for which Pinterest must not be called."""
    if isinstance(failure, Unreachable):
        return 0
    return LONGEST_PAUSE if failure.seconds is None else failure.seconds
