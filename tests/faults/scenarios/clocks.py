"""A clock that jumps back and forth while orders come in."""

import random
import threading
import time

from tests.actors import instant
from tests.faults.finding import Finding
from tests.faults.load import acknowledged, meanwhile, webhook
from tests.faults.world import World

DAY = 86_400
# Into the past, into a time in which the events are too old, a little.
JUMPS = (-7 * DAY, 8 * DAY, -1)
MOST_CALLS_A_SECOND = 2.0


def jumping(world: World, orders: int = 40, rate: float = 40.0, seed: int = 1) -> Finding:
    """The clock is set to and fro every tenth of a second; in the end it is right again."""
    found, chance = Finding(), random.Random(seed)
    right = world.clock.offset
    # Only ours is wrong.
    world.pinterest.clock = lambda: time.time() + right
    numbers = world.numbers(orders)
    told = world.placed(numbers)
    jumps = 0

    def disturb(done: threading.Event) -> None:
        nonlocal jumps
        while not done.wait(0.1):
            world.clock.offset = right + (0, *JUMPS)[chance.randrange(4)]
            jumps += 1
        world.clock.offset = right
        world.pinterest.clock = world.clock

    begun = time.monotonic()
    heard = meanwhile(lambda: world.posts(told, per_second=rate), disturb)
    world.drain()
    calls, lasted = len(world.pinterest.calls), time.monotonic() - begun
    expired = [row for row in world.events_of(numbers) if "expired" in row["reason"]]
    # What a wrong clock took for too old is put back in line by hand.
    said = world.replayed() if expired else 0
    world.drain()

    unsent = [n for n in numbers if f"checkout-{n}" not in world.pinterest.accepted]
    late = [row for row in world.rows("conversions") if row["order_id"] in map(str, unsent)]
    reasons = {row["reason"] for row in late}
    # What it took for too old when it came is decided anew by the next webhook of the order.
    newer = instant(world.clock())
    again = [webhook(n, "orders/updated", world.clock(), updated_at=newer) for n in unsent]
    heard += world.posts(again)
    world.drain()
    found.tells(f"{jumps} jumps, {calls} calls, {len(expired)} expired, {said} replayed")
    found.tells(f"{len(late)} taken for too old when they came")
    found.expects("each order is acknowledged", acknowledged(heard) == set(numbers))
    found.expects("each order is recorded", len(late) == len(unsent))
    found.expects(f"nothing but its age keeps an event: {reasons}", reasons <= {"expired"})
    most = 10 + MOST_CALLS_A_SECOND * (lasted + 5)
    found.expects(f"no busy loop: {calls} calls", calls <= most)
    world.judge(found, numbers)
    world.judge_load(found, heard)
    return found
