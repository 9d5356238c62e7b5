"""Sessions of the dashboard: a signed cookie for who gave a token, stored nowhere."""

import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from itsdangerous import BadSignature, Signer

from server.derived_keys import derived_key

COOKIE = "dashboard_session"
SESSION_SECONDS = 12 * 3600
# Between the clocks of several machines.
_CLOCK_TOLERANCE = 300
_NONCE = re.compile(r"[0-9a-f]{16}")
_PAYLOAD = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{22})")


@dataclass(frozen=True, slots=True)
class DashboardSession:
    """A person who may see the dashboard.

    `name` tells the session apart from others; `person` is who the proxy says it is, or "".
    """

    name: str
    person: str = ""


class Sessions:
    """Begins sessions and recognises them, by keys that each API token makes.

    A session ends with its token, and every machine with the same tokens knows it.
    """

    def __init__(self, tokens: Sequence[bytes], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._keys = {token: derived_key(token, b"dashboard session") for token in tokens}
        self._form_keys = [derived_key(token, b"dashboard forms") for token in tokens]

    def begin(self, token: bytes) -> str:
        """Returns the cookie of a new session, which one of the tokens opened."""
        ends_at = int(self._clock()) + SESSION_SECONDS
        payload = f"{ends_at}.{secrets.token_urlsafe(16)}"
        return _signer([self._keys[token]]).sign(payload).decode()

    def of_cookie(self, cookie: str) -> DashboardSession | None:
        """Returns the session of a cookie; None if it has ended, or never was ours."""
        if not self._keys:
            return None
        try:
            payload = _signer([*self._keys.values()]).unsign(cookie).decode()
        except (BadSignature, UnicodeError):
            return None
        found = _PAYLOAD.fullmatch(payload)
        left = int(found[1]) - self._clock() if found else 0.0
        if found is None or not 0 < left <= SESSION_SECONDS + _CLOCK_TOLERANCE:
            return None
        return DashboardSession(f"session {found[2]}")

    def form_token(self, session: DashboardSession) -> str:
        """Returns the text that a form of this session sends along, and no other page knows.

        It is another one on every page: a compressed page gives nothing away by its length.
        """
        return _form_token(self._form_keys[0], session, secrets.token_hex(8))

    def is_form_token(self, session: DashboardSession, given: str) -> bool:
        """Returns True if a form of this session sent the text."""
        sent = given.encode(errors="replace")
        nonce = given.partition("-")[0]
        # Any other could hold the beginning of a person's name.
        if not _NONCE.fullmatch(nonce):
            return False
        tokens = [_form_token(key, session, nonce).encode() for key in self._form_keys]
        return any(hmac.compare_digest(token, sent) for token in tokens)


def _signer(keys: Sequence[bytes]) -> Signer:
    # The keys are derived already.
    return Signer(keys, key_derivation="none", digest_method=sha256)


def _form_token(key: bytes, session: DashboardSession, nonce: str) -> str:
    message = f"{nonce} {session.name}".encode(errors="replace")
    return f"{nonce}-{hmac.digest(key, message, 'sha256').hex()}"
