"""Who may read the reports and hand in events: whoever bears a configured token."""

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256

from werkzeug.exceptions import ServiceUnavailable

# RFC 9110 section 11.1: the scheme in any case. One space, one credential, nothing else.
_BEARER = re.compile(r"(?i:bearer) ([!-~]+)")


class NotConfigured(ServiceUnavailable):
    """The endpoint is closed until a setting opens it; the description names which."""

    @property
    def name(self) -> str:
        """The title of the problem."""
        return "Not configured"


def is_token(given: str | None, tokens: Sequence[bytes]) -> bool:
    """Whether an Authorization header bears one of the tokens. Never raises; no tokens, no access.

    Digests are compared, not tokens: they are equally long, so the time does not tell a length.
    """
    found = _BEARER.fullmatch(given or "")
    if found is None:
        return False
    digest = sha256(found[1].encode()).digest()
    known = False
    for token in tokens:
        known |= hmac.compare_digest(sha256(token).digest(), digest)
    return known
