"""Who may read the reports and hand in events: whoever bears a configured token."""

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256
from math import ceil

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import TooManyRequests, Unauthorized

from server.problems import NotConfigured
from tracking.operate.rate_limiter import Rate, RateLimiter

# Wrong tokens of one address: so many at once, and one more every six seconds.
WRONG_TOKENS = Rate(10 / 60, burst=10)
# RFC 9110 section 11.1: the scheme in any case. One space, one credential, nothing else.
_BEARER = re.compile(r"(?i:bearer) ([!-~]+)")


class BearerAuth:
    """Asks callers for a token, and makes them wait who try one after the other.

    An address that is made to wait is not even told of the right token, or guessing would go on.
    """

    def __init__(self, tokens: Sequence[bytes], wrong_tokens: RateLimiter) -> None:
        self._tokens = tokens
        self._wrong_tokens = wrong_tokens

    def check(self, given: str | None, address: str | None) -> None:
        """Return if an Authorization header bears one of the tokens.

        Raises:
            NotConfigured: there is no token at all.
            Unauthorized: there is none in the header, or a wrong one.
            TooManyRequests: there were too many wrong ones of this address.
        """
        if not self._tokens:
            raise NotConfigured("Set API_TOKEN to open this endpoint.")
        caller = address or ""
        seconds = self._wrong_tokens.closed(caller)
        if not seconds and bears_token(given, self._tokens):
            return
        # Whoever gives none does not guess.
        if given and not seconds:
            seconds = self._wrong_tokens.refusal(caller)
        if seconds:
            raise TooManyRequests("Too many wrong tokens.", retry_after=ceil(seconds))
        raise Unauthorized(
            "A bearer token is required: Authorization: Bearer <API_TOKEN>.",
            www_authenticate=WWWAuthenticate("bearer"),
        )


def bears_token(given: str | None, tokens: Sequence[bytes]) -> bool:
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
