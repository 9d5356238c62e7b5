"""Interface of every destination."""

from collections.abc import Sequence
from typing import Protocol

from tracking.clients.outcome import Outcome
from tracking.domain.conversion import Content, Conversion, Evidence


class Unencodable(ValueError):
    """The destination would refuse the conversion. The message names the field."""


class Destination(Protocol):
    """A service that receives conversions."""

    @property
    def name(self) -> str: ...

    @property
    def max_batch(self) -> int:
        """Most events of one call."""
        ...

    @property
    def calls_per_minute(self) -> int:
        """Most calls of the account in any 60 seconds, by all deliverers together."""
        ...

    def encode(self, conversion: Conversion) -> bytes:
        """Encodes a conversion as an event of the destination.

        Raises:
            Unencodable: the event would break the destination's published schema.
        """
        ...

    def send(self, events: Sequence[bytes]) -> Outcome:
        """Sends 1 to `max_batch` events in one call. A network error is an outcome."""
        ...

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
        ...

    def rename(self, event: bytes, event_id: str) -> bytes:
        """Gives an encoded event another event id."""
        ...

    def strip(self, event: bytes) -> bytes:
        """Removes IP address and user agent from an encoded event."""
        ...

    def evidence_of(self, event: bytes) -> Evidence:
        """The evidence of buyer and visit in an encoded event."""
        ...

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        ...


class DestinationSettings(Protocol):
    """Settings of the destinations. An empty text means: not configured."""

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
