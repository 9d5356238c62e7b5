"""Parsers for the fields of an inbound event, which accept what callers and exports write."""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode, urlsplit

from tracking.destinations.pinterest_schema import ACTION_SOURCES, EVENT_NAMES
from tracking.domain.client_ip import client_ip_of
from tracking.domain.conversion import event_id_of
from tracking.domain.language import language_of
from tracking.domain.money import amount, is_currency, rounded_amount, to_major, to_minor
from tracking.domain.order import order_id_in
from tracking.domain.placeholders import is_placeholder, names_nothing
from tracking.domain.session_reader import is_click_id
from tracking.domain.spreadsheet import SHORTENED, is_shortened, plain_id
from tracking.domain.web_text import has_email, query_pairs, without_private_tokens
from tracking.receive.event_input.times import unix_seconds

MAX_COUNT = 1_000_000_000
_EXACT = 2**53
_NAME_LIMIT, _TEXT_LIMIT, _LONG_LIMIT = 256, 1024, 8192
ORDER_ID_LIMIT = 64
LIMITED_USE = "LDP"
ORDER_EVENT_PREFIX = event_id_of("")
# Longer than any name, address or number of a person.
_PERSON_LIMIT = 512

_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ID = re.compile(r"[!-~]{1,128}")
# Ids as most systems write them: no mark to take off, no placeholder, no person. A test compares
# them with what the parsers make of any id.
_PLAIN_ID = re.compile(r"(?:[A-Za-z][A-Za-z_-]{0,31})?[1-9][A-Za-z0-9_-]{0,31}")
_INTEGER = re.compile(r"([0-9]{1,10})(?:\.0+)?")
_FLOAT = re.compile(r"(?=\.?[0-9])[0-9]{0,12}(\.[0-9]{0,40})?")
# A language that has no code of two letters, such as Filipino: fil-PH.
_LONGER_LANGUAGE = re.compile(r"[A-Za-z]{3}(?:[-_][A-Za-z0-9_-]*)?")
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}

Parser = Callable[[object], Any]


class Rejected(ValueError):
    """The field does not accept the value. The message says what the field accepts."""


class Dropped(ValueError):
    """The value is left out; the event is accepted without it."""


def text_of(value: object) -> str:
    """Returns a JSON string or number as text: an id of 5001 or 5001.0 is "5001".

    Raises:
        Rejected: the value is neither, or holds a control character.
    """
    if not isinstance(value, str):
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise Rejected("not a text")
    text = value.strip()
    if not text.isprintable() and _CONTROL.search(text):
        raise Rejected("holds a control character")
    return text


def seconds_of(value: object) -> int:
    """Seconds UTC from Unix time or ISO 8601; no zone means UTC.

    Raises:
        Rejected: the value is neither, or was rounded.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    seconds = unix_seconds(text_of(value))
    if seconds is None:
        raise Rejected("neither Unix time nor ISO 8601, such as 2026-11-29T16:00:00Z")
    return seconds


def decimal_text(value: Decimal, currency: str) -> str:
    """Returns the amount in Pinterest's form, with the currency's digits unless that rounds it."""
    rounded = to_major(to_minor(value, currency), currency)
    return rounded if Decimal(rounded) == value else format(value.normalize(), "f")


def personal_text(value: object) -> str:
    """Returns a text that may be hashed.

    Raises:
        Rejected: the value is not a text.
        Dropped: the text is longer than any name, address or number.
    """
    text = text_of(value)
    if len(text) > _PERSON_LIMIT:
        raise Dropped
    return text


def external_id_text(value: object) -> str:
    """An external id that may be hashed.

    Raises:
        Rejected: the value is not a text, or a spreadsheet has shortened it.
        Dropped: the text is longer than any id, or a placeholder.
    """
    return personal_text(_id_text(value))


def _text(limit: int) -> Parser:
    def parse(value: object) -> str:
        text = text_of(value)
        if len(text) > limit:
            raise Rejected(f"longer than {limit} characters")
        return text

    return parse


def _public_text(limit: int) -> Parser:
    """Returns a parser of texts that may be stored and sent.

    A placeholder and a text with an e-mail address are dropped.
    """
    parse_text = _text(limit)

    def parse(value: object) -> str:
        text: str = parse_text(value)
        if is_placeholder(text) or has_email(text):
            raise Dropped
        return text

    return parse


def _one_of(choices: Iterable[str]) -> Parser:
    accepted = tuple(choices)

    def parse(value: object) -> str:
        text = text_of(value).lower()
        if text not in accepted:
            raise Rejected(f"not one of: {', '.join(accepted)}")
        return text

    return parse


# What Pinterest's tag, Meta, Google and Shopify call the events that Pinterest counts.
_MEANT = {
    **{name.replace("_", ""): name for name in EVENT_NAMES},
    **dict.fromkeys(("purchase", "order", "sale", "checkoutcompleted"), "checkout"),
    **dict.fromkeys(("pageview", "pageviewed", "viewitem", "productviewed"), "page_visit"),
    **dict.fromkeys(("addtobasket", "productaddedtocart"), "add_to_cart"),
    **dict.fromkeys(("begincheckout", "checkoutstarted"), "initiate_checkout"),
    **dict.fromkeys(("signup", "completeregistration"), "signup"),
}
_parse_event_name = _one_of(EVENT_NAMES)


def _event_name(value: object) -> str:
    """Returns the name of an event.

    Raises:
        Rejected: it is none of Pinterest's; the message says which one is meant, if that is clear.
    """
    try:
        return str(_parse_event_name(value))
    except Rejected as error:
        meant = _MEANT.get(re.sub("[^a-z]", "", str(value).lower()))
        raise Rejected(f"{error}; did you mean {meant}?" if meant else str(error)) from None


def _id_text(value: object) -> str:
    """Returns an id as text, without the marks of a spreadsheet.

    Raises:
        Rejected: a spreadsheet has shortened it, and with it the ids of other rows.
        Dropped: it is a placeholder.
    """
    text = plain_id(repr(value) if isinstance(value, float) else text_of(value))
    if is_shortened(text):
        raise Rejected(SHORTENED)
    if names_nothing(text):
        raise Dropped
    return text


def _is_plain_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _PLAIN_ID.fullmatch(value) is not None


def _event_id(value: object) -> str:
    if _is_plain_id(value) and not value.startswith(ORDER_EVENT_PREFIX):
        return value
    text = _id_text(value)
    if text.startswith(ORDER_EVENT_PREFIX):
        text = event_id_of(order_id_in(text.removeprefix(ORDER_EVENT_PREFIX)))
    if not _ID.fullmatch(text) or has_email(text):
        raise Rejected("not 1 to 128 printable ASCII characters without spaces, nor an e-mail")
    return text


def _order_id(value: object) -> str:
    if _is_plain_id(value):
        return value
    text = _id_text(value)
    text = order_id_in(text)
    if len(text) > ORDER_ID_LIMIT or not text.isprintable() or has_email(text):
        raise Rejected(f"not an id of 1 to {ORDER_ID_LIMIT} printable characters, nor an e-mail")
    return text


def _click_id(value: object) -> str:
    text = _id_text(value)
    if len(text) > _TEXT_LIMIT or not text.isascii() or " " in text:
        raise Rejected("not the value of an _epik cookie or of epik= in an address")
    return text


def _boolean(value: object) -> bool:
    boolean = _BOOLEANS.get(str(value).strip().lower())
    if boolean is None:
        raise Rejected("neither true nor false")
    return boolean


def _opt_out_type(value: object) -> str:
    """Returns the only type of opting out that Pinterest knows, in its spelling.

    Raises:
        Rejected: it is another word, which may be meant as an opt-out.
        Dropped: it is a placeholder.
    """
    words = {word.strip().upper() for word in text_of(value).split(",")} - {""}
    if words == {LIMITED_USE}:
        return LIMITED_USE
    if words.isdisjoint({"TRUE", "YES"}) and all(map(names_nothing, words)):
        raise Dropped
    raise Rejected(f"not {LIMITED_USE}, the one type that Pinterest knows")


def _count(value: object) -> int:
    match = None if isinstance(value, bool) else _INTEGER.fullmatch(str(value).strip())
    if match is None or int(match[1]) > MAX_COUNT:
        raise Rejected(f"not a whole number from 0 to {MAX_COUNT}")
    return int(match[1])


def _amount(value: object) -> Decimal:
    if isinstance(value, str):
        value = value.strip()
    parsed = amount(value)
    if parsed is None and (isinstance(value, float) or _FLOAT.fullmatch(str(value))):
        parsed = rounded_amount(Decimal(str(value)))
    if parsed is None or parsed < 0:
        raise Rejected("not an amount of zero or more, such as 12.50")
    return parsed


def _currency(value: object) -> str:
    code = text_of(value).upper()
    if is_placeholder(code):
        raise Dropped
    if not is_currency(code):
        raise Rejected("not an ISO 4217 code such as USD")
    return code


def _language(value: object) -> str:
    text = text_of(value)
    if _LONGER_LANGUAGE.fullmatch(text):
        raise Dropped
    language = language_of(text)
    if not language:
        raise Rejected("not an ISO 639-1 code such as en")
    return language


def _ip(value: object) -> str:
    """Returns the public address of a browser.

    Raises:
        Rejected: it is no IP address, or the unspecified one.
        Dropped: it is one of a private network, or of this machine.
    """
    text = text_of(value)
    try:
        address = ip_address(text)
    except ValueError:
        raise Rejected("not an IP address") from None
    if address.is_unspecified:
        raise Rejected("the address of nobody")
    ip = client_ip_of(text)
    if not ip:
        raise Dropped
    return ip


def page_url(value: object) -> str:
    """Returns a URL up to a private token, with no more of its query than the parameters of the
    campaign and the click.

    Raises:
        Rejected: it is no absolute URL.
        Dropped: its path names a person.
    """
    text = text_of(value)
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if not has_host or not parts.scheme or len(text) > _LONG_LIMIT:
        raise Rejected("not an absolute address such as https://shop.example/page")
    if has_email(parts.path):
        raise Dropped
    host = parts.netloc.rpartition("@")[2]
    path = quote(without_private_tokens(parts.path), safe="/%!$&'()*+,;=:@~")
    kept: dict[str, str] = {}
    for name, parameter in query_pairs(text):
        is_campaign = name.startswith("utm_") and not is_placeholder(parameter)
        is_kept = is_campaign or (name == "epik" and is_click_id(parameter))
        if is_kept and not has_email(parameter):
            kept.setdefault(name, parameter)
    query = urlencode(kept, quote_via=quote)
    return f"{parts.scheme}://{host}{path}" + (f"?{query}" if query else "")


def _object(value: object) -> dict[str, Any]:
    """An object unchanged; the published schema checks its fields."""
    if not isinstance(value, Mapping):
        raise Rejected("not an object")
    if not all(isinstance(name, str) and PLAIN_NAME.fullmatch(name) for name in value):
        raise Rejected("holds a name that is no field's")
    return {name: field for name, field in value.items() if field is not None}


def content_id(value: object) -> str:
    """Returns the id of a product, as the catalogue has it.

    Raises:
        Rejected: it is no text, is too long, or was rounded by a spreadsheet.
        Dropped: it is a placeholder, or holds an e-mail address.
    """
    if _is_plain_id(value):
        return value
    text = _id_text(value)
    if len(text) > _TEXT_LIMIT:
        raise Rejected(f"longer than {_TEXT_LIMIT} characters")
    if has_email(text):
        raise Dropped
    return text


# Texts in these objects may hold a user agent.
object_text: Parser = _public_text(16_384)
OBJECTS = ("app_info", "device_info")


def _parsers(parse: Parser, names: str) -> dict[str, Parser]:
    return dict.fromkeys(names.split(), parse)


# The parser of each field. Personal data is hashed where its country is known.
EVENT: Mapping[str, Parser] = {
    "event_name": _event_name,
    "action_source": _one_of(ACTION_SOURCES),
    "event_time": seconds_of,
    "event_id": _event_id,
    "event_source_url": page_url,
    **_parsers(_boolean, "opt_out wifi"),
    "language": _language,
    **_parsers(_public_text(_NAME_LIMIT), "partner_name app_id app_name app_version os_version"),
    **_parsers(_public_text(_NAME_LIMIT), "device_brand device_carrier device_model device_type"),
    **dict.fromkeys(OBJECTS, _object),
}
USER: Mapping[str, Parser] = {
    "client_ip_address": _ip,
    "client_user_agent": _text(_LONG_LIMIT),
    "click_id": _click_id,
    "partner_id": _public_text(_TEXT_LIMIT),
    "customer_type": _one_of(("new", "returning")),
}
CUSTOM: Mapping[str, Parser] = {
    "currency": _currency,
    **_parsers(_amount, "value predicted_ltv"),
    "order_id": _order_id,
    "num_items": _count,
    **_parsers(
        _public_text(_TEXT_LIMIT), "search_string content_name content_category content_brand"
    ),
    "opt_out_type": _opt_out_type,
    **_parsers(_public_text(_NAME_LIMIT), "np external_measurement_id"),
    "external_measurement_vendor_id": _count,
}
CONTENT: Mapping[str, Parser] = {
    "id": content_id,
    **_parsers(_public_text(_TEXT_LIMIT), "item_name item_category item_brand"),
    "item_brand_id": _public_text(64),
    "item_price": _amount,
    "quantity": _count,
}
# What an event cannot be without: a placeholder there is an error, not a value left out.
# So is a word such as "true" that may be meant as an opt-out.
REQUIRED = frozenset({"event_name", "action_source", "event_time", "opt_out_type"})
AMOUNTS = frozenset({"value", "predicted_ltv", "item_price"})


def minor_units(value: Decimal | None, currency: str) -> int:
    """Returns the amount in minor units; 0 if the currency is not known."""
    return to_minor(value, currency) if value is not None and currency else 0


def sum_of_items(contents: Iterable[Mapping[str, Any]], currency: str) -> str | None:
    """Returns the sum of price and quantity of finished products; None if a price is missing."""
    total = Decimal(0)
    for content in contents:
        if "item_price" not in content:
            return None
        total += Decimal(content["item_price"]) * content.get("quantity", 1)
    return decimal_text(total, currency)
