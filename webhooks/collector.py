"""The storefront's way in: the pixel that pages load, and the calls in which it tells of visits."""

import hmac
import json
from functools import cache
from ipaddress import IPv6Address, ip_address
from math import ceil
from pathlib import Path

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)

from config import Settings
from server.problems import NotConfigured
from server.request_body import raw_body
from tracking.domain.validation import ValidationError
from tracking.operate.rate_limiter import RateLimiter
from tracking.receive.pixel import Caller, PixelBatch, pixel_batch_of
from tracking.receive.tracker import Tracker

PATH = "/collect"
MAX_CALL = 64 * 1024
PIXEL_SECONDS = 300
PREFLIGHT_SECONDS = 86_400
# What fetch, beacons and forms say of JSON text. Only the text itself shows that it is JSON.
KINDS = frozenset({"", "text/plain", "application/json", "application/x-www-form-urlencoded"})


class Collector:
    """Hands out the pixel and takes its calls in. Off without a key.

    Everyone who looks at the shop knows the key, so a call proves nothing: it is limited and
    checked, and no purchase comes of it.
    """

    def __init__(self, tracker: Tracker, limiter: RateLimiter, settings: Settings) -> None:
        self._tracker = tracker
        self._limiter = limiter
        self._key = settings.collector_key
        self._origins = settings.collector_origins
        self._public_url = settings.public_url

    def routes(self) -> Blueprint:
        """The two addresses, and what browsers ask for before pages of other sites may call."""
        routes = Blueprint("collector", __name__)
        routes.add_url_rule("/pixel.js", "pixel", self.pixel)
        for name, view, method in (
            ("collect", self.collect, "POST"),
            ("preflight", self.preflight, "OPTIONS"),
        ):
            routes.add_url_rule(PATH, name, view, provide_automatic_options=False, methods=[method])
        # Of the whole application, since to a wrong method no route of this blueprint answers.
        routes.after_app_request(self._shared)
        return routes

    def pixel(self) -> Response:
        """The pixel, knowing the key and where to call. Another site's page may load it."""
        self._check_configured()
        text = _pixel_text().replace("__COLLECTOR_KEY__", _literal(self._key))
        text = text.replace("__COLLECTOR_URL__", _literal(f"{self._base_url()}{PATH}"))
        answer = Response(text, content_type="text/javascript; charset=utf-8")
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        answer.cache_control.public = True
        answer.cache_control.max_age = PIXEL_SECONDS
        answer.add_etag()
        answer.make_conditional(request)
        return answer

    def preflight(self) -> Response:
        """What a page of another site may send."""
        self._check_configured()
        self._check_origin()
        answer = Response(status=204)
        answer.headers["Access-Control-Allow-Methods"] = "POST"
        answer.headers["Access-Control-Allow-Headers"] = "content-type"
        answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return answer

    def collect(self) -> Response:
        """Take one call in; answered once what it tells is on disk.

        Raises:
            HTTPException: it is refused, and nothing was stored.
            ValidationError: none of its events can be used, and nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        self._check_configured()
        self._check_origin()
        if request.mimetype not in KINDS:
            raise UnsupportedMediaType("Send JSON text, as text/plain or application/json.")
        caller = Caller(_address(request.remote_addr), request.headers.get("User-Agent", ""))
        self._check_rate(caller.ip)
        call = self._call(caller)
        if not call.seen and not call.ignored:
            raise ValidationError(*call.refused)
        if call.seen:
            self._tracker.record_pixel_events(call.seen)
        return _answer(call)

    def _call(self, caller: Caller) -> PixelBatch:
        key = request.args.get("key")
        if key is not None:
            self._check_key(key)
        body = raw_body(request.environ, MAX_CALL)
        now = int(self._tracker.clock())
        call = pixel_batch_of(body, caller, self._tracker.planner.policy, now)
        if key is None:
            self._check_key(call.key)
        return call

    def _check_configured(self) -> None:
        if not self._key:
            raise NotConfigured("Set COLLECTOR_KEY to open this endpoint.")

    def _check_origin(self) -> None:
        origin = request.headers.get("Origin")
        if origin and not self._allowed(origin):
            raise Forbidden("COLLECTOR_ORIGINS does not name the origin of this page.")

    def _check_key(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(errors="replace"), self._key.encode()):
            raise Unauthorized("")

    def _check_rate(self, ip: str) -> None:
        seconds = self._limiter.refusal(ip)
        if seconds:
            raise TooManyRequests("Too many calls.", retry_after=ceil(seconds))

    def _allowed(self, origin: str) -> str:
        """Whom the answer may be shown to, if a page of this origin asked; "" for nobody."""
        # The frame in which Shopify runs a custom pixel has the origin "null".
        if origin == "null" or origin in self._origins:
            return origin
        return "" if self._origins else "*"

    def _shared(self, answer: Response) -> Response:
        """The answer with the leave of its reader's page, never with credentials."""
        if request.path == PATH:
            answer.vary.add("Origin")
            allowed = self._allowed(request.headers.get("Origin", ""))
            if allowed:
                answer.headers["Access-Control-Allow-Origin"] = allowed
        return answer

    def _base_url(self) -> str:
        if not self._public_url and not request.host:
            raise BadRequest("The Host header is missing or malformed.")
        return self._public_url or f"{request.scheme}://{request.host}"


@cache
def _pixel_text() -> str:
    return Path(__file__).with_name("pixel.js").read_text("utf-8")


def _literal(text: str) -> str:
    """The text as JavaScript writes it, wherever the script may be put."""
    return json.dumps(text).replace("<", "\\u003c")


def _address(told: str | None) -> str:
    """The caller's IP address; "" if a proxy told of something else."""
    try:
        ip = ip_address(told or "")
    except ValueError:
        return ""
    return str(ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip)


def _answer(call: PixelBatch) -> Response:
    refused = [{"field": fault.field, "message": fault.message} for fault in call.refused]
    answer = {"accepted": len(call.seen), "ignored": call.ignored, "refused": refused}
    return Response(msgspec.json.encode(answer), 202, content_type="application/json")
