"""Slow and odd clients cost nobody else anything: raw sockets against the server that ships."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from server.request_buffer import MAX_BODY
from tests.abuse.callers import GET, POST, SLOW, Caller, crowd
from tests.actors import API_TOKEN, SECRET, order
from tests.servers import PATIENCE, Server, serving
from webhooks.signature import sign

# More than there are threads: two workers with sixteen each.
MANY = 80
NUMBERS = itertools.count(10**6)


def env_of(folder: Path, **more: str) -> dict[str, str]:
    """A service that sends nothing."""
    return {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{folder}/tracking.db",
        "DELIVER": "false",
        **more,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as it ships."""
    folder = tmp_path_factory.mktemp("patient")
    with serving(folder, env_of(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server with narrow limits, and one process, so that they are those of everybody."""
    folder = tmp_path_factory.mktemp("impatient")
    options = (
        "--worker-class tests.impatient_worker.ImpatientWorker --worker-connections 30 --threads 4"
    )
    env = env_of(folder, GUNICORN_CMD_ARGS=options, WEB_CONCURRENCY="1")
    with serving(folder, env) as running:
        yield running


def signed(number: int, **more: Any) -> tuple[bytes, bytes]:
    """The head of a webhook of an order of this number, but for its length, and the body."""
    body = json.dumps(order(id=number, **more)).encode()
    return POST + b"X-Shopify-Hmac-Sha256: %s\r\n" % sign(body, SECRET.encode()).encode(), body


def assert_serves(server: Server) -> None:
    """That a webhook of an order nobody sent before is taken."""
    number = next(NUMBERS)
    body = json.dumps(order(id=number)).encode()
    answer = server.sends("orders/create", body)
    assert answer.json() == {"status": "accepted", "order_id": str(number)}


# --- Slow clients


@pytest.mark.parametrize("kind", SLOW)
def test_slow_clients_keep_no_webhook_waiting(server: Server, kind: str) -> None:
    with crowd(server, MANY, *SLOW[kind]):
        for _ in range(10):
            assert_serves(server)


def test_a_slow_client_is_served_in_the_end(server: Server) -> None:
    head, body = signed(101)
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with Caller(server) as caller:
        caller.sends(*(request[n : n + 7] for n in range(0, len(request), 7)))
        answer = caller.answer()

    assert answer.status == 200
    assert json.loads(answer.body)["order_id"] == "101"


def test_a_slow_reader_gets_all_of_its_answer(server: Server) -> None:
    whole = requests.get(f"{server.url}/openapi.json", timeout=PATIENCE).content
    with Caller(server, window=2048) as caller:
        caller.sends(GET.replace(b"health", b"openapi.json") * 20)
        for _ in range(20):
            assert caller.answer().body == whole


# --- What HTTP/1.1 lets clients do


def test_a_connection_serves_one_request_after_another(server: Server) -> None:
    with Caller(server) as caller:
        for number in range(200, 205):
            head, body = signed(number)
            caller.sends(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert json.loads(caller.answer().body)["order_id"] == str(number)


def test_requests_sent_at_once_are_answered_in_their_order(server: Server) -> None:
    requests_ = []
    for number in range(300, 310):
        head, body = signed(number)
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        requests_.append(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    with Caller(server) as caller:
        caller.sends(b"".join(requests_))
        for number in range(300, 310):
            assert json.loads(caller.answer().body)["order_id"] == str(number)


def test_a_thousand_requests_in_one_piece_are_answered_one_after_the_other(server: Server) -> None:
    refused = POST + b"Content-Length: 0\r\n\r\n"
    with Caller(server) as caller:
        caller.sends(refused * 1_000)
        assert [caller.answer().status for _ in range(1_000)] == [401] * 1_000


def test_whoever_waits_to_be_told_to_go_on_is_told_once(server: Server) -> None:
    head, body = signed(401)
    with Caller(server) as caller:
        caller.sends(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert caller.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sends(body)
        assert caller.answer().status == 200


def test_a_body_nobody_asked_for_does_not_become_the_next_request(server: Server) -> None:
    with Caller(server) as caller:
        caller.sends(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(GET)) + GET)
        assert caller.answer().status == 200
        caller.sends(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"openapi" in caller.answer().body


def test_a_client_that_goes_away_costs_nothing(server: Server) -> None:
    for sends in (GET, POST, POST + b"Content-Length: 9\r\n\r\nx", b""):
        with Caller(server) as caller:
            caller.sends(sends)
    assert_serves(server)


# --- What is refused


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"
NO_REQUESTS = {
    "length and chunks": CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "one length twice": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "a list of lengths": POST + b"Content-Length: 1, 1\r\n\r\nx",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a signed length": POST + b"Content-Length: +1\r\n\r\nx",
    "a space before the colon": POST + b"Content-Length : 1\r\n\r\nx",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked and more": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a folded header": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "line feeds alone": POST.replace(b"\r\n", b"\n") + b"\n",
    "a lone line feed": POST + b"X: y\nContent-Length: 5\r\n\r\nhello",
    "a NUL": POST + b"X: a\0b\r\n\r\n",
    "a size that is none": CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"\r\n3\r\nhello\r\n0\r\n\r\n",
    "a trailer that is none": CHUNKED + b"\r\n0\r\nno trailer\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "another version": b"GET /health HTTP/2.0\r\n\r\n",
    "no request line": b"\r\n\r\n",
    "letters beyond ASCII": b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", NO_REQUESTS)
def test_what_is_no_request_is_refused_and_the_line_is_cut(server: Server, what: str) -> None:
    with Caller(server) as caller:
        # Whoever smuggles hopes that this is taken for another request.
        caller.sends(NO_REQUESTS[what] + GET)
        found = caller.rest()

    assert found.startswith(b"HTTP/1.1 400 ")
    assert found.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in found
    assert b"Content-Security-Policy" in found


@pytest.mark.parametrize(
    ("sends", "status"),
    [
        pytest.param(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 5000), 414, id="address"),
        pytest.param(b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"x" * 9000), 431, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\n%s\r\n" % (b"X: y\r\n" * 200), 431, id="headers"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, 431, id="endless head"),
        pytest.param(POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413, id="body"),
    ],
)
def test_what_is_too_large_is_refused_before_all_of_it_has_come(
    server: Server, sends: bytes, status: int
) -> None:
    with Caller(server) as caller:
        caller.sends(sends)
        answer = caller.answer()

    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == status


def test_who_is_refused_while_sending_sees_why(server: Server) -> None:
    with Caller(server) as caller:
        caller.sends(POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
        caller.sends(*[b"x" * 65_536] * 30)
        assert caller.answer().status == 413


def test_neither_answer_nor_log_repeats_what_is_no_request(server: Server) -> None:
    canary = b"canary-5309"
    with Caller(server) as caller:
        caller.sends(b"%s / HTTP/9.9 %s\r\nX-%s\xff: y\r\n\r\n" % ((canary,) * 3))
        found = caller.rest()

    assert found.startswith(b"HTTP/1.1 400 ")
    assert canary not in found
    assert canary.decode() not in server.log


# --- When there are too many


def test_a_client_that_does_not_come_to_its_end_is_told_so(impatient: Server) -> None:
    with Caller(impatient) as caller:
        caller.sends(POST)
        assert caller.answer().status == 408


def test_a_silent_client_is_let_go_without_a_word(impatient: Server) -> None:
    with Caller(impatient) as caller:
        assert caller.rest() == b""


def test_whoever_does_not_read_its_answer_is_let_go(impatient: Server) -> None:
    with Caller(impatient, window=2048) as caller:
        caller.sends(GET.replace(b"health", b"openapi.json") * 200)
        whole = len(requests.get(f"{impatient.url}/openapi.json", timeout=PATIENCE).content)
        impatient.wait_until(lambda: is_reset(caller))
        assert len(caller.rest()) < 200 * whole


def is_reset(caller: Caller) -> bool:
    """Whether the server has hung up on what is still unread."""
    states = Path("/proc/net/tcp").read_text().splitlines()
    own = f"0100007F:{caller.socket.getsockname()[1]:04X}"
    established, remote = "01", 2
    seen = [line.split() for line in states]
    return not any(row[remote] == own and row[remote + 1] == established for row in seen[1:])


@pytest.mark.parametrize(
    "sends",
    [
        pytest.param(b"", id="silent"),
        pytest.param(POST, id="half a head"),
        pytest.param(GET, id="idle"),
        pytest.param(POST + b"Content-Length: 900000\r\n\r\n" + b"x" * 200_000, id="full"),
    ],
)
def test_where_there_is_no_room_who_came_first_goes_first(impatient: Server, sends: bytes) -> None:
    with crowd(impatient, MANY, sends):
        for _ in range(5):
            assert_serves(impatient)


def test_the_memory_for_requests_on_their_way_is_bounded(impatient: Server) -> None:
    before = resident(impatient)
    with crowd(impatient, MANY, POST + b"Content-Length: 2000000\r\n\r\n" + b"x" * 1_000_000):
        assert_serves(impatient)
        assert resident(impatient) < before + 20 * 1024


def resident(server: Server) -> int:
    """The memory of the largest worker, in kilobytes."""

    def of(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    return max(of(pid) for pid in server.workers)


def test_a_stop_does_not_wait_for_slow_clients(tmp_path: Path) -> None:
    with serving(tmp_path, env_of(tmp_path)) as running, crowd(running, MANY, POST):
        running.stop()
        assert "Worker exiting" in running.log
        assert "was sent SIGKILL" not in running.log
