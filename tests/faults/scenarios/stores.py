"""A database that is held by somebody else, is stopped, or is killed."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import psycopg

from tests.faults.finding import Finding
from tests.faults.load import Answer, acknowledged, meanwhile, post
from tests.faults.world import SHOPIFY_WAITS, World

# How long a webhook may wait before it is told to come again.
REFUSED_WITHIN = 4.0
REFUSED_WITHIN_WHEN_GONE = 1.0


def locked(world: World, seconds: float = 4.0, rate: float = 10.0) -> Finding:
    """Another program holds the write lock under load."""
    found = Finding()
    numbers = world.numbers(int(seconds * rate))

    def disturb(done: threading.Event) -> None:
        with _held(world):
            done.wait(seconds)

    told = world.placed(numbers)
    heard = meanwhile(lambda: world.posts(told, callers=len(told), per_second=rate), disturb)
    world.drain()
    refused = [answer for answer in heard if answer.status == 503]
    _judge_refusals(world, found, heard, REFUSED_WITHIN)
    found.tells(f"{len(refused)} refused, the slowest after {_slowest(refused):.1f} s")
    if world.is_timed:
        found.expects("somebody was refused", bool(refused))
    world.judge(found, numbers)
    return found


def gone(world: World, how: str = "stop", seconds: float = 1.0, orders: int = 10) -> Finding:
    """PostgreSQL is stopped or killed under load, and comes back."""
    assert world.cluster is not None
    found = Finding()
    numbers = world.numbers(orders)
    server = world.server
    refused: list[Answer] = []

    cluster = world.cluster

    def disturb(done: threading.Event) -> None:
        cluster.stop() if how == "stop" else cluster.kill()
        lost = world.placed(world.numbers(3))
        until = time.monotonic() + seconds
        while not refused or time.monotonic() < until:
            refused.extend(post(server.port, one) for one in lost)
        cluster.start()

    told = world.placed(numbers)
    heard = meanwhile(lambda: world.posts(told, per_second=20.0), disturb)
    world.store.close()
    world.until(lambda: post(server.port, told[0]).is_good)
    world.drain()
    found.tells(f"{len(refused)} refused, the slowest after {_slowest(refused):.2f} s")
    _judge_refusals(world, found, refused, REFUSED_WITHIN_WHEN_GONE)
    found.expects("none acknowledged while it was away", not acknowledged(refused))
    world.judge(found, numbers)
    world.judge_canaries(found)
    found.heard(answer.seconds for answer in heard if answer.is_good)
    return found


def started_without(world: World, orders: int = 5) -> Finding:
    """A worker has to be replaced while PostgreSQL is away: it waits, and so does the service."""
    assert world.cluster is not None
    found = Finding()
    begun = len(world.server.log)
    world.cluster.stop()
    os.kill(world.server.workers[0], signal.SIGKILL)
    world.until(lambda: "the start waits for the database" in world.server.log[begun:])
    world.cluster.start()
    world.store.close()
    numbers = world.numbers(orders)
    world.posts(world.placed(numbers))
    world.drain()
    found.expects("the arbiter goes on", len(world.server.workers) == 2)
    world.judge(found, numbers)
    return found


@contextmanager
def _held(world: World) -> Iterator[None]:
    """The store as somebody else's transaction keeps it from being written."""
    if world.kind == "sqlite":
        path = world.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with psycopg.connect(world.url.replace("+psycopg", "", 1)) as other_one:
        other_one.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        yield
        other_one.rollback()


def _judge_refusals(world: World, found: Finding, heard: Sequence[Answer], within: float) -> None:
    odd = {answer.status for answer in heard} - {200, 503}
    found.expects(f"nothing but 200 and 503: {odd}", not odd)
    refused = [answer for answer in heard if answer.status == 503]
    if world.is_timed:
        slowest = _slowest(refused)
        found.expects(f"refused within {within} s: {slowest:.2f}", slowest < within)
        worst = _slowest(heard)
        found.expects(f"none waits for 5 s: {worst:.2f}", worst < SHOPIFY_WAITS)
    found.heard(answer.seconds for answer in heard)


def _slowest(heard: Sequence[Answer]) -> float:
    return max((answer.seconds for answer in heard), default=0.0)
