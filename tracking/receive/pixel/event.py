"""A pixel event as the service records it: checked, with digests instead of personal data.

It is evidence of a visit and never a purchase.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.consent import Consent
from tracking.domain.conversion import EVENT_NAMES, Conversion, Policy, Stage, is_limited
from tracking.domain.identity import Identity, identity_of
from tracking.domain.money import to_major
from tracking.domain.order import Address, Buyer
from tracking.domain.session import Session
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.pixel.cart import Cart, cart_of
from tracking.receive.pixel.schema import (
    STAGE_OF,
    Checkout,
    Context,
    Customer,
    Data,
    Document,
    EventHeader,
    Home,
    Navigator,
    RawBatch,
    RawEvent,
    RawOrder,
    decoded,
    digits_of,
    fitted,
    header_of,
    text_of,
)
from tracking.receive.pixel.visit import page_of, tokens_of, view_of, visit_of

_CHECKOUTS = frozenset({"checkout_started", "checkout_completed"})
_AGENT_LIMIT = 2048

# The phones of CUBOT say "CUBOT", and HeadlessChrome is also how a shop watches its own pages.
_BOT = re.compile(
    r"(?<!cu)bot|crawl|spider|slurp|facebookexternalhit|preview|lighthouse|gtmetrix|pingdom"
    r"|curl/|python-|wget"
)


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The sender of an HTTP request, as far as the proxies in front are trusted."""

    ip: str
    user_agent: str


class PixelEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of the storefront.

    `at` is seconds UTC, `value` minor units of the conversion's currency. `tokens` are the identity
    keys of the checkout and the cart ("ck:…", "ca:…"), `conversion` is the event as Pinterest would
    get it; only an event of a `stage` has one.
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


class PixelBatch(msgspec.Struct, frozen=True, gc=False):
    """The events of one call.

    `key` is its site key, `ignored` the number of events that the visitor did not allow to be
    counted, `refused` the errors of the others.
    """

    key: str
    seen: tuple[PixelEvent, ...]
    ignored: int
    refused: tuple[FieldError, ...]


def pixel_batch_of(body: bytes, caller: Caller, policy: Policy, received_at: int) -> PixelBatch:
    """Returns the events in a body of the collector, received at an instant (seconds UTC).

    An event with an error is refused alone; the error's field is a JSON pointer into the body.

    Raises:
        ValidationError: the body is not JSON, is no call, or has no event or more than MOST_EVENTS.
    """
    call, events = decoded(body)
    seen: list[PixelEvent] = []
    ignored = 0
    errors: dict[FieldError, None] = {}
    for where, event in events:
        consent = _consent(call.consent if event.consent is None else event.consent)
        if consent is None:
            ignored += 1
            continue
        try:
            head = header_of(where, event, call, received_at)
        except ValidationError as error:
            errors |= dict.fromkeys(error.errors)
        else:
            seen.append(_pixel_event(head, event, call, consent, caller, policy))
    return PixelBatch(text_of(call.key), tuple(seen), ignored, tuple(errors))


def is_bot(user_agent: str) -> bool:
    """Returns True if the user agent is that of a crawler, a link preview or a script."""
    return not user_agent.strip() or _BOT.search(user_agent.lower()) is not None


def _pixel_event(
    head: EventHeader,
    event: RawEvent,
    call: RawBatch,
    consent: Consent,
    caller: Caller,
    policy: Policy,
) -> PixelEvent:
    context = fitted(event.context, Context)
    data = fitted(event.data, Data)
    page = page_of(context.document or Document())
    raw_session = next((s for s in (event.session, call.session) if isinstance(s, dict)), {})
    session, visit = visit_of(head, raw_session, page)
    checkout = (data.checkout or Checkout()) if head.name in _CHECKOUTS else None
    agent = text_of(caller.user_agent, _AGENT_LIMIT)
    navigator = context.navigator or Navigator()
    seen = PixelEvent(
        event_id=head.event_id,
        name=head.name,
        at=head.at,
        visitor=head.visitor,
        stage=STAGE_OF[head.name],
        session=session,
        touch=view_of(head, event) if head.name == "ad_viewed" else visit,
        consent=consent,
        identity=_identity(checkout, consent, policy) if checkout else Identity(),
        tokens=tokens_of(checkout, call, page) if checkout else (),
        conversion=None,
        value=0,
        is_bot=is_bot(agent or text_of(navigator.user_agent, _AGENT_LIMIT)),
    )
    if seen.stage is None:
        return seen
    basket = cart_of(seen.stage, data, policy)
    conversion = _conversion(seen, seen.stage, page.url, basket, Caller(caller.ip, agent), policy)
    return msgspec.structs.replace(seen, conversion=conversion, value=basket.value or 0)


def _identity(checkout: Checkout, consent: Consent, policy: Policy) -> Identity:
    if consent.marketing is False:
        return Identity()
    customer = (checkout.order or RawOrder()).customer or Customer()
    email, phone = text_of(checkout.email), text_of(checkout.phone)
    homes = (_address(home) for home in (checkout.billing_address, checkout.shipping_address))
    buyer = Buyer(
        emails=(email,) if email else (),
        phones=(phone,) if phone else (),
        addresses=tuple(filter(None, homes)),
        customer_id=digits_of(customer.id),
    )
    return identity_of(buyer, limited=is_limited(consent, policy))


def _address(home: Home | None) -> Address:
    if home is None:
        return Address()
    return Address(
        first_name=text_of(home.first_name),
        last_name=text_of(home.last_name),
        city=text_of(home.city),
        province_code=text_of(home.province_code),
        zip=text_of(home.zip),
        country_code=text_of(home.country_code),
        phone=text_of(home.phone),
    )


def _conversion(
    seen: PixelEvent, stage: Stage, page_url: str, basket: Cart, caller: Caller, policy: Policy
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


# --- consent


_ANSWERS = {"yes": True, "true": True, "no": False, "false": False}
_UNSAID = frozenset({"", "null", "unknown"})
_ANALYTICS = ("analytics", "analyticsProcessingAllowed")
_MARKETING = ("marketing", "marketingAllowed")
_SALE = ("sale_of_data", "saleOfDataAllowed")


def _consent(said: object) -> Consent | None:
    """Returns the visitor's consent; None if not even counting is allowed. Unclear is refused."""
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
