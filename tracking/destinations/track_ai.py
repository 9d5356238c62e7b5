"""Track AI: accepts events of Pinterest's form, with the ids of a shop and of its pixel."""

from collections.abc import Sequence

import msgspec

from tracking.clients.http import DEADLINE_SECONDS, HttpClient, safe_url
from tracking.clients.outcome import Accepted, Answered, Outcome, TryLater
from tracking.clients.responses import is_refusal, pause_or_retry, refusal_of, sanitized
from tracking.destinations import pinterest
from tracking.destinations.base import DestinationSettings
from tracking.domain.conversion import Content, Conversion, Evidence

MAX_MESSAGE = 4096


class TrackAI:
    """A shop's pixel at Track AI. The events of a call are accepted or refused together."""

    name = "track_ai"
    max_batch = 100
    calls_per_minute = 600

    def __init__(
        self, endpoint: str, store_id: str, pixel_id: str, deadline: float = DEADLINE_SECONDS
    ) -> None:
        """Sets up calls that take at most `deadline` seconds each; nothing is called yet.

        Raises:
            ValueError: the endpoint may not be called.
        """
        safe_url(endpoint, "TRACK_AI_ENDPOINT")
        self._endpoint = endpoint
        sender = msgspec.json.encode({"store_id": store_id, "pixel_id": pixel_id})
        self._body_start = sender.removesuffix(b"}") + b',"events":['
        self._http = HttpClient(deadline)

    def __repr__(self) -> str:
        return f"<TrackAI {self._endpoint}>"

    def encode(self, conversion: Conversion) -> bytes:
        """Encodes a conversion as Pinterest's event.

        Raises:
            Unencodable: the event would break the published form of Pinterest's events.
        """
        return pinterest.encode(conversion)

    def send(self, events: Sequence[bytes]) -> Outcome:
        """Sends events in one call. Every failure is an outcome."""
        headers = {"Content-Type": "application/json"}
        body = self._body_start + b",".join(events) + b"]}"
        response = self._http.call("POST", self._endpoint, headers, body)
        if isinstance(response, TryLater):
            return response
        if 200 <= response.status < 300:
            return Answered((Accepted(),) * len(events))
        message = sanitized(response.body[:MAX_MESSAGE].decode(errors="replace"))
        if is_refusal(response.status):
            return refusal_of(response, message, len(events))
        return pause_or_retry(response, message)

    def amend(
        self,
        event: bytes,
        evidence: Evidence,
        limited: bool,
        value: str = "",
        gone: Sequence[Content] = (),
    ) -> bytes:
        """Adds the evidence that an event has not, and limited use of data if `limited`.

        A `value` replaces the event's. The pieces in `gone` are taken off its contents; those of a
        negative number are put back.
        """
        return pinterest.amend(event, evidence, limited, value, gone)

    def rename(self, event: bytes, event_id: str) -> bytes:
        """Gives an event another event id."""
        return pinterest.rename(event, event_id)

    def strip(self, event: bytes) -> bytes:
        """Removes IP address and user agent from an event."""
        return pinterest.strip(event)

    def evidence_of(self, event: bytes) -> Evidence:
        """The evidence of buyer and visit in an event."""
        return pinterest.evidence_of(event)

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._http.close()


def from_settings(settings: DestinationSettings) -> TrackAI | None:
    """The configured pixel; None without an endpoint."""
    if not settings.track_ai_endpoint:
        return None
    return TrackAI(
        settings.track_ai_endpoint,
        settings.track_ai_store_id,
        settings.track_ai_pinterest_pixel_id,
    )
