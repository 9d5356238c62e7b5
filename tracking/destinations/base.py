"""What every destination promises."""

from collections.abc import Sequence
from typing import Protocol

from tracking.clients.outcome import Outcome
from tracking.domain.conversion import Conversion


class Unencodable(ValueError):
    """A conversion that the destination would refuse. The message names the field."""


class Destination(Protocol):
    """Somebody who is told about conversions."""

    @property
    def name(self) -> str: ...

    @property
    def max_batch(self) -> int:
        """How many events one call may carry."""
        ...

    @property
    def calls_per_minute(self) -> int:
        """How many calls the account may make in any 60 seconds, by all deliverers together."""
        ...

    def encode(self, conversion: Conversion) -> bytes:
        """The finished event.

        Raises:
            Unencodable: it would break the destination's published schema.
        """
        ...

    def send(self, events: Sequence[bytes]) -> Outcome:
        """One call with these events, 1 to `max_batch`. Network trouble is an outcome."""
        ...

    def amended(self, event: bytes, click_id: str, limited: bool) -> bytes:
        """A finished event with a click id, if it had none, and with limited use of data if
        asked."""
        ...

    def strip(self, event: bytes) -> bytes:
        """The event without IP address and user agent."""
        ...

    def browser_of(self, event: bytes) -> tuple[str, str]:
        """The IP address and user agent in a finished event, "" for what it lacks."""
        ...

    def close(self) -> None:
        """Close the connections kept open for later calls."""
        ...


class DestinationSettings(Protocol):
    """What destinations read of the settings. Empty text means: not configured."""

    @property
    def pinterest_access_token(self) -> str: ...
    @property
    def pinterest_ad_account_id(self) -> str: ...
    @property
    def pinterest_api_base(self) -> str: ...
    @property
    def pinterest_test_mode(self) -> bool: ...
    @property
    def track_ai_endpoint(self) -> str: ...
    @property
    def track_ai_store_id(self) -> str: ...
    @property
    def track_ai_pinterest_pixel_id(self) -> str: ...


PINTEREST = "pinterest"
