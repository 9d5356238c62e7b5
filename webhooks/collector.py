"""Serves the pixel to the shop's pages, and receives the events that it sends."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache, partial
from ipaddress import IPv6Address, ip_address
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
)
from werkzeug.wrappers import Request

from config import Settings
from server import request_ids
from server.answers import answer_follows, json_answer, with_more_headers
from server.deferred import ANSWER_DEFERRED, MUST_NOT_WAIT
from server.problems import NotConfigured
from server.request_body import raw_body
from server.security_headers import with_security_headers
from tracking.domain.client_ip import client_ip_of
from tracking.domain.placeholders import browser_patterns
from tracking.domain.validation import ValidationError
from tracking.operate.arrivals import Arrivals
from tracking.operate.rate_limiter import RateLimiter, Turn
from tracking.receive.pixel import (
    ClientInfo,
    DecodedCall,
    PixelBatch,
    PixelEvent,
    decoded_call_of,
    events_in,
)
from tracking.receive.tracker import Tracker
from tracking.store import StoreUnavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/collect"
MAX_CALL = 64 * 1024
# With its headers. A longer one takes the threads that write and receive too long.
MAX_AT_ONCE = 6 * 1024
PIXEL_MAX_AGE = 300
PREFLIGHT_MAX_AGE = 86_400
# fetch, beacons and forms label JSON text in all these ways; only parsing shows that it is JSON.
CONTENT_TYPES = frozenset(
    {"", "text/plain", "application/json", "application/x-www-form-urlencoded"}
)

# No browser sends any of these by itself.
_PROXY_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


class _Told:
    """A call as far as it was read: how many events it has, and later what can be used of it."""

    __slots__ = ("_outcome", "_read", "event_count")

    def __init__(self, event_count: int, read: Callable[[], PixelBatch]) -> None:
        self.event_count = event_count
        self._read = read
        self._outcome: PixelBatch | Exception | None = None

    @property
    def events(self) -> Sequence[PixelEvent]:
        """The events that can be used, once they are read."""
        return self._outcome.events if isinstance(self._outcome, PixelBatch) else ()

    @property
    def is_read(self) -> bool:
        """True once it is known what can be used."""
        return self._outcome is not None

    def read(self) -> Sequence[PixelEvent]:
        """Reads the events, once; returns those that can be used."""
        if self._outcome is None:
            try:
                self._outcome = self._read()
            except (ValidationError, HTTPException) as error:
                self._outcome = error
        return self.events

    def usable(self) -> PixelBatch:
        """Returns what can be used.

        Raises:
            HTTPException: the call is none of ours.
            ValidationError: none of its events is usable.
        """
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome or self._read()


def _refused(error: Exception) -> _Told:
    """Returns a call of which nothing can be used; it counts as one event."""

    def refuse() -> PixelBatch:
        raise error

    told = _Told(1, refuse)
    told.read()
    return told


class Collector:
    """Serves the pixel and receives its calls. Disabled without a key.

    Every visitor of the shop can read the key, so a call is not trusted: it is rate limited and
    validated, and never creates a purchase.
    """

    def __init__(
        self, tracker: Tracker, limiter: RateLimiter, settings: Settings, arrivals: Arrivals
    ) -> None:
        self._tracker = tracker
        self._arrivals = arrivals
        self._limiter = limiter
        self._key = settings.collector_key
        self._origins = settings.collector_origins
        self._public_url = settings.public_url
        self._trusted_proxies = settings.trusted_proxies

    @property
    def never_waits_at(self) -> Mapping[str, int]:
        """The address at which a server may ask, by MUST_NOT_WAIT, that nothing is waited for, and
        the longest request there (bytes)."""
        return {PATH: MAX_AT_ONCE}

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
        routes.after_app_request(self._add_cors_headers)
        return routes

    def in_front_of(
        self, app: WSGIApplication, problem_of: Callable[[Exception], Response]
    ) -> WSGIApplication:
        """Returns the application with the one door for a call, which needs no Flask."""

        def door(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"].upper() != "POST":
                return app(environ, start_response)
            try:
                answer = self._receive(environ, problem_of)
            except Exception as error:
                answer = self._with_cors_headers(environ, problem_of(error))
            return answer(environ, start_response)

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
        self._check_origin(request.headers.get("Origin"))
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = "content-type"
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE)
        return response

    def _receive(
        self, environ: WSGIEnvironment, problem_of: Callable[[Exception], Response]
    ) -> WSGIApplication:
        """Records the events of a call; returns its answer, or DEFERRED where the answer follows.

        Raises:
            HTTPException: the call is refused, and nothing was stored.
            ValidationError: none of its events can be used, and nothing was stored.
            StoreUnavailable: the events may not have been stored.
        """
        self._check_configured()
        self._check_origin(environ.get("HTTP_ORIGIN"))
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() not in CONTENT_TYPES:
            raise UnsupportedMediaType("Send JSON text, as text/plain or application/json.")
        turn = self._limiter.turn(_address(environ.get("REMOTE_ADDR")))
        _check_turn(turn.refused)
        told = self._told_in(environ)
        turn.spend(told.event_count)
        # A thread of its own may read the call. In the main loop others would wait for that.
        recorded = self._record(told, turn, is_read_now=not environ.get(MUST_NOT_WAIT))
        answer_later = environ.get(ANSWER_DEFERRED)
        if answer_later is None or recorded.done():
            return self._with_cors_headers(environ, _answer_once_recorded(recorded, told, turn))
        request_id = request_ids.current()

        def answer(recorded: Future[float]) -> None:
            with request_ids.Serving(request_id):
                try:
                    response = _answer_once_recorded(recorded, told, turn)
                except Exception as error:
                    response = problem_of(error)
            answer_later(with_security_headers(self._with_cors_headers(environ, response)))

        recorded.add_done_callback(answer)
        return answer_follows

    def _told_in(self, environ: WSGIEnvironment) -> _Told:
        try:
            key = Request(environ).args.get("key") if environ.get("QUERY_STRING") else None
            if key is not None:
                self._check_key(key)
            decoded = decoded_call_of(raw_body(environ, MAX_CALL))
            if key is None:
                self._check_key(decoded.site_key)
        except (ValidationError, HTTPException) as error:
            return _refused(error)
        client, now = self._client_info(environ), int(self._tracker.clock())
        return _Told(len(decoded.events), partial(self._usable, decoded, client, now))

    def _usable(self, decoded: DecodedCall, client: ClientInfo, now: int) -> PixelBatch:
        batch = events_in(decoded, client, self._tracker.planner.policy, now)
        if batch.events:
            self._arrivals.count("pixel")
        elif not batch.ignored:
            raise ValidationError(*batch.errors)
        return batch

    def _record(self, told: _Told, turn: Turn, *, is_read_now: bool) -> Future[float]:
        """Begins to record the events of a call, in one transaction with what its turn takes."""
        if is_read_now:
            told.read()
        if told.is_read and not told.events and not turn.needs_store:
            nothing: Future[float] = Future()
            nothing.set_result(0.0)
            return nothing
        try:
            return self._tracker.pixel.record_later(told.read, turn)
        except StoreUnavailable:
            turn.drop()
            raise

    def _client_info(self, environ: WSGIEnvironment) -> ClientInfo:
        return ClientInfo(
            self._client_ip(environ),
            environ.get("HTTP_USER_AGENT", ""),
            environ.get("HTTP_ACCEPT_LANGUAGE", ""),
            environ.get("HTTP_SEC_GPC", "").strip() == "1",
        )

    def _check_configured(self) -> None:
        if not self._key:
            raise NotConfigured("Set COLLECTOR_KEY to open this endpoint.")

    def _check_origin(self, origin: str | None) -> None:
        if origin and not self._allowed_origin(origin):
            raise Forbidden("COLLECTOR_ORIGINS does not name the origin of this page.")

    def _check_key(self, key: str) -> None:
        if not hmac.compare_digest(key.encode(errors="replace"), self._key.encode()):
            raise Unauthorized("")

    def _allowed_origin(self, origin: str) -> str:
        """Returns the Access-Control-Allow-Origin for a page's origin; "" if it may not call."""
        # The frame in which Shopify runs a custom pixel has the origin "null".
        if origin == "null" or origin in self._origins:
            return origin
        return "" if self._origins else "*"

    def _with_cors_headers(
        self, environ: WSGIEnvironment, answer: WSGIApplication
    ) -> WSGIApplication:
        """Lets the calling page read an answer of the collector, never with credentials."""
        return with_more_headers(answer, self._cors_headers(environ.get("HTTP_ORIGIN", "")))

    def _add_cors_headers(self, response: Response) -> Response:
        if request.path == PATH:
            response.headers.extend(self._cors_headers(request.headers.get("Origin", "")))
        return response

    def _cors_headers(self, origin: str) -> Sequence[tuple[str, str]]:
        allowed = self._allowed_origin(origin)
        vary = [("Vary", "Origin")]
        return [*vary, ("Access-Control-Allow-Origin", allowed)] if allowed else vary

    def _client_ip(self, environ: WSGIEnvironment) -> str:
        """Returns the visitor's public IP address; "" if the address may be a proxy's."""
        trusted = self._trusted_proxies
        chain = environ.get("HTTP_X_FORWARDED_FOR", "")
        has_unknown_proxy = not trusted and any(name in environ for name in _PROXY_HEADERS)
        if has_unknown_proxy or len(list(filter(None, chain.split(",")))) < trusted:
            return ""
        return client_ip_of(environ.get("REMOTE_ADDR") or "")

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


def _check_turn(seconds: float) -> None:
    if seconds:
        raise TooManyRequests("Too many events.", retry_after=ceil(seconds))


def _answer_once_recorded(recorded: Future[float], told: _Told, turn: Turn) -> WSGIApplication:
    """Returns the answer to a call that was recorded, or was to be; it waits for that.

    Raises:
        HTTPException: the store refused the call, or it was not usable.
        ValidationError: none of its events is usable.
        StoreUnavailable: the events may not have been stored.
    """
    try:
        refused = recorded.result()
    except BaseException:
        turn.drop()
        raise
    turn.settle()
    _check_turn(refused)
    return _accepted(told.usable())


def _accepted(batch: PixelBatch) -> WSGIApplication:
    refused = [{"field": error.field, "message": error.message} for error in batch.errors]
    body = {"accepted": len(batch.events), "ignored": batch.ignored, "refused": refused}
    return json_answer("202 Accepted", body)
