"""Pinterest's ads API on this machine: its documented rules for reading figures, kept strictly."""

import base64
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from commands.demo.http_server import PromptServer

ACCOUNT_ID = "549755885175"
TOKEN = "pina_ads_token_of_the_tests"
CONVERSION_TOKEN = "pina_conversion_token_of_the_tests"
REFRESH_TOKEN = "pinr_refresh_token_of_the_tests"
APP_ID, APP_SECRET = "1478", "app-secret-of-the-tests"

MOST_IDS, MOST_DAYS, FURTHEST_BACK = 250, 90, 90
CALLS_A_MINUTE = 300
# What an app in trial access may send of the analytics' kind on a UTC day.
TRIAL_CALLS_A_DAY = 1_000
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
class Checkout:
    """A checkout, worth so many millionths, and the click or view (seconds UTC) that it followed.

    What Pinterest counts depends on the windows and the kind of days that it is asked for.
    """

    campaign_id: str
    acted_at: float
    bought_at: float
    micros: int
    kind: str = "CLICK_"
    is_offline: bool = False


@dataclass(frozen=True)
class Call:
    """A request to the API and the status it was given; 0: the connection was cut."""

    at: float
    path: str
    query: Query
    status: int


class _Refusal(Exception):
    def __init__(self, status: int, code: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.answer = (status, {"code": code, "message": message}, headers)


class FakePinterestAds:
    """An ad account, its campaigns and its tokens. A context manager.

    What is in `troubles` is what the next calls are answered: a status, an answer whole, or "cut".
    `meanwhile` is run before each call.
    """

    def __init__(self, clock: Callable[[], float], currency: str = "USD") -> None:
        self.clock = clock
        self.currency = currency
        self.campaigns: dict[str, Campaign] = {}
        self.ads: dict[str, Ad] = {}
        self.checkouts: list[Checkout] = []
        self.unlisted: dict[date, int] = {}
        # The ends of addresses that the token's scopes do not open.
        self.closed: set[str] = set()
        self.is_trial = False
        self.access_tokens = {TOKEN}
        self.refresh_token = REFRESH_TOKEN
        self.renewals = 0
        self.troubles: deque[int | str | Answer] = deque()
        self.meanwhile: Callable[[], object] = lambda: None
        self.calls: list[Call] = []
        self.scores: dict[str, list[dict[str, Any]]] = {"1d": [], "14d": []}
        self.page_size = MOST_IDS
        self.ends_with_null = True
        self._lock = threading.Lock()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        self._server.start("fake-ads")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The API's base address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v5"

    @property
    def env(self) -> dict[str, str]:
        """What opens the account to a service."""
        return {
            "PINTEREST_API_BASE": self.url,
            "PINTEREST_AD_ACCOUNT_ID": ACCOUNT_ID,
            "PINTEREST_ADS_TOKEN": TOKEN,
        }

    @property
    def renewing(self) -> dict[str, str]:
        """The same, with what renews the token."""
        keys = {"PINTEREST_APP_ID": APP_ID, "PINTEREST_APP_SECRET": APP_SECRET}
        return {**self.env, **keys, "PINTEREST_REFRESH_TOKEN": REFRESH_TOKEN}

    def costs(self, id: str, day: date, micros: int, **about: Any) -> None:
        """Let a campaign cost so much on a day, whatever it was before."""
        about = {"name": f"campaign {id}", **about}
        self.campaigns.setdefault(id, Campaign(**about)).spend[day] = micros

    def counts(
        self, id: str, bought_at: float, micros: int, after_seconds: float = 3_600, **more: Any
    ) -> None:
        """Let Pinterest count a checkout for a campaign, so long after a click or another act."""
        self.campaigns.setdefault(id, Campaign(f"campaign {id}"))
        self.checkouts.append(Checkout(id, bought_at - after_seconds, bought_at, micros, **more))

    def promotes(self, id: str, day: date, micros: int, **about: Any) -> None:
        """Let an ad cost so much on a day, whatever it was before."""
        about = {"name": f"ad {id}", "campaign_id": "11", "pin_id": f"9{id}", **about}
        self.ads.setdefault(id, Ad(**about)).spend[day] = micros

    def asked(self, path: str) -> list[Query]:
        """What was asked of the addresses that end so."""
        return [call.query for call in self.calls if call.path.endswith(path)]

    @property
    def today(self) -> date:
        return datetime.fromtimestamp(self.clock(), UTC).date()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What a request is answered; status 0 cuts the connection."""
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True)
        self.meanwhile()
        with self._lock:
            try:
                answer = self._answer(method, parts.path, query, headers, body)
            except _Refusal as refusal:
                answer = refusal.answer
            self.calls.append(Call(self.clock(), parts.path, query, answer[0]))
            return answer

    def _answer(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if self.troubles:
            return _trouble(self.troubles.popleft())
        if (method, path) == ("POST", "/v5/oauth/token"):
            return 200, self._renewed(headers, body), {}
        if method != "GET":
            raise _Refusal(405, 0, "There is nothing here.")
        self._admit(headers)
        if path.endswith("/analytics"):
            self._admit_analytics()
        known = {
            f"/v5/ad_accounts/{ACCOUNT_ID}": self._account,
            f"/v5/ad_accounts/{ACCOUNT_ID}/campaigns": self._listed,
            f"/v5/ad_accounts/{ACCOUNT_ID}/campaigns/analytics": self._by_campaign,
            f"/v5/ad_accounts/{ACCOUNT_ID}/analytics": self._in_all,
            f"/v5/ad_accounts/{ACCOUNT_ID}/ads": self._listed_ads,
            f"/v5/ad_accounts/{ACCOUNT_ID}/ads/analytics": self._by_ad,
            f"/v5/ad_accounts/{ACCOUNT_ID}/conversion_eqs": self._judged,
        }
        if path not in known or any(path.endswith(end) for end in self.closed):
            raise _Refusal(403, 29, "You are not permitted to access that resource.")
        return 200, known[path](query), {}

    def _admit(self, headers: Mapping[str, str]) -> None:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.access_tokens:
            raise _Refusal(401, 2, f"Authentication failed for {token}.")
        now = self.clock()
        recent = [call for call in self.calls if now - call.at < 60 and call.status == 200]
        if len(recent) >= CALLS_A_MINUTE:
            left = str(60 - int(now - recent[0].at))
            raise _Refusal(429, 8, "This request exceeded a rate limit.", **{"Retry-After": left})

    def _admit_analytics(self) -> None:
        begin = self.clock() // DAY_SECONDS * DAY_SECONDS
        calls = [c for c in self.calls if c.at >= begin and c.path.endswith("/analytics")]
        if self.is_trial and len(calls) >= TRIAL_CALLS_A_DAY:
            left = str(int(begin + DAY_SECONDS - self.clock()))
            raise _Refusal(429, 8, "This request exceeded a rate limit.", **{"Retry-After": left})

    def _renewed(self, headers: Mapping[str, str], body: bytes) -> Any:
        pair = base64.b64encode(f"{APP_ID}:{APP_SECRET}".encode()).decode()
        if headers.get("Authorization") != f"Basic {pair}":
            raise _Refusal(401, 2, f"Authentication failed: {headers.get('Authorization')}")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if not form.keys() <= {"grant_type", "refresh_token", "continuous_refresh", "scope"}:
            raise _Refusal(400, 1, "Invalid request: unexpected field.")
        # An older app gets no refresh token that lasts unless it says so.
        if form.get("continuous_refresh") != "true":
            raise _Refusal(400, 1, "continuous_refresh must be true.")
        if form.get("grant_type") != "refresh_token" or form["refresh_token"] != self.refresh_token:
            raise _Refusal(400, 283, f"Invalid refresh token {form.get('refresh_token')}.")
        self.renewals += 1
        # The next refresh token takes the place of the one that was used.
        self.refresh_token = f"{REFRESH_TOKEN}-{self.renewals}"
        access_token = f"{TOKEN}-{self.renewals}"
        self.access_tokens = {access_token}
        told = {"access_token": access_token, "token_type": "bearer", "expires_in": 2_592_000}
        return {**told, "refresh_token": self.refresh_token, "scope": "ads:read"}

    def _account(self, query: Query) -> Any:
        return {"id": ACCOUNT_ID, "name": "Mugs", "currency": self.currency, "country": "US"}

    def _listed(self, query: Query) -> Any:
        _only(query, "page_size", "bookmark", "entity_statuses", "order")
        return self._page(
            query,
            [
                {"id": id, "ad_account_id": ACCOUNT_ID, "name": one.name, "status": one.status}
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
                    "ad_account_id": ACCOUNT_ID,
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
            raise _Refusal(400, 1, "page_size must be from 1 to 250")
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
            {"DATE": day.isoformat(), "AD_ACCOUNT_ID": ACCOUNT_ID, **_told(query, cost)}
            for day, cost in sorted(totals.items())
            if cost and start <= day <= end
        ]

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

    def _judged(self, query: Query) -> Any:
        _only(query, "lookback_period", "source_platform", "ingestion_source")
        (lookback,) = query.get("lookback_period", [""])
        if lookback not in self.scores:
            raise _Refusal(400, 1, "lookback_period: one of 1d, 14d")
        return self.scores[lookback]

    def _days(self, query: Query, *more: str) -> tuple[date, date]:
        asked = ("start_date", "end_date", "columns", "granularity", *_CONVERSION_PARAMETERS)
        _only(query, *asked, *more)
        for name in _CONVERSION_PARAMETERS[:3]:
            if query.get(name, ["30"])[0] not in _WINDOWS:
                raise _Refusal(400, 1, f"{name}: one of {sorted(_WINDOWS)}")
        if _report_time(query) not in _REPORT_TIMES:
            raise _Refusal(400, 1, f"conversion_report_time: one of {sorted(_REPORT_TIMES)}")
        columns = query.get("columns", [""])
        if len(columns) != 1 or not set(columns[0].split(",")) <= _COLUMNS:
            raise _Refusal(400, 1, "columns: known names, joined by commas")
        if query.get("granularity") != ["DAY"]:
            raise _Refusal(400, 1, f"granularity: one of {_GRANULARITIES}; days are told here")
        start, end = (date.fromisoformat(query[name][0]) for name in ("start_date", "end_date"))
        if not self.today - timedelta(FURTHEST_BACK) <= start <= end <= self.today:
            raise _Refusal(400, 1, "start_date can be no more than 90 days back")
        if (end - start).days >= MOST_DAYS:
            raise _Refusal(400, 1, "the days span more than 90")
        return start, end


def _only(query: Query, *names: str) -> None:
    if strange := query.keys() - set(names):
        raise _Refusal(400, 1, f"unknown parameters: {sorted(strange)}")


def _ids(query: Query, name: str) -> Sequence[str]:
    ids = query.get(name, [])
    if not 1 <= len(ids) <= MOST_IDS or not all(re.fullmatch(r"[0-9]{1,18}", i) for i in ids):
        raise _Refusal(400, 1, f"{name}: 1 to {MOST_IDS} numbers, one each time")
    return ids


def _wanted(query: Query) -> set[str]:
    wanted = set(query.get("entity_statuses", ["ACTIVE", "PAUSED"]))
    if not wanted <= _STATUSES:
        raise _Refusal(400, 1, "entity_statuses: unknown status")
    return wanted


def _report_time(query: Query) -> str:
    return query.get("conversion_report_time", ["TIME_OF_AD_ACTION"])[0]


def _is_in_window(query: Query, one: Checkout) -> bool:
    defaults = {"CLICK_": "30", "ENGAGEMENT_": "30", "VIEW_": "1"}
    window = int(query.get(f"{one.kind.lower()}window_days", [defaults[one.kind]])[0])
    return window > 0 and 0 <= one.bought_at - one.acted_at <= window * DAY_SECONDS


def _day_of(query: Query, one: Checkout) -> date:
    at = one.bought_at if _report_time(query) == "TIME_OF_CONVERSION" else one.acted_at
    return datetime.fromtimestamp(at, UTC).date()


def _spent(micros: int) -> dict[str, int | float]:
    return {"SPEND_IN_MICRO_DOLLAR": micros, "SPEND_IN_DOLLAR": micros / 1_000_000}


def _told(query: Query, micros: int) -> dict[str, Any]:
    return {name: _spent(micros)[name] for name in query["columns"][0].split(",")}


def _trouble(trouble: int | str | Answer) -> Answer:
    if isinstance(trouble, tuple):
        return trouble
    if isinstance(trouble, str):
        return 0, None, {}
    return trouble, {"code": 0, "message": "Sorry! Something went wrong on our end."}, {}


class _Server(PromptServer):
    def __init__(self, fake: FakePinterestAds) -> None:
        super().__init__(0, _Handler)
        self.fake = fake


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it: what arrived is in `calls`."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = dict(self.headers.items())
        status, told, more = self.server.fake.answer(self.command, self.path, headers, body)
        if not status:
            self.close_connection = True
            return
        raw = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **more}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()
