"""Gives the event of an order a new id with each webhook that tells of the order."""

import sys
import uuid

import tracking.domain.conversion
from tests.faults.start_up.clocked import create_app

_same = tracking.domain.conversion.event_id_of


def _another(order_id: str) -> str:
    return f"{_same(order_id)}-{uuid.uuid4().hex[:8]}" if order_id else _same(order_id)


for module in list(sys.modules.values()):
    if getattr(module, "event_id_of", None) is _same:
        module.event_id_of = _another  # type: ignore[attr-defined]

__all__ = ["create_app"]
