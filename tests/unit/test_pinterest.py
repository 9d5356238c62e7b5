"""The event that Pinterest gets of a conversion, and the outcome that its answer means."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.demo.pinterest import ACCOUNT_ID, TOKEN
from commands.demo.pinterest_rules import faults_of
from tests.conversions import EVA, ORDER, decoded, digest
from tracking.clients.http import HttpResponse
from tracking.clients.outcome import Accepted, Answered, BatchRefused, Paused, Refused, TryLater
from tracking.clients.responses import sanitized
from tracking.destinations import Unencodable
from tracking.destinations.pinterest import Pinterest, encode, outcome_of
from tracking.domain.conversion import Content, Conversion
from tracking.domain.identity import Digest, Identity


def answer(status: int, body: object, **headers: str) -> HttpResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def statuses(*found: object) -> dict[str, object]:
    return {"num_events_received": 2, "num_events_processed": 1, "events": list(found)}


OK, NO = {"status": "processed"}, {"status": "failed"}
REAL_422 = {
    "code": 953,
    "message": "Some of the data is not valid.",
    "details": {
        "num_events_processed": 0,
        "num_events_received": 1,
        "events": [{"status": "failed", "error_message": "Too old", "warning_message": ""}],
    },
}


def test_a_conversion_is_written_in_pinterests_words() -> None:
    assert decoded(ORDER) == {
        "event_name": "checkout",
        "action_source": "web",
        "event_time": ORDER.event_time,
        "event_id": "checkout-7001",
        "event_source_url": "https://mugs.example/thank-you",
        "partner_name": "direct",
        "language": "sv",
        "user_data": {
            "em": [digest("eva@example.org")],
            "external_id": [digest("88")],
            "click_id": "dj0yJnU9c2Vj",
            "client_ip_address": "198.51.100.23",
            "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/141.0",
        },
        "custom_data": {
            "currency": "SEK",
            "value": "249.00",
            "order_id": "7001",
            "content_ids": ["31", "32"],
            "contents": [
                {
                    "id": "31",
                    "item_name": "Mug",
                    "item_brand": "Kopp AB",
                    "item_price": "99.00",
                    "quantity": 2,
                },
                {"id": "32", "item_name": "Saucer", "item_price": "51.00", "quantity": 1},
                {
                    "id": "31",
                    "item_name": "Mug, engraved",
                    "item_brand": "Kopp AB",
                    "item_price": "120.00",
                    "quantity": 1,
                },
            ],
            "num_items": 4,
        },
    }


def test_what_is_not_known_is_left_out() -> None:
    bare = Conversion("page-1", "page_visit", "web", ORDER.event_time, Identity(em=EVA.em))
    assert decoded(bare) == {
        "event_name": "page_visit",
        "action_source": "web",
        "event_time": ORDER.event_time,
        "event_id": "page-1",
        "user_data": {"em": [EVA.em[0]]},
    }


def test_an_opt_out_is_sent_with_limited_data_processing() -> None:
    event = decoded(replace(ORDER, opt_out=True, limited=True))
    assert event["opt_out"] is True
    assert event["custom_data"]["opt_out_type"] == "LDP"


def test_an_ipv6_address_is_sent() -> None:
    person = decoded(replace(ORDER, ip="2001:db8::7"))["user_data"]
    assert person["client_ip_address"] == "2001:db8::7"


def test_an_event_without_a_person_cannot_be_written() -> None:
    with pytest.raises(Unencodable, match="/user_data: needs em"):
        encode(replace(ORDER, identity=Identity(), ip=""))


@pytest.mark.parametrize(
    ("conversion", "field"),
    [
        (replace(ORDER, event_name="purchase"), "/event_name"),
        (replace(ORDER, action_source="website"), "/action_source"),
        (replace(ORDER, event_time=ORDER.event_time * 1000), "/event_time"),
        (replace(ORDER, event_id=""), "/event_id"),
        (replace(ORDER, value="249,00"), "/custom_data/value"),
        (replace(ORDER, identity=Identity(em=(Digest("eva@example.org"),))), "/user_data/em/0"),
        (replace(ORDER, language="\ud800"), "surrogate"),
    ],
)
def test_what_pinterest_would_refuse_is_not_written_and_the_field_is_named(
    conversion: Conversion, field: str
) -> None:
    with pytest.raises(Unencodable, match=field) as refusal:
        encode(conversion)
    assert "eva@example.org" not in str(refusal.value)


_text = st.text(max_size=12)


_contents = st.lists(
    st.builds(Content, _text, _text, _text, st.sampled_from(["", "1.00", "0"]), st.integers(0, 9))
)


@settings(max_examples=50)
@given(
    st.builds(
        Conversion,
        event_id=_text,
        event_name=st.sampled_from(["checkout", "page_visit"]),
        action_source=st.sampled_from(["web", "offline"]),
        event_time=st.integers(-1, 2**40),
        identity=st.sampled_from([EVA, Identity()]),
        event_source_url=_text,
        language=_text,
        opt_out=st.booleans(),
        limited=st.booleans(),
        click_id=_text,
        ip=st.ip_addresses().map(str) | _text,
        user_agent=_text,
        currency=st.sampled_from(["", "EUR", "eur"]),
        value=st.sampled_from(["", "10.00", "ten"]),
        order_id=_text,
        contents=_contents.map(tuple),
        num_items=st.integers(0, 99),
    )
)
def test_whatever_is_written_keeps_the_documented_rules(conversion: Conversion) -> None:
    try:
        event = decoded(conversion)
    except Unencodable:
        return
    assert list(faults_of(event)) == []


def test_a_stripped_event_lacks_address_and_user_agent_and_nothing_else() -> None:
    event = encode(ORDER)
    stripped = Pinterest(TOKEN, ACCOUNT_ID).strip(event)
    assert stripped == encode(replace(ORDER, ip="", user_agent=""))
    assert Pinterest(TOKEN, ACCOUNT_ID).strip(stripped) == stripped


@pytest.mark.parametrize("nothing", [{}, {"error_message": None}, {"error_message": ""}])
def test_a_missing_a_null_and_an_empty_message_are_alike(nothing: dict[str, Any]) -> None:
    assert outcome_of(answer(200, statuses(OK | nothing)), 1) == Answered((Accepted(),))
    assert outcome_of(answer(200, statuses(NO | nothing)), 1) == Answered(
        (Refused("failed, without a reason"),)
    )


def test_a_200_and_a_201_are_read_alike() -> None:
    both = [outcome_of(answer(status, statuses(OK)), 1) for status in (200, 201)]
    assert both == [Answered((Accepted(),))] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff",
        b'{"events":' + b"[" * 100_000,
        {},
        {"events": None},
        {"events": []},
        {"events": [OK]},
        {"events": [OK, OK, OK]},
        {"events": [OK, None]},
        {"events": [OK, {"status": "queued"}]},
        {"events": [OK, {}]},
        {"events": [OK, {"status": "processed", "error_message": 3}]},
        {"details": {"events": [OK, OK]}},
    ],
)
def test_a_success_that_does_not_speak_of_each_event_is_none(body: object) -> None:
    assert isinstance(outcome_of(answer(200, body), 2), TryLater)


def test_the_statuses_of_a_422_are_found_below_details_and_at_the_top() -> None:
    refused = Answered((Refused("Too old"),))
    assert outcome_of(answer(422, REAL_422), 1) == refused
    assert outcome_of(answer(422, {**REAL_422["details"]}), 1) == refused  # type: ignore[dict-item]


def test_a_422_that_does_not_speak_of_each_event_is_split_down_to_the_culprit() -> None:
    body = {"code": 953, "message": "Not all events were processed.", "details": {"x": [1]}}
    reason = "HTTP 422: Not all events were processed. (code 953)"
    assert outcome_of(answer(422, body), 3) == BatchRefused(reason)
    assert outcome_of(answer(422, body), 1) == Answered((Refused(reason),))


@pytest.mark.parametrize("status", [400, 405, 409, 413, 415])
def test_other_refusals_are_of_the_batch(status: int) -> None:
    found = answer(status, {"code": 1, "message": "No."})
    assert outcome_of(found, 5) == BatchRefused(f"HTTP {status}: No. (code 1)")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_unreadable_refusal_kills_no_single_event(status: int) -> None:
    assert isinstance(outcome_of(answer(status, b"<h1>Blocked</h1>"), 1), TryLater)
    assert isinstance(outcome_of(answer(status, b"<h1>Blocked</h1>"), 2), BatchRefused)


@pytest.mark.parametrize(
    "status", [101, 202, 204, 206, 301, 302, 304, 307, 408, 425, 500, 502, 503, 504, 599]
)
def test_other_answers_settle_nothing(status: int) -> None:
    found = answer(status, statuses(OK))
    assert outcome_of(found, 1) == TryLater(f"HTTP {status}")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "120"}, 120),
        ({"X_RateLimit_Reset": "58"}, 58),
        ({"X_RateLimit_Reset": "58, 58;w=60"}, 58),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT", "X_RateLimit_Reset": "58"}, 58),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": "٣"}, None),
        ({"Retry_After": ""}, None),
    ],
)
def test_the_wait_asked_for_is_read_in_seconds_from_now(
    headers: dict[str, str], seconds: int | None
) -> None:
    outcome = outcome_of(answer(429, {"code": 8, "message": "Slow down."}, **headers), 1)
    assert outcome == Paused("HTTP 429: Slow down. (code 8)", seconds)


@given(st.integers(100, 599), st.binary(max_size=40), st.integers(1, 3))
def test_no_bytes_of_any_status_settle_an_event(status: int, body: bytes, count: int) -> None:
    outcome = outcome_of(answer(status, body), count)
    assert not isinstance(outcome, Answered)
    assert count > 1 or not isinstance(outcome, BatchRefused)


@given(st.text())
def test_words_of_others_are_one_storable_line(text: str) -> None:
    found = sanitized(text)
    assert len(found) <= 500
    assert not re.search("[\x00-\x1f\x7f\ud800-\udfff]", found)
