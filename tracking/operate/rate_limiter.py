"""The rate limiter of incoming calls: limits in the store, shares of them in memory.

A process takes a share of a limit from the store and allows that many calls. It remembers the
refusals of the store, so that a flood of calls costs no more than their responses.
"""

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from tracking.store import Store, StoreUnavailable, limits
from tracking.store.engine.statement import Connection

# The rest of a share is forfeited after this time: a share is meant for calls that come together.
SHARE_SECONDS = 10.0
# Small, so that a visitor who calls now and then uses up little of the limit.
FIRST_SHARE = 4
SHARES_IN_BURST = 8
# The addresses whose share or refusal a process remembers.
MOST_REMEMBERED = 10_000
# After an error the store is not asked for this time, or every call would wait for it in vain.
_STORE_RETRY_SECONDS = 1.0
_DELETE_SECONDS, _DELETE_MOST = 10.0, 5_000
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls allowed: `a_second` in the long run, and a `burst` of them at once after a pause."""

    a_second: float
    burst: int


class RateLimiter:
    """Limits the calls of each address, and of all addresses unless `total` is None.

    Every process over one store keeps the same limits. The store knows an address by a digest
    under `key`, which changes each day (UTC), and only until the address may send a whole burst
    again.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        key: bytes,
        each: Rate,
        total: Rate | None,
        *,
        fails_closed: bool = False,
    ) -> None:
        self._quota = _SharedQuota(store, clock, fails_closed=fails_closed)
        self._clock = clock
        self._key = key
        self._each = each
        self._total = None if total is None else _Share(self._quota, "everybody", total)
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._mutex = threading.Lock()

    def refusal(self, address: str, count: int = 1) -> float:
        """Counts so many calls of an address (at most a burst); returns 0 if they are allowed, else
        the seconds to wait.

        While the store cannot be reached every call is allowed, unless the limiter `fails_closed`.

        Raises:
            StoreUnavailable: the limiter fails closed, and the store cannot be reached.
        """
        share = self._share_of(self._name_of(address))
        # A call refused to one address takes nothing from the total, and a call that exceeds the
        # total is not stored for its address.
        total = self._total
        return share.refusal() or (total.spend(count) if total else 0.0) or share.spend(count)

    def _share_of(self, name: str) -> "_Share":
        with self._mutex:
            share = self._shares.pop(name, None) or _Share(self._quota, name, self._each)
            self._shares[name] = share
            if len(self._shares) > MOST_REMEMBERED:
                self._shares.popitem(last=False)
        return share

    def _name_of(self, address: str) -> str:
        name = f"{int(self._clock()) // _DAY} {_network_of(address)}"
        return hmac.digest(self._key, name.encode(), "sha256").hex()[:32]


def _network_of(address: str) -> str:
    """Returns the part of an address that a caller cannot choose: the IPv4 address, or the first
    half of an IPv6 address. Everything else shares one limit, under ""."""
    try:
        ip = ip_address(address)
    except ValueError:
        return ""
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip.packed[:8].hex())


class _SharedQuota:
    """Takes shares of the limits from the store."""

    def __init__(self, store: Store, clock: Callable[[], float], *, fails_closed: bool) -> None:
        self.clock = clock
        self._store = store
        self._fails_closed = fails_closed
        self._retries_at = 0.0
        self._deletes_at = 0.0

    def take(self, name: str, rate: Rate, count: int) -> float:
        """Takes `count` calls; returns 0 if they are granted, else the seconds to wait.

        Raises:
            StoreUnavailable: the limiter fails closed, and the store cannot be reached.
        """
        now = self.clock()
        if _ahead(self._retries_at, now, _STORE_RETRY_SECONDS):
            return 0.0
        deletes_old = self._is_time_to_delete(now)

        def work(conn: Connection) -> int:
            now_ms = int(now * 1000)
            if deletes_old:
                limits.forget(conn, now_ms, _DELETE_MOST)
            return limits.take(conn, name, count, 1000 / rate.a_second, rate.burst, now_ms)

        try:
            return self._store.commit(work) / 1000
        except StoreUnavailable:
            if self._fails_closed:
                raise
            self._retries_at = self.clock() + _STORE_RETRY_SECONDS
            # The endpoint of the call needs the store as well, and reports its error.
            return 0.0

    def _is_time_to_delete(self, now: float) -> bool:
        if _ahead(self._deletes_at, now, _DELETE_SECONDS):
            return False
        self._deletes_at = now + _DELETE_SECONDS
        return True


class _Share:
    """The calls of one limit that this process may allow, or the instant until which it refuses."""

    __slots__ = ("_closed_until", "_left", "_lock", "_name", "_quota", "_rate", "_spent", "_until")

    def __init__(self, quota: _SharedQuota, name: str, rate: Rate) -> None:
        self._quota = quota
        self._name = name
        self._rate = rate
        self._left = 0
        self._spent = 0
        self._until = 0.0
        self._closed_until = 0.0
        # Calls that come together take one share, not one each.
        self._lock = threading.Lock()

    def refusal(self) -> float:
        """Returns the seconds until the store may grant a share again, as far as known, or 0."""
        longest = self._rate.burst / self._rate.a_second
        return _ahead(self._closed_until, self._quota.clock(), longest)

    def spend(self, count: int) -> float:
        """Spends so many calls; returns 0, or the seconds to wait if the share is used up."""
        with self._lock:
            if self._quota.clock() >= self._until:
                self._left = 0
            is_open = self._left >= count
            if not is_open and (seconds := self.refusal() or self._renewal(count - self._left)):
                return seconds
            self._left -= count
            self._spent += count
            return 0.0

    def _renewal(self, needed: int) -> float:
        """Takes a share twice as large as the used part of the last one, or as large as `needed`;
        returns 0 or a wait."""
        most = max(1, self._rate.burst // SHARES_IN_BURST)
        count = max(needed, min(most, max(FIRST_SHARE, 2 * self._spent)))
        seconds = self._quota.take(self._name, self._rate, count)
        now = self._quota.clock()
        if seconds:
            self._closed_until = now + seconds
        else:
            self._left += count
            self._spent, self._until = 0, now + SHARE_SECONDS
        return seconds


def _ahead(instant: float, now: float, longest: float) -> float:
    """Returns how many seconds an instant lies ahead, or 0.

    An instant further ahead than `longest` was stored before the clock was set back, and counts as
    past.
    """
    seconds = instant - now
    return seconds if 0 < seconds <= longest else 0.0
