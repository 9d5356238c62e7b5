"""Records checkouts that Shopify signed: they join a buyer with a browser, and count as nothing."""

from tracking.domain.identity import identity_of
from tracking.domain.shopify_checkout import SignedCheckout
from tracking.receive.attributor import Attributor
from tracking.receive.pixel import token_key
from tracking.receive.privacy.tombstones import unerased_keys
from tracking.receive.receipt import Receipt
from tracking.store import identity_graph, orders, touches
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.touches import TouchRow

_DAY = 86_400


def record_checkout(
    conn: Connection, attributor: Attributor, checkout: SignedCheckout, topic: str, now: int
) -> Receipt:
    """Records a checkout, and credits again the orders that it concerns.

    Nothing of a buyer is stored who refused marketing or was erased, nor where no pixel can know
    the browser.
    """
    told = identity_of(checkout.buyer).graph_keys()
    if checkout.consent.marketing is False or not attributor.planner.has_pixel:
        told = ()
    tokens = (token_key("ck", checkout.token), token_key("ca", checkout.cart_token))
    known_by = tuple(filter(None, (checkout.visitor, *tokens)))

    def lock_names() -> set[str]:
        person = identity_graph.person_of(conn, told, told[0]) if told else ()
        return {checkout.digest, *known_by, *told, *person}

    advisory_locks.hold_found(conn, lock_names)
    if not orders.is_new_body(conn, checkout.digest, topic, "", now):
        return Receipt("duplicate")
    identities = unerased_keys(conn, told)
    if identities and known_by:
        visitor = checkout.visitor or identities[0]
        # Links have no time: this row without a kind says that the visitor came, once a day.
        touches.put(conn, TouchRow(visitor=visitor, at=now - now % _DAY, key="checkout"))
        keys = (*filter(None, tokens), *identities)
        if concerned := identity_graph.link_signed(conn, keys, visitor):
            persons = {*concerned, *identity_graph.person_of(conn, keys, visitor)}
            attributor.credit_orders(conn, sorted(persons), ALWAYS, now)
    return Receipt("accepted")
