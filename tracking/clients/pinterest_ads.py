"""Pinterest's Ads API: the campaigns of an ad account and their spend."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from tracking.clients.http import DEADLINE_SECONDS, HttpClient, HttpResponse, safe_url
from tracking.clients.outcome import TryLater
from tracking.clients.responses import decoded, redacted, retry_after, sanitized
from tracking.domain.money import is_currency

# Pinterest's limits of one call.
MAX_IDS = 250
MAX_DAYS = 90
FURTHEST_BACK_DAYS = 90
# Rows of conversions are several times as long as those of spend alone.
MAX_RESPONSE = 4 * 1024 * 1024
# This many rows of about 100 bytes are read at a time.
MAX_ROWS = 6_000

# Pinterest returns up to 250, but a campaign has many fields: this many fit in any case.
PAGE_SIZE = 100
# Archived campaigns have spend too; Pinterest leaves them out by default.
STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED")
# Millionths of the account's currency, whatever it is: the name is older than other currencies.
_SPEND = "SPEND_IN_MICRO_DOLLAR"
_UNKNOWN_CURRENCY = "UNK"
# 10^9 of the currency in a day: beyond any real spend, and sums of it fit into 64 bits.
_MAX_MICROS = 10**15
_NAME_LENGTH = 256

_T = TypeVar("_T")


class HasDay(Protocol):
    """A row of analytics."""

    @property
    def date(self) -> str: ...


class OfEntity(HasDay, Protocol):
    """A row of the analytics of campaigns or ads."""

    @property
    def id(self) -> str | int: ...


_R = TypeVar("_R", bound=HasDay)


class PinterestAdsError(Exception):
    """Pinterest did not answer a request as needed. The message says why and holds no secret."""


class Unreachable(PinterestAdsError):
    """No response, or an unreadable one: a later call may succeed."""


class Unreadable(Unreachable):
    """A response that is none to the request, as it came once at least."""


class TokenRefused(PinterestAdsError):
    """Pinterest does not accept the token, or does not accept it any more."""


class Throttled(PinterestAdsError):
    """Too many calls. `seconds` is the wait Pinterest requested, None if it requested none."""

    def __init__(self, reason: str, seconds: int | None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class AdsSettings(Protocol):
    """Settings for reading spend. An empty text means: not configured."""

    @property
    def pinterest_ad_account_id(self) -> str: ...
    @property
    def pinterest_api_base(self) -> str: ...
    @property
    def pinterest_ads_token(self) -> str: ...
    @property
    def pinterest_refresh_token(self) -> str: ...
    @property
    def pinterest_app_id(self) -> str: ...
    @property
    def pinterest_app_secret(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PinterestAdsAccess:
    """Id and credentials of the ad account. `access_token` may be empty if it can be renewed."""

    account_id: str
    base: str
    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    app_id: str = ""
    app_secret: str = field(default="", repr=False)

    @property
    def can_renew(self) -> bool:
        """Returns whether a new access token can be requested without an operator."""
        return bool(self.refresh_token and self.app_id and self.app_secret)


@dataclass(frozen=True, slots=True)
class RenewedTokens:
    """A new access token, and the refresh token to use next, empty if the old one stays valid."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """Campaign names by campaign id, and the bookmark of the next page, "" for the last page."""

    names: Mapping[str, str]
    bookmark: str


class _Account(msgspec.Struct):
    currency: str


class _Campaign(msgspec.Struct):
    id: str | int
    name: str | None = None


class _Campaigns(msgspec.Struct):
    items: list[_Campaign]
    bookmark: str | None = None


class _SpendRow(msgspec.Struct):
    """A row of the analytics. A column without a value may be missing."""

    date: str = msgspec.field(name="DATE")
    id: str | int = msgspec.field(name="CAMPAIGN_ID", default="")
    micros: Decimal | None = msgspec.field(name=_SPEND, default=None)


class _TokenResponse(msgspec.Struct):
    access_token: str
    refresh_token: str | None = None


class _AdsErrorBody(msgspec.Struct):
    message: str


class PinterestAds:
    """Reads campaigns and spend of one ad account."""

    def __init__(self, access: PinterestAdsAccess, deadline: float = DEADLINE_SECONDS) -> None:
        """Sets up calls that take at most `deadline` seconds each; nothing is called yet.

        Raises:
            ValueError: the base URL may not be called.
        """
        safe_url(access.base, "PINTEREST_API_BASE")
        self.token = access.access_token
        self._access = access
        self._account = f"{access.base}/ad_accounts/{access.account_id}"
        self._http = HttpClient(deadline, MAX_RESPONSE)

    def __repr__(self) -> str:
        return f"<PinterestAds {self._access.account_id}>"

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._http.close()

    def currency(self) -> str:
        """The currency of all of the account's spend.

        Raises:
            PinterestAdsError: the currency is not known.
        """
        code = self.get("", {}, _Account).currency
        if code == _UNKNOWN_CURRENCY or not is_currency(code):
            raise PinterestAdsError("Pinterest does not say which currency the ad account is in")
        return code

    def campaigns(self, bookmark: str = "") -> CampaignPage:
        """A page of the account's campaigns, paused and archived ones included.

        Raises:
            PinterestAdsError: the campaigns cannot be read.
        """
        parameters = {"page_size": PAGE_SIZE, "entity_statuses": STATUSES}
        if bookmark:
            parameters["bookmark"] = bookmark
        page = self.get("/campaigns", parameters, _Campaigns)
        names = {str(campaign.id): printable_name(campaign.name) for campaign in page.items}
        return CampaignPage(names, page.bookmark or "")

    def spend(self, ids: Sequence[str], start: date, end: date) -> dict[tuple[str, str], int]:
        """Spend of 1 to 250 campaigns on each UTC day from `start` to `end` (at most 90 days,
        inclusive), in millionths, by ISO date and campaign id. Spend of zero may be absent.

        Raises:
            PinterestAdsError: the spend cannot be read.
        """
        rows = self.analytics(
            "/campaigns/analytics", {"campaign_ids": ids}, start, end, [_SPEND], _SpendRow
        )
        checked_ids(rows, ids)
        return {(row.date, str(row.id)): _micros(row) for row in rows}

    def total(self, start: date, end: date) -> dict[str, int]:
        """Spend of the whole account on each UTC day, in millionths, by ISO date.

        Raises:
            PinterestAdsError: the spend cannot be read.
        """
        rows = self.analytics("/analytics", {}, start, end, [_SPEND], _SpendRow)
        return {row.date: _micros(row) for row in rows}

    def renew_tokens(self, refresh_token: str) -> RenewedTokens:
        """Requests a new access token with a refresh token.

        Raises:
            TokenRefused: the refresh token, or the app, is not accepted.
            PinterestAdsError: no token was issued.
        """
        pair = f"{self._access.app_id}:{self._access.app_secret}".encode()
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            # Every refresh token expires after sixty days; older apps must request the next one.
            "continuous_refresh": "true",
        }
        response = self._http.call(
            "POST",
            f"{self._access.base}/oauth/token",
            headers={
                "Authorization": f"Basic {base64.b64encode(pair).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
        )
        secrets = (refresh_token, self._access.app_secret)
        if isinstance(response, HttpResponse) and response.status in (400, 401, 403):
            raise TokenRefused(_reason(response, secrets))
        tokens = _checked(response, _TokenResponse, secrets)
        return RenewedTokens(tokens.access_token, tokens.refresh_token or "")

    def analytics(
        self,
        path: str,
        parameters: Mapping[str, object],
        start: date,
        end: date,
        columns: Sequence[str],
        kind: type[_R],
    ) -> list[_R]:
        """Returns the rows of an analytics endpoint for each UTC day from `start` to `end`.

        Raises:
            PinterestAdsError: the request failed, or a row is of another day.
        """
        asked = {
            "start_date": start.isoformat(),
            "end_date": end.isoformat(),
            **parameters,
            "columns": ",".join(columns),
            "granularity": "DAY",
        }
        rows: list[_R] = self.get(path, asked, list[kind])  # type: ignore[valid-type]
        if not all(_is_day(row.date, start, end) for row in rows):
            raise Unreadable("Pinterest answered with days that were not asked for")
        return rows

    def get(self, path: str, parameters: Mapping[str, object], kind: type[_T]) -> _T:
        """Returns the response to a request about the account, decoded into a type.

        Raises:
            PinterestAdsError: the request failed, or the response is of another kind.
        """
        # Pinterest reads a list from repeated parameters of one name.
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        headers = {"Authorization": f"Bearer {self.token}"}
        response = self._http.call("GET", f"{self._account}{path}{query}", headers)
        return _checked(response, kind, (self.token,))


def ads_access_of(settings: AdsSettings) -> PinterestAdsAccess | None:
    """Returns id and credentials from the settings; None if a setting is missing."""
    if missing_settings(settings):
        return None
    return PinterestAdsAccess(
        settings.pinterest_ad_account_id,
        settings.pinterest_api_base,
        settings.pinterest_ads_token,
        settings.pinterest_refresh_token,
        settings.pinterest_app_id,
        settings.pinterest_app_secret,
    )


def missing_settings(settings: AdsSettings) -> tuple[str, ...]:
    """Returns the names of the settings that are missing for reading spend."""
    renewal = {
        "PINTEREST_REFRESH_TOKEN": settings.pinterest_refresh_token,
        "PINTEREST_APP_ID": settings.pinterest_app_id,
        "PINTEREST_APP_SECRET": settings.pinterest_app_secret,
    }
    missing = [] if settings.pinterest_ad_account_id else ["PINTEREST_AD_ACCOUNT_ID"]
    if not settings.pinterest_ads_token and not all(renewal.values()):
        incomplete = [name for name, value in renewal.items() if not value]
        missing += incomplete if len(incomplete) < len(renewal) else ["PINTEREST_ADS_TOKEN"]
    return tuple(missing)


def _checked(response: HttpResponse | TryLater, kind: type[_T], secrets: Sequence[str]) -> _T:
    if isinstance(response, TryLater):
        raise Unreachable(response.reason)
    if response.status != 200:
        raise _error_of(response, secrets)
    value = decoded(response.body, kind)
    if value is None:
        raise Unreadable("HTTP 200: the answer does not read as Pinterest's")
    return value


def _error_of(response: HttpResponse, secrets: Sequence[str]) -> PinterestAdsError:
    reason = _reason(response, secrets)
    if response.status == 401:
        return TokenRefused(reason)
    if response.status == 429:
        return Throttled(reason, retry_after(response))
    if response.status >= 500 or response.status in (408, 425):
        return Unreachable(reason)
    if response.status in (403, 404):
        return PinterestAdsError(
            f"{reason} (the token must be allowed ads:read on this ad account)"
        )
    return PinterestAdsError(reason)


def _reason(response: HttpResponse, secrets: Sequence[str]) -> str:
    body = redacted(response.body, [secret.encode() for secret in secrets], b"(token)")
    error = decoded(body, _AdsErrorBody)
    return sanitized(f"HTTP {response.status}: {error.message if error else 'no readable reason'}")


def _is_day(text: str, start: date, end: date) -> bool:
    try:
        return len(text) == 10 and start <= date.fromisoformat(text) <= end
    except ValueError:
        return False


def checked_ids(rows: Sequence[OfEntity], ids: Sequence[str]) -> None:
    """Refuses rows of other ids, which would leave the requested ones at zero, and doubled ones.

    Raises:
        Unreadable: there are some.
    """
    found = {(row.date, str(row.id)) for row in rows}
    if len(found) < len(rows) or not {id for _, id in found} <= set(ids):
        raise Unreadable("Pinterest answered with rows that were not asked for")


def whole_number(value: Decimal | None, name: str) -> int:
    """Returns a figure, 0 for one that is absent.

    Raises:
        Unreadable: it is none that can be.
    """
    if value is None:
        return 0
    if not value.is_finite() or abs(value) > _MAX_MICROS:
        raise Unreadable(f"Pinterest answered with {name} that is no amount")
    return int(value.to_integral_value())


def _micros(row: _SpendRow) -> int:
    return whole_number(row.micros, "a spend")


def printable_name(name: str | None) -> str:
    """Returns the name of a campaign or an ad as one line of bounded length."""
    return " ".join(sanitized(name or "").split())[:_NAME_LENGTH]
