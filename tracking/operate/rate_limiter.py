"""How many calls may come in: agreed on in the store, spent and refused from memory.

A process asks the store for a share of a limit and lets that many calls through. What the store
refuses it remembers, so that a flood costs no more than its own answers.
"""

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from tracking.store import Store, StoreUnavailable, limits
from tracking.store.engine.statement import Connection

# What is left of a share by then is forfeited: it was meant for calls that come together.
SHARE_SECONDS = 10.0
# Little, so that a visitor who calls now and then uses up little of the limit.
FIRST_SHARE = 4
SHARES_IN_BURST = 8
# Addresses whose share or refusal a process keeps in mind.
MOST_REMEMBERED = 10_000
# Once the store failed, it is not asked for so long: every call would wait for it in vain.
_BLIND_SECONDS = 1.0
_FORGET_SECONDS, _FORGET_MOST = 10.0, 5_000
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls `a_second` in the long run, and a `burst` of them at once after a pause."""

    a_second: float
    burst: int


class RateLimiter:
    """Lets calls through: so many of each address, and so many in all, unless `total` is None.

    Every process over one store keeps the same limits. In it an address is a digest under `key`,
    another one each day (UTC), and stays only until it may send a whole burst again.
    """

    def __init__(
        self, store: Store, clock: Callable[[], float], key: bytes, each: Rate, total: Rate | None
    ) -> None:
        self._desk = _SharedQuota(store, clock)
        self._clock = clock
        self._key = key
        self._each = each
        self._everybody = None if total is None else _Share(self._desk, "everybody", total)
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._mutex = threading.Lock()

    def refusal(self, address: str) -> float:
        """Count a call of an address in. 0 lets it through; else it is refused, and may be sent
        again in so many seconds.

        While the store cannot be reached every call is let through.
        """
        share = self._share_of(self._name_of(address))
        # What one address is refused is not taken from everybody, and what is too much in all is
        # not written down for each.
        in_all = self._everybody
        return share.refusal() or (in_all.spend() if in_all else 0.0) or share.spend()

    def closed(self, address: str) -> float:
        """In how many seconds calls of an address are let through again, as far as this process
        was told before; else 0. Counts nothing."""
        return self._share_of(self._name_of(address)).refusal()

    def _share_of(self, name: str) -> "_Share":
        with self._mutex:
            share = self._shares.pop(name, None) or _Share(self._desk, name, self._each)
            self._shares[name] = share
            if len(self._shares) > MOST_REMEMBERED:
                self._shares.popitem(last=False)
        return share

    def _name_of(self, address: str) -> str:
        told = f"{int(self._clock()) // _DAY} {_home_of(address)}"
        return hmac.digest(self._key, told.encode(), "sha256").hex()[:32]


def _home_of(address: str) -> str:
    """What belongs to one caller: an IPv4 address, or the half of an IPv6 address that it cannot
    choose. Whatever is neither shares one limit."""
    try:
        ip = ip_address(address)
    except ValueError:
        return ""
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip.packed[:8].hex())


class _SharedQuota:
    """Where shares are asked for."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._store = store
        self._blind_until = 0.0
        self._forgets_at = 0.0

    def ask(self, name: str, rate: Rate, count: int) -> float:
        """0 if so many calls are granted, else in how many seconds they can be."""
        now = self.clock()
        if _ahead(self._blind_until, now, _BLIND_SECONDS):
            return 0.0
        forgets = self._is_time_to_forget(now)

        def take(conn: Connection) -> int:
            now_ms = int(now * 1000)
            if forgets:
                limits.forget(conn, now_ms, _FORGET_MOST)
            return limits.take(conn, name, count, 1000 / rate.a_second, rate.burst, now_ms)

        try:
            return self._store.commit(take) / 1000
        except StoreUnavailable:
            # Whoever the call is let through to will find out the same, and answer for it.
            self._blind_until = self.clock() + _BLIND_SECONDS
            return 0.0

    def _is_time_to_forget(self, now: float) -> bool:
        if _ahead(self._forgets_at, now, _FORGET_SECONDS):
            return False
        self._forgets_at = now + _FORGET_SECONDS
        return True


class _Share:
    """What this process may let through of one limit without asking, or when to ask again."""

    __slots__ = ("_closed_until", "_desk", "_left", "_lock", "_name", "_rate", "_spent", "_until")

    def __init__(self, desk: _SharedQuota, name: str, rate: Rate) -> None:
        self._desk = desk
        self._name = name
        self._rate = rate
        self._left = 0
        self._spent = 0
        self._until = 0.0
        self._closed_until = 0.0
        # Calls that come together ask for one share, not for one each.
        self._lock = threading.Lock()

    def refusal(self) -> float:
        """In how many seconds to ask again, as far as it is remembered; else 0."""
        longest = self._rate.burst / self._rate.a_second
        return _ahead(self._closed_until, self._desk.clock(), longest)

    def spend(self) -> float:
        """Let a call through; 0, or in how many seconds to ask again."""
        with self._lock:
            is_open = self._left and self._desk.clock() < self._until
            if not is_open and (seconds := self.refusal() or self._renewal()):
                return seconds
            self._left -= 1
            self._spent += 1
            return 0.0

    def _renewal(self) -> float:
        """Ask for a share, twice as large as what was used of the last one."""
        most = max(1, self._rate.burst // SHARES_IN_BURST)
        count = min(most, max(FIRST_SHARE, 2 * self._spent))
        seconds = self._desk.ask(self._name, self._rate, count)
        now = self._desk.clock()
        if seconds:
            self._closed_until = now + seconds
        else:
            self._left, self._spent, self._until = count, 0, now + SHARE_SECONDS
        return seconds


def _ahead(instant: float, now: float, longest: float) -> float:
    """How many seconds an instant lies ahead. One that lies further off than it can was noted
    before the clock was set back, and counts as past."""
    seconds = instant - now
    return seconds if 0 < seconds <= longest else 0.0
