"""What is counted of an event, and which advice is given where a field lacks."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.destinations import pinterest
from tracking.destinations.pinterest_fields import fields_of
from tracking.destinations.pinterest_schema import EVENT_NAMES
from tracking.domain.conversion import Content, Conversion
from tracking.domain.identity import Digest, Identity
from tracking.domain.match_quality import (
    BITS,
    FIELDS,
    LEAST_EVENTS,
    advice_for,
    event_name_in,
    overlap_advice,
)

DIGEST = Digest("ab" * 32)
# What makes each field part of an event.
PARTS: dict[str, dict[str, Any]] = {
    "click_id_epik": {"click_id": "dj0yJnU9"},
    "hashed_email": {"em": (DIGEST,)},
    "advertiser_external_id": {"external_id": (DIGEST,)},
    "hashed_maid": {"hashed_maids": (DIGEST,)},
    "ip_address": {"ip": "203.0.113.7"},
    "user_agent": {"user_agent": "Mozilla/5.0"},
    "order_id": {"order_id": "5001"},
    "order_value": {"value": "40.00"},
    "product_id": {"contents": (Content("111"),)},
    "source_url": {"event_source_url": "https://shop.example/"},
}
_OF_IDENTITY = ("em", "external_id", "hashed_maids")


def event_with(fields: frozenset[str]) -> bytes:
    """A finished purchase that has these fields, beside its event id."""
    parts = {name: value for field in fields for name, value in PARTS[field].items()}
    known = {name: parts.pop(name) for name in _OF_IDENTITY if name in parts}
    told = Conversion("checkout-1", "checkout", "web", 1, Identity(**known), **parts)
    return msgspec.json.encode(pinterest.event_of(told))


@given(st.frozensets(st.sampled_from(sorted(PARTS))))
def test_an_event_counts_for_exactly_the_fields_that_it_has(fields: frozenset[str]) -> None:
    found = fields_of(event_with(fields))

    assert found is not None
    assert {field for bit, field in BITS.items() if found.bits & bit} == {
        *fields,
        "external_event_id",
    }
    assert (found.event_name, found.action_source) == ("checkout", "web")
    assert found.order_id == ("5001" if "order_id" in fields else "")


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"event_name": 1}', b"\xff"])
def test_what_is_no_event_of_pinterests_is_not_counted(body: bytes) -> None:
    assert fields_of(body) is None


@pytest.mark.parametrize(
    ("custom_data", "is_told"),
    [
        (b'{"contents":[{"id":"7"}]}', True),
        (b'{"contents":[{"item_name":"Mug"}]}', False),
        (b'{"content_ids":[]}', False),
        (b"{}", False),
    ],
)
def test_a_product_counts_where_an_event_names_its_id(custom_data: bytes, is_told: bool) -> None:
    names = b'"event_name":"lead","action_source":"web","event_id":"e","user_data":{}'
    found = fields_of(b'{%b,"custom_data":%b}' % (names, custom_data))
    assert found is not None
    assert bool(found.bits & next(b for b, f in BITS.items() if f == "product_id")) is is_told


# The setting or the step that the advice names for each weak field.
STEPS = [
    ("checkout", "click_id_epik", 59, "layout/theme.liquid"),
    ("page_visit", "click_id_epik", 59, "connect it"),
    ("checkout", "hashed_email", 94, "protected customer data"),
    ("checkout", "advertiser_external_id", 79, "COLLECTOR_KEY"),
    ("add_to_cart", "advertiser_external_id", 79, "custom pixel"),
    ("checkout", "ip_address", 89, "client_ip_address"),
    ("page_visit", "ip_address", 89, "TRUSTED_PROXIES"),
    ("checkout", "user_agent", 89, "client_user_agent"),
    ("initiate_checkout", "user_agent", 89, "User-Agent"),
    ("checkout", "order_id", 98, "custom_data.order_id"),
    ("checkout", "order_value", 98, "custom_data.value"),
    ("add_to_cart", "order_value", 89, "Name value and currency"),
    ("checkout", "product_id", 89, "CONTENT_ID"),
    ("page_visit", "product_id", 89, "CONTENT_ID"),
    ("checkout", "source_url", 94, "COLLECTOR_ORIGINS"),
    ("page_visit", "source_url", 94, "event_source_url"),
]


@pytest.mark.parametrize(("event_name", "field", "percent", "step"), STEPS)
def test_a_weak_field_is_told_with_the_step_that_mends_it(
    event_name: str, field: str, percent: int, step: str
) -> None:
    told = advice_for(event_name, "web", field, 100, percent)
    assert f" on {percent}% of " in told
    assert step in told
    assert told.endswith(".")
    assert advice_for(event_name, "web", field, 100, percent + 1) == ""


def test_the_advice_says_it_in_one_line() -> None:
    assert advice_for("checkout", "web", "click_id_epik", 200, 82) == (
        "Click id on 41% of purchases: the tag in the theme is missing where these orders began,"
        " or a redirect drops epik from the links of the pins. Put the tag into"
        " layout/theme.liquid (docs/pixel.md, In the theme)."
    )


def test_where_every_purchase_is_sent_few_have_a_click_id() -> None:
    assert advice_for("checkout", "web", "click_id_epik", 100, 6, sends_all=True) == ""
    assert advice_for("checkout", "web", "click_id_epik", 100, 4, sends_all=True)


def test_a_sale_in_a_store_is_not_judged_by_what_a_browser_has() -> None:
    assert not any(advice_for("checkout", "offline", field, 100, 0) for field in FIELDS)


def test_a_few_events_are_no_reason_for_advice() -> None:
    few = LEAST_EVENTS - 1
    assert not any(advice_for("checkout", "web", field, few, 0) for field in FIELDS)


@given(
    st.sampled_from(EVENT_NAMES),
    st.sampled_from(FIELDS),
    st.integers(0, 10**7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
)
def test_what_every_event_has_is_never_weak(
    event_name: str, field: str, counts: tuple[int, int]
) -> None:
    events, having = counts
    told = advice_for(event_name, "web", field, events, having)
    assert not (told and having == events)
    assert "\n" not in told


def test_too_few_shared_event_ids_are_told_with_the_setting() -> None:
    assert "69% of purchases" in overlap_advice(699_999)
    assert "PINTEREST_APP=beside" in overlap_advice(699_999)
    assert overlap_advice(700_000) == ""


@pytest.mark.parametrize("told", ["page_visit", "PAGE_VISIT", "PageVisit", "pagevisit"])
def test_an_event_has_one_name_however_pinterest_spells_it(told: str) -> None:
    assert event_name_in(told) == "page_visit"
