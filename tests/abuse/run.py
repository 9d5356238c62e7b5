"""A real server under abuse: what it answered, what it cost, and whether anybody else noticed."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path

from tests.abuse import strangers
from tests.abuse.bodies import FIRST_BETWEEN, Webhook, good_order, webhooks
from tests.actors import API_TOKEN, SECRET
from tests.servers import PATIENCE, Server
from tests.standins.pinterest import FakePinterest
from webhooks.signature import sign

CALLERS = 4
# What the allocator and caches take up at first is no leak.
WARM_UP = 0.1


@dataclass
class Found:
    """What came of it. `statuses` counts answers, 0 being a line that was cut without one."""

    statuses: Counter[int] = field(default_factory=Counter)
    good: set[int] = field(default_factory=set)
    slowest: float = 0.0
    grown_kb: int = 0
    workers_lost: int = 0

    @property
    def sent(self) -> int:
        return self.statuses.total()

    @property
    def failures(self) -> int:
        """Answers that blame the server."""
        return sum(count for status, count in self.statuses.items() if status >= 500)


def environment(folder: Path, pinterest: FakePinterest, database_url: str = "") -> dict[str, str]:
    """A service with everything open that can be attacked, which delivers every order."""
    return {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "COLLECTOR_KEY": strangers.SITE_KEY,
        "DATABASE_URL": database_url or f"sqlite:///{folder}/tracking.db",
        "PINTEREST_ACCESS_TOKEN": pinterest.token,
        "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
        "PINTEREST_API_BASE": pinterest.url,
        "PINTEREST_SEND": "all",
    }


def signed(server: Server, seed: int, count: int) -> Found:
    """Send signed webhooks, most of them spoiled."""
    return _carried_out(server, webhooks(seed, count), count)


def unsigned(server: Server, seed: int, count: int) -> Found:
    """Send what strangers send, and a good webhook after every tenth of it."""
    return _carried_out(server, _mixed(seed, count), count)


def await_delivery(pinterest: FakePinterest, found: Found) -> int:
    """How many of the good orders never reached Pinterest, or more than once."""
    due = {f"checkout-{number}" for number in found.good}
    pinterest.wait_until(lambda fake: due <= fake.accepted.keys(), timeout=2 * PATIENCE)
    return sum(pinterest.accepted[event_id] != 1 for event_id in due)


def _mixed(seed: int, count: int) -> Iterator[bytes | Webhook]:
    for number, request in enumerate(strangers.requests(seed, count)):
        yield request
        if number % 10 == 9:
            yield good_order(FIRST_BETWEEN + number)


def _send(server: Server, what: bytes | Webhook) -> int:
    """Send one request over a connection of its own; the status of its answer."""
    return _stranger(server, what) if isinstance(what, bytes) else _webhook(server, what)


def _webhook(server: Server, webhook: Webhook) -> int:
    headers = {"X-Shopify-Hmac-Sha256": sign(webhook.body, SECRET.encode())}
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:
        connection.request("POST", f"/webhooks/{webhook.topic}", webhook.body, headers)
        return connection.getresponse().status


def _stranger(server: Server, request: bytes) -> int:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as caller:
        try:
            caller.sendall(request)
            caller.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: caller.recv(65_536), b""))
        except ConnectionError:
            return 0
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def _carried_out(
    server: Server,
    whats: Iterable[bytes | Webhook],
    count: int,
) -> Found:
    found, mutex = Found(), threading.Lock()
    begun = set(server.workers)
    work = iter(whats)

    def one(what: bytes | Webhook) -> None:
        before = time.monotonic()
        status = _send(server, what)
        took = time.monotonic() - before
        with mutex:
            found.statuses[status] += 1
            found.slowest = max(found.slowest, took)
            if isinstance(what, Webhook) and what.good:
                assert status == 200, f"order {what.good}: {status}"
                found.good.add(what.good)

    with ThreadPoolExecutor(CALLERS) as callers:
        first = list(islice(work, int(count * WARM_UP)))
        list(callers.map(one, first))
        before = memory_kb(server)
        for page in iter(lambda: list(islice(work, 500)), []):
            list(callers.map(one, page))
        found.grown_kb = memory_kb(server) - before
    found.workers_lost = len(begun - set(server.workers))
    return found


def memory_kb(server: Server) -> int:
    """What the largest of the serving processes holds in memory."""
    return max(_resident(pid) for pid in server.workers)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
