"""Pinterest's Ads API on this machine: an account behind its tokens, limits and troubles."""

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from commands.demo.http_server import PromptServer
from commands.demo.pinterest_ads import DAY_SECONDS, AdsStandIn, Answer, ApiRefusal, Query

ACCOUNT_ID = "549755885175"
TOKEN = "pina_ads_token_of_the_tests"
CONVERSION_TOKEN = "pina_conversion_token_of_the_tests"
REFRESH_TOKEN = "pinr_refresh_token_of_the_tests"
APP_ID, APP_SECRET = "1478", "app-secret-of-the-tests"

CALLS_A_MINUTE = 300
# What an app in trial access may send of the analytics' kind on a UTC day.
TRIAL_CALLS_A_DAY = 1_000


@dataclass(frozen=True)
class Call:
    """A request to the API and the status it was given; 0: the connection was cut."""

    at: float
    path: str
    query: Query
    status: int


class FakePinterestAds(AdsStandIn):
    """An ad account and its tokens. A context manager.

    What is in `troubles` is what the next calls are answered: a status, an answer whole, or "cut".
    `meanwhile` is run before each call.
    """

    def __init__(self, clock: Callable[[], float], currency: str = "USD") -> None:
        super().__init__(ACCOUNT_ID, clock, currency)
        # The ends of addresses that the token's scopes do not open.
        self.closed: set[str] = set()
        self.is_trial = False
        self.access_tokens = {TOKEN}
        self.refresh_token = REFRESH_TOKEN
        self.renewals = 0
        self.troubles: deque[int | str | Answer] = deque()
        self.meanwhile: Callable[[], object] = lambda: None
        self.calls: list[Call] = []
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

    def asked(self, path: str) -> list[Query]:
        """What was asked of the addresses that end so."""
        return [call.query for call in self.calls if call.path.endswith(path)]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What a request is answered; status 0 cuts the connection."""
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True)
        self.meanwhile()
        with self._lock:
            try:
                answer = self._answer(method, parts.path, query, headers, body)
            except ApiRefusal as refusal:
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
            raise ApiRefusal(405, 0, "There is nothing here.")
        self._admit(headers)
        if path.endswith("/analytics"):
            self._admit_analytics()
        if any(path.endswith(end) for end in self.closed):
            raise ApiRefusal(403, 29, "You are not permitted to access that resource.")
        return 200, self.read(path, query), {}

    def _admit(self, headers: Mapping[str, str]) -> None:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.access_tokens:
            raise ApiRefusal(401, 2, f"Authentication failed for {token}.")
        now = self.clock()
        recent = [call for call in self.calls if now - call.at < 60 and call.status == 200]
        if len(recent) >= CALLS_A_MINUTE:
            left = str(60 - int(now - recent[0].at))
            raise ApiRefusal(429, 8, "This request exceeded a rate limit.", **{"Retry-After": left})

    def _admit_analytics(self) -> None:
        begin = self.clock() // DAY_SECONDS * DAY_SECONDS
        calls = [c for c in self.calls if c.at >= begin and c.path.endswith("/analytics")]
        if self.is_trial and len(calls) >= TRIAL_CALLS_A_DAY:
            left = str(int(begin + DAY_SECONDS - self.clock()))
            raise ApiRefusal(429, 8, "This request exceeded a rate limit.", **{"Retry-After": left})

    def _renewed(self, headers: Mapping[str, str], body: bytes) -> Any:
        pair = base64.b64encode(f"{APP_ID}:{APP_SECRET}".encode()).decode()
        if headers.get("Authorization") != f"Basic {pair}":
            raise ApiRefusal(401, 2, f"Authentication failed: {headers.get('Authorization')}")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if not form.keys() <= {"grant_type", "refresh_token", "continuous_refresh", "scope"}:
            raise ApiRefusal(400, 1, "Invalid request: unexpected field.")
        # An older app gets no refresh token that lasts unless it says so.
        if form.get("continuous_refresh") != "true":
            raise ApiRefusal(400, 1, "continuous_refresh must be true.")
        if form.get("grant_type") != "refresh_token" or form["refresh_token"] != self.refresh_token:
            raise ApiRefusal(400, 283, f"Invalid refresh token {form.get('refresh_token')}.")
        self.renewals += 1
        # The next refresh token takes the place of the one that was used.
        self.refresh_token = f"{REFRESH_TOKEN}-{self.renewals}"
        access_token = f"{TOKEN}-{self.renewals}"
        self.access_tokens = {access_token}
        told = {"access_token": access_token, "token_type": "bearer", "expires_in": 2_592_000}
        return {**told, "refresh_token": self.refresh_token, "scope": "ads:read"}


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
