"""Track AI: takes events of Pinterest's form, under the ids of a shop and of its pixel."""

from collections.abc import Sequence

import msgspec

from tracking.clients.http import DEADLINE_SECONDS, HttpClient, safe_url
from tracking.clients.outcome import Accepted, Answered, Outcome, TryLater
from tracking.clients.responses import is_refusal, pause_or_retry, refusal_of, sanitized
from tracking.destinations import pinterest
from tracking.destinations.base import DestinationSettings
from tracking.domain.conversion import Conversion

MAX_SAID = 4096


class TrackAI:
    """A shop's pixel at Track AI. A call's events are taken or refused together."""

    name = "track_ai"
    max_batch = 100
    calls_per_minute = 600

    def __init__(
        self, endpoint: str, store_id: str, pixel_id: str, deadline: float = DEADLINE_SECONDS
    ) -> None:
        """A whole call may take `deadline` seconds. Nothing is called yet.

        Raises:
            ValueError: an endpoint that may not be called.
        """
        safe_url(endpoint, "TRACK_AI_ENDPOINT")
        self._endpoint = endpoint
        sender = msgspec.json.encode({"store_id": store_id, "pixel_id": pixel_id})
        self._head = sender.removesuffix(b"}") + b',"events":['
        self._http = HttpClient(deadline)

    def __repr__(self) -> str:
        return f"<TrackAI {self._endpoint}>"

    def encode(self, conversion: Conversion) -> bytes:
        """The finished event.

        Raises:
            Unencodable: it would break the published form of Pinterest's events.
        """
        return pinterest.encode(conversion)

    def send(self, events: Sequence[bytes]) -> Outcome:
        """One call with these events. Whatever goes wrong is an outcome."""
        headers = {"Content-Type": "application/json"}
        body = self._head + b",".join(events) + b"]}"
        answer = self._http.call("POST", self._endpoint, headers, body)
        if isinstance(answer, TryLater):
            return answer
        if 200 <= answer.status < 300:
            return Answered((Accepted(),) * len(events))
        said = sanitized(answer.body[:MAX_SAID].decode(errors="replace"))
        if is_refusal(answer.status):
            return refusal_of(answer, said, len(events))
        return pause_or_retry(answer, said)

    def amended(self, event: bytes, click_id: str, limited: bool) -> bytes:
        """The event with a click id, if it had none, and with limited use of data if asked."""
        return pinterest.amended(event, click_id, limited)

    def strip(self, event: bytes) -> bytes:
        """The event without IP address and user agent."""
        return pinterest.strip(event)

    def browser_of(self, event: bytes) -> tuple[str, str]:
        """The IP address and user agent in a finished event, "" for what it lacks."""
        return pinterest.browser_of(event)

    def close(self) -> None:
        """Close the connections kept open for later calls."""
        self._http.close()


def connected(settings: DestinationSettings) -> TrackAI | None:
    """The configured pixel, None without an endpoint."""
    if not settings.track_ai_endpoint:
        return None
    return TrackAI(
        settings.track_ai_endpoint,
        settings.track_ai_store_id,
        settings.track_ai_pinterest_pixel_id,
    )
