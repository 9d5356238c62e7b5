"""The port of the service: who has it, and what becomes of connections as workers come and go."""

import http.client
import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.actors import API_TOKEN, SECRET
from tests.faults.load import Answer, Webhook, waited_in_vain, webhook
from tests.servers import PATIENCE, Server, serving
from webhooks.signature import sign

CALLERS = 8
# A worker of these is replaced several times in a test.
RECYCLING = "--max-requests 40 --max-requests-jitter 10"


def env_of(folder: Path, **more: str) -> dict[str, str]:
    """A service that sends nothing."""
    return {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{folder}/tracking.db",
        "DELIVER": "false",
        **more,
    }


class Crowd:
    """Callers that post new orders, each over a connection of its own, until it is enough. Who was
    told to come again does so, as Shopify does."""

    def __init__(self, port: int) -> None:
        self.came_to: Counter[str] = Counter()
        self.told_to_come_again: list[Answer] = []
        self._port = port
        self._numbers = itertools.count(1)
        self._enough = threading.Event()
        self._pool = ThreadPoolExecutor(CALLERS)
        self._calls = [self._pool.submit(self._call) for _ in range(CALLERS)]

    @property
    def total(self) -> int:
        return sum(self.came_to.values())

    def end(self) -> None:
        """Let each caller finish its call."""
        self._enough.set()
        for call in self._calls:
            call.result()
        self._pool.shutdown()
        assert not self.told_to_come_again or waited_in_vain(self.told_to_come_again)

    def _call(self) -> None:
        while not self._enough.is_set():
            self.came_to[
                self._taken(webhook(next(self._numbers), "orders/create", time.time()))
            ] += 1

    def _taken(self, told: Webhook) -> str:
        """Post it until it is not told to come again; what it came to."""
        while True:
            begun = time.monotonic()
            if (came_to := self._post(told.raw)) != "503":
                return came_to
            answer = Answer(told, 503, begun, time.monotonic() - begun)
            self.told_to_come_again.append(answer)

    def _post(self, raw: bytes) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.connect()
        except OSError:
            time.sleep(0.01)
            return "refused"
        try:
            signed = {"X-Shopify-Hmac-Sha256": sign(raw, SECRET.encode())}
            connection.request("POST", "/webhooks/orders/create", raw, signed)
            return str(connection.getresponse().status)
        except (OSError, http.client.HTTPException):
            return "cut"
        finally:
            connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_that_are_replaced_cut_and_refuse_nobody(folder: Path, workers: str) -> None:
    env = env_of(folder, GUNICORN_CMD_ARGS=RECYCLING, WEB_CONCURRENCY=workers)
    with serving(folder, env) as server:
        crowd = Crowd(server.port)
        server.wait_until(lambda: server.log.count("Autorestarting worker") >= 4)
        crowd.end()

    assert set(crowd.came_to) == {"200"}, crowd.came_to


def test_a_stop_cuts_nobody_who_is_connected(folder: Path) -> None:
    server = Server(folder, env_of(folder))
    try:
        server.start()
        crowd = Crowd(server.port)
        for _ in range(3):
            enough = crowd.came_to["200"] + 60
            server.wait_until(lambda enough=enough: crowd.came_to["200"] >= enough)  # type: ignore[misc]
            assert server.stop() == 0
            server.start()
        crowd.end()
    finally:
        server.end()

    assert set(crowd.came_to) <= {"200", "refused"}, crowd.came_to


def test_who_is_still_to_be_accepted_at_a_stop_is_served(folder: Path) -> None:
    server = Server(folder, env_of(folder, WEB_CONCURRENCY="1"))
    try:
        server.start()
        waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        server._running.terminate()
        for each in waiting:
            each.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        heads = {each.recv(12) for each in waiting}
        assert server.exit_status() == 0
    finally:
        server.end()
        for each in waiting:
            each.close()

    assert heads == {b"HTTP/1.1 200"}


def test_a_second_service_on_the_port_does_not_start_and_names_it(folder: Path) -> None:
    with serving(folder, env_of(folder)) as server:
        second = Server(folder, env_of(folder), port=server.port)
        second.launch()

        assert second.exit_status() == 1
        assert f"Connection in use: ('127.0.0.1', {server.port})" in second.log
        assert f"Listening at: {server.url} " in server.log
        assert server.status("/ready") == 200
