"""Benchmark: the deliverer compared with one that sends an event a call, and with what its calls'
time allows, as two ratios.

    python -m bench.drain [--events 20000] [--rounds 3] [--threads 1] [--database-url URL]

A process of its own stands in for Pinterest: it reads each call over HTTP, waits, and accepts every
event. In each round the deliverer drains the events at 0 ms a call, some of them in calls of one
event, and then at 100 ms a call with as many threads as are asked for: of these calls alone a
thread could make ten a second, of a thousand events each.
"""

import argparse
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection as Pipe
from typing import Any

from bench.orders import signed_orders
from bench.webhooks import SECRET, spread
from commands.demo.http_server import PromptServer
from config import Settings
from tracking.deliver.deliverer import Deliverer
from tracking.destinations.base import PINTEREST
from tracking.destinations.pinterest import Pinterest
from tracking.domain.shopify_order import order_of
from tracking.service import Service, open_service
from tracking.store import Store, event_batches, outbox
from tracking.store.engine.statement import Connection
from tracking.store.event_batches import QueuedEvent

A_CALL = 1000
SLOW_CALL_SECONDS = 0.1
# Calls of one event each: enough to tell their rate.
SINGLE_CALLS = 200
_FILLED_AT_ONCE = 5000


class _Handler(BaseHTTPRequestHandler):
    """Accepts every event of a call after `seconds`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    seconds = 0.0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        count = body.count(b'"event_name":')
        time.sleep(self.seconds)
        statuses = b",".join([b'{"status":"processed","error_message":""}'] * count)
        answer = b'{"num_events_received":%d,"num_events_processed":%d,"events":[%b]}' % (
            *(count, count),
            statuses,
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


def _serve(seconds: float, ports: Pipe) -> None:
    _Handler.seconds = seconds
    server = PromptServer(0, _Handler)
    ports.send(server.server_port)
    server.serve_forever()


@contextmanager
def stand_in(seconds: float) -> Iterator[str]:
    """Serves as Pinterest from another process; every call takes so many seconds."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_serve, args=(seconds, sender), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}/v5"
    finally:
        process.terminate()
        process.join()


def connected(base: str) -> Pinterest:
    """Returns the destination at a base, without the account's limit of calls."""
    destination = Pinterest("bench", "1", base)
    destination.calls_per_minute = 10**9
    return destination


def payload_of_an_order(service: Service) -> bytes:
    """Returns the finished event of an order of a usual size."""
    ((_, body),) = signed_orders(SECRET.encode(), 1, 1)
    planner = service.tracker.planner
    facts = planner.facts_of(order_of(body))
    return planner.rows_of(facts, int(service.clock())).payloads[PINTEREST]


def fill(store: Store, payload: bytes, first: int, count: int) -> None:
    """Queues events that are due."""
    now = int(time.time())
    for start in range(first, first + count, _FILLED_AT_ONCE):
        end = min(start + _FILLED_AT_ONCE, first + count)
        events = [QueuedEvent(f"e{n}", PINTEREST, payload, now, "") for n in range(start, end)]
        store.commit(partial(_put, events, now))


def _put(events: Sequence[QueuedEvent], now: int, conn: Connection) -> None:
    event_batches.put(conn, [], events, [], now)


def drained(store: Store, destination: Pinterest, threads: int, count: int) -> float:
    """Delivers so many waiting events as the service does; returns events a second."""
    stop = threading.Event()
    began = time.perf_counter()
    with closing(destination), ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(Deliverer(store, destination, time.time).run, stop)
        while _waiting(store):
            time.sleep(0.05)
        took = time.perf_counter() - began
        stop.set()
    return count / took


def drained_singly(store: Store, destination: Pinterest, count: int) -> float:
    """Delivers so many waiting events one by one; returns events a second."""
    destination.max_batch = 1
    deliverer = Deliverer(store, destination, time.time)
    began = time.perf_counter()
    with closing(destination):
        while deliverer.deliver():
            pass
    return count / (time.perf_counter() - began)


def _waiting(store: Store) -> bool:
    with store.read() as conn:
        return bool(outbox.waiting_for(conn, PINTEREST).events)


def run(service: Service, args: argparse.Namespace) -> None:
    """Runs the rounds and prints their ratios."""
    store, payload = service.store, payload_of_an_order(service)
    ideal = args.threads * A_CALL / SLOW_CALL_SECONDS
    first = time.time_ns() // 1000
    to_single: list[float] = []
    of_ideal: list[float] = []
    print(f"{'round':>5} {'0 ms/s':>8} {'single/s':>8} {'ratio':>6} {'100 ms/s':>9} {'share':>6}")
    with stand_in(0) as fast, stand_in(SLOW_CALL_SECONDS) as slow:
        for number in range(args.rounds):
            drains: dict[str, tuple[int, Callable[[int], float]]] = {
                "fast": (args.events, lambda n: drained(store, connected(fast), args.threads, n)),
                "single": (SINGLE_CALLS, lambda n: drained_singly(store, connected(fast), n)),
                "slow": (args.events, lambda n: drained(store, connected(slow), args.threads, n)),
            }
            rates: dict[str, float] = {}
            for name in list(drains) if number % 2 == 0 else list(drains)[::-1]:
                count, drain = drains[name]
                fill(store, payload, first, count)
                first += count
                rates[name] = drain(count)
            to_single.append(rates["fast"] / rates["single"])
            of_ideal.append(rates["slow"] / ideal)
            print(
                f"{number + 1:>5} {rates['fast']:>8.0f} {rates['single']:>8.0f}"
                f" {to_single[-1]:>6.1f} {rates['slow']:>9.0f} {of_ideal[-1]:>6.2f}"
            )
    print(f"0 ms: {spread(to_single)} times one event a call")
    print(f"100 ms: {spread(of_ideal)} of what {args.threads} thread(s) could send")


def main() -> None:
    """Opens a store and runs the benchmark on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--database-url", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": args.database_url or f"sqlite:///{folder}/bench.db",
            "PINTEREST_ACCESS_TOKEN": "bench",
            "PINTEREST_AD_ACCOUNT_ID": "1",
        }
        service = open_service(Settings.from_env(env), time.time)
        with closing(service.store):
            run(service, args)


if __name__ == "__main__":
    main()
