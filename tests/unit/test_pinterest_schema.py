"""The published form of a Pinterest event, and what is added to it."""

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.demo.pinterest_rules import HASHED, faults_of
from tracking.destinations.pinterest_schema import (
    EVENT,
    EVENT_NAMES,
    Problem,
    is_valid,
    problems_of,
)

Event = dict[str, Any]
SPEC = Path(__file__).parents[3] / "shared" / "spec" / "pinterest_openapi_subset.yaml"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


GOOD: Event = {
    "event_name": "checkout",
    "action_source": "web",
    "event_time": 1_790_000_000,
    "event_id": "checkout-4501",
    "event_source_url": "https://shop.example/thanks?epik=dj0y",
    "language": "pt",
    "partner_name": "direct",
    "opt_out": False,
    "wifi": True,
    "os_version": "17.4",
    "app_id": None,
    "app_name": None,
    "app_version": None,
    "device_brand": None,
    "device_carrier": None,
    "device_model": None,
    "device_type": None,
    "user_data": {
        **{name: [digest(name)] for name in HASHED},
        "click_id": "dj0yJnU9",
        "partner_id": None,
        "client_ip_address": "2001:db8::17",
        "client_user_agent": "Mozilla/5.0 (Macintosh) Safari/605.1",
        "customer_type": "new",
    },
    "custom_data": {
        "currency": "BRL",
        "value": "149.90",
        "predicted_ltv": "820.5",
        "order_id": "4501",
        "opt_out_type": "LDP",
        "search_string": None,
        "np": None,
        "external_measurement_id": None,
        "external_measurement_vendor_id": None,
        "content_name": "Lamp",
        "content_category": "Home",
        "content_brand": "Lume",
        "content_ids": ["71", "72"],
        "contents": [
            {
                "id": "71",
                "item_name": "Lamp",
                "item_category": "Home",
                "item_brand": "Lume",
                "item_price": "149.90",
                "quantity": 1,
            }
        ],
        "num_items": 1,
    },
    "app_info": {"app_name": "Shop", "window_width": 390},
    "device_info": {"brand": "Fairphone", "languages": ["pt"], "os_family": "android"},
}


def changed(*path: str | int, to: object) -> Event:
    event = copy.deepcopy(GOOD)
    place: Any = event
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return event


def without(*path: str) -> Event:
    event = copy.deepcopy(GOOD)
    place = event
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return event


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


def by_person(**user_data: object) -> Event:
    return changed("user_data", to=user_data)


def test_a_full_event_is_good() -> None:
    assert problems_of(GOOD) == []
    assert is_valid(GOOD)
    assert list(faults_of(without_nulls(GOOD))) == []


@pytest.mark.parametrize(
    "person",
    [
        {"em": [digest("a")]},
        {"hashed_maids": [digest("b")]},
        {"client_ip_address": "203.0.113.4", "client_user_agent": "Mozilla/5.0"},
    ],
)
def test_each_of_the_three_ways_to_know_a_person_is_enough(person: Event) -> None:
    assert is_valid(by_person(**person))


REFUSED: dict[str, tuple[Event, str]] = {
    "an unknown key": (changed("discount", to="5"), "/discount"),
    "an unknown key of a person": (changed("user_data", "email", to="x"), "/user_data/email"),
    "an unknown key of a sale": (changed("custom_data", "tax", to="1.00"), "/custom_data/tax"),
    "an unknown key of a product": (
        changed("custom_data", "contents", 0, "sku", to="L1"),
        "/custom_data/contents/0/sku",
    ),
    "an unknown key of an app": (changed("app_info", "x", to=1), "/app_info/x"),
    "an unknown key of a device": (changed("device_info", "x", to=1), "/device_info/x"),
    "a name that is none of Pinterest's": (changed("event_name", to="purchase"), "/event_name"),
    "a name in upper case": (changed("event_name", to="Checkout"), "/event_name"),
    "a source that is none": (changed("action_source", to="website"), "/action_source"),
    "milliseconds": (changed("event_time", to=1_790_000_000_000), "/event_time"),
    "a time as text": (changed("event_time", to="1790000000"), "/event_time"),
    "a time with a fraction": (changed("event_time", to=1_790_000_000.5), "/event_time"),
    "a time that is whole only by value": (changed("event_time", to=1.79e9), "/event_time"),
    "a time that is a truth": (changed("event_time", to=True), "/event_time"),
    "no time": (without("event_time"), ""),
    "no id": (without("event_id"), ""),
    "an empty id": (changed("event_id", to=""), "/event_id"),
    "an id that is a number": (changed("event_id", to=4501), "/event_id"),
    "no person": (without("user_data"), ""),
    "an opt-out as text": (changed("opt_out", to="true"), "/opt_out"),
    "a value that is a number": (changed("custom_data", "value", to=149.9), "/custom_data/value"),
    "a value with a comma": (changed("custom_data", "value", to="149,90"), "/custom_data/value"),
    "a value that is no number": (changed("custom_data", "value", to="NaN"), "/custom_data/value"),
    "a currency's sign": (changed("custom_data", "currency", to="R$"), "/custom_data/currency"),
    "a price that is a number": (
        changed("custom_data", "contents", 0, "item_price", to=149.9),
        "/custom_data/contents/0/item_price",
    ),
    "a price that is null": (
        changed("custom_data", "contents", 0, "item_price", to=None),
        "/custom_data/contents/0/item_price",
    ),
    "a quantity as text": (
        changed("custom_data", "contents", 0, "quantity", to="1"),
        "/custom_data/contents/0/quantity",
    ),
    "a count that is null": (
        changed("custom_data", "num_items", to=None),
        "/custom_data/num_items",
    ),
    "ids that are numbers": (
        changed("custom_data", "content_ids", to=[71]),
        "/custom_data/content_ids/0",
    ),
    "an order id that is a number": (
        changed("custom_data", "order_id", to=4501),
        "/custom_data/order_id",
    ),
    "a digest outside a list": (changed("user_data", "em", to=digest("a")), "/user_data/em"),
    "no digest in the list": (changed("user_data", "em", to=[]), "/user_data/em"),
    "a digest in upper case": (
        changed("user_data", "em", to=[digest("a").upper()]),
        "/user_data/em/0",
    ),
    "clear text": (changed("user_data", "em", to=["ana@example.com"]), "/user_data/em/0"),
    "a digest with a line end": (
        changed("user_data", "ph", to=[digest("a") + "\n"]),
        "/user_data/ph/0",
    ),
    "the digest of nothing": (changed("user_data", "ph", to=[digest("")]), "/user_data/ph/0"),
    "a click id in a list": (changed("user_data", "click_id", to=["dj0"]), "/user_data/click_id"),
    "nobody's address": (
        changed("user_data", "client_ip_address", to="0.0.0.0"),  # noqa: S104
        "/user_data/client_ip_address",
    ),
    "an unknown kind of customer": (
        changed("user_data", "customer_type", to="vip"),
        "/user_data/customer_type",
    ),
    "an empty person": (by_person(), "/user_data"),
    "a person known by phone alone": (by_person(ph=[digest("1")]), "/user_data"),
    "an address without a browser": (by_person(client_ip_address="203.0.113.4"), "/user_data"),
    "a browser without an address": (by_person(client_user_agent="Mozilla/5.0"), "/user_data"),
    "an address with an empty browser": (
        by_person(client_ip_address="203.0.113.4", client_user_agent=""),
        "/user_data/client_user_agent",
    ),
}


@pytest.mark.parametrize(("event", "pointer"), REFUSED.values(), ids=REFUSED.keys())
def test_one_thing_wrong_is_enough_to_refuse_an_event_and_is_pointed_at(
    event: Event, pointer: str
) -> None:
    assert not is_valid(event)
    assert [problem.pointer for problem in problems_of(event)] == [pointer]


@pytest.mark.parametrize("event", [None, [], "checkout", 7, {}, {"event_time": float("nan")}])
def test_what_is_no_event_at_all_is_refused(event: object) -> None:
    assert not is_valid(event)
    assert problems_of(event)


def test_a_digest_that_cannot_even_be_written_as_utf8_is_refused() -> None:
    event = by_person(em=["\ud800"])
    assert not is_valid(event)
    assert problems_of(event) == [Problem("", "holds something that JSON has no form for")]


def test_the_identity_rule_is_explained_in_words() -> None:
    (problem,) = problems_of(by_person(ph=[digest("1")]))
    assert str(problem) == (
        "/user_data: needs em, hashed_maids, or client_ip_address together with client_user_agent"
    )


def test_a_problem_says_what_is_wanted() -> None:
    assert problems_of(changed("custom_data", "contents", 0, to=1)) == [
        Problem("/custom_data/contents/0", 'the value is not of type "object"')
    ]


@given(st.sampled_from(sorted(GOOD["user_data"])), st.text(min_size=1))
def test_no_problem_quotes_a_person(field: str, secret: str) -> None:
    secret = f"<{secret}>"
    for value in (secret, [secret], {"k": secret}):
        told = " ".join(map(str, problems_of(changed("user_data", field, to=value))))
        assert secret not in told


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(GOOD)), _json)
def test_the_quick_answer_and_the_long_one_agree(field: str, value: object) -> None:
    event = changed(field, to=value)
    assert is_valid(event) == (problems_of(event) == [])


@given(st.sampled_from(sorted(GOOD)), _json)
def test_what_passes_here_passes_the_rules_written_independently(field: str, value: object) -> None:
    event = changed(field, to=value)
    if is_valid(event):
        assert list(faults_of(without_nulls(event))) == []


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    if not SPEC.exists():
        pytest.skip("Pinterest's description is not at hand")
    schemas: dict[str, Any] = yaml.safe_load(SPEC.read_text())["components"]["schemas"]
    return schemas


def event_of(published: dict[str, Any]) -> Any:
    return published["ConversionEvents"]["properties"]["data"]["items"]


OBJECTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "event": (event_of, lambda ours: ours),
    "custom_data": (
        lambda all_: event_of(all_)["properties"]["custom_data"],
        lambda ours: ours["properties"]["custom_data"],
    ),
    "contents": (
        lambda all_: event_of(all_)["properties"]["custom_data"]["properties"]["contents"]["items"],
        lambda ours: ours["properties"]["custom_data"]["properties"]["contents"]["items"],
    ),
    "user_data": (
        lambda all_: all_["ConversionEventsUserDataProperties"],
        lambda ours: ours["properties"]["user_data"],
    ),
    "app_info": (
        lambda all_: all_["ConversionEventAppInfo"],
        lambda ours: ours["properties"]["app_info"],
    ),
    "device_info": (
        lambda all_: all_["ConversionEventDeviceInfo"],
        lambda ours: ours["properties"]["device_info"],
    ),
}
LATER = {"user_data": {"customer_type"}, "contents": {"item_brand_id"}}
BOUNDS = ("maxLength", "maxItems", "maximum", "minimum", "enum")


def types_of(schema: Any) -> set[str]:
    """The JSON types a published or own field may have; a reference is one to an object."""
    if "$ref" in schema:
        return {"object"}
    found = schema["type"]
    return {*([found] if isinstance(found, str) else found)} | (
        {"null"} if schema.get("nullable") else set()
    )


@pytest.mark.parametrize("name", OBJECTS)
def test_the_fields_and_their_types_are_the_published_ones(
    name: str, published: dict[str, Any]
) -> None:
    theirs, ours = OBJECTS[name][0](published), OBJECTS[name][1](EVENT)
    own = {k: v for k, v in ours["properties"].items() if k not in LATER.get(name, set())}
    assert {k: types_of(v) for k, v in own.items()} == {
        k: types_of(v) for k, v in theirs["properties"].items()
    }
    assert sorted(ours.get("required", [])) == sorted(theirs.get("required", []))
    assert ours["additionalProperties"] is False


@pytest.mark.parametrize("name", ["app_info", "device_info"])
def test_published_bounds_are_kept(name: str, published: dict[str, Any]) -> None:
    theirs, ours = OBJECTS[name][0](published), OBJECTS[name][1](EVENT)
    for field, schema in theirs["properties"].items():
        for bound in BOUNDS:
            if bound in schema:
                assert ours["properties"][field][bound] == schema[bound], (field, bound)


def test_every_published_event_name_is_known(published: dict[str, Any]) -> None:
    text = event_of(published)["properties"]["event_name"]["description"]
    named = {part for part in text.split("`") if part.replace("_", "").isalpha() and part.islower()}
    assert len(EVENT_NAMES) == 22
    assert named <= set(EVENT_NAMES)
    assert len(named) == 15
