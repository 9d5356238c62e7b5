"""Links that log in to the dashboard: whoever has its token can make one, and check one."""

import re
import secrets
from hashlib import sha256

from itsdangerous import BadSignature, Signer

from server.derived_keys import derived_key

LINK_SECONDS = 600
# Between the clocks of the process that makes a link and the one that is asked for it.
_CLOCK_TOLERANCE = 5
_PAYLOAD = re.compile(r"([0-9]{1,12})-[A-Za-z0-9_-]{22}")


def login_path(token: bytes, now: float) -> str:
    """Returns the path of a link that logs in by a token, for ten minutes from now (seconds UTC).

    The dashboard lets each link in once, and from its own machine alone.
    """
    payload = f"{int(now) + LINK_SECONDS}-{secrets.token_urlsafe(16)}"
    return f"/dashboard/login/{_signer(token).sign(payload).decode()}"


def is_login_code(code: str, token: bytes, now: float) -> bool:
    """Returns True if a link's code was made by a token, and holds at an instant (seconds UTC)."""
    try:
        payload = _signer(token).unsign(code).decode()
    except (BadSignature, UnicodeError):
        return False
    found = _PAYLOAD.fullmatch(payload)
    return found is not None and 0 < int(found[1]) - now <= LINK_SECONDS + _CLOCK_TOLERANCE


def _signer(token: bytes) -> Signer:
    key = derived_key(token, b"dashboard login link")
    # The key is derived already.
    return Signer(key, key_derivation="none", digest_method=sha256)
