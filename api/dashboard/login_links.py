"""Links that log in once, for who sits at this machine: the demo prints one."""

import secrets
import threading
from collections.abc import Callable

from werkzeug.wrappers import Request

from api.dashboard.proxy_login import address_of, peer_of

LINK_SECONDS = 600


class LoginLinks:
    """Makes links that open the dashboard once, within ten minutes, from this machine alone.

    They are known to this process only.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._lock = threading.Lock()

    def new_path(self) -> str:
        """Returns the path of a new link."""
        code = secrets.token_urlsafe(24)
        with self._lock:
            self._ends[code] = self._clock() + LINK_SECONDS
        return f"/dashboard/login/{code}"

    def opens(self, code: str, request: Request) -> bool:
        """Returns True if the link's code is unused and still holds; it does not open again."""
        if not _is_from_this_machine(request):
            return False
        with self._lock:
            ends_at = self._ends.pop(code, 0.0)
        return 0 < ends_at - self._clock() <= LINK_SECONDS


def _is_from_this_machine(request: Request) -> bool:
    address = address_of(peer_of(request.environ))
    # A proxy on this machine brings requests from elsewhere.
    is_forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded"))
    return address is not None and address.is_loopback and not is_forwarded
