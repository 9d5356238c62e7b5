"""The requests that the main loop serves itself, and all those that it leaves to threads."""

import pytest

from server.at_once import AtOnce

ORDERS = AtOnce(
    {"/webhooks/orders/create": 64_000, "/webhooks/orders/paid": 64_000, "/collect": 6_000}
)
REST = b"\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("topic", [b"create", b"paid"])
def test_a_short_webhook_of_an_order_is_served_at_once(topic: bytes) -> None:
    assert ORDERS.takes(b"POST /webhooks/orders/" + topic + b" HTTP/1.1" + REST)


@pytest.mark.parametrize(
    "line",
    [
        b"GET /webhooks/orders/create HTTP/1.1",
        b"POST /webhooks/orders/delete HTTP/1.1",
        b"POST /webhooks/orders/created HTTP/1.1",
        b"POST /webhooks/orders/create?x HTTP/1.1",
        b"POST /collect?key=k HTTP/1.1",
        b"POST /health HTTP/1.1\r\nX: POST /webhooks/orders/create HTTP/1.1",
        b"",
    ],
)
def test_every_other_request_has_a_thread(line: bytes) -> None:
    assert not ORDERS.takes(line + REST)


def test_a_long_webhook_has_a_thread() -> None:
    assert not ORDERS.takes(b"POST /webhooks/orders/create HTTP/1.1" + REST + b" " * 70_000)


def test_each_address_has_a_length_of_its_own() -> None:
    assert ORDERS.takes(b"POST /collect HTTP/1.1" + REST + b" " * 5_000)
    assert not ORDERS.takes(b"POST /collect HTTP/1.1" + REST + b" " * 6_000)
    assert ORDERS.takes(b"POST /webhooks/orders/paid HTTP/1.1" + REST + b" " * 6_000)


def test_where_nothing_is_named_every_request_has_a_thread() -> None:
    assert not AtOnce().takes(b"POST /webhooks/orders/create HTTP/1.1" + REST)
