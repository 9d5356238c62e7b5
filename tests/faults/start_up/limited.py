"""The service with an account that may make few calls a minute, of one event each."""

from typing import Any

from tests.faults.start_up import CALLS_PER_MINUTE
from tests.faults.start_up.clocked import create_app
from tracking.destinations.pinterest import Pinterest

_as_usual = Pinterest.__init__


def _limited(self: Pinterest, *args: Any, **more: Any) -> None:
    _as_usual(self, *args, **more)
    self.max_batch, self.calls_per_minute = 1, CALLS_PER_MINUTE


Pinterest.__init__ = _limited  # type: ignore[method-assign]

__all__ = ["create_app"]
