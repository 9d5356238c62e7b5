"""The check of API tokens, with a rate limit for wrong ones."""

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
        self._check_configured()
        if bears_token(authorization, self._tokens):
            return
        self._count_wrong(authorization, address)
        raise Unauthorized(
            "A bearer token is required: Authorization: Bearer <API_TOKEN>.",
            www_authenticate=WWWAuthenticate("bearer"),
        )

    def token_equal_to(self, given: str, address: str | None) -> bytes:
        """Returns the configured token that somebody typed in.

        Raises:
            NotConfigured: no token is configured.
            Unauthorized: it is none of them.
            TooManyRequests: it is none of them, and this address, or all, sent too many such.
        """
        self._check_configured()
        token = _token_equal_to(given, self._tokens)
        if token is None:
            self._count_wrong(given, address)
            raise Unauthorized("This is not the API token." if given else "Type in the API token.")
        return token

    def _check_configured(self) -> None:
        if not self._tokens:
            raise NotConfigured("Set API_TOKEN to open this endpoint.")

    def _count_wrong(self, given: str | None, address: str | None) -> None:
        # A request that gives nothing is not an attempt to guess.
        if given and (seconds := self._wrong_tokens.refusal(address or "")):
            raise TooManyRequests("Too many wrong tokens.", retry_after=ceil(seconds))


def bears_token(authorization: str | None, tokens: Sequence[bytes]) -> bool:
    """Returns whether an Authorization header holds one of the tokens; False if there are none."""
    match = _BEARER.fullmatch(authorization or "")
    return match is not None and _token_equal_to(match[1], tokens) is not None


def _token_equal_to(given: str, tokens: Sequence[bytes]) -> bytes | None:
    """Returns the token of this text, or None.

    It compares digests, not tokens: they are equally long, so the time does not reveal a length.
    """
    digest = sha256(given.encode(errors="replace")).digest()
    found = None
    for token in tokens:
        if hmac.compare_digest(sha256(token).digest(), digest):
            found = token
    return found
