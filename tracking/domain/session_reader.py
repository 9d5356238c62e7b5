"""Reads the session out of an order, a visit that Shopify recorded, or an event of the pixel.

All of it was written by a browser: it is evidence, checked for its shape, and what does not fit is
left out. No e-mail address passes: a text that holds one is dropped whole.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tracking.domain.order import Order, is_without_visit
from tracking.domain.placeholders import is_macro, is_placeholder, names_nothing
from tracking.domain.referrers import source_of
from tracking.domain.session import (
    JOURNEY,
    LANDING,
    NOTES,
    PIXEL,
    REFERRING,
    Session,
    SessionFields,
    session_from_fields,
)
from tracking.domain.spreadsheet import is_shortened, plain_id
from tracking.domain.visitor import is_visitor_id
from tracking.domain.web_text import (
    bare_name,
    has_at_sign,
    has_email,
    host_of,
    parse_timestamp,
    printable,
    query_pairs,
    quoted,
    reported_path,
    shop_page_of,
)

# Shopify cuts landing_site at 255 characters. Live bodies show it; the margin is for what is
# trimmed or removed on the way here.
CUT_FROM = 250

_TEXT_LIMIT = 256
_ID_LIMIT = 64

_EPIK = re.compile(r"[A-Za-z0-9_\-=.~+/]{10,512}")
_EPIK_PREFIX = re.compile(r"[A-Za-z0-9_\-=.~+/]+")
_UTM_NAME = re.compile(r"utm_[a-z_]{1,32}")
_OPEN_BRACE = re.compile(r"(?:\{|%(?:25)*7[bB])(?!.*(?:\}|%(?:25)*7[dD]))")


def session_and_page_of(
    order: Order, own_hosts: frozenset[str] = frozenset()
) -> tuple[Session, str]:
    """Returns the session in the order itself, and the page it began on, as it may be sent.

    Each field is from the first place that has it: the order's note attributes, the query of its
    landing page, the query of its referrer. `fill_from_pixel` adds what only the pixel stored. An
    order that no visit led to has none, whatever was copied into it. `own_hosts` are the hosts of
    the shop's own pages, besides those that the order itself names.
    """
    if is_without_visit(order.source_name):
        return Session(), ""
    fields: SessionFields = {}
    _read(fields, NOTES, _NAMES, [(bare_name(name), value) for name, value in order.notes])
    query = _read_query(fields, LANDING, order.landing_site)
    _read_query(fields, REFERRING, order.referring_site)
    _read_referrer(fields, order, own_hosts)
    if order.session_hints:
        _read_hints(fields, order.session_hints)
    session = session_from_fields(fields)
    return session, _page_url(order, session, query)


def hints_of_visit(
    landing: str, referrer: str, utm: Iterable[tuple[str, str]], at: int | None
) -> tuple[tuple[str, str | int | bool, str], ...]:
    """Returns the fields of one visit that Shopify recorded, as `Order.session_hints`.

    Args:
        landing: the landing page.
        referrer: the site before it.
        utm: the `utm_*` names and values that Shopify read.
        at: when the visit was, in seconds UTC.
    """
    fields: SessionFields = {}
    _read_query(fields, JOURNEY, landing)
    _read(fields, JOURNEY, _QUERY_NAMES, utm)
    if host := source_of(referrer, (host_of(landing),)):
        fields["referrer"] = (host, JOURNEY)
    if fields and at is not None:
        fields["stamped_at"] = (at, JOURNEY)
    return tuple((field, value, origin) for field, (value, origin) in fields.items())


def session_from(
    pairs: Iterable[tuple[str, str]], referrer: str = "", own_hosts: Iterable[str] = ()
) -> Session:
    """Returns the session in names and values from the pixel or from a caller of the library.

    The names are those of note attributes, and none of the values was cut; `referrer` is the URL
    of the page before, which is no source if it is on one of the shop's `own_hosts`.
    """
    fields: SessionFields = {}
    _read(fields, PIXEL, _NAMES, ((bare_name(name), value) for name, value in pairs))
    if host := source_of(referrer, own_hosts):
        fields["referrer"] = (host, PIXEL)
    return session_from_fields(fields)


def campaign_of(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns the `utm_*` parameters of a query: of each name the first value that says something.

    A click id is not among them.
    """
    campaign: dict[str, str] = {}
    for name, value in query:
        is_known = name in _UTM_NAMES or _UTM_NAME.fullmatch(name)
        if is_known and name not in campaign and (text := _text(value)):
            campaign[name] = text
    return campaign


def _page_url(order: Order, session: Session, query: Iterable[tuple[str, str]]) -> str:
    """Returns the URL of the landing page, with no more of its query than utm_* and the click id.

    Everything else in a query may name a person or open a cart. Returns "" if the shop or the page
    is not known.
    """
    landing = order.landing_site
    origin, path = shop_page_of(landing, of_relative=order.origin) if landing else ("", "")
    if not origin:
        return ""
    pairs = [f"{name}={quoted(text)}" for name, text in campaign_of(query).items()]
    if session.click_id:
        pairs.append(f"epik={quoted(session.click_id)}")
    reported_query = "?" + "&".join(pairs) if pairs else ""
    return f"{origin}{reported_path(path)}{reported_query}"


def _read(
    fields: SessionFields, origin: str, names: Mapping[str, str], pairs: Iterable[tuple[str, str]]
) -> None:
    told = [*pairs]
    if "utm_id" in [name for name, _ in told]:
        # It is a campaign's id for want of utm_campaign_id only.
        told.sort(key=lambda pair: pair[0] == "utm_id")
    for name, text in told:
        field = names.get(name)
        if field is None or field in fields:
            continue
        value = _CLEANERS[field](text)
        if value:
            fields[field] = (value, origin)
        elif field == "click_id" and _is_cut_click_id(text):
            fields.setdefault("is_click_cut", (True, origin))
        elif origin != PIXEL and is_macro(text):
            _note_unfilled(fields, name, origin)


def _note_unfilled(fields: SessionFields, name: str, origin: str) -> None:
    """Adds a parameter to those that the first place with an unfilled macro left unfilled."""
    noted, first = fields.get("unfilled", ("", origin))
    if first == origin and name not in noted.split():
        fields["unfilled"] = (f"{noted} {name}".lstrip(), origin)


def _read_query(fields: SessionFields, origin: str, url: str) -> Sequence[tuple[str, str]]:
    if "?" not in url:
        return ()
    whole, is_click_cut = _without_cut_parameter(url)
    query = query_pairs(whole)
    _read(fields, origin, _QUERY_NAMES, query)
    if is_click_cut:
        fields.setdefault("is_click_cut", (True, origin))
    return query


def _read_referrer(fields: SessionFields, order: Order, own_hosts: frozenset[str]) -> None:
    if not order.referring_site:
        return
    own_host = order.origin.partition("//")[2]
    own = (own_host, *_host_of_page(order.landing_site), *own_hosts)
    if host := source_of(order.referring_site, own):
        fields["referrer"] = (host, REFERRING)


def _host_of_page(landing: str) -> tuple[str, ...]:
    """Returns the host of a landing page, if it is not a path alone."""
    return (host_of(landing),) if "//" in landing.partition("?")[0] else ()


def _without_cut_parameter(url: str) -> tuple[str, bool]:
    """Returns the URL without a last parameter that the cut may have made wrong, and True if that
    parameter was a click id.

    Half a campaign name still describes the campaign; half an id or half a time is another one, and
    half an e-mail address or half an unfilled macro is not recognised as one.
    """
    if len(url) < CUT_FROM or "#" in url:
        return url, False
    start = max(url.rfind("&"), url.rfind("?"))
    last = url[start + 1 :].removeprefix("amp;")
    field = _QUERY_NAMES.get(unquote(last.partition("=")[0]).strip().lower())
    is_wrong = field in _WRONG_IF_CUT or has_at_sign(last) or _OPEN_BRACE.search(last)
    if start < 0 or not is_wrong:
        return url, False
    return url[:start], field == "click_id"


def _text(value: str) -> str:
    """Returns at most 256 characters; "" if the text holds an e-mail address."""
    if value.isalnum():
        return "" if is_placeholder(value) else value[:_TEXT_LIMIT]
    text = printable(value).strip()
    if has_email(text):
        return ""
    return "" if is_placeholder(text) else text[:_TEXT_LIMIT]


def _id(value: str) -> str:
    # A shortened id would be the id of something else.
    text = _text(value)
    return text if len(text) <= _ID_LIMIT and not is_shortened(text) else ""


def _ad_id(value: str) -> str:
    """Returns the id of a campaign, pin or ad: links are made in spreadsheets, too."""
    text = plain_id(_id(value))
    return "" if names_nothing(text) else text


def is_click_id(value: str) -> bool:
    """Returns True if a text is a whole click id, in the encoding of a URL or without it."""
    return bool(_click_id(value))


def _click_id(value: str) -> str:
    # Some scripts copy the value out of the URL or cookie without decoding it.
    text = _decoded_epik(value)
    return text if _EPIK.fullmatch(text) and not names_nothing(text) else ""


def _is_cut_click_id(value: str) -> bool:
    text = _decoded_epik(value)
    return _EPIK_PREFIX.fullmatch(text) is not None and not names_nothing(text)


def _decoded_epik(value: str) -> str:
    return unquote(value.strip()) if "%" in value else value.strip()


def _visitor(value: str) -> str:
    text = value.strip()
    return text if is_visitor_id(text) else ""


def _read_hints(fields: SessionFields, session_hints: Iterable[tuple[str, Any, str]]) -> None:
    """Fills the fields that are missing; the time of a visit only with another field of it."""
    filled_from = set()
    for field, value, origin in session_hints:
        if field == "stamped_at":
            continue
        if field not in fields:
            fields[field] = (value, origin)
            filled_from.add(origin)
    for field, value, origin in session_hints:
        if field == "stamped_at" and field not in fields and origin in filled_from:
            fields[field] = (value, origin)


# The names of each field, in lower case and without leading underscores. Our pixel writes
# the pin_ ones, as private cart attributes (`__pin_epik`).
_NAMES: Mapping[str, str] = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "utm_campaign_id": "campaign_id",
    "utm_id": "campaign_id",
    "utm_pin_id": "pin_id",
    "utm_ad_id": "ad_id",
    "utm_term": "term",
    "utm_content": "content",
    "epik": "click_id",
    "track_ai_store_id": "store_id",
    "track_ai_pixel_id": "pixel_id",
    "track_ai_timestamp": "stamped_at",
    "pin_source": "source",
    "pin_medium": "medium",
    "pin_campaign": "campaign",
    "pin_campaign_id": "campaign_id",
    "pin_pin_id": "pin_id",
    "pin_ad_id": "ad_id",
    "pin_term": "term",
    "pin_content": "content",
    "pin_epik": "click_id",
    "pin_touch": "stamped_at",
    "pin_vid": "visitor",
}

# Without those of the pixel: a link that is passed on must not make one visitor of many people.
_QUERY_NAMES: Mapping[str, str] = {
    name: field for name, field in _NAMES.items() if not name.startswith("pin_")
}

# The names in nearly every link, which need no search with a pattern.
_UTM_NAMES = frozenset(name for name in _NAMES if name.startswith("utm_"))

# The cleaner of each field; a field that is empty afterwards counts as missing.
_CLEANERS: Mapping[str, Callable[[str], str | int | None]] = {
    **dict.fromkeys(("source", "medium", "campaign", "term", "content"), _text),
    **dict.fromkeys(("campaign_id", "pin_id", "ad_id"), _ad_id),
    **dict.fromkeys(("store_id", "pixel_id"), _id),
    "click_id": _click_id,
    "visitor": _visitor,
    "stamped_at": parse_timestamp,
}

_WRONG_IF_CUT = frozenset(field for field, clean in _CLEANERS.items() if clean is not _text)
