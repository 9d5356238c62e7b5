"""Destinations of conversions. To add one, write its module and add a line to TABLE."""

from collections.abc import Callable, Mapping

from tracking.destinations import pinterest, track_ai
from tracking.destinations.base import Destination, DestinationSettings, Unencodable

__all__ = ["TABLE", "Destination", "DestinationSettings", "Unencodable", "connect_all"]

TABLE: Mapping[str, Callable[[DestinationSettings], Destination | None]] = {
    "pinterest": pinterest.from_settings,
    "track_ai": track_ai.from_settings,
}


def connect_all(settings: DestinationSettings) -> dict[str, Destination]:
    """The configured destinations by name, in the order of the table. Nothing is called.

    Raises:
        ValueError: a setting is invalid; the message names it.
    """
    built = ((name, from_settings(settings)) for name, from_settings in TABLE.items())
    return {name: destination for name, destination in built if destination is not None}
