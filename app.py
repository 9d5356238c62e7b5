"""The Flask application: the routes around the service, and the response to each error."""

from __future__ import annotations

import atexit
import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NoReturn

import click
import msgspec
from flask import Flask, Response, request
from flask.cli import FlaskGroup
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from api.auth import ALL_WRONG_TOKENS, WRONG_TOKENS, BearerAuth
from api.dashboard.routes import BLUEPRINT as DASHBOARD
from api.dashboard.routes import OPEN_ENDPOINTS, Dashboard
from api.events import EventRoutes
from api.front_page import front_page
from api.openapi import DESCRIPTION
from api.reports import report_routes
from commands.doctor import findings
from commands.findings import Finding
from commands.registry import register_commands
from config import ConfigurationError, Settings
from server import request_ids
from server.log_lines import begin_log
from server.problems import CONTENT_TYPE, problem_body
from server.security_headers import with_security_headers
from tracking.domain.validation import ValidationError
from tracking.operate.background import stop_all
from tracking.operate.error_lines import error_line
from tracking.operate.monitoring import Monitor
from tracking.operate.prometheus import CONTENT_TYPE as METRICS_TYPE
from tracking.operate.rare_lines import RareLines
from tracking.operate.rate_limiter import Rate, RateLimiter
from tracking.receive.pixel import MOST_EVENTS
from tracking.service import Service, open_service
from tracking.store import StoreUnavailable, report_statements, wait_until_reachable
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.write_ahead_log import protection
from webhooks.collector import Collector
from webhooks.shopify import Receivers, ShopifyWebhooks

logger = logging.getLogger(__name__)

_JSON = "application/json"
# The exit status of a worker at which gunicorn gives up, and does not start another one.
_APP_LOAD_ERROR = 4

# Endpoints without a token: Shopify signs its webhooks, the storefront sends a public key, and the
# others reveal nothing of the shop.
PUBLIC = frozenset(
    {
        *("shopify.receive", "front_page", "health", "ready", "openapi"),
        *("collector.pixel", "collector.collect", "collector.preflight"),
        "events.preflight",
        *(f"{DASHBOARD}.{name}" for name in OPEN_ENDPOINTS),
    }
)


def create_app(env: Mapping[str, str] | None = None) -> Flask:
    """Returns the application for an environment; by default for that of this process.

    A process that serves also waits for its database and delivers from background threads.

    Raises:
        ConfigurationError: a variable of `env` is missing or cannot be used.
        SystemExit: the service of this process cannot start; one message said why.
    """
    if env is None and _only_seeks_command():
        return _commands()
    main_loop = MainLoop()
    if env is not None:
        return _served(_opened(Settings.from_env(env), main_loop), main_loop)
    try:
        service = _opened(Settings.load(), main_loop)
    except ConfigurationError as error:
        _refuse_to_start(str(error))
    except Exception as error:
        # The driver of the configured database may raise any class.
        logger.debug("the start failed: %s", error_line(error))
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        _refuse_to_start(f"the service cannot be opened: {first_line}")
    return _served(service, main_loop)


def _refuse_to_start(reason: str) -> NoReturn:
    """Ends the process with one message and no traceback."""
    click.echo(f"the service cannot start:\n{reason}", err=True)
    raise SystemExit(_APP_LOAD_ERROR)


def _opened(settings: Settings, main_loop: MainLoop) -> Service:
    begin_log(settings.log_level, settings.log_format)
    # It names a handful of plugins of its own wherever a database is migrated.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    for warning in settings.warnings:
        logger.warning("%s", warning)
    if _serves():
        wait_until_reachable(settings.database_url)
    return open_service(settings, time.time, main_loop)


def _served(service: Service, main_loop: MainLoop) -> Flask:
    if isinstance(service.store, SqliteStore):
        logger.info("%s", protection())
    app = assemble(service)
    app.extensions["main_loop"] = main_loop
    if _serves():
        _start_background(app, service)
    return app


def _start_background(app: Flask, service: Service) -> None:
    """Starts the background threads of a process that serves, and sees to their stop.

    Those that deliver end as soon as the process begins to stop, and are waited for first. The
    others take up what the last requests bring.
    """
    delivering = []
    if service.settings.deliver:
        delivering = [service.deliverers(), service.maintenance()]
    groups = [*delivering, service.workers()]
    for group in groups:
        group.start()
    app.extensions["at_stop"] = [group.begin_stop for group in delivering]
    app.extensions["before_serving"] = [partial(report_statements.prepare, service.store.dialect)]
    atexit.register(stop_all, groups)


def assemble(service: Service) -> Flask:
    """Returns the application around a service: routes, token check and error table."""
    app = Flask(__name__, static_folder=None)
    app.extensions["service"] = service
    settings = service.settings
    webhooks = ShopifyWebhooks(
        Receivers(service.tracker, service.privacy),
        settings.shopify_webhook_secrets,
        settings.shopify_shops,
        service.refused_webhooks,
        service.arrivals,
    )
    auth = BearerAuth(settings.api_tokens, _wrong_token_limiter(service))
    collector = Collector(service.tracker, _collector_limiter(service), settings, service.arrivals)
    app.extensions["never_waits_at"] = {**webhooks.never_waits_at, **collector.never_waits_at}
    app.register_blueprint(webhooks.routes())
    app.register_blueprint(collector.routes())
    answer_to = partial(error_response, RareLines(logger))
    _add_routes(app, service, auth, answer_to)
    if not settings.trusted_proxies:
        _warn_of_proxies(app)
    _refuse_double_slashes(app)
    _require_token(app, auth)
    app.register_error_handler(Exception, answer_to)
    register_commands(app)
    behind = collector.in_front_of(app.wsgi_app, answer_to)
    front = with_security_headers(webhooks.in_front_of(behind, answer_to))
    app.wsgi_app = request_ids.with_request_ids(front)  # type: ignore[assignment,method-assign]
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _add_routes(
    app: Flask, service: Service, auth: BearerAuth, answer_to: Callable[[Exception], Response]
) -> None:
    settings = service.settings
    events = EventRoutes(service.events, service.event_trials, settings.collector_origins)
    app.register_blueprint(events.routes())
    app.register_blueprint(report_routes(service))
    dashboard = Dashboard(service, auth, answer_to, _findings)
    app.register_blueprint(dashboard.routes())
    sends = settings.pinterest_send != "off"
    leads_on = bool(settings.api_tokens)
    app.add_url_rule(
        "/", "front_page", lambda: front_page(service.modes(), sends=sends, leads_on=leads_on)
    )
    app.add_url_rule("/health", "health", _health)
    description = msgspec.json.encode(DESCRIPTION)
    app.add_url_rule("/openapi.json", "openapi", lambda: Response(description, content_type=_JSON))
    monitor = Monitor(service.store, service.destinations, service.clock, service.modes)
    app.add_url_rule("/ready", "ready", lambda: _ready(service, auth))
    app.add_url_rule("/metrics", "metrics", lambda: _metrics(monitor))


def _findings(service: Service, asks: bool) -> Iterator[Finding]:
    return findings(service, asks=asks)


def _only_seeks_command() -> bool:
    """True if `flask` loads the application only to find a command in it."""
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.command, FlaskGroup)


def _commands() -> Flask:
    """Returns an application that needs no settings: each command opens what it needs."""
    app = Flask(__name__)
    register_commands(app)
    return app


def _serves() -> bool:
    """True if this process serves requests: `flask` commands other than `run` do not."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"


def _collector_limiter(service: Service) -> RateLimiter:
    """Returns the rate limiter of the collector's events, per address and for all addresses.

    Six seconds' events of one address may come at once (60 at least, and so every call that is
    allowed), and five seconds' events of all addresses. The collector key is public, so a key
    derived from a secret digests the addresses.
    """
    settings = service.settings
    key = _address_key(service, b"addresses of callers")
    rate, total_rate = settings.collector_rate, settings.collector_total_rate
    return RateLimiter(
        service.store.yielding(),
        service.clock,
        key,
        Rate(rate, burst=max(60, 6 * rate)),
        Rate(total_rate, burst=max(MOST_EVENTS, 5 * total_rate)),
        fails_closed=True,
    )


def _wrong_token_limiter(service: Service) -> RateLimiter:
    key = _address_key(service, b"addresses of wrong tokens")
    return RateLimiter(service.store, service.clock, key, WRONG_TOKENS, ALL_WRONG_TOKENS)


def _address_key(service: Service, purpose: bytes) -> bytes:
    return hmac.digest(service.settings.shopify_webhook_secrets[0], purpose, "sha256")


def _warn_of_proxies(app: Flask) -> None:
    """Logs one warning if a proxy seems to forward requests, but is not trusted."""
    warned = threading.Event()

    @app.before_request
    def warn_once() -> None:
        if not warned.is_set() and "X-Forwarded-For" in request.headers:
            warned.set()
            logger.warning(
                "X-Forwarded-For arrives, but TRUSTED_PROXIES is 0: if it is a proxy's, all its "
                "callers share one address and its limits"
            )


def _refuse_double_slashes(app: Flask) -> None:
    """Has a path with two slashes in a row be none: a redirect would repeat the Host header."""

    @app.before_request
    def check_path() -> None:
        # Only the id of an order may have them: gid://shopify/Order/1.
        if "//" in request.environ["PATH_INFO"].lower().replace("gid://", ""):
            raise NotFound


def _require_token(app: Flask, auth: BearerAuth) -> None:
    @app.before_request
    def check_token() -> Response | None:
        # The dashboard checks its sessions itself.
        is_other = request.endpoint in PUBLIC or request.blueprint == DASHBOARD
        if request.endpoint is not None and not is_other:
            auth.check(request.headers.get("Authorization"), request.remote_addr)
        return None


def problem(
    status: int,
    title: str,
    detail: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    request_id: str = "",
) -> Response:
    """Returns a problem after RFC 9457, with the id of its request, which stands in the log."""
    body = problem_body(status, title, detail, errors, request_id)
    return Response(body, status, content_type=CONTENT_TYPE)


def error_response(store_lines: RareLines, error: Exception) -> Response:
    """Returns the response to an error. This is the only table of errors.

    While the store is unavailable every request has the same one, logged in `store_lines`.
    """
    match error:
        case ValidationError():
            errors = [{"field": each.field, "message": each.message} for each in error.errors]
            return problem(400, "Invalid input", str(error), errors)
        case StoreUnavailable():
            store_lines.log(error.level(logging.ERROR), f"store unavailable: {error}")
            answer = problem(503, "Store unavailable", "Nothing was stored. Send it again later.")
            answer.headers["Retry-After"] = "10"
            return answer
        case HTTPException():
            return _http_problem(error)
        case _:
            request_id = request_ids.current() or request_ids.new()
            # The type and the position, never the text: it may quote personal data.
            logger.error("%s %s", request_id, error_line(error))
            detail = "It was logged under this request_id."
            return problem(500, "Internal error", detail, request_id=request_id)


def _http_problem(error: HTTPException) -> Response:
    detail = error.description or ""
    if detail == NotFound.description:
        detail = "There is no such address. GET /openapi.json tells all of them."
    answer = problem(error.code or 500, error.name, detail)
    kept = ("Allow", "Retry-After", "WWW-Authenticate")
    answer.headers.extend((name, value) for name, value in error.get_headers() if name in kept)
    return answer


def _health() -> Response:
    return _json({"status": "ok"})


def _ready(service: Service, auth: BearerAuth) -> Response:
    """Returns the status to every caller, and the details to a caller with a token."""
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        auth.check(authorization, request.remote_addr)
    state = service.readiness(with_details=authorization is not None)
    body = {"status": state["status"]} if authorization is None else state
    return _json(body, 200 if state["status"] == "ok" else 503)


def _metrics(monitor: Monitor) -> Response:
    return Response(monitor.text(), content_type=METRICS_TYPE)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type=_JSON)
