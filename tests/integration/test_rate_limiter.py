"""How many calls may come in: exact over processes, cheap under a flood, kind to visitors."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.actors import DAY, NOW, Clock
from tests.store_contents import folder_in_memory, rows
from tests.watched_store import WatchedStore
from tracking.operate import rate_limiter
from tracking.operate.rate_limiter import SHARE_SECONDS, Rate, RateLimiter
from tracking.store import Store, StoreUnavailable, limits, open_store
from tracking.store.engine.statement import Connection

NOW_MS = NOW * 1000
HOME = "203.0.113.7"
KEY = b"a key of the tests only"
EACH, TOTAL = Rate(10, burst=600), Rate(1000, burst=5000)


@pytest.fixture
def quick(sqlite_template: Path) -> Iterator[WatchedStore]:
    """A watched store in memory, for tests of thousands of calls."""
    with folder_in_memory() as folder:
        shutil.copy(sqlite_template, folder / "tracking.db")
        opened = open_store(f"sqlite:///{folder}/tracking.db")
        yield WatchedStore(opened)
        opened.close()


@pytest.fixture
def fresh(sqlite_template: Path) -> Iterator[Callable[[], Store]]:
    """Makes empty stores, for properties whose examples may not know of one another."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build() -> Store:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return open_store(f"sqlite:///{path}")

        yield build


def limiter_of(store: Store, clock: Clock, each: Rate = EACH, total: Rate = TOTAL) -> RateLimiter:
    """A limiter as every process has its own."""
    return RateLimiter(store, clock, KEY, each, total)


def let_through(limiter: RateLimiter, calls: int, address: str = HOME) -> int:
    """How many of so many calls are let through at this moment."""
    return sum(not limiter.refusal(address) for _ in range(calls))


def taken(
    store: Store,
    count: int,
    now_ms: int,
    burst: int = 60,
    interval_ms: float = 100,
    name: str = "x",
) -> int:
    """Take from a limit in a transaction of its own."""
    return store.commit(lambda conn: limits.take(conn, name, count, interval_ms, burst, now_ms))


# --- One limit in the store


def test_a_burst_is_given_at_once_and_no_more(store: Store) -> None:
    assert [taken(store, 20, NOW_MS) for _ in range(3)] == [0, 0, 0]
    assert taken(store, 1, NOW_MS) == 100


def test_a_refusal_says_when_all_that_was_asked_for_is_free(store: Store) -> None:
    taken(store, 60, NOW_MS)

    assert taken(store, 5, NOW_MS + 100) == 400
    assert taken(store, 5, NOW_MS + 499) == 1
    assert taken(store, 5, NOW_MS + 500) == 0


def test_a_refusal_costs_nothing(store: Store) -> None:
    taken(store, 60, NOW_MS)
    before = rows(store, "limits")

    assert all(taken(store, 1, NOW_MS) for _ in range(100))
    assert rows(store, "limits") == before


def test_no_pause_saves_up_more_than_a_burst(store: Store) -> None:
    taken(store, 60, NOW_MS)

    later = NOW_MS + DAY * 1000
    assert [bool(taken(store, 30, later)) for _ in range(3)] == [False, False, True]


def test_limits_of_other_names_are_other_limits(store: Store) -> None:
    taken(store, 60, NOW_MS)

    assert taken(store, 60, NOW_MS, name="y") == 0


def test_a_clock_that_was_set_back_closes_no_limit(store: Store) -> None:
    taken(store, 60, NOW_MS + 3_600_000)

    assert taken(store, 60, NOW_MS) == 0
    assert taken(store, 1, NOW_MS) > 0


def test_a_machine_whose_clock_is_a_little_behind_gets_no_more(store: Store) -> None:
    taken(store, 60, NOW_MS)

    assert taken(store, 1, NOW_MS - 2_000) == 2_100


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    asked=st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 12)), min_size=1, max_size=40),
    a_second=st.sampled_from([1, 3, 7, 10, 999]),
)
def test_whoever_asks_however_gets_the_burst_and_the_rate_and_no_more(
    quick: WatchedStore, asked: list[tuple[int, int]], a_second: int
) -> None:
    name, now_ms, given_out = f"{a_second} {asked}", NOW_MS, 0
    for pause, count in asked:
        now_ms += pause
        wait = taken(quick, count, now_ms, burst=12, interval_ms=1000 / a_second, name=name)
        given_out += 0 if wait else count
        assert given_out <= 12 + (now_ms - NOW_MS) * a_second / 1000
        if wait:
            # Nothing was taken meanwhile, so the promise holds to the millisecond.
            now_ms += wait
            assert not taken(quick, count, now_ms, 12, 1000 / a_second, name)
            given_out += count


def test_takers_that_come_together_get_the_burst_and_no_more(database_url: str) -> None:
    stores = [open_store(database_url) for _ in range(2)]
    try:
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(taken, stores[n % 2], 3, NOW_MS) for n in range(100)]
        assert sum(not one.result() for one in asked) == 20
    finally:
        for store in stores:
            store.close()


def test_a_limit_that_is_free_again_is_forgotten(store: Store) -> None:
    for n in range(3):
        taken(store, 10 * (n + 1), NOW_MS, name=f"{n}")

    store.commit(lambda conn: limits.forget(conn, NOW_MS + 2_500, most=10))

    assert [row["name"] for row in rows(store, "limits")] == ["2"]


def test_so_many_limits_are_forgotten_at_a_time(store: Store) -> None:
    for n in range(5):
        taken(store, 1, NOW_MS, name=f"{n}")

    store.commit(lambda conn: limits.forget(conn, NOW_MS + 1_000, most=3))

    assert len(rows(store, "limits")) == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_forgetting_waits_for_nobody(store: Store, database_url: str) -> None:
    taken(store, 1, NOW_MS)
    other = open_store(database_url)

    def forget_beside(conn: object) -> None:
        limits.take(conn, "x", 1, 100, 60, NOW_MS)  # type: ignore[arg-type]
        # Who waits for a lock is refused in the end.
        other.commit(lambda beside: limits.forget(beside, NOW_MS + DAY, most=10))

    try:
        store.commit(forget_beside)
    finally:
        other.close()
    assert len(rows(store, "limits")) == 1


# --- One process


def test_an_address_may_call_a_burst_at_once_and_is_then_refused(
    store: Store, clock: Clock
) -> None:
    limiter = limiter_of(store, clock)

    assert 600 - 600 // 8 <= let_through(limiter, 5_000) <= 600


def test_a_refused_address_is_let_through_after_as_long_as_it_was_told(
    store: Store, clock: Clock
) -> None:
    limiter = limiter_of(store, clock)
    let_through(limiter, 1_000)

    seconds = limiter.refusal(HOME)
    clock.tick(seconds=seconds - 0.01)
    assert limiter.refusal(HOME)
    clock.tick(seconds=0.02)
    assert not limiter.refusal(HOME)


def test_an_address_that_was_refused_is_in_nobody_elses_way(store: Store, clock: Clock) -> None:
    limiter = limiter_of(store, clock, total=Rate(1000, burst=1000))

    let_through(limiter, 10_000)

    assert let_through(limiter, 100, "198.51.100.1") == 100


def test_all_addresses_together_have_a_limit_too(quick: WatchedStore, clock: Clock) -> None:
    limiter = limiter_of(quick, clock, total=Rate(100, burst=500))

    passed = sum(let_through(limiter, 1, f"10.0.{n // 250}.{n % 250}") for n in range(2_000))

    assert 500 - 500 // 8 <= passed <= 500


def test_beyond_the_limit_of_all_no_address_is_written_down(
    quick: WatchedStore, clock: Clock
) -> None:
    limiter = limiter_of(quick, clock, total=Rate(10, burst=50))
    for n in range(1_000):
        limiter.refusal(f"10.0.{n // 250}.{n % 250}")

    # The 50 addresses that were let through, and the limit of all.
    assert len(rows(quick, "limits")) <= 51


def test_a_flood_is_refused_from_memory(quick: WatchedStore, clock: Clock) -> None:
    limiter = limiter_of(quick, clock)
    let_through(limiter, 1_000)
    before = quick.commits

    for _ in range(30):
        let_through(limiter, 300)
        clock.tick(seconds=1)

    assert quick.commits - before < 40


def test_a_visitor_who_calls_now_and_then_leaves_nearly_all_to_the_others_behind_the_address(
    quick: WatchedStore, clock: Clock
) -> None:
    # Several machines, each of which is asked by the same address in turn.
    limiters = [limiter_of(quick, clock) for _ in range(8)]
    for n in range(3_600):
        assert not limiters[n % 8].refusal(HOME), f"refused after {n} s"
        clock.tick(seconds=1)


def test_what_is_left_of_a_share_lapses(quick: WatchedStore, clock: Clock) -> None:
    limiter = limiter_of(quick, clock)
    limiter.refusal(HOME)
    before = quick.commits

    clock.tick(seconds=SHARE_SECONDS - 0.1)
    limiter.refusal(HOME)
    assert quick.commits == before
    clock.tick(seconds=0.2)
    limiter.refusal(HOME)
    assert quick.commits > before


def test_calls_that_come_together_ask_for_one_share(quick: WatchedStore, clock: Clock) -> None:
    limiter = limiter_of(quick, clock)

    with ThreadPoolExecutor(16) as threads:
        passed = sum(threads.map(lambda _: not limiter.refusal(HOME), range(2_000)))

    assert 600 - 600 // 8 <= passed <= 600
    assert quick.commits < 50


@pytest.mark.parametrize("a_second", [1, 2, 2_000])
def test_the_slowest_and_the_fastest_limit_work_alike(
    quick: WatchedStore, clock: Clock, a_second: int
) -> None:
    rate = Rate(a_second, burst=5 * a_second)
    limiter = limiter_of(quick, clock, each=rate, total=rate)

    burst = let_through(limiter, 6 * a_second)
    for _ in range(10):
        clock.tick(seconds=1)
        burst += let_through(limiter, 2 * a_second)

    assert 12 * a_second <= burst <= 15 * a_second


def test_a_process_remembers_so_many_addresses_and_no_more(
    quick: WatchedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "MOST_REMEMBERED", 1_000)
    limiter = limiter_of(quick, clock, total=Rate(100_000, burst=500_000))
    limiter.refusal(HOME)
    before = quick.commits
    limiter.refusal(HOME)
    assert quick.commits == before, "its share is remembered"

    for n in range(1_000):
        limiter.refusal(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")

    before = quick.commits
    limiter.refusal(HOME)
    assert quick.commits == before + 1, "its share was forgotten"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:db8:1:2::1", "2001:DB8:0001:2::2"),
        ("203.0.113.7", "::ffff:203.0.113.7"),
        ("", "unknown"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_these_addresses_are_one_caller(
    quick: WatchedStore, clock: Clock, one: str, other: str
) -> None:
    limiter = limiter_of(quick, clock)
    let_through(limiter, 1_000, one)

    assert limiter.refusal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8:1:2::1", "2001:db8:1:3::1"), ("203.0.113.7", "203.0.113.8"), ("::1", "0.0.0.1")],
)
def test_these_addresses_are_two_callers(
    quick: WatchedStore, clock: Clock, one: str, other: str
) -> None:
    limiter = limiter_of(quick, clock)
    let_through(limiter, 1_000, one)

    assert not limiter.refusal(other)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(address=st.text(max_size=60) | st.ip_addresses().map(str))
def test_whatever_a_proxy_calls_an_address_it_is_limited(quick: WatchedStore, address: str) -> None:
    limiter = limiter_of(quick, Clock(NOW), each=Rate(1, burst=1))
    limiter.refusal(address)

    assert limiter.refusal(address)


def test_addresses_do_not_rest_in_clear_and_have_another_name_each_day(
    store: Store, clock: Clock
) -> None:
    def names() -> set[str]:
        return {row["name"] for row in rows(store, "limits")} - {"everybody"}

    limiter = limiter_of(store, clock)
    limiter.refusal(HOME)
    (today,) = names()
    clock.tick(days=1)
    limiter.refusal(HOME)
    (tomorrow,) = names()

    assert len(today) == len(tomorrow) == 32
    assert today != tomorrow
    assert HOME not in str(rows(store, "limits"))


def test_the_name_of_an_address_depends_on_the_key(store: Store, clock: Clock) -> None:
    for key in (KEY, b"another key"):
        RateLimiter(store, clock, key, EACH, TOTAL).refusal(HOME)

    assert len(rows(store, "limits")) == 3


def test_an_address_that_is_free_again_is_forgotten_by_and_by(store: Store, clock: Clock) -> None:
    limiter = limiter_of(store, clock)
    for n in range(20):
        limiter.refusal(f"198.51.100.{n}")

    clock.tick(seconds=20)
    limiter.refusal(HOME)

    assert len(rows(store, "limits")) == 2


def test_while_the_store_is_away_every_call_is_let_through(
    quick: WatchedStore, clock: Clock
) -> None:
    limiter = limiter_of(quick, clock, total=Rate(1, burst=5))
    quick.is_away = True

    assert let_through(limiter, 100) == 100


def test_a_limiter_that_fails_closed_lets_nothing_through_while_the_store_is_away(
    quick: WatchedStore, clock: Clock
) -> None:
    limiter = RateLimiter(quick, clock, KEY, EACH, TOTAL, fails_closed=True)
    quick.is_away = True
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            limiter.refusal(HOME)

    quick.is_away = False
    assert limiter.refusal(HOME) == 0


def test_a_call_of_many_counts_as_so_many(store: Store, clock: Clock) -> None:
    limiter = limiter_of(store, clock, each=Rate(10, burst=60))

    assert [bool(limiter.refusal(HOME, 20)) for _ in range(4)] == [False, False, False, True]
    clock.tick(seconds=2)
    assert limiter.refusal(HOME, 20) == 0
    assert limiter.refusal(HOME, 1) > 0


def test_while_the_store_is_away_it_is_asked_at_most_once_a_second(
    quick: WatchedStore, clock: Clock
) -> None:
    limiter = limiter_of(quick, clock)
    quick.is_away = True

    for _ in range(5):
        for n in range(100):
            limiter.refusal(f"198.51.100.{n}")
        clock.tick(seconds=1.1)

    assert 1 <= quick.commits <= 5


def test_a_store_that_is_back_limits_again(quick: WatchedStore, clock: Clock) -> None:
    limiter = limiter_of(quick, clock)
    quick.is_away = True
    let_through(limiter, 1_000)
    quick.is_away = False
    clock.tick(seconds=SHARE_SECONDS + 1)

    assert let_through(limiter, 5_000) <= 600


def test_a_clock_that_was_set_back_refuses_nobody_for_long(
    quick: WatchedStore, clock: Clock
) -> None:
    limiter = limiter_of(quick, clock)
    let_through(limiter, 1_000)
    assert limiter.refusal(HOME)

    clock.tick(hours=-1)

    assert not limiter.refusal(HOME)


# --- Several processes


def test_two_processes_keep_one_limit(database_url: str, clock: Clock) -> None:
    stores = [open_store(database_url) for _ in range(2)]
    try:
        limiters = [limiter_of(store, clock) for store in stores]
        burst = sum(let_through(limiters[n % 2], 1) for n in range(2_000))
        assert 600 - 2 * (600 // 8) <= burst <= 600

        clock.tick(seconds=30)
        assert burst + sum(let_through(limiters[n % 2], 1) for n in range(2_000)) <= 900
    finally:
        for store in stores:
            store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    calls=st.lists(
        st.tuples(
            st.floats(0, 20, allow_nan=False),
            st.integers(0, 2),
            st.integers(0, 3),
            st.integers(1, 60),
        ),
        max_size=40,
    )
)
def test_however_processes_and_addresses_mingle_no_limit_is_exceeded(
    fresh: Callable[[], Store], calls: list[tuple[float, int, int, int]]
) -> None:
    clock, each, total = Clock(NOW), Rate(2, burst=40), Rate(3, burst=90)
    store = fresh()
    limiters = [limiter_of(store, clock, each, total) for _ in range(3)]
    passed = [0, 0, 0, 0]
    for pause, process, address, count in calls:
        clock.tick(seconds=pause)
        passed[address] += let_through(limiters[process], count, f"198.51.100.{address}")

        elapsed = clock() - NOW
        assert max(passed) <= each.burst + each.a_second * elapsed
        assert sum(passed) <= total.burst + total.a_second * elapsed
    store.close()


# --- Turns, which take from the store in a transaction of their caller's


def turn_taken(store: Store, limiter: RateLimiter, count: int = 1) -> bool:
    """Whether a turn of so many calls is granted."""
    turn = limiter.turn(HOME)
    if turn.refused:
        return False
    turn.spend(count)
    refused = store.commit(turn.take) if turn.needs_store else 0.0
    turn.settle()
    return not refused


def test_turns_and_calls_share_one_limit(store: Store, clock: Clock) -> None:
    limiter = limiter_of(store, clock)

    passed = sum(turn_taken(store, limiter) for _ in range(400)) + let_through(limiter, 400)

    assert 600 - 600 // 8 <= passed <= 600
    assert not turn_taken(store, limiter)


def test_turns_come_out_of_a_share_in_memory(quick: WatchedStore, clock: Clock) -> None:
    limiter = limiter_of(quick, clock)

    assert all(turn_taken(quick, limiter) for _ in range(500))
    assert quick.commits < 50


def test_turns_that_come_together_take_no_more_than_a_burst(store: Store, clock: Clock) -> None:
    limiter = limiter_of(store, clock, each=Rate(1, burst=60))
    turns = [limiter.turn(HOME) for _ in range(100)]
    for turn in turns:
        turn.spend(1)

    granted = 0
    for turn in turns:
        granted += not store.commit(turn.take)
        turn.settle()

    granted += let_through(limiter, 100)
    assert 60 - 60 // 8 <= granted <= 60


def test_a_turn_whose_transaction_failed_took_nothing(store: Store, clock: Clock) -> None:
    limiter = limiter_of(store, clock)
    for _ in range(1_000):
        turn = limiter.turn(HOME)
        turn.spend(1)
        turn.drop()

    assert 600 - 600 // 8 <= let_through(limiter, 5_000) <= 600


def test_a_turn_that_is_taken_twice_counts_as_the_last_time(store: Store, clock: Clock) -> None:
    limiter = limiter_of(store, clock)

    def take_and_fail(turn: rate_limiter.Turn) -> None:
        def work(conn: Connection) -> None:
            turn.take(conn)
            raise ValueError("rolled back")

        with pytest.raises(ValueError, match="rolled back"):
            store.commit(work)

    for _ in range(300):
        turn = limiter.turn(HOME)
        turn.spend(1)
        take_and_fail(turn)
        assert not store.commit(turn.take)
        turn.settle()
    assert 300 - 600 // 8 <= let_through(limiter, 1_000) <= 300
