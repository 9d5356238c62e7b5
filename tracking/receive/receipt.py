"""The result of a webhook's body."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tracking.store.engine.statement import Connection

Status = Literal["accepted", "duplicate", "stale", "quarantined"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of a body that is on disk now."""

    status: Status
    order_id: str = ""


# A unit of work for `Store.commit`.
Work = Callable[[Connection], Receipt]
