"""A request is whole when its last byte has come, however it was cut on its way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import events
from api.reports import MAX_SPEND_BODY
from server.request_buffer import MAX_BODY, MAX_HEAD, RequestBuffer, Stage
from webhooks import collector, shopify

POST = b"POST /webhooks/orders/create HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
REQUESTS = [
    b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.0\r\n\r\n",
    b"\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    POST + b"Content-Length: 0\r\n\r\n",
    POST + b"content-length:  11 \r\n\r\nhello world",
    POST + b"Content-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n",
    CHUNKED + b"0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\nX-Trailer: yes\r\nX-Other: 0\r\n\r\n",
    CHUNKED + b"00A \r\n0123456789\r\n000\r\n\r\n",
]


def stage_of(*pieces: bytes) -> Stage:
    """What is to be done after these pieces."""
    arrival = RequestBuffer()
    for piece in pieces:
        arrival.add(piece)
    return arrival.stage


@given(
    request=st.sampled_from(REQUESTS), cuts=st.lists(st.integers(0, 200), max_size=6, unique=True)
)
def test_a_request_is_whole_with_its_last_byte_and_not_before(
    request: bytes, cuts: list[int]
) -> None:
    ends = [*sorted(cut for cut in cuts if 0 < cut < len(request)), len(request)]
    pieces = [request[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    assert stage_of(*pieces) is Stage.WHOLE
    assert stage_of(*pieces[:-1], pieces[-1][:-1]) in (Stage.HEAD, Stage.BODY)


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_that_comes_byte_by_byte_is_whole_with_the_last(request_: bytes) -> None:
    *before, last = [
        stage_of(*(bytes([b]) for b in request_[:n])) for n in range(len(request_) + 1)
    ]

    assert Stage.WHOLE not in before
    assert last is Stage.WHOLE


def test_what_follows_a_request_does_not_delay_it() -> None:
    assert stage_of(REQUESTS[4] + b"GET /health HT") is Stage.WHOLE


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"GET / HTTP/1.1\nHost: x\n\n", id="line feeds alone"),
        pytest.param(b"\r\n\r\n", id="no request line"),
        pytest.param(POST + b"Content-Length: -5\r\n\r\n", id="a negative length"),
        pytest.param(POST + b"Content-Length: 5x\r\n\r\n", id="a length that is no number"),
        pytest.param(POST + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n", id="an endless length"),
        pytest.param(CHUNKED + b"x\r\n", id="a chunk of no size"),
        pytest.param(CHUNKED + b"-1\r\n", id="a chunk of less than nothing"),
        pytest.param(CHUNKED + b"\r\n", id="a chunk without its size"),
        pytest.param(CHUNKED + b"1" * 9000, id="a size that does not end"),
    ],
)
def test_the_rest_of_what_is_no_request_is_not_awaited(broken: bytes) -> None:
    assert stage_of(broken) is Stage.WHOLE


def test_a_head_that_does_not_end_is_too_large() -> None:
    assert stage_of(b"GET /" + b"x" * MAX_HEAD) is Stage.HEAD_TOO_LARGE


def test_a_body_is_too_large_as_soon_as_its_head_says_so() -> None:
    head = POST + b"Content-Length: %d\r\n\r\n"

    assert stage_of(head % MAX_BODY) is Stage.BODY
    assert stage_of(head % (MAX_BODY + 1)) is Stage.BODY_TOO_LARGE


def test_a_body_in_chunks_is_too_large_as_soon_as_their_sizes_say_so() -> None:
    assert stage_of(CHUNKED + b"%x\r\n" % MAX_BODY) is Stage.BODY
    assert stage_of(CHUNKED + b"1\r\nx\r\n%x\r\n" % MAX_BODY) is Stage.BODY_TOO_LARGE


def test_sizes_of_chunks_without_end_are_too_large_as_well() -> None:
    assert stage_of(CHUNKED, b"1\r\nx\r\n" * 40_000) is Stage.BODY
    assert stage_of(CHUNKED, b"1\r\nx\r\n" * 55_000) is Stage.BODY_TOO_LARGE


def test_trailers_without_end_are_too_large_as_well() -> None:
    trailers = b"0\r\n" + b"X: y\r\n" * (MAX_BODY // 4)

    assert stage_of(CHUNKED, trailers) is Stage.BODY_TOO_LARGE


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_a_client_that_waits_for_100_continue_is_known(value: bytes) -> None:
    arrival = RequestBuffer()
    arrival.add(POST + b"Expect: %s\r\nContent-Length: 5\r\n\r\n" % value)

    assert arrival.expects_continue


def test_no_address_takes_more_than_is_let_in() -> None:
    largest = (shopify.MAX_BODY, collector.MAX_CALL, events.MAX_EVENT, MAX_SPEND_BODY)

    assert max(largest) <= MAX_BODY
