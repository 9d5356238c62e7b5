"""The requests that the main loop serves itself."""

import pytest

from server.loop_requests import LONGEST, LoopRequests

LOOP = LoopRequests(["/collect", "/webhooks/orders/paid"])
HEAD = b" HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("line", [b"POST /collect", b"POST /webhooks/orders/paid"])
def test_a_post_to_one_of_the_paths_needs_no_thread(line: bytes) -> None:
    assert LOOP.include(line + HEAD)
    assert LOOP.include(bytearray(line + HEAD))


@pytest.mark.parametrize(
    "line",
    [
        b"GET /collect",
        b"POST /collect?key=1",
        b"POST /collect/",
        b"POST /%63ollect",
        b"POST http://shop.example/collect",
        b"\r\nPOST /collect",
        b"POST /webhooks/orders/create",
        b"",
    ],
)
def test_every_other_request_gets_a_thread(line: bytes) -> None:
    assert not LOOP.include(line + HEAD)


@pytest.mark.parametrize("request_", [b"", b"POST", b"POST /collect\r\n", b"POST /collect HTTP/2"])
def test_what_is_no_request_gets_a_thread(request_: bytes) -> None:
    assert not LOOP.include(request_)


def test_a_long_body_keeps_nobody_waiting() -> None:
    request = b"POST /collect" + HEAD
    assert LOOP.include(request + b" " * (LONGEST - len(request)))
    assert not LOOP.include(request + b" " * (LONGEST - len(request) + 1))
