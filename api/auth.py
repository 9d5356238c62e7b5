"""Bearer authentication of the API, with a rate limit for wrong tokens."""

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256
from math import ceil

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import TooManyRequests, Unauthorized

from server.problems import NotConfigured
from tracking.operate.rate_limiter import Rate, RateLimiter

# Wrong tokens of one address: ten at once, and one more every six seconds.
WRONG_TOKENS = Rate(10 / 60, burst=10)
# RFC 9110 section 11.1: the scheme in any case. One space, one credential, nothing else.
_BEARER = re.compile(r"(?i:bearer) ([!-~]+)")


class BearerAuth:
    """Checks the bearer token of requests, and blocks addresses that send too many wrong ones.

    A blocked address is refused even with the right token; otherwise it could go on guessing.
    """

    def __init__(self, tokens: Sequence[bytes], wrong_tokens: RateLimiter) -> None:
        self._tokens = tokens
        self._wrong_tokens = wrong_tokens

    def check(self, authorization: str | None, address: str | None) -> None:
        """Checks that an Authorization header holds one of the tokens.

        Raises:
            NotConfigured: no token is configured.
            Unauthorized: the header holds no token, or a wrong one.
            TooManyRequests: this address sent too many wrong tokens.
        """
        if not self._tokens:
            raise NotConfigured("Set API_TOKEN to open this endpoint.")
        caller = address or ""
        seconds = self._wrong_tokens.closed(caller)
        if not seconds and bears_token(authorization, self._tokens):
            return
        # A request without a header is not an attempt to guess.
        if authorization and not seconds:
            seconds = self._wrong_tokens.refusal(caller)
        if seconds:
            raise TooManyRequests("Too many wrong tokens.", retry_after=ceil(seconds))
        raise Unauthorized(
            "A bearer token is required: Authorization: Bearer <API_TOKEN>.",
            www_authenticate=WWWAuthenticate("bearer"),
        )


def bears_token(authorization: str | None, tokens: Sequence[bytes]) -> bool:
    """Returns whether an Authorization header holds one of the tokens; False if there are none.

    It compares digests, not tokens: they are equally long, so the time does not reveal a length.
    """
    match = _BEARER.fullmatch(authorization or "")
    if match is None:
        return False
    digest = sha256(match[1].encode()).digest()
    is_known = False
    for token in tokens:
        is_known |= hmac.compare_digest(sha256(token).digest(), digest)
    return is_known
