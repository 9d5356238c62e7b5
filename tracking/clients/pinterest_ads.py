"""Pinterest's ads API: which campaigns an account has and what they cost, a call at a time."""

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
from tracking.clients.responses import decoded, retry_after, sanitized
from tracking.domain.money import is_currency

# What Pinterest takes in one call.
MOST_IDS = 250
MOST_DAYS = 90
FURTHEST_BACK_DAYS = 90
# What fits into the longest answer that is read, with room to spare: a row has about 100 bytes.
MOST_ROWS = 6_000

# Pinterest gives up to 250, but a campaign has many words: these fit in any case.
_PAGE_SIZE = 100
# Campaigns that are over have cost something too; Pinterest leaves them out unless asked.
_STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED")
# Millionths of the account's currency, whatever it is: the name is older than other currencies.
_SPEND = "SPEND_IN_MICRO_DOLLAR"
_UNKNOWN_CURRENCY = "UNK"
# 10^9 of the currency in a day: nobody spends it, and sums of it fit the databases' integers.
_MOST_MICROS = 10**15
_NAME_LENGTH = 256
# A shorter secret is somebody's made-up one, and may be a part of the answer's own words.
_SECRET_LENGTH = 12

_T = TypeVar("_T")


class PinterestAdsError(Exception):
    """Pinterest did not tell what it was asked. The message says why and holds no secret."""


class Unreachable(PinterestAdsError):
    """No answer, or none that can be read: the next one may be better."""


class TokenRefused(PinterestAdsError):
    """The token that was shown is not accepted, or not any more."""


class Throttled(PinterestAdsError):
    """Too many calls. `seconds` is the wait Pinterest asked for, None if it named none."""

    def __init__(self, reason: str, seconds: int | None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class AdsSettings(Protocol):
    """What reading spend needs of the settings. Empty text means: not configured."""

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
    """The ad account, and what opens it. `access_token` may be empty if it can be renewed."""

    account_id: str
    base: str
    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    app_id: str = ""
    app_secret: str = field(default="", repr=False)

    @property
    def can_renew(self) -> bool:
        """Whether a new access token can be had without a human."""
        return bool(self.refresh_token and self.app_id and self.app_secret)


@dataclass(frozen=True, slots=True)
class RenewedTokens:
    """A new access token, and the refresh token to use next; empty if the old one stays."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """The names of some campaigns by their ids, and the bookmark of the next page if any."""

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


class _SpendAnswer(msgspec.Struct):
    """A row of the analytics. What has no value may be missing."""

    date: str = msgspec.field(name="DATE")
    campaign_id: str | int = msgspec.field(name="CAMPAIGN_ID", default="")
    micros: Decimal | None = msgspec.field(name=_SPEND, default=None)


class _TokenAnswer(msgspec.Struct):
    access_token: str
    refresh_token: str | None = None


class _AdsErrorBody(msgspec.Struct):
    message: str


class PinterestAds:
    """One ad account that can be asked what its campaigns cost."""

    def __init__(self, access: PinterestAdsAccess, deadline: float = DEADLINE_SECONDS) -> None:
        """A whole call may take `deadline` seconds. Nothing is called yet.

        Raises:
            ValueError: the base address is none that may be called.
        """
        safe_url(access.base, "PINTEREST_API_BASE")
        self.token = access.access_token
        self._access = access
        self._account = f"{access.base}/ad_accounts/{access.account_id}"
        self._http = HttpClient(deadline)

    def __repr__(self) -> str:
        return f"<PinterestAds {self._access.account_id}>"

    def close(self) -> None:
        """Close the connections kept open for later calls."""
        self._http.close()

    def currency(self) -> str:
        """The currency all of the account's spend is in.

        Raises:
            PinterestAdsError: it is not known.
        """
        code = self._get("", {}, _Account).currency
        if code == _UNKNOWN_CURRENCY or not is_currency(code):
            raise PinterestAdsError("Pinterest does not say which currency the ad account is in")
        return code

    def campaigns(self, bookmark: str = "") -> CampaignPage:
        """A page of the account's campaigns, those included that are paused or archived.

        Raises:
            PinterestAdsError: it cannot be had.
        """
        asked = {"page_size": _PAGE_SIZE, "entity_statuses": _STATUSES}
        if bookmark:
            asked["bookmark"] = bookmark
        told = self._get("/campaigns", asked, _Campaigns)
        return CampaignPage(
            {str(one.id): _name(one.name) for one in told.items}, told.bookmark or ""
        )

    def spend(self, ids: Sequence[str], start: date, end: date) -> dict[tuple[str, str], int]:
        """What these campaigns (1 to 250) cost on each UTC day from `start` to `end` (at most 90,
        inclusive), in millionths, by ISO date and id. What is not in it cost nothing.

        Raises:
            PinterestAdsError: it cannot be had.
        """
        rows = self._costs("/campaigns/analytics", {"campaign_ids": ids}, start, end)
        found = {(row.date, str(row.campaign_id)): _micros(row) for row in rows}
        # Taken for an answer, such rows would turn everything that was asked into zeros.
        if len(found) < len(rows) or not {id for _, id in found} <= set(ids):
            raise Unreachable("Pinterest answered with rows that were not asked for")
        return found

    def total(self, start: date, end: date) -> dict[str, int]:
        """What the whole account cost on each UTC day, in millionths by ISO date.

        Raises:
            PinterestAdsError: it cannot be had.
        """
        rows = self._costs("/analytics", {}, start, end)
        return {row.date: _micros(row) for row in rows}

    def renewed(self, refresh_token: str) -> RenewedTokens:
        """A new access token for a refresh token.

        Raises:
            TokenRefused: the refresh token, or the app, is not accepted.
            PinterestAdsError: it cannot be had.
        """
        pair = f"{self._access.app_id}:{self._access.app_secret}".encode()
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            # Every refresh token ends after sixty days; older apps must ask for the next one.
            "continuous_refresh": "true",
        }
        answer = self._http.call(
            "POST",
            f"{self._access.base}/oauth/token",
            headers={
                "Authorization": f"Basic {base64.b64encode(pair).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(form).encode(),
        )
        secrets = (refresh_token, self._access.app_secret)
        if isinstance(answer, HttpResponse) and answer.status in (400, 401, 403):
            raise TokenRefused(_reason(answer, secrets))
        told = _decoded(answer, _TokenAnswer, secrets)
        return RenewedTokens(told.access_token, told.refresh_token or "")

    def _costs(
        self, path: str, asked: Mapping[str, object], start: date, end: date
    ) -> list[_SpendAnswer]:
        days = {"start_date": start.isoformat(), "end_date": end.isoformat()}
        asked = {**days, **asked, "columns": _SPEND, "granularity": "DAY"}
        rows = self._get(path, asked, list[_SpendAnswer])
        if not all(_is_day(row.date, start, end) for row in rows):
            raise Unreachable("Pinterest answered with days that were not asked for")
        return rows

    def _get(self, path: str, asked: Mapping[str, object], kind: type[_T]) -> _T:
        # Pinterest wants a list as the same name again and again.
        query = f"?{urlencode(asked, doseq=True)}" if asked else ""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self._http.call("GET", f"{self._account}{path}{query}", headers)
        return _decoded(answer, kind, (self.token,))


def access_of(settings: AdsSettings) -> PinterestAdsAccess | None:
    """What the settings say of the account and its keys; None if something is missing."""
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
    """The settings without which no spend can be read, by name; none if it can."""
    renewal = {
        "PINTEREST_REFRESH_TOKEN": settings.pinterest_refresh_token,
        "PINTEREST_APP_ID": settings.pinterest_app_id,
        "PINTEREST_APP_SECRET": settings.pinterest_app_secret,
    }
    wanted = [] if settings.pinterest_ad_account_id else ["PINTEREST_AD_ACCOUNT_ID"]
    if not settings.pinterest_ads_token and not all(renewal.values()):
        half_done = [name for name, value in renewal.items() if not value]
        wanted += half_done if len(half_done) < len(renewal) else ["PINTEREST_ADS_TOKEN"]
    return tuple(wanted)


def _decoded(answer: HttpResponse | TryLater, kind: type[_T], secrets: Sequence[str]) -> _T:
    if isinstance(answer, TryLater):
        raise Unreachable(answer.reason)
    if answer.status != 200:
        raise _refusal(answer, secrets)
    told = decoded(answer.body, kind)
    if told is None:
        raise Unreachable("HTTP 200: the answer does not read as Pinterest's")
    return told


def _refusal(answer: HttpResponse, secrets: Sequence[str]) -> PinterestAdsError:
    reason = _reason(answer, secrets)
    if answer.status == 401:
        return TokenRefused(reason)
    if answer.status == 429:
        return Throttled(reason, retry_after(answer))
    if answer.status >= 500 or answer.status in (408, 425):
        return Unreachable(reason)
    if answer.status in (403, 404):
        return PinterestAdsError(
            f"{reason} (the token must be allowed ads:read on this ad account)"
        )
    return PinterestAdsError(reason)


def _reason(answer: HttpResponse, secrets: Sequence[str]) -> str:
    body = answer.body
    for secret in secrets:
        if len(secret) >= _SECRET_LENGTH:
            body = body.replace(secret.encode(), b"(token)")
    error = decoded(body, _AdsErrorBody)
    return sanitized(f"HTTP {answer.status}: {error.message if error else 'no readable reason'}")


def _is_day(text: str, start: date, end: date) -> bool:
    try:
        return len(text) == 10 and start <= date.fromisoformat(text) <= end
    except ValueError:
        return False


def _micros(row: _SpendAnswer) -> int:
    value = row.micros
    if value is None:
        return 0
    if not value.is_finite() or abs(value) > _MOST_MICROS:
        raise Unreachable("Pinterest answered with a spend that is no amount")
    return int(value.to_integral_value())


def _name(name: str | None) -> str:
    return " ".join(sanitized(name or "").split())[:_NAME_LENGTH]
