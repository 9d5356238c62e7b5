"""Routes for server events: POST /track-event records one, /track-event-test tests one."""

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import (
    BadGateway,
    Conflict,
    TooManyRequests,
    UnsupportedMediaType,
)

from server.problems import NotConfigured
from server.request_body import raw_body
from tracking.receive.event_trials import EventTrials, NoAnswer, ReportOnly, TooManyTrials
from tracking.receive.server_events import EventIdConflict, ServerEvents

PATHS = ("/track-event", "/track-event-test")
MAX_EVENT = 2 * 1024 * 1024
PREFLIGHT_SECONDS = 600
_NO_CREDENTIALS = "Set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID to try events out."


class EventRoutes:
    """Receives events of other systems; the application has checked the bearer token before.

    Pages of the configured origins may call, too. Other origins get no CORS headers.
    """

    def __init__(self, events: ServerEvents, trials: EventTrials, origins: frozenset[str]) -> None:
        self._events = events
        self._trials = trials
        self._origins = origins

    def routes(self) -> Blueprint:
        """Both routes, and the CORS preflight requests to them."""
        routes = Blueprint("events", __name__)
        track, try_out = PATHS
        for path, name, view in ((track, "track", self.track), (try_out, "try_out", self.try_out)):
            routes.add_url_rule(path, name, view, methods=["POST"], provide_automatic_options=False)
            routes.add_url_rule(path, "preflight", self.preflight, methods=["OPTIONS"])
        # For the whole application, since it answers callers without a token before these routes.
        routes.after_app_request(self._add_cors_headers)
        return routes

    def track(self) -> Response:
        """Records one event, or a list of them; returns once they are on disk.

        Raises:
            HTTPException: the request is refused before its event is read.
            ValidationError: the event has errors, and nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        try:
            return _json(self._events.record(_body()), 202)
        except EventIdConflict:
            raise Conflict("The event_id is that of another event on record.") from None

    def try_out(self) -> Response:
        """Sends one event to Pinterest in a test call; returns its response. Nothing is stored.

        Raises:
            HTTPException: the request is refused, or Pinterest cannot be called.
            ValidationError: the event has errors, and Pinterest was not called.
        """
        try:
            return _json(self._trials.try_out(_body()), 200)
        except ReportOnly:
            raise NotConfigured(_NO_CREDENTIALS) from None
        except TooManyTrials as error:
            raise TooManyRequests("Pinterest's limit.", retry_after=error.seconds) from None
        except NoAnswer as error:
            raise BadGateway(f"Pinterest did not answer: {error}") from None

    def preflight(self) -> Response:
        """Answers a CORS preflight request."""
        response = Response(status=204)
        if request.headers.get("Origin") in self._origins:
            response.headers["Access-Control-Allow-Methods"] = "POST"
            response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response

    def _add_cors_headers(self, response: Response) -> Response:
        """Allows pages of the configured origins to read the response, never with credentials."""
        if request.path in PATHS and self._origins:
            response.vary.add("Origin")
            origin = request.headers.get("Origin", "")
            if origin in self._origins:
                response.headers["Access-Control-Allow-Origin"] = origin
        return response


def _body() -> bytes:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send application/json.")
    return raw_body(request.environ, MAX_EVENT)


def _json(body: object, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")
