"""The service as it ships, but for figures that a test can wait for and can reach."""

import os
from typing import Any

from tracking.deliver import deliverer
from tracking.destinations.pinterest import Pinterest

_as_usual = Pinterest.__init__


def _limited(self: Pinterest, *args: Any, **more: Any) -> None:
    _as_usual(self, *args, **more)
    self.calls_per_minute = int(os.environ["CALLS_PER_MINUTE"])


Pinterest.__init__ = _limited  # type: ignore[method-assign]
deliverer.LEASE_SECONDS = int(os.environ["LEASE_SECONDS"])
deliverer._CALL_SECONDS = 10

from app import create_app  # noqa: E402

__all__ = ["create_app"]
