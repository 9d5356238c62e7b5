"""Chooses the id that an event is sent under, when it is claimed for the first time."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tracking.destinations.base import PINTEREST
from tracking.store import claims, conversions, naming_events, outbox
from tracking.store.claims import ClaimedEvent
from tracking.store.conversions import SharedId
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection


class NamedEvents(NamedTuple):
    """The events that stay claimed, and the ids of those not sent under their event id."""

    events: Sequence[ClaimedEvent]
    sent_as: Mapping[str, str]


def choose(
    conn: Connection, destination: str, events: Sequence[ClaimedEvent], now: int
) -> NamedEvents:
    """Chooses for each purchase that shares its id the storefront's id, or else its event id.

    A purchase that another system has handed in under the storefront's id is not sent to Pinterest
    again.

    The choice is stored in the transaction of the claim and holds for every destination and every
    later attempt. A purchase that another transaction is writing about is not claimed yet.
    """
    sharing = {event.event_id for event in events if event.shares_id}
    if not sharing:
        return NamedEvents(events, {})
    known = {row.event_id: row for row in conversions.lock_ids(conn, sharing)}
    busy = conversions.recorded(conn, sharing - known.keys())
    open_ids = [row for row in known.values() if not row.sent_as]
    wanted = {row.storefront_id for row in open_ids} - {""}
    held = advisory_locks.try_hold(conn, wanted)
    busy |= {row.event_id for row in open_ids if row.storefront_id in wanted - held}
    handed_in = naming_events.told_under(conn, held)
    told = {row.event_id for row in open_ids if row.storefront_id in handed_in}
    if destination != PINTEREST:
        told = set()
    _hold_back(conn, [event for event in events if event.event_id in told], now)
    chosen = _chosen(
        [row for row in open_ids if row.event_id not in busy | told],
        handed_in | conversions.taken(conn, held),
    )
    conversions.set_sent_as(conn, chosen)
    claims.unclaim(conn, [event.id for event in events if event.event_id in busy])
    sent_as = {row.event_id: row.sent_as for row in known.values() if row.sent_as}
    sent_as.update(chosen)
    return NamedEvents(
        [event for event in events if event.event_id not in busy | told],
        {event_id: id for event_id, id in sent_as.items() if id != event_id},
    )


def _hold_back(conn: Connection, events: Sequence[ClaimedEvent], now: int) -> None:
    """Withdraws purchases that Pinterest is told of by another system."""
    claims.withdraw_claimed(conn, [event.id for event in events], "told_before", now)
    unsent = [
        event.event_id
        for event in events
        if not any(
            row.state in ("waiting", "sent") for row in outbox.of_event(conn, event.event_id)
        )
    ]
    conversions.set_reason(conn, unsent, "told_before")


def _chosen(purchases: Sequence[SharedId], taken: Collection[str]) -> Mapping[str, str]:
    """Returns the id of each purchase; one that another event has is not taken."""
    chosen: dict[str, str] = {}
    used = set(taken)
    for row in sorted(purchases):
        is_free = row.storefront_id and row.storefront_id not in used
        chosen[row.event_id] = row.storefront_id if is_free else row.event_id
        used.add(row.storefront_id)
    return chosen
