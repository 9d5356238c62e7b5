"""The session of one spend sync: its calls to Pinterest and its writes to the store.

Calls keep the rate limit, are retried after a passing failure, and renew an access token that has
expired. Writes happen only while the lease holds.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import TypeVar

from tracking.clients.pinterest_ads import (
    PinterestAds,
    PinterestAdsAccess,
    PinterestAdsError,
    RenewedTokens,
    Throttled,
    TokenRefused,
    Unreachable,
)
from tracking.store import Store, ad_accounts, limits, spend
from tracking.store.engine.statement import Connection
from tracking.store.spend import SpendRow

# Longer than the longest call and the longest pause before it.
LEASE_SECONDS = 300
RETRY_AFTER = (1.0, 5.0, 25.0)
LONGEST_PAUSE = 60
# Pinterest allows 300 calls a minute; some are left for programs other than this service.
_INTERVAL_MS, _BURST = 250, 20
_LIMIT = "pinterest ads"

_T = TypeVar("_T")
# Waits the seconds; returns a true value if the sync must end instead.
Pause = Callable[[float], object]


class SyncStopped(Exception):
    """The process ends, or another process has taken the lease."""


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

    def stored_keys(self, first: date, last: date) -> set[tuple[str, str, str]]:
        """Returns day, campaign and currency of the stored spend that is not zero."""
        with self._store.read() as conn:
            rows = spend.rows(conn, first.isoformat(), last.isoformat())
        return {(row.date, row.campaign_id, row.currency) for row in rows if row.micros}

    def store_rows(
        self, costs: Mapping[tuple[str, str, str], int], names: Mapping[str, str]
    ) -> int:
        """Stores the millionths of each day, campaign and currency; returns the number of rows."""
        now = int(self._clock())
        rows = [
            SpendRow(
                date=day,
                campaign_id=id,
                currency=currency,
                campaign=names[id],
                micros=micros,
                recorded_at=now,
            )
            for (day, id, currency), micros in sorted(costs.items())
        ]
        for first in range(0, len(rows), spend.ROWS_A_COMMIT):
            self._store.commit(partial(self._put, rows[first : first + spend.ROWS_A_COMMIT]))
        return len(rows)

    def advance(self, through: str, currency: str) -> None:
        """Stores up to which day (ISO) the spend was read, and its currency."""
        account = self._access.account_id
        self._store.commit(
            lambda conn: ad_accounts.advance(conn, account, self._claim, through, currency)
        )

    def _put(self, rows: Sequence[SpendRow], conn: Connection) -> None:
        self._extend_lease(conn)
        spend.put(conn, rows)

    def _wait_for_rate_limit(self) -> None:
        """Waits until the rate limit, shared by all processes, allows a call."""
        while True:
            wait = self._store.commit(self._take_call)
            if not wait:
                return
            self._wait(wait / 1000)

    def _take_call(self, conn: Connection) -> int:
        self._extend_lease(conn)
        now_ms = int(self._clock() * 1000)
        return limits.take(conn, _LIMIT, 1, _INTERVAL_MS, _BURST, now_ms)

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
            raise PinterestAdsError(f"{refused}; {hint}") from refused
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
            now = int(self._clock())
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
        raise PinterestAdsError(
            f"{last}; the access token cannot be renewed: authorize the app again and set a new"
            " PINTEREST_REFRESH_TOKEN"
        ) from last


def _least_wait(failure: Unreachable | Throttled) -> int:
    """Returns the seconds for which Pinterest must not be called."""
    if isinstance(failure, Unreachable):
        return 0
    return LONGEST_PAUSE if failure.seconds is None else failure.seconds
