"""Extracts the session behind an order: its source, campaign and click id.

All of it was written by a browser: it is evidence, checked for its shape, and what does not fit is
left out. No e-mail address passes: a text that holds one is dropped whole.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from tracking.domain.order import Order
from tracking.domain.web_text import (
    EMAIL,
    ENCODED_AT,
    bare_name,
    has_address,
    host_of,
    instant_of_stamp,
    path_of_url,
    printable,
    query_of,
    quoted,
)

NOTES = "note_attributes"
LANDING = "landing_site"
REFERRING = "referring_site"
PIXEL = "pixel"
JOURNEY = "customer_journey"
_WEAKEST_FIRST = (JOURNEY, PIXEL, REFERRING, LANDING, NOTES)

# Shopify cuts landing_site at 255 characters. Live bodies show it; the margin is for what is
# trimmed or removed on the way here.
CUT_FROM = 250

_TEXT_LIMIT = 256
_ID_LIMIT = 64

# What scripts write where they have nothing to say.
_NOTHING = frozenset({"undefined", "null", "none", "(none)", "nan", "(not set)", "[object object]"})

_EPIK = re.compile(r"[A-Za-z0-9_\-=.~+/]{10,512}")
_EPIK_STUMP = re.compile(r"[A-Za-z0-9_\-=.~+/]+")
_VISITOR = re.compile(r"[A-Za-z0-9_-]{8,64}")
_UTM_NAME = re.compile(r"utm_[a-z_]{1,32}")


_SEPARATORS = str.maketrans("", "", " -_")
_PINTEREST_SOURCES = frozenset({"pinterest", "pinterestads", "pin"})
_PINTEREST_MEDIA = frozenset({"", "cpc", "ppc", "cpm", "paid", "paidsocial", "social"})
# Country sites are subdomains (in.pinterest.com) or domains (pinterest.de, .co.uk, .com.au).
# The last one is the Android app, whose referrer is android-app://com.pinterest/.
_PINTEREST_HOST = re.compile(
    r"(?:[a-z0-9-]+\.)*pinterest\.(?:com|[a-z]{2}|com?\.[a-z]{2})"
    r"|(?:www\.)?pin\.it"
    r"|com\.pinterest(?:\.twa)?"
)
_DIRECT_SOURCES = frozenset({"", "direct", "(direct)"})


class Session(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The session behind an order or an event; "" where a field is not known.

    `referrer` is a lower-case host, or the package of an Android app. `is_click_cut` means that a
    click id was seen which may be shortened: evidence of a click that must not be sent as one.
    `stamped_at` is when the visit was, in seconds UTC. `origins` are the origins of the fields
    (NOTES, LANDING, REFERRING, PIXEL or JOURNEY), sorted by field. `older` are the fields that only
    an older state of the order had, with the version of that state.
    """

    source: str = ""
    medium: str = ""
    campaign: str = ""
    campaign_id: str = ""
    pin_id: str = ""
    ad_id: str = ""
    term: str = ""
    content: str = ""
    click_id: str = ""
    visitor: str = ""
    referrer: str = ""
    store_id: str = ""
    pixel_id: str = ""
    is_click_cut: bool = False
    stamped_at: int | None = None
    origins: tuple[tuple[str, str], ...] = ()
    older: tuple[tuple[str, str], ...] = ()

    @property
    def is_pinterest(self) -> bool:
        """True if Pinterest brought the visitor: by a click, by its link's parameters, or as
        referrer."""
        return (
            bool(self.click_id)
            or self.is_click_cut
            or (_is_pinterest_source(self.source) and _is_pinterest_medium(self.medium))
            or _PINTEREST_HOST.fullmatch(self.referrer) is not None
        )

    @property
    def is_direct(self) -> bool:
        """True if nothing brought the visitor: no campaign, no click, no other site."""
        return self.source.lower() in _DIRECT_SOURCES and not (
            self.medium or self.campaign or self.click_id or self.is_click_cut or self.referrer
        )


def visit_of(order: Order) -> tuple[Session, str]:
    """Returns the session in the order itself, and the page it began on, as it may be sent.

    Each field is from the first place that has it: the order's note attributes, the query of its
    landing page, the query of its referrer. `fill_from_pixel` adds what only the pixel knows.
    """
    found: _Found = {}
    _read(found, NOTES, _NAMES, [(bare_name(name), value) for name, value in order.notes])
    query = _read_address(found, LANDING, order.landing_site)
    _read_address(found, REFERRING, order.referring_site)
    _read_referrer(found, order)
    if order.session_hints:
        _read_hints(found, order.session_hints)
    session = _session(found)
    return session, _page_url(order, session, query)


def hints_of_visit(
    landing: str, referrer: str, utm: Iterable[tuple[str, str]], at: int | None
) -> tuple[tuple[str, str | int | bool, str], ...]:
    """Returns what Shopify knows of one visit before an order, as `Order.session_hints`.

    Args:
        landing: the landing page.
        referrer: the site before it.
        utm: the `utm_*` names and values that Shopify read.
        at: when the visit was, in seconds UTC.
    """
    found: _Found = {}
    _read_address(found, JOURNEY, landing)
    _read(found, JOURNEY, _QUERY_NAMES, utm)
    host = host_of(referrer)
    if host and host.removeprefix("www.") != host_of(landing).removeprefix("www."):
        found["referrer"] = (host, JOURNEY)
    if found and at is not None:
        found["stamped_at"] = (at, JOURNEY)
    return tuple((field, value, origin) for field, (value, origin) in found.items())


def merge_states(newest: Session, version: str, other: Session, its_version: str) -> Session:
    """Merges the sessions of two states of an order, whichever of them became known first.

    Each field is from the strongest place that has it, and of one place from the newer state. An
    app that writes note attributes replaces all of them, so a newer state may lack what it was.
    `version` is that of the newest state.
    """
    words = _ranked_fields(newest, version)
    for field, word in _ranked_fields(other, its_version).items():
        if field not in words or words[field][:2] < word[:2]:
            words[field] = word
    found: _Found = {field: (value, origin) for field, (_, _, value, origin) in words.items()}
    origins = [origin for _, origin in found.values()]
    if origins.count(JOURNEY) == 1 and found.get("stamped_at", ("", ""))[1] == JOURNEY:
        # The time of a visit says something only of the visit that it was.
        del found["stamped_at"]
    session = _session(found)
    version_of = {field: words[field][1] for field in sorted(found)}
    older = tuple((field, one) for field, one in version_of.items() if one not in ("", version))
    return msgspec.structs.replace(session, older=older) if older else session


def _ranked_fields(session: Session, version: str) -> dict[str, tuple[int, str, Any, str]]:
    """Returns the rank of each field: its place, and the state of the order that it is from.

    What the pixel stored belongs to no state.
    """
    versions = dict(session.older)
    return {
        field: (
            _WEAKEST_FIRST.index(origin),
            "" if origin == PIXEL else versions.get(field, version),
            getattr(session, field),
            origin,
        )
        for field, origin in session.origins
    }


def fill_from_pixel(session: Session, stored: Session) -> Session:
    """An order's session, with what only the pixel `stored` under its checkout or cart token: it
    takes the place of what the pixel had stored before, and of what Shopify saw."""
    weaker = {field for field, origin in session.origins if origin in (JOURNEY, PIXEL)}
    missing = {
        name: getattr(stored, name)
        for name in _STORED_FIELDS
        if getattr(stored, name) and (name in weaker or not getattr(session, name))
    }
    if session.click_id:
        missing.pop("is_click_cut", None)
    if not missing:
        return session
    origins = {**dict(session.origins), **dict.fromkeys(missing, PIXEL)}
    if "click_id" in missing:
        missing["is_click_cut"] = False
        origins.pop("is_click_cut", None)
    older = tuple((field, version) for field, version in session.older if field not in missing)
    return msgspec.structs.replace(
        session, **missing, origins=tuple(sorted(origins.items())), older=older
    )


def session_from(pairs: Iterable[tuple[str, str]], referrer: str = "") -> Session:
    """Returns the session in names and values from the pixel or from a caller of the library.

    The names are those of note attributes, and none of the values was cut; `referrer` is the
    address of another site.
    """
    found: _Found = {}
    _read(found, PIXEL, _NAMES, ((bare_name(name), value) for name, value in pairs))
    host = host_of(referrer)
    if host:
        found["referrer"] = (host, PIXEL)
    return _session(found)


def _page_url(order: Order, session: Session, query: Mapping[str, str]) -> str:
    """The page the visit began on, with no more of its query than utm_* and the whole click id.

    Everything else in a query may name a person or open a cart. "" where the shop or the page
    is not known.
    """
    if not order.origin or not order.landing_site:
        return ""
    pairs = [
        f"{name}={quoted(text)}"
        for name, value in query.items()
        if (name in _UTM_NAMES or _UTM_NAME.fullmatch(name)) and (text := _text(value))
    ]
    if session.click_id:
        pairs.append(f"epik={quoted(session.click_id)}")
    shown = "?" + "&".join(pairs) if pairs else ""
    return f"{order.origin}{path_of_url(order.landing_site)}{shown}"


# Each field found so far, with the place it was found in.
_Found = dict[str, tuple[Any, str]]


def _session(found: _Found) -> Session:
    if "click_id" in found:
        found.pop("is_click_cut", None)
    values: dict[str, Any] = {}
    origins = []
    for field in sorted(found):
        values[field], origin = found[field]
        origins.append((field, origin))
    return Session(**values, origins=tuple(origins))


def _read(
    found: _Found, origin: str, names: Mapping[str, str], pairs: Iterable[tuple[str, str]]
) -> None:
    for name, text in pairs:
        field = names.get(name)
        if field is None or field in found:
            continue
        value = _CLEAN[field](text)
        if value:
            found[field] = (value, origin)
        elif field == "click_id" and _is_stump(text):
            found.setdefault("is_click_cut", (True, origin))


def _read_address(found: _Found, origin: str, address: str) -> Mapping[str, str]:
    if "?" not in address:
        return {}
    whole, is_click_cut = _uncut(address)
    query = query_of(whole)
    _read(found, origin, _QUERY_NAMES, query.items())
    if is_click_cut:
        found.setdefault("is_click_cut", (True, origin))
    return query


def _read_referrer(found: _Found, order: Order) -> None:
    host = host_of(order.referring_site)
    if host and not _is_own(host, order):
        found["referrer"] = (host, REFERRING)


def _uncut(address: str) -> tuple[str, bool]:
    """Returns the address without a last parameter that the cut may have made wrong, and whether
    that parameter was a click id.

    Half a campaign name still says something; half an id or half a time is another one, and half an
    e-mail address is not recognised as one.
    """
    if len(address) < CUT_FROM or "#" in address:
        return address, False
    start = max(address.rfind("&"), address.rfind("?"))
    last = address[start + 1 :].removeprefix("amp;")
    field = _QUERY_NAMES.get(unquote(last.partition("=")[0]).strip().lower())
    if start < 0 or not (field in _FALSE_IF_CUT or has_address(last)):
        return address, False
    return address[:start], field == "click_id"


def _text(value: str) -> str:
    """At most 256 characters; nothing where there is an e-mail address in any of them."""
    text = printable(value).strip()
    if ("@" in text or "%" in text) and EMAIL.search(ENCODED_AT.sub("@", text)):
        return ""
    return "" if text.lower() in _NOTHING else text[:_TEXT_LIMIT]


def _id(value: str) -> str:
    # A shortened id would be the id of something else.
    text = _text(value)
    return text if len(text) <= _ID_LIMIT else ""


def _click_id(value: str) -> str:
    # Some scripts copy the value out of the address or cookie without decoding it.
    text = _decoded_epik(value)
    return text if _EPIK.fullmatch(text) else ""


def _is_stump(value: str) -> bool:
    text = _decoded_epik(value)
    return _EPIK_STUMP.fullmatch(text) is not None and text.lower() not in _NOTHING


def _decoded_epik(value: str) -> str:
    return unquote(value.strip()) if "%" in value else value.strip()


def _visitor(value: str) -> str:
    text = value.strip()
    return text if _VISITOR.fullmatch(text) and text.lower() not in _NOTHING else ""


def _read_hints(found: _Found, session_hints: Iterable[tuple[str, Any, str]]) -> None:
    """Fill the gaps. The time of a visit is that of the visit which filled another field."""
    filled_from = set()
    for field, value, origin in session_hints:
        if field == "stamped_at":
            continue
        if field not in found:
            found[field] = (value, origin)
            filled_from.add(origin)
    for field, value, origin in session_hints:
        if field == "stamped_at" and field not in found and origin in filled_from:
            found[field] = (value, origin)


def _is_own(host: str, order: Order) -> bool:
    own = order.origin.removeprefix("https://")
    return host.removeprefix("www.") == own.removeprefix("www.")


def _is_pinterest_source(source: str) -> bool:
    text = source.strip().lower()
    return (
        text.translate(_SEPARATORS) in _PINTEREST_SOURCES
        or _PINTEREST_HOST.fullmatch(host_of(text)) is not None
    )


def _is_pinterest_medium(medium: str) -> bool:
    return medium.strip().lower().translate(_SEPARATORS) in _PINTEREST_MEDIA


# Every name that tells a field, in lower case and without leading underscores. Our pixel writes
# the pin_ ones, as private cart attributes (`__pin_epik`).
_NAMES: Mapping[str, str] = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "utm_campaign_id": "campaign_id",
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
# Not those of the pixel: a link that is passed on must not make one visitor of many people.
_QUERY_NAMES: Mapping[str, str] = {
    name: field for name, field in _NAMES.items() if not name.startswith("pin_")
}

# Those of nearly every link, known without a search.
_UTM_NAMES = frozenset(name for name in _NAMES if name.startswith("utm_"))

# How a field is read; what comes out empty was not there.
_CLEAN: Mapping[str, Callable[[str], str | int | None]] = {
    **dict.fromkeys(("source", "medium", "campaign", "term", "content"), _text),
    **dict.fromkeys(("campaign_id", "pin_id", "ad_id", "store_id", "pixel_id"), _id),
    "click_id": _click_id,
    "visitor": _visitor,
    "stamped_at": instant_of_stamp,
}
_FALSE_IF_CUT = frozenset(field for field, clean in _CLEAN.items() if clean is not _text)
_STORED_FIELDS = (*_CLEAN, "referrer", "is_click_cut")
