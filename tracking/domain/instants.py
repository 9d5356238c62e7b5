"""Instants as text."""

from datetime import UTC, datetime


def instant(seconds: int) -> str:
    """Returns seconds UTC as ISO 8601 text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
