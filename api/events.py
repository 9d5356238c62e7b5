"""The way in for events of other systems: recorded and sent, or tried out at Pinterest."""

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
MAX_EVENT = 1024 * 1024
PREFLIGHT_SECONDS = 600
_WANTS_CREDENTIALS = "Set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID to try events out."


class EventRoutes:
    """Takes events in from whoever bears a token; the guard of the application has asked for it.

    Pages of the origins that are named may call, too. Others get no leave to read the answer.
    """

    def __init__(self, events: ServerEvents, trials: EventTrials, origins: frozenset[str]) -> None:
        self._events = events
        self._trials = trials
        self._origins = origins

    def routes(self) -> Blueprint:
        """Both addresses, and what browsers ask for before a page of another site may call."""
        routes = Blueprint("events", __name__)
        track, try_out = PATHS
        for path, name, view in ((track, "track", self.track), (try_out, "try_out", self.try_out)):
            routes.add_url_rule(path, name, view, methods=["POST"], provide_automatic_options=False)
            routes.add_url_rule(path, "preflight", self.preflight, methods=["OPTIONS"])
        # Of the whole application, since a caller without a token is answered by the guard.
        routes.after_app_request(self._shared)
        return routes

    def track(self) -> Response:
        """Take one event in; answered once it is on disk.

        Raises:
            HTTPException: the body is refused as a whole.
            ValidationError: the event has faults, and nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        try:
            return _json(self._events.record(_body()), 202)
        except EventIdConflict:
            raise Conflict("The event_id is that of another event on record.") from None

    def try_out(self) -> Response:
        """What Pinterest says of one event. Nothing is stored.

        Raises:
            HTTPException: the body is refused as a whole, or Pinterest cannot be asked.
            ValidationError: the event has faults, and Pinterest was not asked.
        """
        try:
            return _json(self._trials.try_out(_body()), 200)
        except ReportOnly:
            raise NotConfigured(_WANTS_CREDENTIALS) from None
        except TooManyTrials as error:
            raise TooManyRequests("Pinterest's limit.", retry_after=error.seconds) from None
        except NoAnswer as error:
            raise BadGateway(f"Pinterest did not answer: {error}") from None

    def preflight(self) -> Response:
        """What a page of another site may send."""
        answer = Response(status=204)
        if request.headers.get("Origin") in self._origins:
            answer.headers["Access-Control-Allow-Methods"] = "POST"
            answer.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
            answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return answer

    def _shared(self, answer: Response) -> Response:
        """The answer with the leave of its reader's page, never with credentials."""
        if request.path in PATHS and self._origins:
            answer.vary.add("Origin")
            origin = request.headers.get("Origin", "")
            if origin in self._origins:
                answer.headers["Access-Control-Allow-Origin"] = origin
        return answer


def _body() -> bytes:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send application/json.")
    return raw_body(request.environ, MAX_EVENT)


def _json(body: object, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")
