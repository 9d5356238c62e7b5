"""The fields of a Pinterest event, each read from what callers and exports write there."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tracking.destinations.pinterest_schema import ACTION_SOURCES, EVENT_NAMES
from tracking.domain.money import amount, is_currency, to_major, to_minor
from tracking.domain.web_text import query_of

MOST = 1_000_000_000
_EXACT = 2**53
_NAME_LIMIT, _TEXT_LIMIT, _LONG_LIMIT = 256, 1024, 8192
ORDER_ID_LIMIT = 64
# What no name, address or number of a person exceeds.
_PERSON_LIMIT = 512

_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ENCODED_AT = re.compile(r"%(?:25)*40")
_EMAIL = re.compile(r"[^\s@/?&=]@[^\s@/?&=]*\.[^\s@/?&=]")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ID = re.compile(r"[!-~]{1,128}")
_WHOLE = re.compile(r"([0-9]{1,10})(?:\.0+)?")
_ROUGH = re.compile(r"(?=\.?[0-9])[0-9]{0,12}(\.[0-9]{0,40})?")
_UNIX = re.compile(r"([0-9]{9,10})(?:\.[0-9]*)?")
_LANGUAGE = re.compile(r"([A-Za-z]{2})(?:[-_][A-Za-z0-9_-]*)?")
_SWITCH = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}

Reader = Callable[[object], Any]


class Rejected(ValueError):
    """Nothing the field takes. The message says what it takes, and nothing of the value."""


class Dropped(ValueError):
    """A value that is left out, and costs nothing else."""


def text_of(value: object) -> str:
    """The text of a JSON text or number: an id of 5001 or 5001.0 is "5001".

    Raises:
        Rejected: it is neither, or holds what no text should.
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
    """Seconds UTC of Unix seconds or ISO 8601; no zone means UTC.

    Raises:
        Rejected: it is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    text = text_of(value)
    if found := _UNIX.fullmatch(text):
        return int(found[1])
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise Rejected("neither Unix seconds nor ISO 8601") from None


def decimal_text(value: Decimal, currency: str) -> str:
    """The amount as Pinterest wants it, with the currency's digits where that loses nothing."""
    rounded = to_major(to_minor(value, currency), currency)
    return rounded if Decimal(rounded) == value else format(value.normalize(), "f")


def of_a_person(value: object) -> str:
    """A text that a digest may be made of.

    Raises:
        Rejected: it is no text.
        Dropped: it is longer than anything that names a person.
    """
    text = text_of(value)
    if len(text) > _PERSON_LIMIT:
        raise Dropped
    return text


def _printed(limit: int) -> Reader:
    def read(value: object) -> str:
        text = text_of(value)
        if len(text) > limit:
            raise Rejected(f"longer than {limit} characters")
        return text

    return read


def _words(limit: int) -> Reader:
    """A text that may be kept and told: with an e-mail address in it, it is left out."""
    printed = _printed(limit)

    def read(value: object) -> str:
        text: str = printed(value)
        if _names_a_person(text):
            raise Dropped
        return text

    return read


def _names_a_person(text: str) -> bool:
    if "@" not in text and "%" not in text:
        return False
    return _EMAIL.search(_ENCODED_AT.sub("@", text)) is not None


def _one_of(choices: Iterable[str]) -> Reader:
    accepted = tuple(choices)

    def read(value: object) -> str:
        text = text_of(value).lower()
        if text not in accepted:
            raise Rejected(f"not one of: {', '.join(accepted)}")
        return text

    return read


def _event_id(value: object) -> str:
    text = text_of(value)
    if not _ID.fullmatch(text) or _names_a_person(text):
        raise Rejected("not 1 to 128 printable ASCII characters without spaces, nor an e-mail")
    return text


def _order_id(value: object) -> str:
    text = text_of(value)
    if len(text) > ORDER_ID_LIMIT or not text.isprintable() or _names_a_person(text):
        raise Rejected(f"not an id of 1 to {ORDER_ID_LIMIT} printable characters, nor an e-mail")
    return text


def _click_id(value: object) -> str:
    text = text_of(value)
    if len(text) > _TEXT_LIMIT or not text.isascii() or " " in text:
        raise Rejected("not the value of an _epik cookie or of epik= in an address")
    return text


def _switch(value: object) -> bool:
    found = _SWITCH.get(str(value).strip().lower())
    if found is None:
        raise Rejected("neither true nor false")
    return found


def _whole(value: object) -> int:
    found = None if isinstance(value, bool) else _WHOLE.fullmatch(str(value).strip())
    if found is None or int(found[1]) > MOST:
        raise Rejected(f"not a whole number from 0 to {MOST}")
    return int(found[1])


def _amount(value: object) -> Decimal:
    if isinstance(value, str):
        value = value.strip()
    found = amount(value)
    if found is None and (isinstance(value, float) or _ROUGH.fullmatch(str(value))):
        # A sum of floats has a tail that nobody meant: 1.1 * 3 is 3.3000000000000003.
        found = amount(f"{Decimal(str(value)):.6f}")
    if found is None or found < 0:
        raise Rejected("not an amount of zero or more, such as 12.50")
    return found


def _currency(value: object) -> str:
    code = text_of(value).upper()
    if not is_currency(code):
        raise Rejected("not an ISO 4217 code such as USD")
    return code


def _language(value: object) -> str:
    found = _LANGUAGE.fullmatch(text_of(value))
    if not found:
        raise Rejected("not an ISO 639-1 code such as en")
    return found[1].lower()


def _ip(value: object) -> str:
    text = text_of(value)
    try:
        found = ip_address(text)
    except ValueError:
        raise Rejected("not an IP address") from None
    if found.is_unspecified:
        raise Rejected("the address of nobody")
    # A zone ("%eth0") means something on one machine only.
    return text.partition("%")[0]


def _page(value: object) -> str:
    """An address with nothing of its query but what tells of the campaign and the click."""
    text = text_of(value)
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if not has_host or not parts.scheme or len(text) > _LONG_LIMIT:
        raise Rejected("not an absolute address such as https://shop.example/page")
    if _names_a_person(parts.path):
        raise Dropped
    host = parts.netloc.rpartition("@")[2]
    path = quote(parts.path, safe="/%!$&'()*+,;=:@~")
    told = [(n, v) for n, v in query_of(text).items() if n.startswith("utm_") or n == "epik"]
    query = urlencode([(n, v) for n, v in told if not _names_a_person(v)], quote_via=quote)
    return f"{parts.scheme}://{host}{path}" + (f"?{query}" if query else "")


def _object(value: object) -> dict[str, Any]:
    """An object as it is; the published form says what may stand in it."""
    if not isinstance(value, Mapping):
        raise Rejected("not an object")
    if not all(isinstance(name, str) and PLAIN_NAME.fullmatch(name) for name in value):
        raise Rejected("holds a name that is no field's")
    return {name: one for name, one in value.items() if one is not None}


# Of the texts in such objects: they may hold the name of a browser.
plain: Reader = _words(16_384)
OBJECTS = ("app_info", "device_info")


def _each(read: Reader, names: str) -> dict[str, Reader]:
    return dict.fromkeys(names.split(), read)


# What each field takes. Digests of people are made where their country is known.
EVENT: Mapping[str, Reader] = {
    "event_name": _one_of(EVENT_NAMES),
    "action_source": _one_of(ACTION_SOURCES),
    "event_time": seconds_of,
    "event_id": _event_id,
    "event_source_url": _page,
    **_each(_switch, "opt_out wifi"),
    "language": _language,
    **_each(_words(_NAME_LIMIT), "partner_name app_id app_name app_version os_version"),
    **_each(_words(_NAME_LIMIT), "device_brand device_carrier device_model device_type"),
    **dict.fromkeys(OBJECTS, _object),
}
USER: Mapping[str, Reader] = {
    "client_ip_address": _ip,
    "client_user_agent": _printed(_LONG_LIMIT),
    "click_id": _click_id,
    "partner_id": _words(_TEXT_LIMIT),
    "customer_type": _one_of(("new", "returning")),
}
CUSTOM: Mapping[str, Reader] = {
    "currency": _currency,
    **_each(_amount, "value predicted_ltv"),
    "order_id": _order_id,
    "num_items": _whole,
    **_each(_words(_TEXT_LIMIT), "search_string content_name content_category content_brand"),
    **_each(_words(_NAME_LIMIT), "opt_out_type np external_measurement_id"),
    "external_measurement_vendor_id": _whole,
}
CONTENT: Mapping[str, Reader] = {
    **_each(_words(_TEXT_LIMIT), "id item_name item_category item_brand"),
    "item_price": _amount,
    "quantity": _whole,
}
AMOUNTS = frozenset({"value", "predicted_ltv", "item_price"})
content_id: Reader = CONTENT["id"]


def minor_units(value: Decimal | None, currency: str) -> int:
    """The amount in minor units; 0 where the currency is not known."""
    return to_minor(value, currency) if value is not None and currency else 0
