"""The visit that an event of the pixel belongs to, and the touch that it is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

from tracking.domain.attribution import Kind, Touch
from tracking.domain.conversion import Policy
from tracking.domain.identity import CLIENT, digest, identity_key
from tracking.domain.placeholders import is_macro, names_nothing
from tracking.domain.referrers import is_passed_through, source_of
from tracking.domain.session import Session
from tracking.domain.session_reader import session_from
from tracking.domain.web_text import bare_name, query_pairs, reported_path
from tracking.receive.pixel.schema import (
    Checkout,
    Clock,
    Document,
    EventHeader,
    Location,
    RawBatch,
    RawEvent,
    seconds_of,
    text_of,
)

_OLDEST_VISIT = 30 * 86_400
_URL_LIMIT = 16_384
_VALUE_LIMIT = 1024
_MOST_PARAMETERS = 50

# The storefront's own cart token has a secret key after it, the one in the order has not.
_TOKEN = re.compile(r"(?:gid://shopify/[A-Za-z]{1,40}/)?([A-Za-z0-9_.:=-]{16,128})(?:\?.*)?")
_CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{8,128}")
_CART_IN_PATH = re.compile(r"/checkouts/cn/([^/?#]+)")
_PAGE = re.compile(
    r"(?P<scheme>https?://)(?:[^/?#\\@]*@)?(?P<host>[A-Za-z0-9.-]{1,253})(?P<port>:[0-9]{1,5})?"
    r"(?P<path>(?:/[^?#]*)?)(?:[?#]|\Z)",
    re.IGNORECASE,
)

# The parameters of a link, and the session's fields that they fill.
_LINK: Mapping[str, str] = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "utm_campaign_id": "campaign_id",
    "utm_pin_id": "pin_id",
    "utm_ad_id": "ad_id",
    "utm_term": "term",
    "utm_content": "content",
    "epik": "click_id",
}
_LINK_NAMES = _LINK.keys() | {"utm_id"}
# Visitor and time have fields of their own, where they are checked.
_CHECKED_SEPARATELY = frozenset({"pin_vid", "pin_touch", "track_ai_timestamp"})


def token_key(kind: Literal["ck", "ca"], token: str) -> str:
    """Returns the identity key of a checkout ("ck") or a cart ("ca"); "" if it is no token.

    A token of fewer than 16 characters could be guessed.
    """
    whole = _TOKEN.fullmatch(token)
    return f"{kind}:{sha256(whole[1].encode()).hexdigest()[:32]}" if whole else ""


def client_key(client_id: object) -> str:
    """Returns the identity key of Shopify's id of a browser; "" if it is none."""
    text = text_of(client_id)
    if not _CLIENT_ID.fullmatch(text) or names_nothing(text.replace("-", "")):
        return ""
    hashed = digest(text)
    return identity_key(CLIENT, hashed) if hashed else ""


class VisitedPage(NamedTuple):
    """The page of an event.

    `url` is the part of it that may be sent to others, `parameters` and `link` are the campaign in
    its query, `referrer` is the host of another site.
    """

    url: str
    cart_token: str
    host: str
    parameters: Sequence[tuple[str, str]]
    link: Session
    referrer: str
    has_referrer: bool


def page_of(document: Document, own_hosts: frozenset[str]) -> VisitedPage:
    """Returns the page of an event from its URL and referrer."""
    href = text_of((document.location or Location()).href, _URL_LIMIT)
    referrer = text_of(document.referrer, _URL_LIMIT)
    parameters = [(name, value) for name, value in query_pairs(href) if name in _LINK_NAMES]
    link = session_from(parameters)
    match = _PAGE.match(href)
    if match is None:
        site = _other_site(referrer, "", own_hosts)
        return VisitedPage("", "", "", parameters, link, site, bool(referrer))
    host, path = match["host"].lower(), match["path"]
    origin = f"{match['scheme'].lower()}{host}{match['port'] or ''}"
    cart = _CART_IN_PATH.search(path)
    return VisitedPage(
        url=origin + reported_path(path) + _reported_query(link),
        cart_token=cart[1] if cart else "",
        host=host,
        parameters=parameters,
        link=link,
        referrer=_other_site(referrer, host, own_hosts),
        has_referrer=bool(referrer),
    )


def is_ambiguous(page: VisitedPage) -> bool:
    """Returns True if the link to a page names a parameter twice."""
    return len({name for name, _ in page.parameters}) < len(page.parameters)


def unfilled_in(page: VisitedPage) -> str:
    """Returns the parameters of the link to a page that hold a template's variable."""
    return " ".join(dict.fromkeys(name for name, value in page.parameters if is_macro(value)))


def tokens_of(checkout: Checkout, batch: RawBatch, page: VisitedPage) -> tuple[str, ...]:
    """Returns the identity keys of the checkout and of the cart it was made of."""
    notes = islice(checkout.attributes or (), _MOST_PARAMETERS)
    noted = (note.value for note in notes if note and _is_cart_token(note.key))
    carts = (token_key("ca", text_of(cart)) for cart in (batch.cart_token, page.cart_token, *noted))
    keys = (token_key("ck", text_of(checkout.token)), next(filter(None, carts), ""))
    return tuple(filter(None, keys))


def _is_cart_token(name: object) -> bool:
    return bare_name(text_of(name)) == "cart_token"


def _reported_query(link: Session) -> str:
    pairs = [(name, text) for name, field in _LINK.items() if (text := getattr(link, field))]
    return "?" + urlencode(pairs, quote_via=quote) if pairs else ""


def _other_site(url: str, host: str, own_hosts: frozenset[str]) -> str:
    """Returns the host of the page before; "" if it is no source.

    On a checkout page of the Shop app the page before is the shop's own.
    """
    return "" if is_passed_through(host) else source_of(url, (host, *own_hosts))


def session_and_touch_of(
    header: EventHeader,
    raw_session: Mapping[str, object],
    page: VisitedPage,
    clock: Clock,
    landings: Iterable[VisitedPage],
    policy: Policy,
) -> tuple[Session, Touch | None]:
    """Returns the session that brought the visitor, and its touch if its time is known.

    `landings` are the pages of the call whose link names a parameter twice.
    `began` is by the browser's clock, as the touch's key must be: another call about the same visit
    may correct that clock by another second.
    """
    parameters = _read_alike(_session_parameters(raw_session), landings)
    before = text_of(raw_session.get("referrer"), _URL_LIMIT)
    referrer = _other_site(before, page.host, policy.own_hosts)
    began = _landed_at(raw_session.get("landed_at"), header.told_at)
    is_page = header.name == "page_viewed"
    if not raw_session or (is_page and _is_another(page.link, session_from(parameters))):
        parameters, referrer, began = page.parameters, page.referrer, None
    if is_page and began is None and _is_arrival(page, has_session=bool(raw_session)):
        began = header.told_at
    if began is None:
        return session_from(parameters, referrer), None
    at = min(clock.corrected(began), header.at)
    session = session_from([*parameters, ("pin_touch", str(at))], referrer)
    return session, _click(header.visitor, began, at, session, policy.pinterest_media)


def _session_parameters(raw_session: Mapping[str, object]) -> Sequence[tuple[str, str]]:
    return [
        (name, text_of(value, _VALUE_LIMIT))
        for name, value in islice(raw_session.items(), _MOST_PARAMETERS)
        if bare_name(name) not in _CHECKED_SEPARATELY
    ]


def _read_alike(
    parameters: Sequence[tuple[str, str]], landings: Iterable[VisitedPage]
) -> Sequence[tuple[str, str]]:
    """Returns the parameters of a session as its landing page is read here.

    A link may name a parameter twice, and a pixel from before it did as we do took the last value.
    """
    told = session_from(parameters)
    for page in landings:
        values: dict[str, set[Any]] = {}
        for pair in page.parameters:
            for field, value in _fields_of(session_from([pair])):
                values.setdefault(field, set()).add(value)
        link = _fields_of(page.link)
        if link and all(getattr(told, field) in values[field] for field, _ in link):
            return [*page.parameters, *parameters]
    return parameters


def _fields_of(session: Session) -> list[tuple[str, Any]]:
    return [(field, getattr(session, field)) for field, _ in session.origins]


def _landed_at(value: object, at: int) -> int | None:
    landed = seconds_of(value)
    return landed if landed is not None and at - _OLDEST_VISIT <= landed <= at else None


def _is_another(link: Session, session: Session) -> bool:
    """Returns True if a link names another visit than the session: a new one begins here."""
    # An address here is whole: what could be the rest of a click id elsewhere is none.
    names = (field for field, _ in link.origins if field != "is_click_cut")
    return any(getattr(link, field) != getattr(session, field) for field in names)


def _is_arrival(page: VisitedPage, *, has_session: bool) -> bool:
    """Returns True if a visit begins on a page: by a link, from another site, or directly."""
    return bool(page.link.origins or page.referrer) or not (page.has_referrer or has_session)


def _click(visitor: str, began: int, at: int, session: Session, media: frozenset[str]) -> Touch:
    values = (getattr(session, field) for field in _TOUCH_FIELDS)
    key = _key("visit", visitor, str(began), *values, session.referrer)
    is_pinterest = session.is_from_pinterest(media)
    return _touch("click", key, at, visitor, session, is_pinterest=is_pinterest)


def ad_view_of(header: EventHeader, event: RawEvent) -> Touch:
    """Returns the touch of an ad that was viewed."""
    parameters = [
        (f"utm_{name.lower().removeprefix('utm_')}", text_of(value, _VALUE_LIMIT))
        for place in (event.custom_data, event.data)
        if isinstance(place, dict)
        for name, value in islice(place.items(), _MOST_PARAMETERS)
    ]
    key = _key("view", header.visitor, header.event_id)
    # Only views of Pinterest's own ads are reported.
    session = session_from(parameters)
    return _touch("view", key, header.at, header.visitor, session, is_pinterest=True)


_TOUCH_FIELDS = ("source", "medium", "campaign", "campaign_id", "pin_id", "ad_id", "click_id")


def _touch(
    kind: Kind, key: str, at: int, visitor: str, session: Session, *, is_pinterest: bool
) -> Touch:
    return Touch(
        key=key,
        at=at,
        kind=kind,
        is_pinterest=is_pinterest,
        is_direct=kind == "click" and session.is_direct,
        visitor=visitor,
        **{field: getattr(session, field) for field in _TOUCH_FIELDS},
    )


def _key(kind: str, *parts: str) -> str:
    content = "\0".join(parts).encode()
    return f"{kind}:{sha256(content).hexdigest()[:24]}"
