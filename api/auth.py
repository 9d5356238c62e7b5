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

# Wrong tokens: of one address ten at once, and one more every six seconds; of all ten times that.
WRONG_TOKENS = Rate(10 / 60, burst=10)
ALL_WRONG_TOKENS = Rate(100 / 60, burst=100)
# RFC 9110 section 11.1: the scheme in any case. One space, one credential, nothing else.
_BEARER = re.compile(r"(?i:bearer) ([!-~]+)")


class BearerAuth:
    """Checks the bearer token of requests, and slows down addresses that send wrong ones.

    The right token opens always: many callers may share a proxy's address with one who guesses.
    That a guess may be right at any time is why a token has to be a long one.
    """

    def __init__(self, tokens: Sequence[bytes], wrong_tokens: RateLimiter) -> None:
        self._tokens = tokens
        self._wrong_tokens = wrong_tokens

    def check(self, authorization: str | None, address: str | None) -> None:
        """Checks that an Authorization header holds one of the tokens.

        Raises:
            NotConfigured: no token is configured.
            Unauthorized: the header holds no token, or a wrong one.
            TooManyRequests: the token is wrong, and this address, or all, sent too many of them.
        """
        if not self._tokens:
            raise NotConfigured("Set API_TOKEN to open this endpoint.")
        if bears_token(authorization, self._tokens):
            return
        # A request without a header is not an attempt to guess.
        if authorization and (seconds := self._wrong_tokens.refusal(address or "")):
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
