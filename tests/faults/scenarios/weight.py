"""Much at once, and much for long."""

import os
import time
from pathlib import Path

from tests.faults.finding import Finding, percentile
from tests.faults.load import acknowledged
from tests.faults.world import World

MOST_WAL = 64 * 1024 * 1024
DELIVERED_WITHIN = 60.0
# Of memory, at the end over the beginning; and a little that allocators keep.
GROWTH = 1.05
_SOME_MEMORY = 8 * 1024 * 1024


def burst(world: World, orders: int = 200, callers: int = 50) -> Finding:
    """A flash sale: as many webhooks as the service can take, from many callers."""
    found = Finding()
    numbers = world.numbers(orders)
    told = world.placed(numbers)
    begun = time.monotonic()
    # A machine that does other things at the same time may be too busy for some of them.
    heard = world.posts(told, callers=callers, again=not world.is_timed)
    lasted = time.monotonic() - begun
    world.until(lambda: world.waiting() == 0)
    delivered = time.monotonic() - begun - lasted
    found.tells(f"{orders / lasted:.0f} webhooks a second, delivered {delivered:.1f} s later")
    broken = sum(answer.status == 0 for answer in heard)
    found.expects(f"none cut off: {broken}", broken == 0)
    found.expects("each order is acknowledged", acknowledged(heard) == set(numbers))
    if world.is_timed:
        found.expects("delivered within 60 s", delivered < DELIVERED_WITHIN)
    world.judge(found, numbers)
    world.judge_load(found, heard)
    return found


def soak(world: World, seconds: int = 240, rate: float = 60.0) -> Finding:
    """The same load for minutes: nothing grows, nothing slows down."""
    found = Finding()
    quarter = int(seconds * rate / 4)
    told, parts, weights = [], [], []
    wal = 0
    for _ in range(4):
        numbers = world.numbers(quarter)
        parts.append(world.posts(world.placed(numbers), callers=12, per_second=rate))
        weights.append(_weight(world))
        wal = max(wal, _wal(world))
        told += numbers
    world.drain()
    first, last = (percentile([a.seconds for a in parts[n]], 0.99) for n in (0, 3))
    found.tells(f"p99 {first * 1000:.0f} ms at first, {last * 1000:.0f} ms in the end")
    found.tells(f"memory and files {weights[0]} after a quarter, {weights[3]} in the end")
    found.tells(f"write-ahead log at most {wal / 1e6:.1f} MB")
    if world.is_timed:
        found.expects(f"not slower: {last:.3f} s", last <= 1.5 * first + 0.05)
    found.expects("memory is flat", weights[3][0] <= GROWTH * weights[0][0] + _SOME_MEMORY)
    found.expects("files are flat", weights[3][1] <= GROWTH * weights[0][1] + 2)
    found.expects(f"log below 64 MB: {wal}", wal < MOST_WAL)
    world.judge(found, told)
    world.judge_load(found, [answer for part in parts for answer in part])
    return found


def _weight(world: World) -> tuple[int, int]:
    """Bytes of memory, and open files, of all workers together."""
    workers = world.server.workers
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in workers)
    files = sum(len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in workers)
    return pages * os.sysconf("SC_PAGE_SIZE"), files


def _wal(world: World) -> int:
    path = world.folder / "tracking.db-wal"
    return path.stat().st_size if path.exists() else 0
