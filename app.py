"""The whole service put together once, and the one table of what its errors look like."""

from __future__ import annotations

import atexit
import hmac
import logging
import threading
import time
import uuid
from collections.abc import Mapping, Sequence

import click
import msgspec
from flask import Flask, Response, request
from flask.cli import FlaskGroup
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from api.auth import WRONG_TOKENS, BearerAuth
from api.events import EventRoutes
from api.openapi import DESCRIPTION
from api.reports import report_routes
from commands.registry import register_commands
from config import Settings, load_env
from server.problems import CONTENT_TYPE, problem_body
from server.security_headers import with_security_headers
from tracking.domain.validation import ValidationError
from tracking.operate.monitoring import Monitor
from tracking.operate.prometheus import CONTENT_TYPE as METRICS_TYPE
from tracking.operate.rate_limiter import Rate, RateLimiter
from tracking.service import Service, open_service
from tracking.store import StoreUnavailable, wait_until_reachable
from tracking.store.engine.disk_guard import DiskFull
from tracking.store.engine.sqlite import SqliteStore, protection
from webhooks.collector import Collector
from webhooks.shopify import Receivers, ShopifyWebhooks

logger = logging.getLogger(__name__)

_JSON = "application/json"

# Endpoints that ask for no token: Shopify signs its webhooks, the storefront shows a public key,
# the rest says nothing of the shop.
PUBLIC = frozenset(
    {
        *("shopify.receive", "health", "ready", "openapi"),
        *("collector.pixel", "collector.collect", "collector.preflight"),
        "events.preflight",
    }
)


def create_app(env: Mapping[str, str] | None = None) -> Flask:
    """Bring in the world: the environment, the database, the destinations, the clock.

    Raises:
        ConfigurationError: the environment does not describe a service.
    """
    if env is None and _seeks_command():
        return _commands()
    settings = Settings.from_env(load_env() if env is None else env)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for warning in settings.warnings:
        logger.warning("%s", warning)
    if _serves():
        wait_until_reachable(settings.database_url)
    service = open_service(settings, time.time)
    if isinstance(service.store, SqliteStore):
        logger.info("%s", protection())
    if settings.deliver and _serves():
        deliverers = service.deliverers()
        deliverers.start()
        atexit.register(deliverers.stop)
    return assemble(service)


def assemble(service: Service) -> Flask:
    """Wire the routes, the guard and the error table around a service."""
    settings = service.settings
    app = Flask(__name__, static_folder=None)
    app.extensions["service"] = service
    webhooks = ShopifyWebhooks(
        Receivers(service.tracker, service.privacy),
        settings.shopify_webhook_secrets,
        settings.shopify_shops,
    )
    app.register_blueprint(webhooks.routes())
    collector = Collector(service.tracker, _limiter(service), settings)
    app.register_blueprint(collector.routes())
    events = EventRoutes(service.events, service.event_trials, settings.collector_origins)
    app.register_blueprint(events.routes())
    app.register_blueprint(report_routes(service))
    app.add_url_rule("/health", "health", _health)
    description = msgspec.json.encode(DESCRIPTION)
    app.add_url_rule("/openapi.json", "openapi", lambda: Response(description, content_type=_JSON))
    gate = BearerAuth(settings.api_tokens, _wrong_tokens(service))
    monitor = Monitor(service.store, service.destinations, service.clock, service.modes)
    app.add_url_rule("/ready", "ready", lambda: _ready(service, gate))
    app.add_url_rule("/metrics", "metrics", lambda: _metrics(monitor))
    if not settings.trusted_proxies:
        _notice_proxies(app)
    _guard(app, gate)
    app.register_error_handler(Exception, described)
    register_commands(app)
    front = with_security_headers(webhooks.in_front_of(app.wsgi_app, described))
    app.wsgi_app = front  # type: ignore[assignment,method-assign]
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _seeks_command() -> bool:
    """Whether it is only `flask` that looks for a command, and for no more of the app."""
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.command, FlaskGroup)


def _commands() -> Flask:
    """The commands alone. Each opens what it needs: the demo works where nothing is set up."""
    app = Flask(__name__)
    register_commands(app)
    return app


def _serves() -> bool:
    """Whether this process serves requests: `flask` commands other than `run` do not."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"


def _limiter(service: Service) -> RateLimiter:
    """What the storefront may call: a minute's calls of one address at once, five seconds' of all.

    The site key is public, so the addresses are digested under a key made of a secret.
    """
    settings = service.settings
    key = _address_key(service, b"addresses of callers")
    each = Rate(settings.collector_rate, burst=60 * settings.collector_rate)
    total = Rate(settings.collector_total_rate, burst=5 * settings.collector_total_rate)
    return RateLimiter(service.store, service.clock, key, each, total)


def _wrong_tokens(service: Service) -> RateLimiter:
    key = _address_key(service, b"addresses of wrong tokens")
    return RateLimiter(service.store, service.clock, key, WRONG_TOKENS, None)


def _address_key(service: Service, purpose: bytes) -> bytes:
    return hmac.digest(service.settings.shopify_webhook_secrets[0], purpose, "sha256")


def _notice_proxies(app: Flask) -> None:
    """Say once that there seems to be a proxy whose word about its callers is not taken."""
    noticed = threading.Event()

    @app.before_request
    def notice() -> None:
        if not noticed.is_set() and "X-Forwarded-For" in request.headers:
            noticed.set()
            logger.warning(
                "X-Forwarded-For arrives, but TRUSTED_PROXIES is 0: if it is a proxy's, all its "
                "callers share one address and its limits"
            )


def _guard(app: Flask, gate: BearerAuth) -> None:
    @app.before_request
    def ask_who_it_is() -> Response | None:
        if request.endpoint not in PUBLIC and request.endpoint is not None:
            gate.check(request.headers.get("Authorization"), request.remote_addr)
        return None


def problem(
    status: int,
    title: str,
    detail: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    request_id: str = "",
) -> Response:
    """A problem as RFC 9457 describes it, with an id to find it by in the log."""
    body = problem_body(status, title, detail, errors, request_id)
    return Response(body, status, content_type=CONTENT_TYPE)


def described(error: Exception) -> Response:
    """The one table of errors: what each looks like to whoever sent the request."""
    match error:
        case ValidationError():
            errors = [{"field": one.field, "message": one.message} for one in error.errors]
            return problem(400, "Invalid input", str(error), errors)
        case StoreUnavailable():
            # On a disk that is nearly full a line for each would take what is left of it.
            level = logging.DEBUG if isinstance(error, DiskFull) else logging.ERROR
            logger.log(level, "store unavailable: %s", error)
            answer = problem(503, "Store unavailable", "Nothing was stored. Send it again later.")
            answer.headers["Retry-After"] = "10"
            return answer
        case HTTPException():
            return _refused(error)
        case _:
            request_id = uuid.uuid4().hex
            # The type and the place, never the text: it may quote a person.
            logger.error("%s %s %s", request_id, type(error).__name__, _place(error))
            detail = "It was logged under this request_id."
            return problem(500, "Internal error", detail, request_id=request_id)


def _refused(error: HTTPException) -> Response:
    answer = problem(error.code or 500, error.name, error.description or "")
    kept = ("Allow", "Retry-After", "WWW-Authenticate")
    answer.headers.extend((name, value) for name, value in error.get_headers() if name in kept)
    return answer


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _health() -> Response:
    return _json({"status": "ok"})


def _ready(service: Service, gate: BearerAuth) -> Response:
    """Yes or no for everybody; in what state the service is, for whoever bears a token."""
    given = request.headers.get("Authorization")
    if given is not None:
        gate.check(given, request.remote_addr)
    state = service.readiness()
    told = {"status": state["status"]} if given is None else state
    return _json(told, 200 if state["status"] == "ok" else 503)


def _metrics(monitor: Monitor) -> Response:
    return Response(monitor.text(), content_type=METRICS_TYPE)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type=_JSON)
