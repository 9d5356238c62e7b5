"""The service as it runs: gunicorn here, Pinterest over HTTP there, and kill -9 in between."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from config import Settings
from tests.actors import API_TOKEN, SECRET, Clock, instant, order, pinned
from tests.orders import EPIK, paid
from tests.servers import PATIENCE, ROOT, Server, serving
from tests.standins.pinterest import FakePinterest, Mode
from tests.store_contents import rows
from tracking.deliver.deliverer import LEASE_SECONDS, Deliverer
from tracking.destinations import connect_all
from tracking.store import open_store
from webhooks.shopify import MAX_BODY
from webhooks.signature import sign


def env_of(folder: Path, pinterest: FakePinterest, **more: str) -> dict[str, str]:
    return {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{folder}/tracking.db",
        "PINTEREST_ACCESS_TOKEN": pinterest.token,
        "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
        "PINTEREST_API_BASE": pinterest.url,
        **more,
    }


@pytest.fixture
def pinterest() -> Iterator[FakePinterest]:
    """A Pinterest of the test's own. Its clock is the real one, as that of the processes is."""
    with FakePinterest() as server:
        yield server


@pytest.fixture(scope="module")
def stand_in() -> Iterator[FakePinterest]:
    """The Pinterest that the running service talks to."""
    with FakePinterest() as server:
        yield server


@pytest.fixture(scope="module")
def server(stand_in: FakePinterest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that receives and delivers; on its first start it makes its own database."""
    folder = tmp_path_factory.mktemp("running")
    with serving(folder, env_of(folder, stand_in)) as running:
        yield running


def digest(clean: str) -> list[str]:
    return [sha256(clean.encode()).hexdigest()]


def acknowledged(server: Server, numbers: Callable[[], int], enough: threading.Event) -> list[int]:
    """Post orders until it is enough; those that were answered with 200."""
    found = []
    while not enough.is_set():
        number = numbers()
        # A server that dies answers nobody, and Shopify would come again.
        with contextlib.suppress(requests.ConnectionError):
            server.takes("orders/create", paid(number))
            found.append(number)
    return found


class Load:
    """Callers that post orders all the time, whatever becomes of the server."""

    def __init__(self, server: Server, callers: int = 4) -> None:
        self.posted = 0
        self._enough = threading.Event()
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(callers)
        self._found = [
            self._pool.submit(acknowledged, server, self._next, self._enough)
            for _ in range(callers)
        ]

    def end(self) -> set[int]:
        """The numbers of all orders that were acknowledged."""
        self._enough.set()
        found = {number for part in self._found for number in part.result(30)}
        self._pool.shutdown()
        return found

    def _next(self) -> int:
        with self._turn:
            self.posted += 1
            return 10_000 + self.posted


def test_a_signed_order_reaches_pinterest_in_its_published_form(
    server: Server, stand_in: FakePinterest
) -> None:
    placed = int(time.time()) - 60
    moments = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(placed))
    raw = json.dumps(order(id=4242, landing_site=pinned(epik=EPIK), **moments)).encode()

    answer = server.sends("orders/create", raw)
    stand_in.wait_until(lambda fake: "checkout-4242" in fake.accepted, timeout=PATIENCE)

    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "accepted", "order_id": "4242"},
    )
    assert stand_in.events["checkout-4242"] == {
        "event_name": "checkout",
        "action_source": "web",
        "event_time": placed,
        "event_id": "checkout-4242",
        "event_source_url": f"https://shop.example{pinned(epik=EPIK)}",
        "language": "en",
        "user_data": {
            "em": digest("ada@example.com"),
            "ph": digest("12125550142"),
            "fn": digest("ada"),
            "ln": digest("love"),
            "ct": digest("newyork"),
            "st": digest("ny"),
            "zp": digest("10001"),
            "country": digest("us"),
            "external_id": digest("9001"),
            "click_id": EPIK,
            "client_ip_address": "203.0.113.7",
            "client_user_agent": "Mozilla/5.0 (Macintosh)",
        },
        "custom_data": {
            "currency": "USD",
            "value": "40.00",
            "order_id": "4242",
            "content_ids": ["111"],
            "contents": [
                {
                    "id": "111",
                    "item_name": "Mug",
                    "item_brand": "Kiln",
                    "item_price": "20.00",
                    "quantity": 2,
                }
            ],
            "num_items": 2,
        },
    }
    server.wait_until(lambda: "; sent: Pinterest accepted" in journey(server, 4242)["why"])
    assert journey(server, 4242)["why"].startswith("Credited to Pinterest: a click of campaign")


def journey(server: Server, number: int) -> Any:
    return server.reads(f"/orders/{number}/journey")


def test_an_order_that_comes_many_times_is_delivered_once(
    server: Server, stand_in: FakePinterest
) -> None:
    raw = paid(4300)
    with ThreadPoolExecutor(10) as callers:
        answers = list(callers.map(lambda _: server.sends("orders/paid", raw).json(), range(20)))
    stand_in.wait_until(lambda fake: "checkout-4300" in fake.accepted, timeout=PATIENCE)
    server.sends("orders/updated", paid(4300, updated_at=instant(time.time() + 5)))
    server.sends("orders/create", paid(4301))
    stand_in.wait_until(lambda fake: "checkout-4301" in fake.accepted, timeout=PATIENCE)

    assert sorted(answer["status"] for answer in answers) == ["accepted", *["duplicate"] * 19]
    assert stand_in.accepted["checkout-4300"] == 1


def test_a_body_in_chunks_is_taken_whole_or_refused_and_never_cut(server: Server) -> None:
    whole = paid(4400)
    signature = sign(whole, SECRET.encode())
    # A body that would be genuine if it were cut at the limit.
    cut = whole + b" " * (MAX_BODY - len(whole))

    assert in_chunks(server, [whole[:100], whole[100:]], signature) == 200
    assert in_chunks(server, [cut, b" "], sign(cut, SECRET.encode())) == 413
    assert in_chunks(server, [b" " * 65_536] * (MAX_BODY // 65_536 + 40), "") == 413
    assert server.sends("orders/create", whole).json()["status"] == "duplicate"


def in_chunks(server: Server, chunks: list[bytes], signature: str) -> int:
    """Post a body of unknown length; the status of the answer, which may come before its end."""
    head = (
        b"POST /webhooks/orders/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"X-Shopify-Hmac-Sha256: %s\r\n\r\n" % signature.encode()
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as caller:
        with contextlib.suppress(ConnectionError):
            caller.sendall(head)
            for chunk in chunks:
                caller.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            caller.sendall(b"0\r\n\r\n")
        response = http.client.HTTPResponse(caller)
        response.begin()
        response.read()
        response.close()
    return response.status


def test_a_body_that_breaks_off_is_refused(server: Server) -> None:
    head = b"POST /webhooks/orders/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as caller:
        caller.sendall(head + paid(4500)[:100])
        caller.shutdown(socket.SHUT_WR)
        answer = caller.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_while_pinterest_is_down_webhooks_are_answered_and_afterwards_delivered(
    server: Server, stand_in: FakePinterest
) -> None:
    stand_in.mode = "refused"
    begun = len(server.log)
    answers = [server.sends("orders/create", paid(number)) for number in range(4600, 4610)]
    assert {answer.status_code for answer in answers} == {200}
    server.wait_until(lambda: "pinterest failed" in server.log[begun:])

    stand_in.mode = "ok"
    # What comes next shows that Pinterest answers again, and hastens what had failed.
    server.sends("orders/create", paid(4610))
    due = {f"checkout-{number}" for number in range(4600, 4611)}
    stand_in.wait_until(lambda fake: due <= fake.accepted.keys(), timeout=PATIENCE)
    assert {stand_in.accepted[event_id] for event_id in due} == {1}


def test_the_health_is_open_and_the_reports_are_not(server: Server) -> None:
    assert requests.get(f"{server.url}/health", timeout=PATIENCE).json() == {"status": "ok"}
    for path in ("/roi-analysis", "/conversion-funnel", "/events", "/orders/1/journey"):
        assert requests.get(f"{server.url}{path}", timeout=PATIENCE).status_code == 401


def test_the_log_of_the_processes_names_nobody(server: Server, stand_in: FakePinterest) -> None:
    server.sends("orders/create", paid(4700))
    server.sends("orders/create", b'{"email": "4701@example.com"')
    stand_in.wait_until(lambda fake: "checkout-4700" in fake.accepted, timeout=PATIENCE)

    assert "Booting worker" in server.log
    for canary in ("@example.com", "203.0.113.7", "Macintosh", SECRET, API_TOKEN, stand_in.token):
        assert canary not in server.log


def test_what_was_acknowledged_survives_the_kill_of_every_process(
    tmp_path: Path, pinterest: FakePinterest
) -> None:
    with serving(tmp_path, env_of(tmp_path, pinterest, DELIVER="false")) as first:
        load = Load(first)
        first.wait_until(lambda: load.posted > 30)
        first.kill_one_worker()
        seen = load.posted
        first.wait_until(lambda: load.posted > seen + 30)
        first.kill()
        kept = load.end()
    assert len(kept) > 50
    assert pinterest.calls == []

    due = {f"checkout-{number}" for number in kept}
    with serving(tmp_path, env_of(tmp_path, pinterest)):
        pinterest.wait_until(lambda fake: due <= fake.accepted.keys(), timeout=PATIENCE)
    assert set(pinterest.accepted.values()) == {1}


def test_an_event_under_way_at_a_kill_is_sent_again_under_its_own_id(
    tmp_path: Path, pinterest: FakePinterest
) -> None:
    env = env_of(tmp_path, pinterest)
    # Pinterest takes the event, and the answer comes too late for anybody to hear it.
    pinterest.mode = Mode("slow", seconds=60)
    with serving(tmp_path, env) as first:
        first.sends("orders/create", paid(5001))
        pinterest.wait_until(lambda fake: bool(fake.calls), timeout=PATIENCE)
        first.kill()
    pinterest.mode = "ok"

    store = open_store(env["DATABASE_URL"])
    (destination,) = connect_all(Settings.from_env(env)).values()
    clock = Clock(time.time())
    deliverer = Deliverer(store, destination, clock)
    assert deliverer.deliver() == 0
    clock.tick(seconds=LEASE_SECONDS + 1)
    assert deliverer.deliver() == 1

    assert pinterest.accepted == {"checkout-5001": 2}
    assert [row["state"] for row in rows(store, "outbox")] == ["sent"]
    destination.close()
    store.close()


def test_a_stop_under_load_finishes_what_it_began(tmp_path: Path, pinterest: FakePinterest) -> None:
    env = env_of(tmp_path, pinterest)
    # At nearly any moment a call is out.
    pinterest.mode = Mode("slow", seconds=0.5)
    with serving(tmp_path, env) as running:
        load = Load(running)
        running.wait_until(lambda: load.posted > 30 and bool(pinterest.accepted))
        status = running.stop()
        kept = load.end()

    store = open_store(env["DATABASE_URL"])
    stored = {int(row["id"]) for row in rows(store, "orders")}
    events = {row["event_id"]: (row["state"], row["claim"]) for row in rows(store, "outbox")}
    store.close()
    assert kept <= stored
    assert status == 0
    # Whoever delivers next sends nothing that Pinterest has, and need not wait for a lease.
    assert {event_id for event_id, row in events.items() if row == ("sent", "")} == set(
        pinterest.accepted
    )
    assert set(events.values()) <= {("sent", ""), ("waiting", "")}


@pytest.mark.parametrize("secret", [None, "", " ", ",", "changeme"])
def test_without_a_secret_it_does_not_start_and_says_why(
    tmp_path: Path, pinterest: FakePinterest, secret: str | None
) -> None:
    env = env_of(tmp_path, pinterest)
    del env["SHOPIFY_WEBHOOK_SECRET"]
    server = Server(tmp_path, env if secret is None else {**env, "SHOPIFY_WEBHOOK_SECRET": secret})

    try:
        server.launch()
        status = server.exit_status()
    finally:
        server.end()

    assert status != 0
    assert "SHOPIFY_WEBHOOK_SECRET" in server.log
    assert "Traceback" not in server.log


def test_the_first_start_logs_the_schemas_and_no_plugins(server: Server) -> None:
    assert "Running upgrade  -> 0001" in server.log
    assert "alembic.runtime.plugins" not in server.log


def test_importing_the_service_starts_nothing() -> None:
    code = "import app, sys; sys.exit(bool({'gunicorn', 'alembic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True)

    assert (done.returncode, done.stdout) == (0, b"")
