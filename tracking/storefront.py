"""What the pixel tells of a visitor: read, checked, and cleared of whoever it names.

The caller is anybody's browser. So an event is evidence of a visit and never a purchase, what
does not fit its place counts as missing, and nothing that names a person passes but as a digest.
The shapes are those of Shopify's web pixel events.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin
from urllib.parse import quote, urlencode

import msgspec

from tracking.attribution import Kind, Touch
from tracking.conversion import (
    EVENT_NAMES,
    MAX_CONTENTS,
    Content,
    ContentId,
    Conversion,
    Policy,
    Stage,
    is_limited,
)
from tracking.identity import Identity, identity_of
from tracking.invalid import Fault, Invalid
from tracking.money import amount, is_currency, to_major, to_minor
from tracking.order import Address, Buyer
from tracking.session import Consent, Session, query_of, session_from

MOST_EVENTS = 20

# Shopify's name of each event that is taken, and the stage of the funnel it stands for.
STAGE_OF: Mapping[str, Stage | None] = {
    "page_viewed": None,
    "product_viewed": "product_view",
    "product_added_to_cart": "add_to_cart",
    "checkout_started": "checkout_initiation",
    # It may never fire, and anybody can send it: the purchase is what the signed order says.
    "checkout_completed": None,
    "ad_viewed": None,
}
_CHECKOUTS = frozenset({"checkout_started", "checkout_completed"})

_OLDEST_EVENT = 86_400
# How far a visitor's clock may be ahead of ours.
_MOST_AHEAD = 300
_OLDEST_VISIT = 30 * 86_400

_ADDRESS_LIMIT = 16_384
_AGENT_LIMIT = 2048
_WORD_LIMIT = 1024
_TEXT_LIMIT = 256
_MOST_WORDS = 50
# What a cart of Shopify's can have.
_MOST_LINES = 500

# "checkout-" begins the event ids of orders, which no browser may take.
_EVENT_ID = re.compile(r"(?!checkout-)[A-Za-z0-9_.:-]{8,128}")
# What a script writes that has no id would make one visitor of all its visitors.
_VISITOR = re.compile(r"(?!undefined$)[A-Za-z0-9_-]{8,64}")
_QUANTITY = re.compile(r"([0-9]{1,6})(?:\.0+)?")
_UNIX = re.compile(r"([0-9]{10})(?:[0-9]{3})?(?:\.[0-9]*)?")
_GID = re.compile(r"(?:gid://shopify/[A-Za-z]{1,40}/)?([0-9]{1,20})(?:\?.*)?")
# The storefront's own cart token has a secret key after it, the one in the order has not.
_TOKEN = re.compile(r"(?:gid://shopify/[A-Za-z]{1,40}/)?([A-Za-z0-9_.:=-]{16,128})(?:\?.*)?")
_CART_IN_PATH = re.compile(r"/checkouts/cn/([^/?#]+)")

_ENCODED_AT = re.compile(r"%(?:25)*40")
_EMAIL = re.compile(r"@[^\s@]*\.[^\s@]")

_PAGE = re.compile(
    r"(?P<scheme>https?://)(?:[^/?#\\@]*@)?(?P<host>[A-Za-z0-9.-]{1,253})(?P<port>:[0-9]{1,5})?"
    r"(?P<path>(?:/[^?#]*)?)(?:[?#]|\Z)",
    re.IGNORECASE,
)
# Behind these parts of a path stand tokens that open a person's cart, account or gift card.
_PRIVATE = re.compile(r"/(?:account|cart|checkouts|gift_cards|invoices|orders)(?=/)", re.IGNORECASE)

# What a link may tell of the visit it begins.
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
# Who and when are told in their own places, where they are checked.
_ELSEWHERE = frozenset({"pin_vid", "pin_touch", "track_ai_timestamp"})

# The phones of CUBOT say "CUBOT", and HeadlessChrome is also how a shop watches its own pages.
_BOT = re.compile(
    r"(?<!cu)bot|crawl|spider|slurp|facebookexternalhit|preview|lighthouse|gtmetrix|pingdom"
    r"|curl/|python-|wget"
)


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who made the HTTP request, as far as the proxies in front are believed."""

    ip: str
    user_agent: str


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One event of the storefront. `at` is seconds UTC, `value` minor units of the conversion's
    currency.

    `tokens` are the links of the checkout and the cart ("ck:…", "ca:…"), `conversion` is the
    event as Pinterest would be told it; only an event of a `stage` has one.
    """

    event_id: str
    name: str
    at: int
    visitor: str
    stage: Stage | None
    session: Session
    touch: Touch | None
    consent: Consent
    identity: Identity
    tokens: tuple[str, ...]
    conversion: Conversion | None
    value: int
    is_bot: bool


class Call(msgspec.Struct, frozen=True, gc=False):
    """What one call told: its site key, what was seen, how many events the visitor did not allow
    to be counted, and what is wrong with the others."""

    key: str
    seen: tuple[Seen, ...]
    ignored: int
    refused: tuple[Fault, ...]


def call_of(body: bytes, caller: Caller, policy: Policy, received_at: int) -> Call:
    """What a body of the collector tells, received at an instant (seconds UTC).

    An event with a fault is refused alone; the fault's field is a JSON pointer into the body.

    Raises:
        Invalid: the body is not JSON, is no call, or has no event or more than MOST_EVENTS.
    """
    call, events = _told(body)
    seen: list[Seen] = []
    ignored = 0
    faults: dict[Fault, None] = {}
    for where, event in events:
        consent = _consent(call.consent if event.consent is None else event.consent)
        if consent is None:
            ignored += 1
            continue
        try:
            head = _head(where, event, call, received_at)
        except Invalid as error:
            faults |= dict.fromkeys(error.faults)
        else:
            seen.append(_seen(head, event, call, consent, caller, policy))
    return Call(_text(call.key), tuple(seen), ignored, tuple(faults))


def token_link(kind: Literal["ck", "ca"], token: str) -> str:
    """The link that stands for a checkout ("ck") or a cart ("ca"); "" if it is no token.

    Of fewer than 16 characters somebody could guess one.
    """
    found = _TOKEN.fullmatch(token)
    return f"{kind}:{sha256(found[1].encode()).hexdigest()[:32]}" if found else ""


def is_bot(user_agent: str) -> bool:
    """Whether it says of itself that it is a crawler, a link preview or a script."""
    return not user_agent.strip() or _BOT.search(user_agent.lower()) is not None


# What a body may hold where a text is expected.
_Text = str | int | float | bool | None


class _Location(msgspec.Struct, gc=False):
    href: _Text = None


class _Document(msgspec.Struct, gc=False):
    location: _Location | None = None
    referrer: _Text = None


class _Navigator(msgspec.Struct, gc=False, rename="camel"):
    user_agent: _Text = None


class _Context(msgspec.Struct, gc=False):
    document: _Document | None = None
    navigator: _Navigator | None = None


class _Money(msgspec.Struct, gc=False, rename="camel"):
    amount: _Text = None
    currency_code: _Text = None


class _Product(msgspec.Struct, gc=False):
    id: _Text = None
    title: _Text = None
    vendor: _Text = None


class _Variant(msgspec.Struct, gc=False):
    id: _Text = None
    sku: _Text = None
    price: _Money | None = None
    product: _Product | None = None


class _Cost(msgspec.Struct, gc=False, rename="camel"):
    total_amount: _Money | None = None


class _Line(msgspec.Struct, gc=False):
    """A line of the checkout has a `variant`, one of the cart `merchandise` and its `cost`."""

    quantity: _Text = None
    title: _Text = None
    variant: _Variant | None = None
    merchandise: _Variant | None = None
    cost: _Cost | None = None


class _Attribute(msgspec.Struct, gc=False):
    key: _Text = None
    value: _Text = None


class _Address(msgspec.Struct, gc=False, rename="camel"):
    first_name: _Text = None
    last_name: _Text = None
    city: _Text = None
    province_code: _Text = None
    zip: _Text = None
    country_code: _Text = None
    phone: _Text = None


class _Customer(msgspec.Struct, gc=False):
    id: _Text = None


class _Order(msgspec.Struct, gc=False):
    customer: _Customer | None = None


class _Checkout(msgspec.Struct, gc=False, rename="camel"):
    token: _Text = None
    currency_code: _Text = None
    subtotal_price: _Money | None = None
    total_price: _Money | None = None
    line_items: list[_Line | None] | None = None
    attributes: list[_Attribute | None] | None = None
    email: _Text = None
    phone: _Text = None
    billing_address: _Address | None = None
    shipping_address: _Address | None = None
    order: _Order | None = None


class _Data(msgspec.Struct, gc=False, rename="camel"):
    product_variant: _Variant | None = None
    cart_line: _Line | None = None
    checkout: _Checkout | None = None


_NAMES = {"client_id": "clientId", "custom_data": "customData"}


class _Event(msgspec.Struct, gc=False, rename=_NAMES):
    """An event as it came. What it holds is read by whoever knows what has to be there."""

    id: Any = None
    name: Any = None
    client_id: Any = None
    timestamp: Any = None
    context: Any = None
    data: Any = None
    custom_data: Any = None
    visitor: Any = None
    consent: Any = None
    session: Any = None


class _Call(_Event, gc=False, rename=_NAMES):
    """A call as it came. One event may stand in it or be it."""

    key: Any = None
    cart_token: Any = None
    events: Any = None


_S = TypeVar("_S", bound=msgspec.Struct)


def _told(body: bytes) -> tuple[_Call, list[tuple[str, _Event]]]:
    """The call, and each event with the JSON pointer to it."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(Fault("", "not JSON text in UTF-8")) from None
    if isinstance(tree, list):
        return _Call(), _events("", tree)
    if not isinstance(tree, dict):
        raise Invalid(Fault("", "neither a call nor a list of events"))
    call = _fitted(tree, _Call)
    if call.events is None and call.name is not None:
        return call, [("", call)]
    if isinstance(call.events, dict):
        return call, [("/events", _fitted(call.events, _Event))]
    return call, _events("/events", call.events)


def _events(where: str, events: Any) -> list[tuple[str, _Event]]:
    if not isinstance(events, list) or not 1 <= len(events) <= MOST_EVENTS:
        raise Invalid(Fault(where, f"not an event, nor a list of 1 to {MOST_EVENTS} of them"))
    return [(f"{where}/{n}", _fitted(event, _Event)) for n, event in enumerate(events)]


def _fitted(tree: object, struct: type[_S]) -> _S:
    """A tree as a struct. Whatever does not fit its place counts as missing."""
    try:
        return msgspec.convert(tree, struct)
    except msgspec.ValidationError:
        found = _fitting(tree, struct)
        return found if isinstance(found, struct) else struct()


def _fitting(tree: Any, kind: Any) -> Any:
    for one in get_args(kind) or (kind,):
        if get_origin(one) is list:
            if isinstance(tree, list):
                return [_fitting(item, *get_args(one)) for item in tree]
        elif not issubclass(one, msgspec.Struct):
            if isinstance(tree, one):
                return tree
        elif isinstance(tree, dict):
            fields = msgspec.structs.fields(one)
            return one(**{f.name: _fitting(tree.get(f.encode_name), f.type) for f in fields})
    return None


def _text(value: object, limit: int = _TEXT_LIMIT) -> str:
    """Text of a scalar without NUL, which no store can hold. "" if it is longer than it should
    be: half of an address or an id is another one."""
    if not isinstance(value, str):
        # JSON's true and false say nothing where text is expected.
        if not isinstance(value, int | float) or isinstance(value, bool):
            return ""
        value = str(value)
    text = value.replace("\x00", "").strip()
    return text if len(text) <= limit else ""


def _has_at(text: str) -> bool:
    return "@" in text or _ENCODED_AT.search(text) is not None


def _words(value: object) -> str:
    """A text that may be told to others: none with an e-mail address in it."""
    text = _text(value)
    return "" if _has_at(text) and _EMAIL.search(_ENCODED_AT.sub("@", text)) else text


def _digits(value: object) -> str:
    """The number of an id, be it bare or a `gid://`."""
    found = _GID.fullmatch(_text(value))
    return found[1] if found else ""


def _seconds(value: object) -> int | None:
    """Seconds UTC of ISO 8601 (no zone means UTC), Unix seconds or Unix milliseconds."""
    text = _text(value)
    if unix := _UNIX.fullmatch(text):
        return int(unix[1])
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        return None


# --- what every event must have


class _Head(NamedTuple):
    event_id: str
    name: str
    at: int
    visitor: str


def _head(where: str, event: _Event, call: _Call, received_at: int) -> _Head:
    if not isinstance(event.id, str) or not _EVENT_ID.fullmatch(event.id):
        raise Invalid(
            Fault(f"{where}/id", "not 8 to 128 of A-Z a-z 0-9 _ . : - that do not begin checkout-")
        )
    if not isinstance(event.name, str) or event.name not in STAGE_OF:
        raise Invalid(Fault(f"{where}/name", f"not one of {', '.join(STAGE_OF)}"))
    at = _at(f"{where}/timestamp", event.timestamp, received_at)
    return _Head(event.id, event.name, at, _visitor(where, event, call))


def _at(where: str, value: object, received_at: int) -> int:
    at = _seconds(value)
    if at is None:
        raise Invalid(Fault(where, "not an instant in ISO 8601 or in milliseconds"))
    if at < received_at - _OLDEST_EVENT:
        raise Invalid(Fault(where, "older than a day"))
    if at > received_at + _MOST_AHEAD:
        raise Invalid(Fault(where, f"more than {_MOST_AHEAD} seconds in the future"))
    return min(at, received_at)


def _visitor(where: str, event: _Event, call: _Call) -> str:
    told = (
        (f"{where}/visitor", event.visitor),
        ("/visitor", call.visitor),
        (f"{where}/clientId", event.client_id),
    )
    place, visitor = next((one for one in told if one[1] not in (None, "")), told[0])
    if not isinstance(visitor, str) or not _VISITOR.fullmatch(visitor):
        raise Invalid(Fault(place, "not a visitor id of 8 to 64 of A-Z a-z 0-9 _ -"))
    return visitor


# --- consent


_ANSWERS = {"yes": True, "true": True, "no": False, "false": False}
_UNSAID = frozenset({"", "null", "unknown"})
_ANALYTICS = ("analytics", "analyticsProcessingAllowed")
_MARKETING = ("marketing", "marketingAllowed")
_SALE = ("sale_of_data", "saleOfDataAllowed")


def _consent(said: object) -> Consent | None:
    """What the visitor allows; None if not even to be counted. What is unclear is refused."""
    if said is None:
        return Consent()
    if not isinstance(said, dict) or _allowed(said, _ANALYTICS) is False:
        return None
    has_signal = _answer(said.get("gpc"), unclear=True)
    return Consent(
        marketing=_allowed(said, _MARKETING),
        sale_of_data=False if has_signal else _allowed(said, _SALE),
    )


def _allowed(said: Mapping[str, object], names: Iterable[str]) -> bool | None:
    answers = [_answer(said.get(name), unclear=False) for name in names]
    if False in answers:
        return False
    return True if True in answers else None


def _answer(value: object, *, unclear: bool) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else "?"
    return None if word in _UNSAID else _ANSWERS.get(word, unclear)


# --- the event


def _seen(
    head: _Head, event: _Event, call: _Call, consent: Consent, caller: Caller, policy: Policy
) -> Seen:
    context = _fitted(event.context, _Context)
    data = _fitted(event.data, _Data)
    page = _page(context.document or _Document())
    told = next((s for s in (event.session, call.session) if isinstance(s, dict)), {})
    session, visit = _visit(head, told, page)
    checkout = (data.checkout or _Checkout()) if head.name in _CHECKOUTS else None
    agent = _text(caller.user_agent, _AGENT_LIMIT)
    navigator = context.navigator or _Navigator()
    seen = Seen(
        event_id=head.event_id,
        name=head.name,
        at=head.at,
        visitor=head.visitor,
        stage=STAGE_OF[head.name],
        session=session,
        touch=_view(head, event) if head.name == "ad_viewed" else visit,
        consent=consent,
        identity=_identity(checkout, consent, policy) if checkout else Identity(),
        tokens=_tokens(checkout, call, page) if checkout else (),
        conversion=None,
        value=0,
        is_bot=is_bot(agent or _text(navigator.user_agent, _AGENT_LIMIT)),
    )
    if seen.stage is None:
        return seen
    basket = _BASKETS[seen.stage](data, policy)
    conversion = _conversion(seen, seen.stage, page.url, basket, Caller(caller.ip, agent), policy)
    return msgspec.structs.replace(seen, conversion=conversion, value=basket.value or 0)


def _identity(checkout: _Checkout, consent: Consent, policy: Policy) -> Identity:
    if consent.marketing is False:
        return Identity()
    customer = (checkout.order or _Order()).customer or _Customer()
    email, phone = _text(checkout.email), _text(checkout.phone)
    homes = (_address(home) for home in (checkout.billing_address, checkout.shipping_address))
    buyer = Buyer(
        emails=(email,) if email else (),
        phones=(phone,) if phone else (),
        addresses=tuple(filter(None, homes)),
        customer_id=_digits(customer.id),
    )
    return identity_of(buyer, limited=is_limited(consent, policy))


def _address(home: _Address | None) -> Address:
    if home is None:
        return Address()
    return Address(
        first_name=_text(home.first_name),
        last_name=_text(home.last_name),
        city=_text(home.city),
        province_code=_text(home.province_code),
        zip=_text(home.zip),
        country_code=_text(home.country_code),
        phone=_text(home.phone),
    )


# --- the visit it belongs to


class _Page(NamedTuple):
    """The page of an event. `url` is what others may be told of it, `words` and `link` are what
    its address tells of a campaign, `referrer` is the host of another site."""

    url: str
    cart_token: str
    host: str
    words: Sequence[tuple[str, str]]
    link: Session
    referrer: str
    has_referrer: bool


def _page(document: _Document) -> _Page:
    href = _text((document.location or _Location()).href, _ADDRESS_LIMIT)
    referrer = _text(document.referrer, _ADDRESS_LIMIT)
    words = [(name, value) for name, value in query_of(href).items() if name in _LINK]
    link = session_from(words)
    found = _PAGE.match(href)
    if found is None:
        return _Page("", "", "", words, link, _other_site(referrer, ""), bool(referrer))
    host, path = found["host"].lower(), found["path"]
    origin = f"{found['scheme'].lower()}{host}{found['port'] or ''}"
    cart = _CART_IN_PATH.search(path)
    return _Page(
        url=origin + _told_path(path) + _told_query(link),
        cart_token=cart[1] if cart else "",
        host=host,
        words=words,
        link=link,
        referrer=_other_site(referrer, host),
        has_referrer=bool(referrer),
    )


def _tokens(checkout: _Checkout, call: _Call, page: _Page) -> tuple[str, ...]:
    notes = islice(checkout.attributes or (), _MOST_WORDS)
    noted = (note.value for note in notes if note and _is_cart(note.key))
    carts = (token_link("ca", _text(cart)) for cart in (call.cart_token, page.cart_token, *noted))
    links = (token_link("ck", _text(checkout.token)), next(filter(None, carts), ""))
    return tuple(filter(None, links))


def _is_cart(name: object) -> bool:
    return _text(name).lstrip("_").lower() == "cart_token"


def _told_path(path: str) -> str:
    private = _PRIVATE.search(path)
    if private:
        path = path[: private.end()]
    return quote(path, safe="/%!$&'()*+,;=:~") if path and not _has_at(path) else "/"


def _told_query(link: Session) -> str:
    told = [(name, text) for name, field in _LINK.items() if (text := getattr(link, field))]
    return "?" + urlencode(told, quote_via=quote) if told else ""


def _other_site(address: str, host: str) -> str:
    """The host of an address, if it is another one than the page's own."""
    other = session_from((), address).referrer
    return "" if other.removeprefix("www.") == host.removeprefix("www.") else other


def _visit(head: _Head, told: Mapping[str, object], page: _Page) -> tuple[Session, Touch | None]:
    """What brought the visitor, and the touch that this is, where it is known when it was."""
    words = _session_words(told)
    referrer = _other_site(_text(told.get("referrer"), _ADDRESS_LIMIT), page.host)
    began = _landed_at(told.get("landed_at"), head.at)
    is_page = head.name == "page_viewed"
    if not told or (is_page and _is_another(page.link, session_from(words))):
        words, referrer, began = page.words, page.referrer, None
    if is_page and began is None and _is_arrival(page, is_told=bool(told)):
        began = head.at
    if began is None:
        return session_from(words, referrer), None
    session = session_from([*words, ("pin_touch", str(began))], referrer)
    return session, _click(head.visitor, began, session)


def _session_words(told: Mapping[str, object]) -> Sequence[tuple[str, str]]:
    return [
        (name, _text(value, _WORD_LIMIT))
        for name, value in islice(told.items(), _MOST_WORDS)
        if name.lstrip("_").lower() not in _ELSEWHERE
    ]


def _landed_at(value: object, at: int) -> int | None:
    landed = _seconds(value)
    return landed if landed is not None and at - _OLDEST_VISIT <= landed <= at else None


def _is_another(link: Session, session: Session) -> bool:
    """Whether a link tells of another visit than the session: a new one begins on this page."""
    return any(getattr(link, field) != getattr(session, field) for field, _ in link.origins)


def _is_arrival(page: _Page, *, is_told: bool) -> bool:
    """Whether a visit begins on a page: by a link, from another site, or from nowhere."""
    return bool(page.link.origins or page.referrer) or not (page.has_referrer or is_told)


def _click(visitor: str, at: int, session: Session) -> Touch:
    told = (getattr(session, field) for field in _TOUCH_FIELDS)
    key = _key("visit", visitor, str(at), *told, session.referrer)
    return _touch("click", key, at, visitor, session)


def _view(head: _Head, event: _Event) -> Touch:
    said = [
        (f"utm_{name.lower().removeprefix('utm_')}", _text(value, _WORD_LIMIT))
        for place in (event.custom_data, event.data)
        if isinstance(place, dict)
        for name, value in islice(place.items(), _MOST_WORDS)
    ]
    key = _key("view", head.visitor, head.event_id)
    return _touch("view", key, head.at, head.visitor, session_from(said))


_TOUCH_FIELDS = ("source", "medium", "campaign", "campaign_id", "pin_id", "ad_id", "click_id")


def _touch(kind: Kind, key: str, at: int, visitor: str, session: Session) -> Touch:
    is_view = kind == "view"
    return Touch(
        key=key,
        at=at,
        kind=kind,
        # Only Pinterest's own ads are told of as seen.
        is_pinterest=is_view or session.is_pinterest,
        is_direct=not is_view and session.is_direct,
        visitor=visitor,
        **{field: getattr(session, field) for field in _TOUCH_FIELDS},
    )


def _key(kind: str, *parts: str) -> str:
    content = "\0".join(parts).encode()
    return f"{kind}:{sha256(content).hexdigest()[:24]}"


# --- what it is worth


class _Basket(NamedTuple):
    """What an event is about. `value` is minor units, None where it cannot be told."""

    contents: tuple[Content, ...] = ()
    num_items: int = 0
    currency: str = ""
    value: int | None = None


def _viewed(data: _Data, policy: Policy) -> _Basket:
    variant = data.product_variant
    if variant is None:
        return _Basket()
    return _basket([_Line(variant=variant)], [variant.price], policy)


def _added(data: _Data, policy: Policy) -> _Basket:
    line = data.cart_line
    if line is None:
        return _Basket()
    return _basket([line], [(line.cost or _Cost()).total_amount, _price_of(line)], policy)


def _checked_out(data: _Data, policy: Policy) -> _Basket:
    checkout = data.checkout or _Checkout()
    prices = [checkout.subtotal_price, checkout.total_price]
    if policy.value == "total":
        prices.reverse()
    code = checkout.currency_code
    told = [_Money(price.amount, price.currency_code or code) for price in prices if price]
    return _basket(checkout.line_items or (), told, policy)


_BASKETS: Mapping[Stage, Callable[[_Data, Policy], _Basket]] = {
    "product_view": _viewed,
    "add_to_cart": _added,
    "checkout_initiation": _checked_out,
}


def _basket(
    lines: Iterable[_Line | None], prices: Iterable[_Money | None], policy: Policy
) -> _Basket:
    """The goods of some lines, worth the first of the prices that can be read."""
    currency, value = next(filter(None, map(_minor, prices)), ("", None))
    read = islice(lines, _MOST_LINES)
    goods = [line for line in read if line is not None and _quantity(line.quantity) > 0]
    return _Basket(
        tuple(_content(line, currency, policy.content_id) for line in goods[:MAX_CONTENTS]),
        sum(_quantity(line.quantity) for line in goods),
        currency,
        value,
    )


def _minor(price: _Money | None) -> tuple[str, int] | None:
    """The currency and the minor units of a price, None if either cannot be read."""
    if price is None:
        return None
    currency, found = _text(price.currency_code), _amount(price.amount)
    if found is None or not is_currency(currency):
        return None
    return currency, to_minor(found, currency)


def _amount(value: object) -> Decimal | None:
    found = amount(value)
    if found is None and isinstance(value, float):
        # A sum of floats has a tail that nobody meant: 3 * 1.1 is 3.3000000000000003.
        found = amount(f"{value:.6f}")
    return found if found is not None and found >= 0 else None


def _price_of(line: _Line) -> _Money | None:
    price = line.merchandise.price if line.merchandise else None
    each = _amount(price.amount) if price else None
    if price is None or each is None:
        return None
    return _Money(format(each * _quantity(line.quantity), "f"), price.currency_code)


def _quantity(value: object) -> int:
    found = _QUANTITY.fullmatch(_text(value))
    return int(found[1]) if found else 1


def _content(line: _Line, currency: str, kind: ContentId) -> Content:
    variant = line.variant or line.merchandise or _Variant()
    product = variant.product or _Product()
    ids = {
        "product": _digits(product.id),
        "variant": _digits(variant.id),
        "sku": _words(variant.sku),
    }
    price = _minor(variant.price)
    return Content(
        id=ids[kind],
        name=_words(product.title) or _words(line.title),
        brand=_words(product.vendor),
        price=to_major(price[1], currency) if price and price[0] == currency else "",
        quantity=_quantity(line.quantity),
    )


def _conversion(
    seen: Seen, stage: Stage, page_url: str, basket: _Basket, caller: Caller, policy: Policy
) -> Conversion:
    limited = is_limited(seen.consent, policy)
    return Conversion(
        event_id=seen.event_id,
        event_name=EVENT_NAMES[stage],
        action_source="web",
        event_time=seen.at,
        identity=seen.identity,
        event_source_url=page_url,
        opt_out=limited,
        limited=limited,
        click_id=seen.session.click_id,
        ip=caller.ip,
        user_agent=caller.user_agent,
        currency=basket.currency,
        value="" if basket.value is None else to_major(basket.value, basket.currency),
        contents=basket.contents,
        num_items=basket.num_items,
    )
