"""Recognises persons and orders that were erased, by their tombstones, in what arrives."""

from collections.abc import Collection, Iterable

import msgspec

from tracking.domain.identity import Identity, is_identity
from tracking.receive.pixel import PixelEvent
from tracking.store import erasure
from tracking.store.engine.statement import Connection

# The keys that belong to one person only. A household may share a phone.
CERTAIN = ("em:", "id:")


def erased_of(conn: Connection, order_id: str, keys: Iterable[str]) -> tuple[bool, frozenset[str]]:
    """Returns whether an order is an erased person's, and which of its keys were erased."""
    keys = tuple(keys)
    erased = erasure.tombstoned(conn, (f"or:{order_id}", *keys))
    is_erased = f"or:{order_id}" in erased or is_same_person(keys, erased)
    return is_erased, erased


def unerased_keys(conn: Connection, keys: Iterable[str]) -> tuple[str, ...]:
    """Returns the keys of a person that may be stored: none if the person was erased, and no phone
    of another one who was."""
    keys = tuple(keys)
    erased = erasure.tombstoned(conn, keys)
    return () if is_same_person(keys, erased) else tuple(k for k in keys if k not in erased)


def without_erased(
    conn: Connection, events: Iterable[PixelEvent]
) -> tuple[list[PixelEvent], frozenset[str]]:
    """Returns the storefront events without erased identities, and the ids of the events of
    erased persons."""
    cleaned: list[PixelEvent] = []
    erased_ids: set[str] = set()
    for event in events:
        keys = event.identity.graph_keys()
        names = (*keys, *filter(None, [event.client]))
        erased = erasure.tombstoned(conn, names) if names else frozenset()
        if event.client in erased:
            event = _event_without_client(event)
        if is_same_person(keys, erased):
            erased_ids.add(event.event_id)
            event = msgspec.structs.replace(event, identity=Identity(), tokens=(), client="")
        elif erased:
            event = _event_without_phone(event, erased)
        cleaned.append(event)
    return cleaned, frozenset(erased_ids)


def is_same_person(keys: Iterable[str], others: Collection[str]) -> bool:
    """Returns True if the keys are those of the person known by others: if an e-mail address or
    a customer id is the same, or every identity is."""
    own = [key for key in keys if is_identity(key)]
    is_certain = any(key in others for key in own if key.startswith(CERTAIN))
    return is_certain or (bool(own) and all(key in others for key in own))


def _event_without_client(event: PixelEvent) -> PixelEvent:
    conversion = event.conversion
    if conversion is not None:
        conversion = msgspec.structs.replace(conversion, client="")
    return msgspec.structs.replace(event, client="", conversion=conversion)


def _event_without_phone(event: PixelEvent, erased: Collection[str]) -> PixelEvent:
    conversion = event.conversion
    if conversion is not None:
        identity = conversion.identity.without_phones(erased)
        conversion = msgspec.structs.replace(conversion, identity=identity)
    identity = event.identity.without_phones(erased)
    return msgspec.structs.replace(event, identity=identity, conversion=conversion)
