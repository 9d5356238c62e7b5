"""Pixel calls in a flood, from sixty connections and ever new addresses, while webhooks arrive.

    python -m tests.abuse.flood [--seconds 10] [--connections 60] [--database-url URL] [--unlimited]

Each call tells of twenty checkouts, with the same forty e-mails and phones, of browsers that all
have one client id. Prints a line, and ends with 1 if a webhook failed or the slowest hundredth of
them took a second or longer. `--unlimited` raises COLLECTOR_TOTAL_RATE, so that every call counts.
"""

import argparse
import http.client
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

from tests.abuse.run import environment
from tests.abuse.slow import Paced, paced_webhooks
from tests.abuse.strangers import SITE_KEY
from tests.actors import instant
from tests.pixel_events import HOME, event
from tests.servers import PATIENCE, Server, serving
from tests.standins.pinterest import FakePinterest

CONNECTIONS = 60
SLOWEST_P99 = 1.0
FIRST = 50_000_000
EVENTS = 20
_SHARED_CLIENT = "1fd529f6-8f05-4118-ba6b-a4e20691aa0c"


class Flood(NamedTuple):
    """The answers to the calls of a flood: how many of each status, and the times in seconds."""

    statuses: Counter[int]
    median: float
    slowest: float


class Flooded(NamedTuple):
    """What became of the webhooks, and of the flood beside them."""

    webhooks: Paced
    flood: Flood


def flooded(server: Server, seconds: int, connections: int = CONNECTIONS) -> Flooded:
    """Sends good webhooks for so long while so many connections flood the collector."""
    with _flood(server.port, connections) as answers:
        # The flood fills the tables and the queues before the clock runs.
        paced_webhooks(server, FIRST, 2)
        webhooks = paced_webhooks(server, FIRST + 1_000, seconds)
    return Flooded(webhooks, answers[0])


def body(rng: random.Random) -> bytes:
    """A call of twenty checkouts in as many browsers, whose people are always the same."""
    return json.dumps(
        {"key": SITE_KEY, "events": [_checkout(rng, n) for n in range(EVENTS)]}
    ).encode()


def _checkout(rng: random.Random, n: int) -> dict[str, Any]:
    checkout = {
        "token": f"{rng.getrandbits(128):032x}",
        "email": f"buyer{n}@example.com",
        "phone": f"+1 212 555 01{n:02}",
        "billingAddress": HOME | {"phone": f"+1 212 555 02{n:02}"},
    }
    return event(
        "checkout_started",
        id=f"flood-{rng.getrandbits(64):016x}",
        visitor=f"flooding-{rng.randrange(2_000):06}",
        clientId=_SHARED_CLIENT,
        timestamp=instant(time.time()),
        checkout=checkout,
        href=f"https://mugs.example/?utm_source=pinterest&utm_campaign=c{rng.randrange(50)}",
    )


@contextmanager
def _flood(port: int, connections: int) -> Iterator[list[Flood]]:
    """Floods from a process of its own, so that the callers of webhooks are not slowed down."""
    context = multiprocessing.get_context("spawn")
    begun, stop, results = context.Event(), context.Event(), context.SimpleQueue()
    process = context.Process(target=_run, args=(port, connections, begun, stop, results))
    process.start()
    answers: list[Flood] = []
    try:
        assert begun.wait(PATIENCE), "the flood does not begin"
        yield answers
    finally:
        stop.set()
        answers.append(results.get())
        process.join()


def _run(port: int, connections: int, begun: Event, stop: Event, results: Any) -> None:
    found: list[tuple[int, float]] = []
    bodies = [body(random.Random(n)) for n in range(200)]
    threads = [
        threading.Thread(target=_call, args=(port, n, bodies, stop, found))
        for n in range(connections)
    ]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join()
    times = sorted(took for _, took in found) or [0.0]
    statuses = Counter(status for status, _ in found)
    results.put(Flood(statuses, times[len(times) // 2], times[-1]))


def _call(
    port: int, n: int, bodies: list[bytes], stop: Event, found: list[tuple[int, float]]
) -> None:
    rng = random.Random(n)
    line: http.client.HTTPConnection | None = None
    while not stop.is_set():
        line = line or http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        address = ".".join(str(rng.randrange(1, 250)) for _ in range(4))
        # Every call is another one: the same events again would change nothing.
        told = rng.choice(bodies).replace(b"flood-", b"flood-%08x" % rng.getrandbits(32))
        headers = {"X-Forwarded-For": address, "User-Agent": "Mozilla/5.0", "Origin": "null"}
        before = time.monotonic()
        try:
            line.request("POST", "/collect", told, headers)
            answer = line.getresponse()
            answer.read()
            status = answer.status
        except OSError:
            status, line = 0, None
        found.append((status, time.monotonic() - before))


def main() -> int:
    """Runs the flood; returns 0 if the webhooks did not suffer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--database-url", default="")
    parser.add_argument("--unlimited", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, FakePinterest() as pinterest:
        env = environment(Path(name), pinterest, args.database_url) | {"TRUSTED_PROXIES": "1"}
        if args.unlimited:
            env["COLLECTOR_TOTAL_RATE"] = "100000"
        with serving(Path(name), env) as server:
            found = flooded(server, args.seconds, args.connections)
    sys.stdout.write(f"{line_of(found)}\n")
    return int(not is_kept(found))


def is_kept(found: Flooded) -> bool:
    """Returns True if every webhook was answered 200, and 99 of 100 within a second."""
    return not found.webhooks.failed and found.webhooks.p99 < SLOWEST_P99


def line_of(found: Flooded) -> str:
    """Returns what was found as a line of text."""
    webhooks, flood = found
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(flood.statuses.items()))
    return (
        f"{webhooks.sent} webhooks, {webhooks.failed} failed, median {webhooks.median * 1000:.0f}"
        f" ms, p99 {webhooks.p99 * 1000:.0f} ms; calls: {statuses}, median"
        f" {flood.median * 1000:.0f} ms, slowest {flood.slowest * 1000:.0f} ms"
    )


if __name__ == "__main__":
    raise SystemExit(main())
