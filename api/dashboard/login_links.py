"""Lets a login link in: once, for ten minutes, and only who sits at this machine."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from werkzeug.wrappers import Request

from api.dashboard.proxy_login import address_of, peer_of
from server.login_links import LINK_SECONDS, is_login_code
from tracking.store import Store, limits

_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")


class LoginLinks:
    """Opens the dashboard to links that a holder of one of the tokens has made.

    The store remembers which were used, so that no process lets one in again.
    """

    def __init__(self, tokens: Sequence[bytes], store: Store, clock: Callable[[], float]) -> None:
        self._tokens = tokens
        self._store = store
        self._clock = clock

    def opened_by(self, code: str, request: Request) -> bytes | None:
        """Returns the token that made the link of a code; None if it opens nothing.

        Raises:
            StoreUnavailable: it is not known if the link was used.
        """
        now = self._clock()
        token = next((each for each in self._tokens if is_login_code(code, each, now)), None)
        if token is None or not _is_from_this_machine(request):
            return None
        name = f"login link {sha256(code.encode()).hexdigest()[:32]}"
        # A limit of one call in a longer time than any link holds.
        interval_ms = 2_000 * LINK_SECONDS
        wait = self._store.commit(
            lambda conn: limits.take(conn, name, 1, interval_ms, 1, int(now * 1000))
        )
        return None if wait else token


def _is_from_this_machine(request: Request) -> bool:
    address = address_of(peer_of(request.environ))
    # A proxy on this machine brings requests from elsewhere.
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    return address is not None and address.is_loopback and not is_forwarded
