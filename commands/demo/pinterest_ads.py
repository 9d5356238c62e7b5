"""An ad account as Pinterest's Ads API tells of it, by its documented rules, kept strictly."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

MOST_IDS, MOST_DAYS, FURTHEST_BACK = 250, 90, 90
DAY_SECONDS = 86_400
_STATUSES = {"ACTIVE", "PAUSED", "ARCHIVED", "DRAFT", "DELETED_DRAFT"}
_KINDS = ("", "CLICK_", "VIEW_", "ENGAGEMENT_", "WEB_", "OFFLINE_")
# Of offline checkouts the value is no column of this endpoint.
_COLUMNS = {
    *("SPEND_IN_MICRO_DOLLAR", "SPEND_IN_DOLLAR"),
    *(f"TOTAL_{kind}CHECKOUT" for kind in _KINDS),
    *(f"TOTAL_{kind}CHECKOUT_VALUE_IN_MICRO_DOLLAR" for kind in _KINDS if kind != "OFFLINE_"),
}
_WINDOWS = {"0", "1", "7", "14", "30", "60"}
_REPORT_TIMES = {"TIME_OF_AD_ACTION", "TIME_OF_CONVERSION"}
_CONVERSION_PARAMETERS = (
    *("click_window_days", "view_window_days", "engagement_window_days"),
    "conversion_report_time",
)
_GRANULARITIES = {"TOTAL", "DAY", "HOUR", "WEEK", "MONTH"}

Query = Mapping[str, Sequence[str]]
Answer = tuple[int, Any, Mapping[str, str]]


@dataclass
class Campaign:
    """A campaign and what it cost, in millionths by UTC day."""

    name: str
    status: str = "ACTIVE"
    spend: dict[date, int] = field(default_factory=dict)


@dataclass
class Ad:
    """An ad of a campaign, the pin that it promotes and what it cost, in millionths by UTC day."""

    name: str | None
    campaign_id: str
    pin_id: str
    status: str = "ACTIVE"
    spend: dict[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CountedCheckout:
    """A checkout, worth so many millionths, and the click or view (seconds UTC) that it followed.

    What Pinterest counts depends on the windows and the kind of days that it is asked for.
    """

    campaign_id: str
    acted_at: float
    bought_at: float
    micros: int
    kind: str = "CLICK_"
    is_offline: bool = False


class ApiRefusal(Exception):
    """A request that Pinterest refuses, with its answer."""

    def __init__(self, status: int, code: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.answer: Answer = (status, {"code": code, "message": message}, headers)


class AdsStandIn:
    """An ad account: its campaigns and ads, what they cost, and the checkouts that they brought."""

    def __init__(self, account_id: str, clock: Callable[[], float], currency: str = "USD") -> None:
        self.account_id = account_id
        self.clock = clock
        self.currency = currency
        self.campaigns: dict[str, Campaign] = {}
        self.ads: dict[str, Ad] = {}
        self.checkouts: list[CountedCheckout] = []
        self.unlisted: dict[date, int] = {}
        self.scores: dict[str, list[dict[str, Any]]] = {"1d": [], "14d": []}
        self.page_size = MOST_IDS
        self.ends_with_null = True

    @property
    def today(self) -> date:
        return datetime.fromtimestamp(self.clock(), UTC).date()

    def costs(self, id: str, day: date, micros: int, **about: Any) -> None:
        """Let a campaign cost so much on a day, whatever it was before."""
        about = {"name": f"campaign {id}", **about}
        self.campaigns.setdefault(id, Campaign(**about)).spend[day] = micros

    def counts(
        self, id: str, bought_at: float, micros: int, after_seconds: float = 3_600, **more: Any
    ) -> None:
        """Let Pinterest count a checkout for a campaign, so long after a click or another act."""
        self.campaigns.setdefault(id, Campaign(f"campaign {id}"))
        self.checkouts.append(
            CountedCheckout(id, bought_at - after_seconds, bought_at, micros, **more)
        )

    def promotes(self, id: str, day: date, micros: int, **about: Any) -> None:
        """Let an ad cost so much on a day, whatever it was before."""
        about = {"name": f"ad {id}", "campaign_id": "11", "pin_id": f"9{id}", **about}
        self.ads.setdefault(id, Ad(**about)).spend[day] = micros

    def judges(self, coverage: Mapping[str, Mapping[str, float]], **about: Any) -> None:
        """Let the quality of events be judged so: the coverage (percent) by component and event."""
        components = {
            component: {name: {"coverage": each, "issues": []} for name, each in by_event.items()}
            for component, by_event in coverage.items()
        }
        score = {
            "overall_status": "FAIR",
            "source_platform": "WEB",
            "ingestion_source": "CONVERSIONS_API",
            "quality_components": components,
            **about,
        }
        for lookback, scores in self.scores.items():
            scores.append({"lookback_period": lookback, **score})

    def read(self, path: str, query: Query) -> Any:
        """Returns what a GET request below /v5 is answered with status 200.

        Raises:
            ApiRefusal: it is refused.
        """
        own = f"/v5/ad_accounts/{self.account_id}"
        known = {
            own: self._account,
            f"{own}/campaigns": self._listed,
            f"{own}/campaigns/analytics": self._by_campaign,
            f"{own}/analytics": self._in_all,
            f"{own}/ads": self._listed_ads,
            f"{own}/ads/analytics": self._by_ad,
            f"{own}/conversion_eqs": self._judged,
        }
        if path not in known:
            raise ApiRefusal(403, 29, "You are not permitted to access that resource.")
        return known[path](query)

    def _account(self, query: Query) -> Any:
        return {"id": self.account_id, "name": "Mugs", "currency": self.currency, "country": "US"}

    def _listed(self, query: Query) -> Any:
        _only(query, "page_size", "bookmark", "entity_statuses", "order")
        return self._page(
            query,
            [
                {"id": id, "ad_account_id": self.account_id, "name": one.name, "status": one.status}
                for id, one in self.campaigns.items()
                if one.status in _wanted(query)
            ],
        )

    def _listed_ads(self, query: Query) -> Any:
        _only(query, "page_size", "bookmark", "entity_statuses", "order")
        return self._page(
            query,
            [
                {
                    "id": id,
                    "ad_account_id": self.account_id,
                    "campaign_id": one.campaign_id,
                    "pin_id": one.pin_id,
                    "name": one.name,
                    "status": one.status,
                }
                for id, one in self.ads.items()
                if one.status in _wanted(query)
            ],
        )

    def _page(self, query: Query, found: Sequence[Any]) -> Any:
        size = int(query.get("page_size", ["25"])[0])
        if not 1 <= size <= 250:
            raise ApiRefusal(400, 1, "page_size must be from 1 to 250")
        begin = int(query.get("bookmark", ["page-0"])[0].removeprefix("page-"))
        end = begin + min(size, self.page_size)
        page: dict[str, Any] = {"items": found[begin:end]}
        if end < len(found):
            return {**page, "bookmark": f"page-{end}"}
        return {**page, "bookmark": None} if self.ends_with_null else page

    def _by_campaign(self, query: Query) -> Any:
        start, end = self._days(query, "campaign_ids")
        columns = query["columns"][0].split(",")
        counted = self._counted(query)
        rows = []
        for id in _ids(query, "campaign_ids"):
            spend = self.campaigns.get(id, Campaign("")).spend
            for day in sorted({*spend, *(day for one, day in counted if one == id)}):
                told = {**_spent(spend.get(day, 0)), **counted.get((id, day), {})}
                # Neither a column without a value nor a row without columns is returned.
                found = {name: told[name] for name in columns if told.get(name)}
                if found and start <= day <= end:
                    rows.append({"DATE": day.isoformat(), "CAMPAIGN_ID": id, **found})
        return rows

    def _by_ad(self, query: Query) -> Any:
        start, end = self._days(query, "ad_ids")
        return [
            {"DATE": day.isoformat(), "AD_ID": id, **_told(query, cost)}
            for id in _ids(query, "ad_ids")
            for day, cost in sorted(self.ads.get(id, Ad("", "", "")).spend.items())
            if cost and start <= day <= end
        ]

    def _counted(self, query: Query) -> dict[tuple[str, date], dict[str, int]]:
        """The checkouts of each campaign and day and their value, of all and of each kind."""
        found: dict[tuple[str, date], dict[str, int]] = {}
        for one in self.checkouts:
            if _is_in_window(query, one):
                told = found.setdefault((one.campaign_id, _day_of(query, one)), {})
                place = "OFFLINE_" if one.is_offline else "WEB_"
                for kind in ("", one.kind, place):
                    name = f"TOTAL_{kind}CHECKOUT"
                    value = f"{name}_VALUE_IN_MICRO_DOLLAR"
                    told[name] = told.get(name, 0) + 1
                    told[value] = told.get(value, 0) + one.micros
        return found

    def _in_all(self, query: Query) -> Any:
        start, end = self._days(query)
        totals = dict(self.unlisted)
        for campaign in self.campaigns.values():
            for day, cost in campaign.spend.items():
                totals[day] = totals.get(day, 0) + cost
        return [
            {"DATE": day.isoformat(), "AD_ACCOUNT_ID": self.account_id, **_told(query, cost)}
            for day, cost in sorted(totals.items())
            if cost and start <= day <= end
        ]

    def _days(self, query: Query, *more: str) -> tuple[date, date]:
        asked = ("start_date", "end_date", "columns", "granularity", *_CONVERSION_PARAMETERS)
        _only(query, *asked, *more)
        for name in _CONVERSION_PARAMETERS[:3]:
            if query.get(name, ["30"])[0] not in _WINDOWS:
                raise ApiRefusal(400, 1, f"{name}: one of {sorted(_WINDOWS)}")
        if _report_time(query) not in _REPORT_TIMES:
            raise ApiRefusal(400, 1, f"conversion_report_time: one of {sorted(_REPORT_TIMES)}")
        columns = query.get("columns", [""])
        if len(columns) != 1 or not set(columns[0].split(",")) <= _COLUMNS:
            raise ApiRefusal(400, 1, "columns: known names, joined by commas")
        if query.get("granularity") != ["DAY"]:
            raise ApiRefusal(400, 1, f"granularity: one of {_GRANULARITIES}; days are told here")
        start, end = (date.fromisoformat(query[name][0]) for name in ("start_date", "end_date"))
        if not self.today - timedelta(FURTHEST_BACK) <= start <= end <= self.today:
            raise ApiRefusal(400, 1, "start_date can be no more than 90 days back")
        if (end - start).days >= MOST_DAYS:
            raise ApiRefusal(400, 1, "the days span more than 90")
        return start, end

    def _judged(self, query: Query) -> Any:
        _only(query, "lookback_period", "source_platform", "ingestion_source")
        (lookback,) = query.get("lookback_period", [""])
        if lookback not in self.scores:
            raise ApiRefusal(400, 1, "lookback_period: one of 1d, 14d")
        return self.scores[lookback]


def _only(query: Query, *names: str) -> None:
    if strange := query.keys() - set(names):
        raise ApiRefusal(400, 1, f"unknown parameters: {sorted(strange)}")


def _ids(query: Query, name: str) -> Sequence[str]:
    ids = query.get(name, [])
    if not 1 <= len(ids) <= MOST_IDS or not all(re.fullmatch(r"[0-9]{1,18}", i) for i in ids):
        raise ApiRefusal(400, 1, f"{name}: 1 to {MOST_IDS} numbers, one each time")
    return ids


def _wanted(query: Query) -> set[str]:
    wanted = set(query.get("entity_statuses", ["ACTIVE", "PAUSED"]))
    if not wanted <= _STATUSES:
        raise ApiRefusal(400, 1, "entity_statuses: unknown status")
    return wanted


def _report_time(query: Query) -> str:
    return query.get("conversion_report_time", ["TIME_OF_AD_ACTION"])[0]


def _is_in_window(query: Query, one: CountedCheckout) -> bool:
    defaults = {"CLICK_": "30", "ENGAGEMENT_": "30", "VIEW_": "1"}
    window = int(query.get(f"{one.kind.lower()}window_days", [defaults[one.kind]])[0])
    return window > 0 and 0 <= one.bought_at - one.acted_at <= window * DAY_SECONDS


def _day_of(query: Query, one: CountedCheckout) -> date:
    at = one.bought_at if _report_time(query) == "TIME_OF_CONVERSION" else one.acted_at
    return datetime.fromtimestamp(at, UTC).date()


def _spent(micros: int) -> dict[str, int | float]:
    return {"SPEND_IN_MICRO_DOLLAR": micros, "SPEND_IN_DOLLAR": micros / 1_000_000}


def _told(query: Query, micros: int) -> dict[str, Any]:
    return {name: _spent(micros)[name] for name in query["columns"][0].split(",")}
