"""Events as other systems send them: in Pinterest's form, or as a row."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.demo.pinterest_rules import failure_of, faults_of
from tests.actors import DAY, NOW, instant
from tracking.destinations.pinterest_schema import ACTION_SOURCES, EVENT_NAMES, problems_of
from tracking.domain.conversion import Policy
from tracking.domain.normalisers import FIELDS as PERSON
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input import InboundEvent, event_from, fields, inbound_event_of
from tracking.receive.event_input.times import unix_seconds

POLICY = Policy()
LIMIT = Policy(consent_unknown="limit")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


HASHED = sha("ada@example.com")
LEAST: dict[str, Any] = {"event_name": "signup", "action_source": "web", "em": "ada@example.com"}

# Every field of an event: where it stands, its name, what is told, and what Pinterest gets.
FIELDS: list[tuple[str, str, Any, Any]] = [
    *[("", "event_name", name, name) for name in EVENT_NAMES],
    *[("", "action_source", source, source) for source in ACTION_SOURCES],
    ("", "event_name", " CheckOut ", "checkout"),
    ("", "event_time", NOW - 60, NOW - 60),
    ("", "event_time", str(NOW - 60), NOW - 60),
    ("", "event_time", NOW - 60.0, NOW - 60),
    ("", "event_time", instant(NOW - 60), NOW - 60),
    ("", "event_time", "2026-11-20T11:59:00Z", NOW - 60),
    ("", "event_time", "2026-11-20 12:59:00+01:00", NOW - 60),
    ("", "event_time", "2026-11-20 11:59:00.000 UTC", NOW - 60),
    *[
        ("", "event_time", told, NOW - 60)
        for told in (
            (NOW - 60) * 1000,
            f"{NOW - 60}123",
            f"{NOW - 60}123456",
            f"{NOW - 60}123.5",
            f"{(NOW - 60) / 1e9!r}E9",
            f"{NOW - 60:.9e}",
            "2026-11-20 12:59:00 Europe/Berlin",
            "2026-11-20T12:59:00+01:00[Europe/Berlin]",
            "2026-11-20T12:59:00[Europe/Berlin]",
            "2026-11-20 12:59:00 +0100",
            "2026-11-20 06:59:00 EST",
            "2026-11-20 12:59:00 CET",
            "2026-11-20 11:59 GMT",
        )
    ],
    ("", "event_id", "eventId0001", "eventId0001"),
    ("", "event_id", 17, "17"),
    ("", "event_source_url", "https://shop.example/thanks", "https://shop.example/thanks"),
    ("", "opt_out", False, False),
    ("", "opt_out", "false", False),
    ("", "opt_out", 0, False),
    ("", "wifi", True, True),
    ("", "wifi", "1", True),
    ("", "partner_name", "ss-partner", "ss-partner"),
    ("", "app_id", 429047995, "429047995"),
    ("", "app_name", "Mugs", "Mugs"),
    ("", "app_version", "7.9", "7.9"),
    ("", "device_brand", "Apple", "Apple"),
    ("", "device_carrier", "T-Mobile", "T-Mobile"),
    ("", "device_model", "iPhone X", "iPhone X"),
    ("", "device_type", "iPhone", "iPhone"),
    ("", "os_version", "12.1.4", "12.1.4"),
    ("", "language", "en", "en"),
    ("", "language", "pt-BR", "pt"),
    ("user_data", "client_ip_address", "::ffff:198.51.100.4", "198.51.100.4"),
    ("user_data", "client_ip_address", "2606:4700::1%eth0", "2606:4700::1"),
    ("", "app_info", {"app_id": "1", "app_name": None}, {"app_id": "1"}),
    ("", "device_info", {"brand": "Apple", "cpu_cores": 6}, {"brand": "Apple", "cpu_cores": 6}),
    ("user_data", "em", "ada@example.com", [HASHED]),
    ("user_data", "em", " ADA@example.com ", [HASHED]),
    ("user_data", "em", HASHED.upper(), [HASHED]),
    ("user_data", "em", ["ada@example.com", HASHED, None, ""], [HASHED]),
    ("user_data", "ph", "+1 (212) 555-0142", [sha("12125550142")]),
    ("user_data", "ph", 12125550142, []),
    ("user_data", "ge", "female", [sha("f")]),
    ("user_data", "db", "1990-12-31", [sha("19901231")]),
    ("user_data", "db", 19901231, [sha("19901231")]),
    ("user_data", "fn", "Ada", [sha("ada")]),
    ("user_data", "ln", "Love", [sha("love")]),
    ("user_data", "ct", "New York", [sha("newyork")]),
    ("user_data", "st", "NY", [sha("ny")]),
    ("user_data", "zp", "10001-1234", [sha("10001")]),
    ("user_data", "country", "US", [sha("us")]),
    ("user_data", "external_id", 9001.0, [sha("9001")]),
    ("user_data", "hashed_maids", ["AB-1", "ab-2"], [sha("ab-1"), sha("ab-2")]),
    ("user_data", "client_ip_address", "2001:db8::1", "2001:db8::1"),
    ("user_data", "client_user_agent", "Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
    ("user_data", "click_id", "dj0yJnU9b2JD", "dj0yJnU9b2JD"),
    ("user_data", "partner_id", "BUJrTlRR", "BUJrTlRR"),
    ("user_data", "customer_type", "new", "new"),
    ("custom_data", "currency", "usd", "USD"),
    ("custom_data", "value", 59.98, "59.98"),
    ("custom_data", "value", "59.9", "59.90"),
    ("custom_data", "value", 3 * 1.1, "3.30"),
    ("custom_data", "value", 0, "0.00"),
    ("custom_data", "value", "12.345", "12.345"),
    ("custom_data", "predicted_ltv", 100, "100.00"),
    ("custom_data", "order_id", 5001, "5001"),
    ("custom_data", "num_items", "2", 2),
    ("custom_data", "search_string", "blue mug", "blue mug"),
    ("custom_data", "content_name", "Mug", "Mug"),
    ("custom_data", "content_category", "kitchen", "kitchen"),
    ("custom_data", "content_brand", "Kiln", "Kiln"),
    ("custom_data", "content_ids", ["111", 222], ["111", "222"]),
    ("custom_data", "content_ids", "111", ["111"]),
    ("custom_data", "content_ids", "111,222", ["111", "222"]),
    ("custom_data", "content_ids", '["111", 222]', ["111", "222"]),
    ("custom_data", "opt_out_type", "LDP", "LDP"),
    ("custom_data", "np", "ss-partner", "ss-partner"),
    ("custom_data", "external_measurement_id", "rbos-1", "rbos-1"),
    ("custom_data", "external_measurement_vendor_id", 1, 1),
    (
        "custom_data",
        "contents",
        [{"id": 111, "item_price": 20, "quantity": 2.0, "item_name": "Mug", "item_brand": "Kiln"}],
        [
            {
                "id": "111",
                "item_name": "Mug",
                "item_brand": "Kiln",
                "item_price": "20.00",
                "quantity": 2,
            }
        ],
    ),
]  # fmt: skip


def made(told: Any, policy: Policy = POLICY) -> InboundEvent:
    """The event of what was told, received NOW. It fits both forms of Pinterest's rules."""
    found = event_from(told, policy, NOW)
    assert problems_of(found.event) == []
    assert list(faults_of(found.event)) == []
    assert failure_of(dict(found.event), NOW) == ""
    return found


def nested(section: str, name: str, told: Any) -> dict[str, Any]:
    """Pinterest's form of an event with this field."""
    event: dict[str, Any] = {
        **{key: LEAST[key] for key in ("event_name", "action_source")},
        "user_data": {"em": [LEAST["em"]]},
    }
    if section:
        event.setdefault(section, {})[name] = told
    else:
        event[name] = told
    return event


def test_an_error_of_the_whole_body_is_told_without_a_field() -> None:
    whole, part = FieldError("", "not JSON text in UTF-8"), FieldError("/name", "missing")

    assert str(ValidationError(whole)) == "not JSON text in UTF-8"
    assert str(ValidationError(whole, part)) == "not JSON text in UTF-8; /name: missing"


def errors(told: Any, where: str = "") -> dict[str, str]:
    """What is wrong with what was told, by its pointer."""
    with pytest.raises(ValidationError) as caught:
        event_from(told, POLICY, NOW, where)
    return {fault.field: fault.message for fault in caught.value.errors}


def expected_at(event: Mapping[str, Any], section: str, name: str) -> Any:
    return (event.get(section, {}) if section else event).get(name, [])


# --- both forms of every field


@pytest.mark.parametrize(("section", "name", "told", "expected"), FIELDS)
def test_a_field_of_pinterests_form_is_taken(
    section: str, name: str, told: Any, expected: Any
) -> None:
    assert expected_at(made(nested(section, name, told)).event, section, name) == expected


@pytest.mark.parametrize(("section", "name", "told", "expected"), FIELDS)
def test_a_column_of_a_row_is_the_field_of_its_name(
    section: str, name: str, told: Any, expected: Any
) -> None:
    identified = {"hashed_maids": "ab-0"} if name == "em" else {}
    row = (
        {**LEAST, **identified, name.upper(): told} if name not in LEAST else {**LEAST, name: told}
    )
    assert expected_at(made(row).event, section, name) == expected


def test_there_is_a_case_for_every_field_pinterest_publishes() -> None:
    tried = {(section, name) for section, name, _, _ in FIELDS}
    published = faults_of.__globals__
    assert {name for section, name in tried if not section} == (
        published["EVENT"].keys() - {"user_data", "custom_data"}
    )
    assert {name for section, name in tried if section == "custom_data"} == set(published["CUSTOM"])
    assert {name for section, name in tried if section == "user_data"} == (
        published["HASHED"] | published["CLEAR"]
    )


def test_numbered_columns_are_values_in_the_order_of_their_numbers() -> None:
    row = {
        **LEAST,
        "em_10": "c@example.com",
        "EM_2": "b@example.com",
        "content_ids_1": "222",
        "content_ids": "111",
    }
    event = made(row).event
    assert event["user_data"]["em"] == [HASHED, sha("b@example.com"), sha("c@example.com")]
    assert event["custom_data"]["content_ids"] == ["111", "222"]


def test_item_columns_of_one_number_are_one_product() -> None:
    row = {
        **LEAST,
        "item_id": 111,
        "item_price": "20",
        "item_quantity_2": "3.0",
        "item_id_1": "222",
        "ITEM_PRICE_1": 12.5,
        "item_name_1": "Bowl",
        "item_category_1": "kitchen",
        "item_brand_1": "Kiln",
        "quantity_1": 4,
        "item_id_2": "333",
        "item_name_2": None,
    }
    assert made(row).event["custom_data"]["contents"] == [
        {"id": "111", "item_price": "20.00"},
        {
            "id": "222",
            "item_name": "Bowl",
            "item_category": "kitchen",
            "item_brand": "Kiln",
            "item_price": "12.50",
            "quantity": 4,
        },
        {"id": "333", "quantity": 3},
    ]


@pytest.mark.parametrize("place", ["", "custom_data"])
def test_the_names_of_pinterests_tag_are_understood(place: str) -> None:
    item = {"product_id": "111", "product_name": "Mug", "product_price": 20, "product_quantity": 3}
    item |= {"product_brand": "Kiln", "product_category": "Cups"}
    told = {"value": 60, "currency": "usd", "order_quantity": 3, "line_items": [item]}
    custom = made(LEAST | ({place: told} if place else told)).event["custom_data"]

    assert (custom["value"], custom["currency"], custom["num_items"]) == ("60.00", "USD", 3)
    assert custom["contents"] == [
        {
            "id": "111",
            "item_name": "Mug",
            "item_category": "Cups",
            "item_brand": "Kiln",
            "item_price": "20.00",
            "quantity": 3,
        }
    ]


def test_the_one_product_of_a_tags_call_is_understood() -> None:
    told = made({**LEAST, "product_id": "111", "product_price": "20", "order_quantity": "1"}).event

    assert told["custom_data"]["contents"] == [{"id": "111", "item_price": "20.00"}]
    assert told["custom_data"]["num_items"] == 1


def test_a_warehouses_own_names_are_understood() -> None:
    row = {
        "event_name": "checkout",
        "action_source": "offline",
        "email": "ada@example.com",
        "phone": "+12125550142",
        "given_name": "Ada",
        "surname": "Love",
        "birthdate": "1990-12-31",
        "gender": "F",
        "city": "New York",
        "state": "NY",
        "postal": "10001",
        "country": "US",
        "extern_id": "9001",
        "timestamp": "2026-11-20 11:59:00",
        "price": "20.00",
        "quantity": 1,
    }
    event = made(row).event
    assert event["user_data"].keys() == PERSON.keys() - {"hashed_maids"}
    assert event["event_time"] == NOW - 60
    assert event["custom_data"]["contents"] == [{"item_price": "20.00", "quantity": 1}]


def test_columns_without_a_value_are_not_there() -> None:
    row = {**LEAST, "em_1": None, "value": "", "currency": "  ", "content_ids": [], "item_id": None}
    assert made(row).event.keys() == {
        *("event_name", "action_source", "event_time", "event_id", "user_data")
    }


# --- people


def test_phones_and_zips_are_read_as_those_of_the_country() -> None:
    event = made({**LEAST, "ph": "020 7946 0958", "zp": "941051234", "country": "GB"}).event
    assert event["user_data"]["ph"] == [sha("442079460958")]
    event = made({**LEAST, "zp": "941051234", "country": ["us"]}).event
    assert event["user_data"]["zp"] == [sha("94105")]


def test_a_value_that_cannot_be_hashed_is_left_out_and_named() -> None:
    told = {
        **nested("user_data", "em", ["ada@example.com", "nobody", sha("")]),
        "custom_data": {"search_string": "ada@example.com"},
    }
    found = event_from(told, POLICY, NOW, "/event_data")
    assert found.event["user_data"] == {"em": [HASHED]}
    assert found.left_out == (
        "/event_data/custom_data/search_string",
        "/event_data/user_data/em/1",
        "/event_data/user_data/em/2",
    )
    assert made({**LEAST, "em_1": "nobody"}).left_out == ("/em_1",)


@pytest.mark.parametrize(
    "person",
    [
        {},
        {"em": "nobody"},
        {"ph": "+12125550142", "external_id": "1"},
        {"client_ip_address": "203.0.113.7"},
        {"click_id": "dj0yJnU9b2JD"},
    ],
)
def test_an_event_without_a_person_to_match_is_a_problem(person: dict[str, Any]) -> None:
    event = {"event_name": "lead", "action_source": "web"}
    nested = errors({**event, "user_data": person}, "/event_data")
    assert nested.keys() - {"/event_data/user_data/em"} == {"/event_data/user_data"}
    assert errors({**event, **person}).keys() - {"/em"} == {"/user_data"}


def test_an_unusable_field_of_a_person_is_named_where_it_would_have_been_needed() -> None:
    event = {"event_name": "lead", "action_source": "web"}
    assert errors({**event, "em": "ada@example", "hashed_maids": "00000000-0000"}) == {
        "/em": "cannot be used",
        "/hashed_maids": "cannot be used",
        "/user_data": "needs em, hashed_maids, or client_ip_address together with"
        " client_user_agent",
    }


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "fe80::1", "::ffff:10.0.0.1"])
def test_an_address_that_is_not_public_is_left_out_and_named(address: str) -> None:
    found = made({**LEAST, "client_ip_address": address})
    assert "client_ip_address" not in found.event["user_data"]
    assert found.left_out == ("/client_ip_address",)


def test_an_address_that_is_not_public_matches_nobody() -> None:
    event = {"event_name": "lead", "action_source": "web", "client_user_agent": "Mozilla/5.0"}
    assert errors({**event, "client_ip_address": "192.168.0.7"}).keys() == {
        "/client_ip_address",
        "/user_data",
    }


@pytest.mark.parametrize("language", ["fil", "fil-PH", "FIL_ph", "haw"])
def test_a_language_without_a_code_of_two_letters_is_left_out_and_named(language: str) -> None:
    found = made({**LEAST, "language": language})
    assert "language" not in found.event
    assert found.left_out == ("/language",)


def test_all_that_is_wrong_is_named_at_once() -> None:
    event = {"event_name": "purchase", "action_source": "website", "em": "ada@example.com"}
    device = {"os_family": "zzz", "nope": 1}
    assert errors({**event, "device_info": device}).keys() == {
        "/event_name",
        "/action_source",
        "/device_info/os_family",
        "/device_info/nope",
    }


def test_a_person_who_is_lacking_is_named_beside_all_else() -> None:
    event = {"event_name": "lead", "action_source": "web", "em": "nobody", "value": "free"}
    assert errors(event).keys() == {"/em", "/value", "/user_data"}


def test_a_person_with_wrong_fields_is_not_called_lacking() -> None:
    assert errors({"event_name": "lead", "action_source": "web", "em": 5.5}).keys() == {"/em"}


def test_an_object_holds_no_name_of_a_person() -> None:
    app = {"app_name": "ada@example.com", "app_version": "1.2"}
    device = {"model": "bob@example.com", "languages": ["en", "carol@example.com"]}
    found = made({**LEAST, "app_info": app, "device_info": device})
    assert found.event["app_info"] == {"app_version": "1.2"}
    assert found.event["device_info"] == {"languages": ["en"]}
    assert set(found.left_out) == {
        "/app_info/app_name",
        "/device_info/model",
        "/device_info/languages/1",
    }


def test_an_object_holds_no_control_character() -> None:
    assert errors({**LEAST, "app_info": {"app_name": "a\0b"}}).keys() == {"/app_info/app_name"}


@pytest.mark.parametrize(
    ("told", "value"),
    [("29.990000000000002", "29.99"), (".5", "0.50"), ("5.", "5.00"), ("12.3456", "12.3456")],
)
def test_an_amount_is_read_as_a_float_of_it_would_be(told: str, value: str) -> None:
    found = made({**LEAST, "value": told, "currency": "EUR"})
    assert found.event["custom_data"]["value"] == value


def test_the_derived_id_of_an_event_does_not_depend_on_what_is_done_about_consent() -> None:
    told = {**LEAST, "st": "NY", "country": "US", "value": "5", "currency": "USD"}
    limited = made(told, replace(POLICY, consent_unknown="limit"))
    assert limited.event["opt_out"] is True
    assert limited.event["event_id"] == made(told).event["event_id"]


def test_address_and_browser_together_are_a_person() -> None:
    browser = {"client_ip_address": "203.0.113.7", "client_user_agent": "Mozilla/5.0"}
    event = {"event_name": "lead", "action_source": "web", **browser}
    assert made(event).event["user_data"] == browser


# --- consent


@pytest.mark.parametrize("written", ["LDP", "ldp", " Ldp ", "ldp,LDP", "LDP,"])
def test_limited_use_has_one_spelling(written: str) -> None:
    found = made({**LEAST, "opt_out_type": written})
    assert (found.event["opt_out"], found.event["custom_data"]["opt_out_type"]) == (True, "LDP")


@pytest.mark.parametrize("written", ["CCPA", "LDP,CCPA", "limited", "true", "yes", "1", 7])
def test_another_type_of_opting_out_is_named(written: Any) -> None:
    assert errors({**LEAST, "opt_out_type": written}).keys() == {"/opt_out_type"}


@pytest.mark.parametrize("written", ["\\N", "null", "(none)"])
def test_a_placeholder_is_no_type_of_opting_out(written: str) -> None:
    found = made({**LEAST, "opt_out_type": written})
    assert "opt_out" not in found.event
    assert found.left_out == ("/opt_out_type",)


def test_content_ids_are_those_of_the_items() -> None:
    row = {
        **LEAST,
        "item_id": "111",
        "item_id_2": "222",
        "item_id_3": "111",
        "item_brand_id": "B-7",
    }
    custom = made(row).event["custom_data"]
    assert custom["content_ids"] == ["111", "222"]
    assert custom["contents"][0] == {"id": "111", "item_brand_id": "B-7"}


def test_content_ids_that_are_given_stay() -> None:
    custom = made({**LEAST, "item_id": "111", "content_ids": "999"}).event["custom_data"]
    assert custom["content_ids"] == ["999"]


def test_a_brand_id_has_at_most_64_characters() -> None:
    assert errors({**LEAST, "item_id": "1", "item_brand_id": "b" * 65}).keys() == {"/item_brand_id"}


SHOP = Policy(shop_origin="https://shop.example", partner_name="ss-kiln")


def with_settings(event: dict[str, Any]) -> Any:
    return event_from(event, SHOP, NOW).event


def test_a_web_event_without_a_page_gets_the_shops() -> None:
    page = "https://other.example/mug"
    assert with_settings(LEAST)["event_source_url"] == "https://shop.example/"
    assert with_settings({**LEAST, "event_source_url": page})["event_source_url"] == page
    assert "event_source_url" not in with_settings({**LEAST, "action_source": "offline"})
    assert "event_source_url" not in made(LEAST).event


def test_the_partners_name_is_the_settings_unless_the_event_names_one() -> None:
    assert with_settings(LEAST)["partner_name"] == "ss-kiln"
    assert with_settings({**LEAST, "partner_name": "direct"})["partner_name"] == "direct"


def test_the_event_id_does_not_depend_on_the_settings() -> None:
    event = {**LEAST, "item_id": "111"}
    assert with_settings(event)["event_id"] == made(event).event["event_id"]


@pytest.mark.parametrize("said", [{"opt_out": True}, {"opt_out_type": "ldp"}])
def test_an_opt_out_limits_the_use_of_data_in_both_cases_of_state_and_country(
    said: dict[str, Any],
) -> None:
    found = made({**LEAST, "st": "CA", "country": "us", **said})
    assert found.event["opt_out"] is True
    assert found.event["custom_data"]["opt_out_type"].upper() == "LDP"
    assert found.event["user_data"]["st"] == [sha("ca"), sha("CA")]
    assert found.event["user_data"]["country"] == [sha("us"), sha("US")]
    assert found.conversion.limited


def test_unknown_consent_follows_the_shops_rule() -> None:
    assert "opt_out" not in made(LEAST).event
    limited = made(LEAST, LIMIT).event
    assert (limited["opt_out"], limited["custom_data"]) == (True, {"opt_out_type": "LDP"})
    assert made({**LEAST, "opt_out": False}, LIMIT).event["opt_out"] is False


# --- time


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("purchase", "checkout"),
        ("Purchase", "checkout"),
        ("AddToCart", "add_to_cart"),
        ("begin_checkout", "initiate_checkout"),
        ("PageView", "page_visit"),
        ("product_viewed", "page_visit"),
    ],
)
def test_another_senders_name_of_an_event_is_answered_with_pinterests(
    told: str, meant: str
) -> None:
    with pytest.raises(ValidationError, match=rf"did you mean {meant}\?"):
        made({**LEAST, "event_name": told})


def test_an_event_without_a_time_happens_now() -> None:
    assert made(LEAST).event["event_time"] == NOW


@pytest.mark.parametrize(
    "time",
    [
        "2026/11/20 04:00",
        "2026-11-20 4:00:00",
        "2026/11/20 4:00:00Z",
        "2026/11/20 5:00 +0100",
        "2026/11/20 5:00 CET",
        "2026-11-20T4:00",
    ],
)
def test_with_the_year_first_a_time_may_be_written_shortly(time: str) -> None:
    eight_hours_ago = NOW - 8 * 3600
    assert made({**LEAST, "event_time": time}).event["event_time"] == eight_hours_ago


def test_a_day_may_have_one_digit() -> None:
    assert unix_seconds("2026/9/5 7:30") == unix_seconds("2026-09-05T07:30:00Z")
    assert unix_seconds("2026/9/5") == unix_seconds("2026-09-05")


def test_a_clock_that_is_a_little_ahead_is_believed_and_set_right() -> None:
    assert made({**LEAST, "event_time": NOW + 300}).event["event_time"] == NOW


def test_seven_days_ago_is_the_earliest_an_event_may_have_happened() -> None:
    assert made({**LEAST, "event_time": NOW - 7 * DAY}).event["event_time"] == NOW - 7 * DAY


@pytest.mark.parametrize(
    "time",
    [
        NOW + 301,
        NOW - 7 * DAY - 1,
        (NOW + 301) * 1000,
        NOW * 10**12,
        f"{NOW:.5e}",
        "2026-11-20 12:00:00 IST",
        "11/20/2026 12:00",
        "20.11.2026 12:00",
        "2026/11-20 12:00",
        "2026/20/11 12:00",
        "2026/11/20 11:00 PM",
        "26/11/20 11:00",
        "2026-11-20 12:00:00 Europe/Nowhere",
        "2026-11-20 12:00:00 ../../etc/passwd",
        "yesterday",
        True,
        -1,
        "2026-13-01",
        1e300,
        [NOW, NOW],
    ],
)
def test_a_time_that_cannot_be_is_a_problem(time: Any) -> None:
    told = nested("", "event_time", time)
    (pointer,) = errors(told)
    assert pointer.startswith("/event_time")


# --- event ids


def test_the_same_order_sent_again_has_the_same_event_id() -> None:
    row = {**LEAST, "event_name": "checkout", "order_id": "A1", "event_time": NOW - 60}
    first = made(row).event["event_id"]
    assert first == sha(f"A1|checkout|{NOW - 60}")
    assert event_from({**row, "value": 2}, POLICY, NOW + 9).event["event_id"] == first
    assert made({**row, "event_time": NOW - 61}).event["event_id"] != first


@pytest.mark.parametrize("time", [{}, {"event_time": NOW + 200}])
def test_the_time_of_telling_is_no_part_of_an_orders_event_id(time: dict[str, Any]) -> None:
    row = {**LEAST, "event_name": "checkout", "order_id": "A1", **time}
    later = event_from(row, POLICY, NOW + 60)
    assert made(row).event["event_id"] == later.event["event_id"]


def test_without_an_order_the_same_event_has_the_same_id_in_either_form() -> None:
    row = {**LEAST, "event_time": NOW - 60, "content_ids": "111", "value": 2}
    event = nested("", "event_time", instant(NOW - 60))
    event["custom_data"] = {"value": "2.00", "content_ids": ["111"]}
    assert made(row).event == made(event).event
    assert made({**row, "value": 3}).event["event_id"] != made(row).event["event_id"]


def test_the_event_id_of_an_order_names_the_order() -> None:
    found = made({**LEAST, "event_name": "checkout", "event_id": "checkout-5001"})
    assert found.is_order_event
    assert found.conversion.order_id == found.event["custom_data"]["order_id"] == "5001"


@pytest.mark.parametrize("kind", ["Order", "OrderIdentity"])
def test_a_global_id_is_the_order_of_its_number(kind: str) -> None:
    given, sale = f"gid://shopify/{kind}/5001", {**LEAST, "event_name": "checkout"}
    plain = made({**sale, "order_id": "5001", "event_time": NOW})

    for spelling in (given, f"{given}?key=0a1b", given.replace("shopify", "Shopify")):
        assert made({**sale, "order_id": spelling, "event_time": NOW}).event == plain.event
        named = made({**sale, "event_id": f"checkout-{spelling}"})
        assert (named.conversion.event_id, named.conversion.order_id) == ("checkout-5001", "5001")


def test_a_global_id_of_something_else_is_no_order_of_that_number() -> None:
    sale = {**LEAST, "event_name": "checkout", "order_id": "gid://shopify/Product/5001"}
    assert made(sale).conversion.order_id == "gid://shopify/Product/5001"


@pytest.mark.parametrize(
    "changes",
    [
        {"event_name": "signup"},
        {"event_name": "checkout", "order_id": "5002"},
        {"event_name": "checkout", "event_id": "checkout-"},
    ],
)
def test_no_other_event_has_the_event_id_of_an_order(changes: dict[str, Any]) -> None:
    row = {**LEAST, "event_id": "checkout-5001", **changes}
    assert errors(row, "/event_data").keys() == {"/event_data/event_id"}


# --- addresses


@pytest.mark.parametrize(
    ("told", "page"),
    [
        (
            "https://shop.example/a?utm_source=pinterest&epik=dj0yJnU9b2JD&email=a%40b.example#x",
            "https://shop.example/a?utm_source=pinterest&epik=dj0yJnU9b2JD",
        ),
        ("https://ada:secret@shop.example:8443/a b", "https://shop.example:8443/a%20b"),
        ("https://shop.example/?utm_content=ada@example.com", "https://shop.example/"),
        ("mugs://product/1?token=x", "mugs://product/1"),
    ],
)
def test_of_a_pages_address_only_what_names_no_person_is_sent(told: str, page: str) -> None:
    assert made({**LEAST, "event_source_url": told}).event["event_source_url"] == page


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "https://shop.example/1/orders/secret/authenticate?key=k",
            "https://shop.example/1/orders",
        ),
        (
            "https://shop.example/account/activate/1/secret?utm_id=9",
            "https://shop.example/account?utm_id=9",
        ),
        ("https://shop.example/gift_cards/1/secret", "https://shop.example/gift_cards"),
        ("https://shop.example/cart/c/secret?key=k", "https://shop.example/cart"),
    ],
)
def test_no_private_token_is_in_the_address(url: str, told: str) -> None:
    assert made({**LEAST, "event_source_url": url}).event["event_source_url"] == told


def test_an_address_that_names_a_person_is_left_out() -> None:
    found = made({**LEAST, "event_source_url": "https://shop.example/u/ada%40example.com"})
    assert found.left_out == ("/event_source_url",)


def test_the_visit_is_what_page_and_click_id_tell() -> None:
    page = "https://shop.example/?utm_source=pinterest&utm_campaign_id=11"
    told = made({**LEAST, "event_source_url": page, "click_id": "dj0yJnU9b2JD"}).session
    assert (told.is_from_pinterest(), told.campaign_id, told.click_id) == (
        True,
        "11",
        "dj0yJnU9b2JD",
    )
    assert not made(LEAST).session.is_from_pinterest()


# --- problems


def test_every_bad_field_is_named_at_once() -> None:
    told = {
        "event_name": "purchase",
        "event_time": "never",
        "event_source_url": "shop",
        "opt_out": "perhaps",
        "language": "english",
        "nonsense": 1,
        "user_data": {
            "em": ["ada@example.com", {"a": 1}, True],
            "client_ip_address": "0.0.0.0",  # noqa: S104
            "click_id": ["a", "b"],
            "emails": "x",
        },
        "custom_data": {
            "currency": "EURO",
            "value": "-1",
            "num_items": 1.5,
            "contents": [{"id": "1", "quantity": "two", "price": 3}, "mug"],
            "order_id": "x" * 65,
        },
    }
    assert errors(told, "/event_data").keys() == {
        f"/event_data{pointer}"
        for pointer in (
            "/event_name",
            "/action_source",
            "/event_time",
            "/event_source_url",
            "/opt_out",
            "/language",
            "/nonsense",
            "/user_data/em/1",
            "/user_data/em/2",
            "/user_data/client_ip_address",
            "/user_data/click_id/1",
            "/user_data/emails",
            "/custom_data/currency",
            "/custom_data/value",
            "/custom_data/num_items",
            "/custom_data/contents/0/quantity",
            "/custom_data/contents/0/price",
            "/custom_data/contents/1",
            "/custom_data/order_id",
        )
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("value_1", 2),
        ("item_price_1", "free"),
        ("em_1000", "a@b.example"),
        ("app_info", "x"),
        ("device_info", {"cpu_cores": "six"}),
        ("app_info", {"ada@example.com": 1}),
        ("user_data", "x"),
        ("custom_data", [1]),
        ("search_string", "a\x00b"),
        ("order_id", "ada@example.com"),
        ("event_id", "two words"),
        ("client_ip_address", "localhost"),
        ("customer_type", "old"),
    ],
)
def test_a_column_that_cannot_be_used_is_named(column: str, value: Any) -> None:
    (pointer,) = errors({**LEAST, column: value})
    assert pointer.startswith(f"/{column}")


def test_a_name_that_may_be_a_person_is_not_repeated() -> None:
    assert errors({**LEAST, "ada@example.com": 1}, "/event_data").keys() == {"/event_data"}
    assert errors({**LEAST, "a/b~c": 1}).keys() == {""}


def test_more_values_than_anybody_has_are_a_problem() -> None:
    emails = [f"a{n}@example.com" for n in range(51)]
    assert errors({**LEAST, "em": emails}).keys() == {"/em/50"}
    assert errors({**LEAST, "content_ids": ["1"] * 1001}).keys() == {"/content_ids/1000"}
    goods = [{"id": str(n)} for n in range(1001)]
    assert errors({**LEAST, "contents": goods}).keys() == {"/contents/1000"}


def test_no_more_problems_are_named_than_anybody_reads() -> None:
    row = {**LEAST, **{f"column{n}": 1 for n in range(1000)}}
    assert len(errors(row)) == 100


# --- bodies


def test_an_event_may_stand_alone_or_under_event_data() -> None:
    bare = inbound_event_of(json.dumps(LEAST).encode(), POLICY, NOW)
    wrapped = inbound_event_of(json.dumps({"event_data": LEAST}).encode(), POLICY, NOW)
    assert bare == wrapped


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (b"[]", ""),
        (b'"x"', ""),
        (b'{"event_data": []}', "/event_data"),
        (b'{"event_data": {}, "test": true}', "/test"),
        (b'{"event_data": null}', "/event_data"),
    ],
)
def test_a_body_that_is_no_event_is_a_problem(body: bytes, pointer: str) -> None:
    with pytest.raises(ValidationError) as caught:
        inbound_event_of(body, POLICY, NOW)
    assert pointer in {fault.field for fault in caught.value.errors}


# --- whatever is told

SECRET = "zq-secret-zq"
_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.just(SECRET),
    st.lists(st.one_of(st.text(max_size=9), st.integers(), st.just(SECRET)), max_size=3),
    st.dictionaries(st.text(max_size=9), st.just(SECRET), max_size=2),
)
_NAMES = sorted({name for _, name, _, _ in FIELDS})
_TOLD = st.dictionaries(
    st.sampled_from([*_NAMES, "user_data", "custom_data", "em_1", "item_id", "item_price_2"]),
    _JUNK,
    max_size=6,
)
_PLAUSIBLE = st.lists(
    st.sampled_from([field for field in FIELDS if field[1] not in ("event_id", "contents")]),
    max_size=12,
    unique_by=lambda field: field[1],
)


@settings(max_examples=300)
@given(told=_TOLD, user=_TOLD, custom=_TOLD, is_named=st.booleans())
def test_any_input_is_a_valid_event_or_named_problems(
    told: dict[str, Any], user: dict[str, Any], custom: dict[str, Any], is_named: bool
) -> None:
    event = {**LEAST, "user_data": user, "custom_data": custom, **(told if is_named else {})}
    try:
        found = made(event)
    except ValidationError as error:
        assert SECRET not in str(error)
        for fault in error.errors:
            assert at(event, fault.field), fault.field
    else:
        for pointer in found.left_out:
            assert at(event, pointer), pointer


def at(tree: Any, pointer: str) -> bool:
    """Whether a pointer leads to something, or to a field that is missing in something."""
    steps = pointer.split("/")[1:]
    for n, step in enumerate(steps):
        if isinstance(tree, list):
            tree = tree[int(step)]
        elif isinstance(tree, dict) and step in tree:
            tree = tree[step]
        else:
            return n == len(steps) - 1
    return True


@settings(max_examples=150)
@given(told=_PLAUSIBLE, policy=st.sampled_from([POLICY, LIMIT]))
def test_both_forms_come_to_the_same_event_and_a_finished_one_to_itself(
    told: list[tuple[str, str, Any, Any]], policy: Policy
) -> None:
    event: dict[str, Any] = {"user_data": {}, "custom_data": {}}
    row: dict[str, Any] = {}
    for section, name, value, _ in [("user_data", "hashed_maids", "ab-1", []), *told]:
        (event[section] if section else event)[name] = value
        row[name] = value
    for form in (event, row):
        form.setdefault("event_name", "lead")
        form.setdefault("action_source", "web")
    found = made(event, policy)
    assert made(row, policy).event == found.event
    assert made(found.event, policy).event == found.event


# --- Placeholders and ids


PLACEHOLDER_IDS = ("\\N", "null", "undefined", "nan", "None", "(not set)", "0", "{epik}", "#N/A")


@pytest.mark.parametrize("text", PLACEHOLDER_IDS)
@pytest.mark.parametrize("name", ["order_id", "click_id"])
def test_a_placeholder_is_no_id_and_is_named(name: str, text: str) -> None:
    event = made({**LEAST, name: text})

    assert event.left_out == (f"/{name}",)
    sections = (event.event.get(section, {}) for section in ("user_data", "custom_data"))
    assert not any(name in section for section in sections)


@pytest.mark.parametrize("text", PLACEHOLDER_IDS)
def test_a_placeholder_identifies_no_person(text: str) -> None:
    event = made({**LEAST, "external_id": text})

    assert event.left_out == ("/external_id",)
    assert not event.conversion.identity.external_id


@pytest.mark.parametrize("text", ["5.90123E+12", "5,90123E+12", "6E+12", "6.1e12"])
@pytest.mark.parametrize("name", ["order_id", "event_id", "item_id"])
def test_an_id_that_a_spreadsheet_has_shortened_is_an_error(name: str, text: str) -> None:
    found = errors({**LEAST, name: text})

    assert [*found] == [f"/{name}"]
    assert "a spreadsheet has shortened this id" in found[f"/{name}"]


@pytest.mark.parametrize("text", ["undefined", "\\N", "{product_id}"])
def test_a_placeholder_is_no_product(text: str) -> None:
    event = made({**LEAST, "item_id": text, "item_name": "Mug"})

    assert event.left_out == ("/item_id",)
    assert event.event["custom_data"]["contents"] == [{"item_name": "Mug"}]


@pytest.mark.parametrize(
    "parse", [fields.EVENT["event_id"], fields.CUSTOM["order_id"], fields.CONTENT["id"]]
)
@given(st.from_regex(r"(?:[A-Za-z][A-Za-z_-]{0,31})?[1-9][A-Za-z0-9_-]{0,31}", fullmatch=True))
def test_a_plain_id_is_read_as_among_spaces_where_it_is_taken_for_none(
    parse: fields.Parser, plain: str
) -> None:
    assert parse(plain) == parse(f" {plain} ")
