"""The rate limiter of incoming calls: limits in the store, shares of them in memory.

A process takes a share of a limit from the store and allows that many calls. It remembers the
refusals of the store, so that a flood of calls costs no more than their responses.
"""

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
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
# The limit of all addresses together.
_EVERYBODY = "everybody"


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
        self._total = None if total is None else _Share(self._quota, _EVERYBODY, total)
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

    def turn(self, address: str) -> "Turn":
        """Returns the turn of a call of an address, which may be refused already.

        It counts as `refusal` does, but leaves to its caller's own transaction what has to be taken
        from the store, and fails with that.
        """
        share = self._share_of(self._name_of(address))
        return Turn((share,) if self._total is None else (self._total, share))

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


class Turn:
    """The turn of a call whose events are recorded in one transaction with what it takes of the
    limits. `refused` are the seconds to wait, 0 where no refusal is known.

    Its caller runs `take` in the transaction if it `needs_store`, and then `settle` or `drop`.
    """

    __slots__ = ("_needs", "_shares", "refused")

    def __init__(self, shares: "Sequence[_Share]") -> None:
        self._shares = shares
        self._needs: list[_Need] = []
        self.refused = max(share.refusal() for share in shares)

    def spend(self, count: int) -> None:
        """Spends so many calls (at most a burst) of the shares of this process."""
        found = [share.hold(count) for share in self._shares]
        self._needs = [need for need in found if need is not None]

    @property
    def needs_store(self) -> bool:
        """Returns True if a share of this process was too small."""
        return bool(self._needs)

    def take(self, conn: Connection) -> float:
        """Takes what is needed; returns 0, or the seconds to wait if that is refused."""
        (refused,) = take_together(conn, [self])
        return refused

    def begin(self) -> "Sequence[_Need]":
        """Returns what is needed, none of it taken: the transaction may run twice, the first time
        being rolled back."""
        for need in self._needs:
            need.refused = None
        return self._needs

    def settle(self) -> None:
        """Remembers what the store has granted and refused, once that is on disk."""
        for need in self._needs:
            need.share.settle(need)

    def drop(self) -> None:
        """Forgets the turn: the transaction failed, and the store has granted nothing."""
        for need in self._needs:
            need.refused = None
        self.settle()


def take_together(conn: Connection, turns: Sequence[Turn]) -> list[float]:
    """As `take` of each turn, in one transaction.

    All transactions take the limit of everybody first and then the others in the order of their
    names, so that no two of them wait for one another.
    """
    refused = [0.0] * len(turns)
    needs = [(need, n) for n, turn in enumerate(turns) for need in turn.begin()]
    needs.sort(key=lambda found: (found[0].share.name != _EVERYBODY, found[0].share.name))
    for need, n in needs:
        if not refused[n]:
            refused[n] = need.refused = need.share.take_in(conn, need.count)
    return refused


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
        if _ahead(self._retries_at, self.clock(), _STORE_RETRY_SECONDS):
            return 0.0
        try:
            return self._store.commit(lambda conn: self.take_in(conn, name, rate, count))
        except StoreUnavailable:
            if self._fails_closed:
                raise
            self._retries_at = self.clock() + _STORE_RETRY_SECONDS
            # The endpoint of the call needs the store as well, and reports its error.
            return 0.0

    def take_in(self, conn: Connection, name: str, rate: Rate, count: int) -> float:
        """As `take`, in a transaction of the caller's."""
        now = self.clock()
        now_ms = int(now * 1000)
        if self._is_time_to_delete(now):
            limits.forget(conn, now_ms, _DELETE_MOST)
        return limits.take(conn, name, count, 1000 / rate.a_second, rate.burst, now_ms) / 1000

    def _is_time_to_delete(self, now: float) -> bool:
        if _ahead(self._deletes_at, now, _DELETE_SECONDS):
            return False
        self._deletes_at = now + _DELETE_SECONDS
        return True


class _Need:
    """The calls that a turn takes of one limit in the store, since the share left is too small.

    A turn that asks for the next share takes `count` calls, of which it has `used` its own.
    """

    __slots__ = ("count", "is_renewal", "refused", "share", "used")

    def __init__(self, share: "_Share", count: int, used: int, *, is_renewal: bool) -> None:
        self.share = share
        self.count = count
        self.used = used
        self.is_renewal = is_renewal
        # The seconds to wait, if the store refuses it; None if it was not asked.
        self.refused: float | None = None


class _Share:
    """The calls of one limit that this process may allow, or the instant until which it refuses."""

    __slots__ = (
        *("_closed_until", "_is_asked_for", "_left", "_lock", "_quota", "_spent", "_until"),
        *("name", "rate"),
    )

    def __init__(self, quota: _SharedQuota, name: str, rate: Rate) -> None:
        self._quota = quota
        self.name = name
        self.rate = rate
        self._is_asked_for = False
        self._left = 0
        self._spent = 0
        self._until = 0.0
        self._closed_until = 0.0
        # Calls that come together take one share, not one each.
        self._lock = threading.Lock()

    def refusal(self) -> float:
        """Returns the seconds until the store may grant a share again, as far as known, or 0."""
        longest = self.rate.burst / self.rate.a_second
        return _ahead(self._closed_until, self._quota.clock(), longest)

    def take_in(self, conn: Connection, count: int) -> float:
        """Takes so many calls from the store; returns 0, or the seconds to wait."""
        return self._quota.take_in(conn, self.name, self.rate, count)

    def spend(self, count: int) -> float:
        """Spends so many calls; returns 0, or the seconds to wait if the share is used up."""
        with self._lock:
            self._let_lapse()
            is_open = self._left >= count
            if not is_open and (seconds := self.refusal() or self._renewal(count - self._left)):
                return seconds
            self._left -= count
            self._spent += count
            return 0.0

    def hold(self, count: int) -> _Need | None:
        """Spends so many calls of the share; returns what the store must grant if it is too small.

        Of turns that come together, one asks for the next share, and the others for their calls.
        """
        with self._lock:
            self._let_lapse()
            if self._left >= count:
                self._left -= count
                self._spent += count
                return None
            if self._is_asked_for:
                return _Need(self, count, count, is_renewal=False)
            self._is_asked_for = True
            return _Need(self, self._next_size(count), count, is_renewal=True)

    def settle(self, need: _Need) -> None:
        """Adds to the share what the store has granted to a turn, or closes it for as long as the
        store has refused it."""
        with self._lock:
            if need.is_renewal:
                self._is_asked_for = False
            if need.refused:
                self._close(need.refused)
            elif need.refused is not None and need.is_renewal:
                self._add(need.count - need.used)
                self._spent = need.used

    def _renewal(self, needed: int) -> float:
        """Takes the next share, of `needed` calls at least; returns 0 or a wait."""
        count = self._next_size(needed)
        seconds = self._quota.take(self.name, self.rate, count)
        if seconds:
            self._close(seconds)
        else:
            self._add(count)
        return seconds

    def _next_size(self, needed: int) -> int:
        """Returns the size of the next share: twice what was used of the last, or the need."""
        most = max(1, self.rate.burst // SHARES_IN_BURST)
        return max(needed, min(most, max(FIRST_SHARE, 2 * self._spent)))

    def _let_lapse(self) -> None:
        if self._quota.clock() >= self._until:
            self._left = 0

    def _add(self, count: int) -> None:
        self._left += count
        self._spent, self._until = 0, self._quota.clock() + SHARE_SECONDS

    def _close(self, seconds: float) -> None:
        self._closed_until = self._quota.clock() + seconds


def _ahead(instant: float, now: float, longest: float) -> float:
    """Returns how many seconds an instant lies ahead, or 0.

    An instant further ahead than `longest` was stored before the clock was set back, and counts as
    past.
    """
    seconds = instant - now
    return seconds if 0 < seconds <= longest else 0.0
