"""The collector behind gunicorn, with two processes."""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.actors import API_TOKEN, COLLECTOR_KEY, SECRET, instant
from tests.pixel_events import call, view
from tests.servers import PATIENCE, Server, serving
from webhooks.collector import MAX_CALL

BROWSER = {"User-Agent": "Mozilla/5.0 (Macintosh)"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service behind gunicorn, with two processes."""
    folder = tmp_path_factory.mktemp("collecting")
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{folder}/tracking.db",
        "COLLECTOR_KEY": COLLECTOR_KEY,
        "COLLECTOR_RATE": "2",
    }
    with serving(folder, env) as running:
        yield running


def in_chunks(server: Server, body: bytes) -> int:
    """Post a body of unknown length; the status of the answer, which may come before its end."""
    head = (
        b"POST /collect HTTP/1.1\r\nHost: x\r\nOrigin: null\r\nUser-Agent: Mozilla/5.0\r\n"
        b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as caller:
        caller.sendall(head)
        for at in range(0, len(body), 8_192):
            chunk = body[at : at + 8_192]
            caller.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        caller.sendall(b"0\r\n\r\n")
        response = http.client.HTTPResponse(caller)
        response.begin()
        response.read()
        response.close()
    return response.status


def live(n: int) -> bytes:
    return json.dumps(call(view(id=f"sh-live-{n:06}", timestamp=instant(time.time())))).encode()


def test_a_call_in_chunks_is_taken_whole_or_refused_and_never_cut(server: Server) -> None:
    whole = live(1)
    full = whole + b" " * (MAX_CALL - len(whole))

    assert in_chunks(server, full) == 202
    assert in_chunks(server, full + b" ") == 413


def test_all_processes_of_a_service_keep_one_limit(server: Server) -> None:
    def tell(n: int) -> int:
        # Over a connection of its own, so that both processes are called.
        return requests.post(
            f"{server.url}/collect", live(n), headers=BROWSER, timeout=PATIENCE
        ).status_code

    begun = time.time()
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(tell, range(600)))

    assert set(answers) == {202, 429}
    assert answers.count(202) <= 2 * (60 + time.time() - begun + 1)


def test_the_pixel_as_it_runs_calls_the_service_it_came_from(server: Server) -> None:
    text = requests.get(f"{server.url}/pixel.js", timeout=PATIENCE).text

    assert re.search(rf'"{re.escape(server.url)}/collect"', text)
