"""Who is told about conversions. One more destination is its own module and a line here."""

from collections.abc import Callable, Mapping

from tracking.destinations import pinterest, track_ai
from tracking.destinations.base import Destination, DestinationSettings, Unencodable

__all__ = ["TABLE", "Destination", "DestinationSettings", "Unencodable", "connect_all"]

TABLE: Mapping[str, Callable[[DestinationSettings], Destination | None]] = {
    "pinterest": pinterest.connected,
    "track_ai": track_ai.connected,
}


def connect_all(settings: DestinationSettings) -> dict[str, Destination]:
    """Every configured destination by its name, in the order of the table. Nothing is called.

    Raises:
        ValueError: a setting that cannot be right; the message names it.
    """
    found = ((name, connected(settings)) for name, connected in TABLE.items())
    return {name: destination for name, destination in found if destination is not None}
