"""The answer to a data request: a person's stored data. Instants are ISO 8601, UTC."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tracking.domain.attribution import share_text
from tracking.domain.conversion import event_id_of
from tracking.domain.identity import readable_key
from tracking.domain.instants import instant
from tracking.domain.money import to_major
from tracking.domain.revenue import paid_back
from tracking.receive.privacy.footprint import browser_events_of, footprint_of
from tracking.store import consents, conversions, erasure, outbox, refunds, touches
from tracking.store.conversions import ConversionRow
from tracking.store.engine.statement import Connection
from tracking.store.orders import OrderRow
from tracking.store.outbox import OutboxRow
from tracking.store.touches import CreditRow, TouchRow


def data_export_of(
    conn: Connection, keys: Iterable[str], order_ids: Iterable[str]
) -> Mapping[str, Any]:
    """Returns the stored data of the person who has these keys or placed these orders."""
    keys, order_ids = frozenset(keys), frozenset(order_ids)
    candidates = erasure.orders_with(conn, keys)
    footprint = footprint_of(conn, keys, order_ids, candidates)
    visitors = sorted(footprint.visitors)
    return {
        "identities": sorted(map(readable_key, footprint.known_by)),
        "visitors": [_visitor(conn, visitor) for visitor in visitors],
        "orders": [_order(conn, row) for row in footprint.orders.values()],
        "touches": [
            _touch(row)
            for visitor in visitors
            for row in erasure.touches_of(conn, visitor)
            if row.kind
        ],
        "storefront_events": [_event(conn, row) for row in browser_events_of(conn, footprint)],
    }


def _visitor(conn: Connection, visitor: str) -> dict[str, Any]:
    return {
        "id": readable_key(visitor),
        "known_with": sorted(map(readable_key, erasure.keys_of(conn, visitor))),
        "consent": msgspec.to_builtins(consents.of(conn, visitor)),
    }


def _order(conn: Connection, row: OrderRow) -> dict[str, Any]:
    event = conversions.of_event(conn, event_id_of(row.id))
    given_back = paid_back(
        refunds.of_order(conn, row.id, row.currency),
        None if row.taxes_included is None else bool(row.taxes_included),
    )
    return {
        "id": row.id,
        "name": row.name,
        "placed_at": instant(row.placed_at),
        "cancelled_at": None if row.cancelled_at is None else instant(row.cancelled_at),
        "financial_status": row.financial_status,
        "currency": row.currency,
        "value": to_major(row.gross, row.currency),
        "given_back": to_major(given_back, row.currency),
        "identities": [readable_key(key) for key in row.keys],
        "session": msgspec.json.decode(row.session or b"{}"),
        "consent": msgspec.json.decode(row.consent or b"{}"),
        "unusable_fields": row.unusable.split(),
        "path": msgspec.json.decode(row.path or b"[]"),
        "credits": [_credit(credit) for credit in touches.credits_of(conn, row.id, row.placed_at)],
        "conversion": None if event is None else _event(conn, event),
    }


def _credit(row: CreditRow) -> dict[str, Any]:
    return {
        "touch": row.touch_key,
        "touched_at": instant(row.credited_at),
        "campaign_id": row.campaign_id,
        "campaign": row.campaign,
        "share": share_text(row.share),
        "value": to_major(row.net, row.currency),
    }


def _touch(row: TouchRow) -> dict[str, Any]:
    return {**row._asdict(), "at": instant(row.at)}


def _event(conn: Connection, row: ConversionRow) -> dict[str, Any]:
    ids = conversions.ids_of(conn, row.event_id)
    return {
        "event_id": row.event_id,
        "sent_as": ids.sent_as if ids else "",
        "storefront_id": ids.storefront_id if ids else "",
        "stage": row.stage,
        "at": instant(row.at),
        "visitor": readable_key(row.visitor),
        "campaign_id": row.campaign_id,
        "campaign": row.campaign,
        "not_sent_because": row.reason,
        "deliveries": [_delivery(delivery) for delivery in outbox.of_event(conn, row.event_id)],
    }


def _delivery(row: OutboxRow) -> dict[str, Any]:
    """Returns one delivery with its event, whose personal data are digests."""
    return {
        "destination": row.destination,
        "state": row.state,
        "queued_at": instant(row.queued_at),
        "settled_at": instant(row.settled_at) if row.settled_at else None,
        "event": msgspec.json.decode(row.payload) if row.payload else None,
    }
