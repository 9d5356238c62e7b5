"""A pixel event as the service records it: checked, with digests instead of personal data.

It is evidence of a visit and never a purchase.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.consent import Consent
from tracking.domain.conversion import (
    EVENT_NAMES,
    Conversion,
    Policy,
    Stage,
    is_limited,
    shop_page,
)
from tracking.domain.identity import Identity, digest_of_key, identity_of
from tracking.domain.language import language_of
from tracking.domain.money import to_major
from tracking.domain.order import Buyer
from tracking.domain.session import Session
from tracking.domain.shopify_body import address_of
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.pixel.cart import Cart, cart_of
from tracking.receive.pixel.schema import (
    STAGE_OF,
    Checkout,
    Clock,
    Context,
    Customer,
    Data,
    Document,
    EventHeader,
    Navigator,
    RawBatch,
    RawEvent,
    RawOrder,
    clock_of,
    convert_leniently,
    decode_batch,
    digits_of,
    header_of,
    text_of,
)
from tracking.receive.pixel.visit import (
    VisitedPage,
    ad_view_of,
    client_key,
    is_ambiguous,
    page_of,
    session_and_touch_of,
    tokens_of,
    unfilled_in,
)

_CHECKOUTS = frozenset({"checkout_started", "checkout_completed"})
_AGENT_LIMIT = 2048

# The phones of CUBOT have that name in their user agent, and shops watch their own pages with
# HeadlessChrome.
_CRAWLER = re.compile(
    r"(?<!cu)bot|crawl|spider|slurp|facebookexternalhit|preview|lighthouse|gtmetrix|pingdom"
)
_SCRIPT = re.compile(r"curl/|python-|wget")


class ClientInfo(msgspec.Struct, frozen=True, gc=False):
    """The sender of an HTTP request, as far as the proxies in front are trusted.

    `languages` are those that the browser asks for, as in Accept-Language. `gpc` is True if it sent
    the Global Privacy Control signal, as in Sec-GPC.
    """

    ip: str
    user_agent: str
    languages: str = ""
    gpc: bool = False


class PixelEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of the storefront.

    `at` is seconds UTC, `value` minor units of the conversion's currency. `tokens` are the identity
    keys of the checkout and the cart ("ck:…", "ca:…"), `client` is that of Shopify's id of the
    browser ("cl:…"), "" if it told none, `unfilled` are the parameters of its visit's link,
    separated by spaces, that hold a template's variable. `is_first` is the pixel's word whether it
    is the buyer's first order. `conversion` is the event as Pinterest
    would get it; only an event of a `stage` has one.
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
    client: str = ""
    unfilled: str = ""
    is_first: bool | None = None


class PixelBatch(msgspec.Struct, frozen=True, gc=False):
    """The events of one request.

    `ignored` is the number of events that the visitor did not allow to be counted, `errors` are
    those of the refused events.
    """

    site_key: str
    events: tuple[PixelEvent, ...]
    ignored: int
    errors: tuple[FieldError, ...]


class _Call(NamedTuple):
    """A call of the pixel. `landings` are its pages whose link names a parameter twice, `agent` is
    the user agent of the request."""

    batch: RawBatch
    clock: Clock
    landings: Sequence[VisitedPage]
    client: ClientInfo
    agent: str
    policy: Policy


class DecodedCall(NamedTuple):
    """A body of the collector: its batch, and each event with the JSON pointer to it."""

    batch: RawBatch
    events: Sequence[tuple[str, RawEvent]]

    @property
    def site_key(self) -> str:
        return text_of(self.batch.key)


def decoded_call_of(body: bytes) -> DecodedCall:
    """Returns a body of the collector decoded, which is little work.

    Raises:
        ValidationError: the body is not JSON, or has no event or more than MOST_EVENTS.
    """
    return DecodedCall(*decode_batch(body))


def pixel_batch_of(body: bytes, client: ClientInfo, policy: Policy, received_at: int) -> PixelBatch:
    """Returns the events in a body of the collector, received at an instant (seconds UTC).

    Raises:
        ValidationError: the body is not JSON, or has no event or more than MOST_EVENTS.
    """
    return events_in(decoded_call_of(body), client, policy, received_at)


def events_in(
    decoded: DecodedCall, client: ClientInfo, policy: Policy, received_at: int
) -> PixelBatch:
    """Returns the events of a call, received at an instant (seconds UTC).

    An event with an error is refused alone; the error's field is a JSON pointer into the body.
    """
    batch, raw_events = decoded
    contexts = [convert_leniently(event.context, Context) for _, event in raw_events]
    pages = [page_of(context.document or Document(), policy.own_hosts) for context in contexts]
    call = _Call(
        batch=batch,
        clock=clock_of(batch, (event for _, event in raw_events), received_at),
        landings=tuple(filter(is_ambiguous, pages)),
        client=client,
        agent=text_of(client.user_agent, _AGENT_LIMIT),
        policy=policy,
    )
    events: list[PixelEvent] = []
    ignored = 0
    errors: dict[FieldError, None] = {}
    for (pointer, event), context, page in zip(raw_events, contexts, pages, strict=True):
        raw_consent = batch.consent if event.consent is None else event.consent
        consent = _consent(raw_consent, has_signal=client.gpc)
        if consent is None:
            ignored += 1
            continue
        try:
            header = header_of(pointer, event, batch, call.clock)
        except ValidationError as error:
            errors |= dict.fromkeys(error.errors)
        else:
            events.append(_pixel_event(header, event, context, page, consent, call))
    return PixelBatch(decoded.site_key, tuple(events), ignored, tuple(errors))


def is_bot(user_agent: str) -> bool:
    """Returns True if the user agent is that of a crawler, a link preview or a script."""
    agent = user_agent.lower()
    return not agent.strip() or any(words.search(agent) for words in (_CRAWLER, _SCRIPT))


def _is_told_by_bot(name: str, user_agent: str) -> bool:
    # Of the views of ads programs tell, since no page knows of them.
    if name == "ad_viewed":
        return _CRAWLER.search(user_agent.lower()) is not None
    return is_bot(user_agent)


def _pixel_event(
    header: EventHeader,
    event: RawEvent,
    context: Context,
    page: VisitedPage,
    consent: Consent,
    call: _Call,
) -> PixelEvent:
    policy = call.policy
    data = convert_leniently(event.data, Data)
    raw_session = next((s for s in (event.session, call.batch.session) if isinstance(s, dict)), {})
    session, visit = session_and_touch_of(
        header, raw_session, page, call.clock, call.landings, policy
    )
    checkout = (data.checkout or Checkout()) if header.name in _CHECKOUTS else None
    navigator = context.navigator or Navigator()
    agent = call.agent or text_of(navigator.user_agent, _AGENT_LIMIT)
    pixel_event = PixelEvent(
        event_id=header.event_id,
        name=header.name,
        at=header.at,
        visitor=header.visitor,
        stage=STAGE_OF[header.name],
        session=session,
        touch=ad_view_of(header, event) if header.name == "ad_viewed" else visit,
        consent=consent,
        identity=_identity(checkout, consent, policy) if checkout else Identity(),
        tokens=tokens_of(checkout, call.batch, page) if checkout else (),
        conversion=None,
        value=0,
        is_bot=_is_told_by_bot(header.name, agent),
        client=client_key(event.client_id or call.batch.client_id),
        unfilled=unfilled_in(page) if visit is not None else "",
        is_first=_is_first(checkout) if checkout else None,
    )
    stage = pixel_event.stage
    if stage is None:
        return pixel_event
    cart = cart_of(stage, data, policy)
    # Themes tell of every page that is visited; it is a view of a product only if they name one.
    if stage == "product_view" and not cart.names_product:
        return msgspec.structs.replace(pixel_event, stage=None)
    conversion = _conversion(pixel_event, stage, cart, page, navigator, call)
    return msgspec.structs.replace(pixel_event, conversion=conversion, value=cart.value or 0)


def _identity(checkout: Checkout, consent: Consent, policy: Policy) -> Identity:
    if consent.marketing is False:
        return Identity()
    customer = (checkout.order or RawOrder()).customer or Customer()
    email, phone = text_of(checkout.email), text_of(checkout.phone)
    raw_addresses = (checkout.billing_address, checkout.shipping_address)
    addresses = (address_of(raw, text_of) for raw in raw_addresses)
    buyer = Buyer(
        emails=(email,) if email else (),
        phones=(phone,) if phone else (),
        addresses=tuple(filter(None, addresses)),
        customer_id=digits_of(customer.id),
    )
    return identity_of(buyer, limited=is_limited(consent, policy))


def _is_first(checkout: Checkout) -> bool | None:
    """Returns Shopify's word whether a completed checkout is its customer's first order."""
    customer = (checkout.order or RawOrder()).customer or Customer()
    told = customer.is_first_order
    return told if isinstance(told, bool) else None


def _conversion(
    event: PixelEvent,
    stage: Stage,
    cart: Cart,
    page: VisitedPage,
    navigator: Navigator,
    call: _Call,
) -> Conversion:
    policy, client = call.policy, call.client
    limited = is_limited(event.consent, policy)
    is_refused = event.consent.marketing is False
    return Conversion(
        event_id=event.event_id,
        event_name=EVENT_NAMES[stage],
        action_source="web",
        event_time=event.at,
        identity=event.identity,
        client=digest_of_key(event.client) if event.client and not is_refused else "",
        event_source_url=page.url or shop_page("", policy),
        opt_out=limited,
        limited=limited,
        click_id=event.session.click_id,
        ip=client.ip,
        user_agent=call.agent,
        language=language_of(text_of(navigator.language) or client.languages.partition(",")[0]),
        partner_name=policy.partner_name,
        currency=cart.currency,
        value="" if cart.value is None else to_major(cart.value, cart.currency),
        contents=cart.contents,
        num_items=cart.num_items,
    )


_ANSWERS = {"yes": True, "true": True, "no": False, "false": False}
_UNKNOWN = frozenset({"", "null", "unknown"})
_ANALYTICS = ("analytics", "analyticsProcessingAllowed")
_MARKETING = ("marketing", "marketingAllowed")
_SALE = ("sale_of_data", "saleOfDataAllowed")


def _consent(raw_consent: object, *, has_signal: bool) -> Consent | None:
    """Returns the visitor's consent; None if analytics are refused. Unclear answers refuse.

    With the Global Privacy Control signal, in the header or in the body, the sale of data is.
    """
    if raw_consent is None:
        return Consent(sale_of_data=False if has_signal else None)
    if not isinstance(raw_consent, dict) or _allowed(raw_consent, _ANALYTICS) is False:
        return None
    has_signal = has_signal or bool(_answer(raw_consent.get("gpc"), unclear=True))
    return Consent(
        marketing=_allowed(raw_consent, _MARKETING),
        sale_of_data=False if has_signal else _allowed(raw_consent, _SALE),
    )


def _allowed(raw_consent: Mapping[str, object], names: Iterable[str]) -> bool | None:
    answers = [_answer(raw_consent.get(name), unclear=False) for name in names]
    if False in answers:
        return False
    return True if True in answers else None


def _answer(value: object, *, unclear: bool) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else "?"
    return None if word in _UNKNOWN else _ANSWERS.get(word, unclear)
