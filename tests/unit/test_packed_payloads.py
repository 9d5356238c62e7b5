"""A packed payload is read as it was written, and shorter."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.store.packed_payloads import packed, unpacked

DIGESTS = st.binary(max_size=4).map(lambda raw: hashlib.sha256(raw).hexdigest())
EVENTS = st.dictionaries(
    st.text(max_size=20), DIGESTS | st.lists(DIGESTS) | st.text() | st.integers(), max_size=8
)


@given(EVENTS, st.booleans())
def test_every_event_is_read_as_it_was_packed(event: dict[str, object], is_ascii: bool) -> None:
    payload = json.dumps(event, ensure_ascii=is_ascii).encode(errors="replace")
    assert unpacked(packed(payload)) == payload
    assert len(packed(payload)) <= len(payload)


@given(st.binary())
def test_whatever_else_a_destination_may_have_stored_stays_as_it_is(payload: bytes) -> None:
    if not payload.startswith((b"{", b"\x01")):
        assert packed(payload) == payload
        assert unpacked(payload) == payload


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"em":["' + b"a" * 64 + b'"]}',
        b'{"em":["' + b"0123456789abcdef" * 9 + b'"]}',
        b'{"em":["' + b"ABCDEF0123456789" * 4 + b'"]}',
        b'{"item_name":"\x02' + b"a" * 64 + b'"}',
    ],
)
def test_odd_events_are_read_as_they_were_packed(payload: bytes) -> None:
    assert unpacked(packed(payload)) == payload


def test_the_event_of_an_order_takes_half_the_room_at_most() -> None:
    digests = {name: [hashlib.sha256(name.encode()).hexdigest()] for name in ("em", "ph", "fn")}
    payload = json.dumps(
        {
            "event_name": "checkout",
            "action_source": "web",
            "event_time": 1_795_956_876,
            "event_id": "checkout-5001",
            "user_data": digests,
            "custom_data": {"currency": "USD", "value": "89.97", "order_id": "5001"},
        },
        separators=(",", ":"),
    ).encode()

    assert len(packed(payload)) < len(payload) / 2


def test_what_an_earlier_release_packed_can_be_read() -> None:
    payload = b'{"event_name":"checkout","user_data":{"em":["' + b"5f" * 32 + b'"]}}'
    assert unpacked(bytes.fromhex(PACKED_BEFORE)) == payload


PACKED_BEFORE = (
    "01c39dcab02794da5a005f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"
)
