"""HTTP calls to one Shopify shop, with an access token that is renewed before it expires."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from tracking.clients.http import HttpClient, HttpResponse, safe_url
from tracking.clients.outcome import TryLater
from tracking.clients.responses import decoded, redacted, retry_after, sanitized
from tracking.clients.shopify_access import ShopAccess

# Longest wait between two attempts (seconds).
MAX_PAUSE = 60.0
# A token is renewed this long before it expires (seconds).
_RENEWAL_MARGIN = 60
_DEFAULT_LIFETIME = 86_400
_OAUTH_ERROR = re.compile(rb"[Oo]auth error (\w{1,64})")
_OAUTH_HINTS = {
    "app_not_installed": "in the Dev Dashboard, release the app and install it on this shop",
    "application_cannot_be_found": "SHOPIFY_CLIENT_ID names no app",
    "invalid_client": "client id and secret do not belong together",
    "shop_not_permitted": "make the app in the organization that owns this shop",
}
_DENIED = {
    402: "the shop is frozen",
    403: "the app may not do this",
    404: "there is no such shop",
    423: "the shop is locked",
}


class ShopifyError(Exception):
    """Shopify did not answer a request as needed. The message says why and holds no secret."""


class AccessTokenRefused(Exception):
    """Shopify does not accept the access token, or does not accept it any more."""


class RetryableError(Exception):
    """A call failed in a way that a later attempt may not; `seconds` if Shopify named a wait."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self._seconds = seconds

    def pause(self, attempt: int) -> float:
        """The pause before the next attempt, in seconds."""
        seconds = self._seconds if self._seconds is not None else float(2**attempt)
        return min(max(seconds, 0.0), MAX_PAUSE)


class _AccessToken(msgspec.Struct):
    access_token: str
    expires_in: int | None = None
    scope: str = ""


class _ErrorText(msgspec.Struct):
    errors: str = ""


class ShopifyHttp:
    """Sends POST requests to one shop and keeps its access token."""

    def __init__(self, access: ShopAccess, clock: Callable[[], float], deadline: float) -> None:
        """Sets up calls that take at most `deadline` seconds each; nothing is called yet.

        Raises:
            ValueError: the shop's address may not be called.
        """
        safe_url(access.base, "SHOPIFY_STORE_URL")
        self._access = access
        self._clock = clock
        self._token, self._expires_at = access.token, float("inf")
        self._client = HttpClient(deadline)

    @property
    def can_renew(self) -> bool:
        """Returns whether Shopify issues the access token; a configured token is never renewed."""
        return not self._access.token

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._client.close()

    def post(self, path: str, body: bytes) -> HttpResponse:
        """The response with status 200 to a JSON body sent with the access token.

        Raises:
            AccessTokenRefused: the token is not accepted.
            RetryableError: a later attempt may succeed.
            ShopifyError: any other status.
        """
        headers = {
            "X-Shopify-Access-Token": self._current_token(),
            "Content-Type": "application/json",
        }
        response = self._send(path, headers, body)
        if response.status != 200:
            raise self._error_of(response)
        return response

    def discard_token(self) -> None:
        """Forgets the access token, so that the next call requests a new one."""
        self._token = ""

    def redacted(self, text: str) -> str:
        """A text of Shopify's, sanitized and without our secrets."""
        secrets = (self._token, self._access.token, self._access.client_secret)
        return sanitized(redacted(text, secrets, "(secret)"))

    def _current_token(self) -> str:
        if not self._token or self._clock() >= self._expires_at:
            self._renew_token()
        return self._token

    def _renew_token(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
        }
        response = self._send(
            "/admin/oauth/access_token",
            {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            urlencode(form).encode(),
        )
        if 400 <= response.status < 500 and response.status not in (408, 425, 429):
            raise ShopifyError(f"no access token: {self._oauth_reason(response)}")
        if response.status != 200:
            raise self._error_of(response)
        issued = decoded(response.body, _AccessToken)
        if issued is None or not re.fullmatch(r"[!-~]+", issued.access_token):
            raise ShopifyError("no access token: the answer does not read as Shopify's")
        self._token = issued.access_token
        lifetime = issued.expires_in if issued.expires_in is not None else _DEFAULT_LIFETIME
        self._expires_at = self._clock() + max(0, lifetime - _RENEWAL_MARGIN)

    def _oauth_reason(self, response: HttpResponse) -> str:
        """The name of an OAuth error, which Shopify writes into a page of HTML or into JSON."""
        match = _OAUTH_ERROR.search(response.body)
        fields = decoded(response.body, dict[str, Any]) or {}
        name = match[1].decode() if match else str(fields.get("error") or "no readable reason")
        hint = _OAUTH_HINTS.get(name)
        return self.redacted(f"HTTP {response.status}: {name}" + (f" ({hint})" if hint else ""))

    def _send(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        response = self._client.call("POST", f"{self._access.base}{path}", headers, body)
        if isinstance(response, TryLater):
            raise RetryableError(response.reason)
        return response

    def _error_of(self, response: HttpResponse) -> Exception:
        text = decoded(response.body, _ErrorText)
        message = text.errors if text else ""
        reason = self.redacted(": ".join(filter(None, (f"HTTP {response.status}", message))))
        if response.status == 401:
            return AccessTokenRefused(f"{reason} (the credentials are not accepted)")
        if response.status == 429 or response.status >= 500 or response.status in (408, 425):
            return RetryableError(reason, retry_after(response))
        hint = _DENIED.get(response.status)
        return ShopifyError(reason + (f" ({hint})" if hint else ""))
