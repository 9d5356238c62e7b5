"""Webhooks at a steady pace while slow clients keep their connections open."""

import math
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import requests

from tests.abuse.bodies import good_order
from tests.abuse.callers import SLOW, crowd
from tests.servers import Server

CLIENTS = 500
A_SECOND = 20
FIRST = 40_000_000


class Paced(NamedTuple):
    """What came of it; times in seconds."""

    sent: int
    failed: int
    p99: float
    median: float


def paced(server: Server, kind: str, seconds: int, clients: int = CLIENTS) -> Paced:
    """Send good webhooks for so long, while so many clients of a kind are slow."""
    first = FIRST + list(SLOW).index(kind) * 100_000 + clients
    with crowd(server, clients, *SLOW[kind]):
        # What the crowd asked for when it came is answered before the clock runs: it is the
        # waiting that is measured.
        paced_webhooks(server, first, 2)
        return paced_webhooks(server, first + 2 * A_SECOND, seconds)


def paced_webhooks(server: Server, first: int, seconds: int) -> Paced:
    """Send good webhooks for so long, from an id on."""
    begun = time.monotonic()

    def send(number: int) -> float:
        time.sleep(max(0.0, begun + number / A_SECOND - time.monotonic()))
        webhook, before = good_order(first + number), time.monotonic()
        try:
            answer = server.sends(webhook.topic, webhook.body)
        except requests.RequestException:
            return math.inf
        return time.monotonic() - before if answer.status_code == 200 else math.inf

    with ThreadPoolExecutor(A_SECOND) as senders:
        times = sorted(senders.map(send, range(seconds * A_SECOND)))
    failed = times.count(math.inf)
    return Paced(len(times), failed, times[int(len(times) * 0.99)], statistics.median(times))
