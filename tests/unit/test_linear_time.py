"""No text that others write costs more than its length: twice the text, about twice the time."""

import gc
import io
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from api.auth import bears_token
from server.request_buffer import RequestBuffer
from tests.actors import NOW, order, refund
from tests.body_searches import mentions
from tests.pixel_events import CALLER, event
from tracking.domain.attribution import Rules
from tracking.domain.client_ip import client_ip_of
from tracking.domain.conversion import Policy
from tracking.domain.identity import hashed
from tracking.domain.language import language_of
from tracking.domain.money import amount
from tracking.domain.normalisers import FIELDS as PERSON
from tracking.domain.pinterest_traffic import is_pinterest_medium, is_pinterest_source
from tracking.domain.placeholders import is_placeholder, names_nothing
from tracking.domain.referrers import source_of
from tracking.domain.shopify_body import NotAnOrder, deleted_order_of
from tracking.domain.shopify_checkout import checkout_of
from tracking.domain.shopify_order import order_of
from tracking.domain.shopify_refund import refund_of
from tracking.domain.spreadsheet import is_shortened, plain_id, separator_named_by
from tracking.domain.validation import ValidationError
from tracking.domain.web_text import (
    has_email,
    parse_timestamp,
    query_pairs,
    reported_path,
    shop_origin_of,
    shop_page_of,
)
from tracking.receive.event_input import inbound_event_of
from tracking.receive.event_input.columns import column_of
from tracking.receive.imports.export_taxes import rates_in
from tracking.receive.imports.file_reader import ImportSource, UnreadableFile
from tracking.receive.imports.records import parse_records
from tracking.receive.imports.shopify_export import REQUIRED_COLUMNS
from tracking.receive.pixel import is_bot, pixel_batch_of
from tracking.receive.planner import Planner
from tracking.receive.privacy.subjects import shop_named_in
from tracking.receive.spend.amounts import WrongAmount, amount_of
from webhooks.signature import is_signed

MOST_GROWTH = 2.6
SHORTEST, LONGEST = 64, 16 * 1024
# A shorter time is mostly that of the call. A text that takes no longer than this, however it is
# made, is short enough: its length is bounded.
LEAST_SECONDS, SHORT_SECONDS = 0.0003, 0.002
EXPECTED = (NotAnOrder, ValidationError, UnreadableFile, WrongAmount, ValueError)

PLANNER = Planner({}, Policy(), Rules.of(30, 24), "last_touch")
# What an expression may try again from each place, or in each of several ways.
HOSTILE: Mapping[str, Callable[[int], str]] = {
    f"{unit}…{end}": partial(
        lambda unit, end, length: unit * (length // len(unit)) + end, unit, end
    )
    for unit, end in (
        *(
            ("a", ""),
            ("0", ""),
            (" ", "x"),
            (" ", "1"),
            (".", "x"),
            ("-", ""),
            ("_", "x"),
            ("/", ""),
        ),
        *(
            ("@", ""),
            ("%", ""),
            ("{", ""),
            ("{", "}"),
            ("(", "x"),
            ('"', "x"),
            ("'", "x"),
            ("=", ""),
        ),
        *(("a.", ""), ("a@", ""), ("a", "@b.c"), ("1 ", ""), ("1.", "x"), ("x1", ""), ("{a", "}")),
        *(
            ("%25", "40"),
            ("%7b", "%7d"),
            ("&a=1", ""),
            ("?epik=", ""),
            ("//", ""),
            ("/orders/", ""),
        ),
        *(("A_", "__"), ("<%", ""), ("pinterestads", "!"), ("3ds.", ""), (",", ""), ("1,000", "x")),
        *(("\u0301\u0327", ""), ("\ufdfa", ""), ("(0", ""), ("\u2019", "x"), ("0", ".")),
        ('"country_code":"US"', ""),
    )
}


def spoiled(tree: Any, text: str, kept: frozenset[str] = frozenset()) -> Any:
    """A body with this text in place of every text in it, and behind the query of each address."""
    if isinstance(tree, dict):
        return {k: v if k in kept else spoiled(v, text, kept) for k, v in tree.items()}
    if isinstance(tree, list):
        return [spoiled(value, text, kept) for value in tree]
    if isinstance(tree, str):
        return f"{tree}?utm_campaign={text}&epik={text}" if tree.startswith("http") else text
    return tree


def raw(tree: Any) -> bytes:
    return json.dumps(tree).encode()


NEEDED = frozenset({"created_at", "currency", "currencyCode", "total_price", "name", "timestamp"})
ORDER = order(
    tags="", note_attributes=[{"name": "utm_campaign", "value": "x"}, {"name": "x", "value": "x"}]
)
ROW = {"event_name": "checkout", "action_source": "web", "event_time": str(NOW), "value": "1"}
TEXT_FIELDS = ("em", "ph", "click_id", "event_source_url", "content_ids", "order_id", "event_id")


def record_order(text: str) -> None:
    body = spoiled(ORDER, text, NEEDED) | {"landing_site": f"/?utm_campaign={text}&epik={text}"}
    PLANNER.facts_of(order_of(raw(body)))


def record_notes(text: str) -> None:
    notes = [{"name": f"n{n}", "value": "x"} for n in range(len(text) // 32)]
    notes += [{"name": "pin_consent", "value": text}]
    PLANNER.facts_of(order_of(raw(order(note_attributes=notes))))


def record_lists(text: str) -> None:
    count = len(text) // 256
    (line,) = order()["line_items"]
    refunds = [refund(id=7_000 + n) for n in range(count)]
    order_of(raw(order(line_items=[line] * count, refunds=refunds)))


def record_refund(text: str) -> None:
    money = {"shop_money": {"amount": text, "currency_code": text}}
    body = spoiled(refund(), text, NEEDED) | {"order_id": 1, "total_duties_set": money}
    with suppress(*EXPECTED):
        refund_of(raw(body))
    refund_of(b'{"id":1,"shop_money":{"amount":' + text.encode())


def record_checkout(text: str) -> None:
    checkout_of(raw(spoiled(ORDER, text) | {"token": text, "abandoned_checkout_url": text}))


def take_call(text: str) -> None:
    events = [spoiled(event(name), text, NEEDED) for name in ("page_viewed", "checkout_started")]
    events[0]["session"] = {"utm_campaign": text, "epik": text, text: text}
    client = CALLER.__class__(text, text, text)
    pixel_batch_of(raw({"events": events, "cart": text}), client, Policy(), NOW)


def take_event(text: str) -> None:
    for name in ("app_name", "device_info", *TEXT_FIELDS):
        value = {"brand": text} if name == "device_info" else text
        with suppress(*EXPECTED):
            inbound_event_of(raw({**ROW, name: value}), Policy(), NOW)
    inbound_event_of(raw({**ROW, text: text}), Policy(), NOW)


def take_lines(content: str) -> None:
    source = ImportSource(io.BytesIO(content.encode("utf-8", "replace")))
    list(parse_records(source, Policy(), NOW))


def import_row(text: str) -> None:
    cells = ",".join('"' + text.replace('"', '""') + '"' for _ in TEXT_FIELDS)
    take_lines(f"{','.join(ROW)},{','.join(TEXT_FIELDS)}\n{','.join(ROW.values())},{cells}\n")


def import_json(text: str) -> None:
    take_lines(json.dumps(ROW | dict.fromkeys(TEXT_FIELDS, text) | {text: "x"}) + "\n")


def import_header(text: str) -> None:
    take_lines(f"{','.join(ROW)},{text}\n")


def import_order(text: str) -> None:
    names = [*REQUIRED_COLUMNS, "Paid at", "Tax 1 Name", "Note Attributes", "Billing Name", "Tags"]
    cells = ['"' + text.replace('"', '""') + '"'] * len(names)
    take_lines(f"{','.join(names)}\n{','.join(cells)}\n")


def arrive(text: str) -> None:
    head = b"POST / HTTP/1.1\r\nX: " + text.encode()[:60_000]
    buffer = RequestBuffer()
    for start in range(0, len(head), 512):
        buffer.add(head[start : start + 512])
    buffer.add(b"\r\n\r\n")


def search_body(text: str) -> None:
    mentions(text.encode(), {"em:none"}, {"none"})


PARSERS: Mapping[str, Callable[[str], object]] = {
    "an order": record_order,
    "an order's notes": record_notes,
    "an order's lists": record_lists,
    "a refund": record_refund,
    "a checkout": record_checkout,
    "a deletion": lambda text: deleted_order_of(raw({"id": text})),
    "a privacy body": lambda text: shop_named_in(raw({"shop_domain": text, text: text})),
    "a quarantined body": search_body,
    "a call of the pixel": take_call,
    "an event": take_event,
    "an imported row": import_row,
    "an imported line": import_json,
    "a file's header": import_header,
    "an exported order": import_order,
    "a file's separator": separator_named_by,
    "a request's head": arrive,
    "a signature": lambda text: is_signed(b"x", text, [b"secret"]),
    "a token": lambda text: bears_token(f"Bearer {text}", [b"token"]),
    **{f"a person's {field}": partial(hashed, field, country="US") for field in PERSON},
    "a Mexican phone": partial(hashed, "ph", country="MX"),
    "a query": lambda text: query_pairs(f"/?utm_campaign={text}"),
    "a page": lambda text: reported_path(shop_page_of(text)[1]),
    "an origin": lambda text: shop_origin_of(f"https://{text}"),
    "a referrer": lambda text: source_of(f"https://{text}", ("shop.example",)),
    "a source": is_pinterest_source,
    "a medium": is_pinterest_medium,
    "a text": has_email,
    "a placeholder": is_placeholder,
    "an id": names_nothing,
    "a cell": plain_id,
    "a number": is_shortened,
    "an amount": amount,
    "an amount spent": lambda text: amount_of(text, "USD"),
    "a rate": lambda text: rates_in([text]),
    "a column": column_of,
    "a date": parse_timestamp,
    "a language": language_of,
    "an address of the net": client_ip_of,
    "a user agent": is_bot,
}


def seconds(parse: Callable[[str], object], text: str, runs: int) -> float:
    """The least processor time of some runs, which other work on the machine does not lengthen."""
    return min(_seconds(parse, text) for _ in range(runs))


def _seconds(parse: Callable[[str], object], text: str) -> float:
    begun = time.thread_time()
    with suppress(*EXPECTED):
        parse(text)
    return time.thread_time() - begun


def least_ratio(parse: Callable[[str], object], shorter: str, longer: str) -> float:
    """How many times as long the longer text takes, the least of some comparisons."""
    return min(seconds(parse, longer, 3) / seconds(parse, shorter, 3) for _ in range(9))


def growth(parse: Callable[[str], object], hostile: Callable[[int], str]) -> float:
    """The most by which the time grows when the text becomes twice as long."""
    length, most, is_shown = SHORTEST, 0.0, False
    before = seconds(parse, hostile(length), runs=1)
    while length < LONGEST and not (is_shown and before >= SHORT_SECONDS):
        text = hostile(2 * length)
        took = seconds(parse, text, runs=1)
        is_shown = is_shown or before >= LEAST_SECONDS
        if before >= LEAST_SECONDS and took > max(SHORT_SECONDS, MOST_GROWTH * before):
            # It may have been a page fault, or a cache that others fill. Where memory is taken in
            # another way from some length on, the time grows more than its share, but only once.
            again = (least_ratio(parse, hostile(n), hostile(2 * n)) for n in (length, 2 * length))
            most = max(most, min(again))
        length, before = 2 * length, took
    return most


@pytest.fixture(scope="module", autouse=True)
def without_garbage_collection() -> Any:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("parser", PARSERS)
def test_twice_the_text_takes_about_twice_the_time(parser: str) -> None:
    slow = {
        name: round(grown, 1)
        for name, hostile in HOSTILE.items()
        if (grown := growth(PARSERS[parser], hostile)) > MOST_GROWTH
    }
    assert slow == {}
