"""The requests that have threads of their own, however their address is written."""

import pytest

from server.side_threads import SideThreads

COLLECT = SideThreads(b"/collect", threads=1)


@pytest.mark.parametrize(
    "line",
    [
        b"POST /collect HTTP/1.1",
        b"POST /collect?key=1 HTTP/1.1",
        b"POST /%63ollect HTTP/1.1",
        b"POST http://shop.example/coll%65ct HTTP/1.1",
        b"\r\nPOST /collect HTTP/1.1",
    ],
)
def test_a_call_of_the_pixel_is_known_however_its_address_is_written(line: bytes) -> None:
    assert COLLECT.takes(line + b"\r\nHost: x\r\n\r\n{}")


@pytest.mark.parametrize(
    "line",
    [
        b"POST /webhooks/orders/create HTTP/1.1",
        b"POST /webhooks/orders/create?from=/collect HTTP/1.1",
        b"GET /ready HTTP/1.1\r\nX: /collect",
        b"",
    ],
)
def test_no_other_request_is_taken_for_one(line: bytes) -> None:
    assert not COLLECT.takes(line + b"\r\nHost: x\r\n\r\n/collect")
