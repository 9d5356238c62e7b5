"""Processes that are killed, in every way, while webhooks come in and events go out."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence

from tests.actors import instant
from tests.faults.finding import Finding
from tests.faults.load import Answer, Webhook, acknowledged, meanwhile, webhook
from tests.faults.world import World
from tests.standins.pinterest import Mode
from tracking.deliver.deliverer import LEASE_SECONDS
from tracking.store.claims import CLAIM_SEPARATOR

TOPICS = ("orders/create", "orders/paid", "orders/updated")
# Seconds for 99 of 100 answers while processes die.
IN_TIME = 1.0


class Killer:
    """Kills everything so many times, and brings it up again each time."""

    def __init__(self, world: World, times: int, pauses: Callable[[], float]) -> None:
        self.kills = 0
        self._world, self._times, self._pauses = world, times, pauses
        self._away: list[tuple[float, float]] = []

    def __call__(self, done: threading.Event) -> None:
        while self.kills < self._times and not done.wait(self._pauses()):
            begun = time.monotonic()
            self._world.server.kill()
            self._world.server.start()
            self._away.append((begun, time.monotonic()))
            self.kills += 1

    def apart(self, heard: Sequence[Answer]) -> list[Answer]:
        """The answers that did not have to wait for a start."""
        return [
            answer
            for answer in heard
            if not any(
                answer.at < until and answer.at + answer.seconds > since
                for since, until in self._away
            )
        ]


def everything(
    world: World,
    orders: int = 60,
    kills: int = 1,
    rate: float = 60.0,
    seed: int = 1,
    mode: str = "ok",
) -> Finding:
    """Kill the arbiter and all workers again and again under load, each webhook told until it is
    heard, some twice and out of order."""
    found, chance = Finding(), random.Random(seed)
    numbers = world.numbers(orders)
    told = _stories(world, numbers, chance)
    before, _ = world.revenue()
    world.pinterest.mode = Mode(mode, seconds=0.5)
    killer = Killer(world, kills, lambda: 2 * chance.uniform(0.3, 1.2))

    heard = meanwhile(lambda: world.posts(told, callers=12, per_second=rate), killer)
    world.pinterest.mode = "ok"
    world.drain()

    counted, _ = world.revenue()
    found.tells(f"{killer.kills} kills")
    found.tells(f"{sum(n > 1 for n in world.pinterest.accepted.values())} sent again")
    found.expects("everything was killed at least once", killer.kills > 0)
    found.expects("each order is acknowledged", acknowledged(heard) == set(numbers))
    found.expects(f"{orders} orders reported: {counted - before}", counted - before == orders)
    world.judge(found, numbers)
    world.judge_load(found, killer.apart(heard), slowest=IN_TIME)
    return found


def one_topic(
    world: World, orders: int = 80, kills: int = 1, rate: float = 60.0, seed: int = 1
) -> Finding:
    """Kill everything under load of one webhook an order, which is not told again: the answer is
    all that anybody has."""
    found, chance = Finding(), random.Random(seed)
    told = world.placed(world.numbers(orders), "orders/paid")
    killer = Killer(world, kills, lambda: chance.uniform(0.3, 1.0))

    heard = meanwhile(lambda: world.posts(told, callers=12, per_second=rate, again=False), killer)
    world.drain()
    kept = acknowledged(heard)
    found.tells(f"{killer.kills} kills, {len(kept)} of {orders} acknowledged")
    found.expects("some are acknowledged", bool(kept))
    found.expects("some are cut off", len(kept) < orders)
    world.judge(found, kept)
    world.judge_load(found, killer.apart(heard), slowest=IN_TIME)
    return found


def one_process(
    world: World, orders: int = 60, kills: int = 1, rate: float = 60.0, seed: int = 1
) -> Finding:
    """Kill one worker at a time; nobody lends a hand."""
    found, chance = Finding(), random.Random(seed)
    numbers = world.numbers(orders)
    killed = 0

    def disturb(done: threading.Event) -> None:
        nonlocal killed
        while killed < kills and not done.wait(chance.uniform(0.5, 1.5)):
            workers = world.server.workers
            if len(workers) == 2:
                os.kill(chance.choice(workers), signal.SIGKILL)
                killed += 1

    told = _stories(world, numbers, chance)
    heard = meanwhile(lambda: world.posts(told, callers=12, per_second=rate), disturb)
    world.until(lambda: len(world.server.workers) == 2)
    world.drain()
    found.tells(f"{killed} workers killed")
    found.expects("a worker was killed", killed > 0)
    found.expects("each order is acknowledged", acknowledged(heard) == set(numbers))
    world.judge(found, numbers)
    # What the kernel hands to a worker that only begins waits until it has begun.
    world.judge_load(found, heard, slowest=None)
    return found


def under_way(world: World, orders: int = 10) -> Finding:
    """Kill everything while a call is under way of which nobody knows how it ended."""
    found = Finding()
    world.pinterest.mode = "hang"
    heard = world.posts(world.placed(world.numbers(orders)))
    world.until_called()
    world.server.kill()
    world.pinterest.mode = "ok"
    world.server.start()
    world.drain()
    world.judge(found, acknowledged(heard))
    world.judge_load(found, heard)
    return found


def while_claiming(world: World, orders: int = 60, kills: int = 1, rate: float = 60.0) -> Finding:
    """Kill the processes that hold claims, under load: others send what those held, and nobody
    waits for the end of a lease."""
    found = Finding()
    numbers = world.numbers(orders)
    killed = 0

    def disturb(done: threading.Event) -> None:
        nonlocal killed
        for _ in range(kills):
            world.pinterest.mode = "hang"
            # What arrived before counts in the end.
            world.until_called(len(world.pinterest.calls) + 1)
            for pid in _claimants(world):
                os.kill(pid, signal.SIGKILL)
                killed += 1
            world.pinterest.mode = "ok"
            done.wait(0.5)

    load = world.placed(numbers)
    heard = meanwhile(lambda: world.posts(load, callers=12, per_second=rate), disturb)
    begun = time.monotonic()
    world.until(lambda: world.waiting() == 0, within=LEASE_SECONDS / 2)
    found.tells(f"{killed} processes killed, all sent {time.monotonic() - begun:.1f} s later")
    found.expects("a process was killed that held claims", killed > 0)
    world.judge_load(found, heard, slowest=None)
    found.expects("each order is acknowledged", acknowledged(heard) == set(numbers))
    world.judge(found, numbers)
    return found


def _claimants(world: World) -> set[int]:
    """The workers that hold claims now."""
    owners = {row["claim"].rpartition(CLAIM_SEPARATOR)[0] for row in world.rows("outbox")}
    known = {int(owner.split("/")[2]) for owner in owners if owner}
    return known & {*world.server.workers}


def _stories(world: World, numbers: list[int], chance: random.Random) -> list[Webhook]:
    """Two webhooks of each order, a tenth of them twice, neighbours out of order."""
    now = world.clock()
    told = [
        webhook(number, topic, now, updated_at=instant(now + n))
        for number in numbers
        for n, topic in enumerate(chance.sample(TOPICS, 2))
    ]
    told += chance.sample(told, len(told) // 10)
    places = [(n % (2 * len(numbers)) + chance.uniform(0, 10), n) for n in range(len(told))]
    return [told[n] for _, n in sorted(places)]
