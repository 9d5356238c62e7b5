"""The result of a body that was received."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tracking.store.engine.statement import Connection

Status = Literal["accepted", "duplicate", "stale", "quarantined"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of a body that was received and is on disk now."""

    status: Status
    order_id: str = ""


# What is to be committed.
Work = Callable[[Connection], Receipt]
