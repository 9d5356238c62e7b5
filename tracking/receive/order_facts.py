"""Reads what an order itself states, completed by what is stored of it already."""

from collections.abc import Iterable, Sequence

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.consent import Consent, consent_of
from tracking.domain.conversion import NO_EVIDENCE, Evidence, Policy, is_limited
from tracking.domain.customer import is_first_of
from tracking.domain.identity import Identity, identity_of, identity_of_keys
from tracking.domain.language import language_of
from tracking.domain.order import LIBRARY_SOURCE, Browser, Order, is_without_visit
from tracking.domain.session import Session, fill_from_pixel, merge_states
from tracking.domain.session_reader import session_and_page_of
from tracking.domain.touch import touch_of_order
from tracking.receive.pixel import token_key
from tracking.store.orders import OrderRow
from tracking.store.values import consent_from_json, session_from_json


class OrderFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts that an order itself states.

    `stated` is the consent of all states of the order so far, `consent` that and the browser's.
    `keys` are the identity keys of the buyer. `visitor` is the id that the order's own touch is
    stored under: the pixel's, or one made of an identity of the buyer. `click_id` is one that only
    an earlier event of the order told, `client` the digest of Shopify's id of the browser.
    """

    order: Order
    session: Session
    page_url: str
    stated: Consent
    consent: Consent
    identity: Identity
    keys: tuple[str, ...]
    visitor: str
    touch: Touch | None
    click_id: str = ""
    client: str = ""

    @property
    def evidence(self) -> Evidence:
        """Returns what the facts say of the buyer and the visit."""
        order = self.order
        return Evidence(
            identity=self.identity,
            client=self.client,
            click_id=self.session.click_id or self.click_id,
            ip=order.browser.ip,
            user_agent=order.browser.user_agent,
            event_source_url=self.page_url,
            language=language_of(order.locale),
        )


class OrderReader:
    """Reads orders by the settings of the shop. Does no I/O."""

    def __init__(self, policy: Policy, reach: int, *, has_pixel: bool) -> None:
        """`reach` is the longest window of attribution, in seconds. Without a pixel nothing can be
        matched by checkout and cart tokens, and none is stored."""
        self._policy = policy
        self._reach = reach
        self._has_pixel = has_pixel

    def facts_of(
        self,
        order: Order,
        stored: Session | None = None,
        of_browser: Consent | None = None,
        known: OrderRow | None = None,
        waiting: Evidence = NO_EVIDENCE,
        client: str = "",
    ) -> OrderFacts:
        """Returns the facts of an order, completed by what is stored already.

        A newer state takes nothing back by being silent: an app that may not see personal data, or
        a later edit, leaves out what an earlier state told.

        Args:
            order: a state of the order.
            stored: the session that the pixel stored under the order's checkout or cart token.
            of_browser: the consent that the buyer's browser gave.
            known: the row of an older state of the order.
            waiting: the evidence in the order's event that was not sent yet.
            client: the digest of Shopify's id of the buyer's browser.
        """
        session, page_url = session_and_page_of(order, self._policy.own_hosts)
        stated = consent_of(order)
        if known is not None:
            order = with_history(order, known)
            before = session_from_json(known.session)
            session = merge_states(session, order.version, before, known.version)
            stated = stated.merged_with(consent_from_json(known.consent))
        if stored is not None and not is_without_visit(order.source_name):
            session = fill_from_pixel(session, stored)
        consent = stated if of_browser is None else stated.merged_with(of_browser)
        identity = identity_of(order.buyer, limited=is_limited(consent, self._policy))
        keys = identity.graph_keys()
        visitor = session.visitor or _visitor_of(order, keys, known)
        touch = touch_of_order(order, session, visitor, self._policy.pinterest_media)
        # Older than `span_of` looks back, it could be found from one order and not from another.
        if touch is not None and order.placed_at - touch.at > 2 * self._reach:
            touch = None
        if self._has_pixel:
            keys = (*_token_keys(order), *keys)
        if waiting is not NO_EVIDENCE:
            identity = identity.completed_by(waiting.identity)
        if known is not None:
            keys = with_earlier_keys(keys, known.keys)
            identity = identity.completed_by(identity_of_keys(known.keys))
        return OrderFacts(
            order=_with_visit(order, waiting),
            session=session,
            page_url=page_url or waiting.event_source_url,
            stated=stated,
            consent=consent,
            identity=identity,
            keys=keys,
            visitor=visitor,
            touch=touch,
            click_id=waiting.click_id,
            client=client,
        )


def with_earlier_keys(keys: Sequence[str], earlier: Iterable[str]) -> tuple[str, ...]:
    """Returns identity keys with those of another state of the order, in an order that does not
    depend on which came first."""
    missing = set(earlier) - set(keys)
    return tuple(sorted({*keys, *missing})) if missing else tuple(keys)


def with_history(order: Order, known: OrderRow) -> Order:
    """Returns an order with what an older state of it was once, and stays."""
    taxes_included = order.taxes_included
    if taxes_included is None and known.taxes_included is not None:
        taxes_included = bool(known.taxes_included)
    return msgspec.structs.replace(
        order,
        was_paid=bool(known.is_paid) and known.source_name != LIBRARY_SOURCE,
        deleted_at=known.deleted_at,
        taxes_included=taxes_included,
        sold=known.sold,
        peak=known.peak,
        is_first=is_first_of(order.is_first, known.is_first),
    )


def _with_visit(order: Order, waiting: Evidence) -> Order:
    """Returns an order with the browser and the language that only its event tells."""
    if not (waiting.ip or waiting.user_agent or waiting.language):
        return order
    browser = order.browser
    return msgspec.structs.replace(
        order,
        locale=order.locale or waiting.language,
        browser=Browser(browser.ip or waiting.ip, browser.user_agent or waiting.user_agent),
    )


def _visitor_of(order: Order, keys: Sequence[str], known: OrderRow | None) -> str:
    """Returns the visitor id of an order whose browser is not known."""
    if keys:
        return keys[0]
    return known.visitor if known is not None and known.visitor else own_visitor(order.id)


def own_visitor(order_id: str) -> str:
    return f"or:{order_id}"


def _token_keys(order: Order) -> Iterable[str]:
    keys = (token_key("ck", order.checkout_token), token_key("ca", order.cart_token))
    return filter(None, keys)
