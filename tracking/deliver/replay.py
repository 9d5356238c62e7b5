"""Puts dead letters back in line, as far as Pinterest still takes events of their age."""

from tracking.deliver.retry import GIVE_UP_AFTER
from tracking.domain.shared_id import OFFLINE_AFTER
from tracking.store import Store, conversions, dead_letter_queue


def replay_dead_letters(store: Store, now: int, event_id: str = "", *, late: bool = False) -> int:
    """Queues all dead letters, or that of one event, by its own id or the one it is sent under;
    returns how many.

    Purchases that Pinterest would by now count beside its own app's are left out unless `late`.

    Raises:
        StoreUnavailable: nothing may have been queued.
    """
    own_id = own_event_id(store, event_id)
    oldest = oldest_replayed(now)
    shared_since = 0 if late else now - OFFLINE_AFTER
    return store.commit(
        lambda conn: dead_letter_queue.replay(conn, now, oldest, own_id, shared_since)
    )


def oldest_replayed(now: int) -> int:
    """Returns the instant (seconds UTC) after which an event must have happened to be replayed."""
    return now - GIVE_UP_AFTER


def own_event_id(store: Store, event_id: str) -> str:
    """Returns the event id of the event that has this id or is sent under it."""
    with store.read() as conn:
        found = conversions.under_id(conn, event_id) if event_id else None
    return event_id if found is None else found.event_id
