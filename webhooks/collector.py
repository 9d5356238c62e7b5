"""Serves the pixel to the shop's pages, and receives the events that it sends."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable
from functools import cache
from ipaddress import IPv6Address, ip_address
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from werkzeug.wrappers import Request

from config import Settings
from server.problems import NotConfigured
from server.request_body import raw_body
from tracking.domain.client_ip import client_ip_of
from tracking.domain.placeholders import browser_patterns
from tracking.domain.validation import ValidationError
from tracking.operate.rate_limiter import RateLimiter
from tracking.receive.pixel import ClientInfo, PixelBatch, decoded_call_of, events_in
from tracking.receive.tracker import Tracker

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/collect"
MAX_CALL = 64 * 1024
PIXEL_MAX_AGE = 300
PREFLIGHT_MAX_AGE = 86_400
# fetch, beacons and forms label JSON text in all these ways; only parsing shows that it is JSON.
CONTENT_TYPES = frozenset(
    {"", "text/plain", "application/json", "application/x-www-form-urlencoded"}
)

# No browser sends any of these by itself.
_PROXY_HEADERS = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")


class Collector:
    """Serves the pixel and receives its calls. Disabled without a key.

    Every visitor of the shop can read the key, so a call is not trusted: it is rate limited and
    validated, and never creates a purchase.
    """

    def __init__(self, tracker: Tracker, limiter: RateLimiter, settings: Settings) -> None:
        self._tracker = tracker
        self._limiter = limiter
        self._key = settings.collector_key
        self._origins = settings.collector_origins
        self._public_url = settings.public_url
        self._trusted_proxies = settings.trusted_proxies

    def routes(self) -> Blueprint:
        """Returns the routes of the pixel and the collector, with the collector's preflight."""
        routes = Blueprint("collector", __name__)
        routes.add_url_rule("/pixel.js", "pixel", self.pixel)
        # A call is answered by `in_front_of`, and does not reach Flask.
        for name, view, method in (
            ("collect", None, "POST"),
            ("preflight", self.preflight, "OPTIONS"),
        ):
            routes.add_url_rule(PATH, name, view, provide_automatic_options=False, methods=[method])
        # On the whole application: a wrong method matches no route of this blueprint.
        routes.after_app_request(lambda response: self._with_cors_headers(request, response))
        return routes

    def in_front_of(
        self, app: WSGIApplication, problem_of: Callable[[Exception], Response]
    ) -> WSGIApplication:
        """Returns the application with the one door for a call, which needs no Flask."""

        def door(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"].upper() != "POST":
                return app(environ, start_response)
            call = Request(environ)
            try:
                answer = self._collect(call)
            except Exception as error:
                answer = problem_of(error)
            return self._with_cors_headers(call, answer)(environ, start_response)

        return door

    def pixel(self) -> Response:
        """Returns the pixel with the key and the collector's URL in it. Any site may load it."""
        self._check_configured()
        script = pixel_script(self._key, f"{self._base_url()}{PATH}")
        response = Response(script, content_type="text/javascript; charset=utf-8")
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if self._public_url:
            response.cache_control.public = True
        else:
            # The collector's address in it is then the caller's own word, which no shared cache
            # may hand to others.
            response.cache_control.private = True
        response.cache_control.max_age = PIXEL_MAX_AGE
        response.add_etag()
        response.make_conditional(request)
        return response

    def preflight(self) -> Response:
        """Returns the method and header that a page of another origin may use."""
        self._check_configured()
        self._check_origin(request)
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = "content-type"
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE)
        return response

    def _collect(self, call: Request) -> Response:
        """Stores the events of one call; returns once they are on disk.

        Raises:
            HTTPException: the call is refused, and nothing was stored.
            ValidationError: none of its events can be used, and nothing was stored.
            StoreUnavailable: the events may not have been stored.
        """
        self._check_configured()
        self._check_origin(call)
        if call.mimetype not in CONTENT_TYPES:
            raise UnsupportedMediaType("Send JSON text, as text/plain or application/json.")
        # Before its events are known a call counts as one of them.
        self._check_rate(call, 1)
        batch = self._read_batch(call)
        if not batch.events and not batch.ignored:
            raise ValidationError(*batch.errors)
        if batch.events:
            self._tracker.record_pixel_events(batch.events)
        return _accepted(batch)

    def _read_batch(self, call: Request) -> PixelBatch:
        key = call.args.get("key")
        if key is not None:
            self._check_key(key)
        told = decoded_call_of(raw_body(call.environ, MAX_CALL))
        if key is None:
            self._check_key(told.site_key)
        if len(told.events) > 1:
            self._check_rate(call, len(told.events) - 1)
        now = int(self._tracker.clock())
        return events_in(told, self._client_info(call), self._tracker.planner.policy, now)

    def _client_info(self, call: Request) -> ClientInfo:
        agent, languages, gpc = map(
            call.headers.get, ("User-Agent", "Accept-Language", "Sec-GPC"), ("", "", "")
        )
        return ClientInfo(self._client_ip(call), agent, languages, gpc.strip() == "1")

    def _check_configured(self) -> None:
        if not self._key:
            raise NotConfigured("Set COLLECTOR_KEY to open this endpoint.")

    def _check_origin(self, call: Request) -> None:
        origin = call.headers.get("Origin")
        if origin and not self._allowed_origin(origin):
            raise Forbidden("COLLECTOR_ORIGINS does not name the origin of this page.")

    def _check_key(self, key: str) -> None:
        if not hmac.compare_digest(key.encode(errors="replace"), self._key.encode()):
            raise Unauthorized("")

    def _check_rate(self, call: Request, events: int) -> None:
        seconds = self._limiter.refusal(_address(call.remote_addr), events)
        if seconds:
            raise TooManyRequests("Too many events.", retry_after=ceil(seconds))

    def _allowed_origin(self, origin: str) -> str:
        """Returns the Access-Control-Allow-Origin for a page's origin; "" if it may not call."""
        # The frame in which Shopify runs a custom pixel has the origin "null".
        if origin == "null" or origin in self._origins:
            return origin
        return "" if self._origins else "*"

    def _with_cors_headers(self, call: Request, response: Response) -> Response:
        """Lets the calling page read a response of the collector, never with credentials."""
        if call.path == PATH:
            response.vary.add("Origin")
            allowed = self._allowed_origin(call.headers.get("Origin", ""))
            if allowed:
                response.headers["Access-Control-Allow-Origin"] = allowed
        return response

    def _client_ip(self, call: Request) -> str:
        """Returns the visitor's public IP address; "" if the address may be a proxy's."""
        trusted = self._trusted_proxies
        chain = call.headers.get("X-Forwarded-For", "")
        has_unknown_proxy = not trusted and any(map(call.headers.__contains__, _PROXY_HEADERS))
        if has_unknown_proxy or len(list(filter(None, chain.split(",")))) < trusted:
            return ""
        return client_ip_of(call.remote_addr or "")

    def _base_url(self) -> str:
        if not self._public_url and not request.host:
            raise BadRequest("The Host header is missing or malformed.")
        return self._public_url or f"{request.scheme}://{request.host}"


def pixel_script(key: str, url: str) -> str:
    """Returns the pixel that calls the collector at a URL with a key."""
    script = _pixel_template()
    for name, value in (("KEY", key), ("URL", url), ("NOTHING", browser_patterns())):
        script = script.replace(f"__COLLECTOR_{name}__", _js_literal(value))
    return script


@cache
def _pixel_template() -> str:
    return Path(__file__).with_name("pixel.min.js").read_text("utf-8")


def _js_literal(value: object) -> str:
    """Returns a JavaScript literal that is safe in an inline script as well."""
    return json.dumps(value).replace("<", "\\u003c")


def _address(address: str | None) -> str:
    """Returns the caller's IP address; "" if a proxy reported anything else."""
    try:
        ip = ip_address(address or "")
    except ValueError:
        return ""
    return str(ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip)


def _accepted(batch: PixelBatch) -> Response:
    refused = [{"field": error.field, "message": error.message} for error in batch.errors]
    body = {"accepted": len(batch.events), "ignored": batch.ignored, "refused": refused}
    return Response(msgspec.json.encode(body), 202, content_type="application/json")
