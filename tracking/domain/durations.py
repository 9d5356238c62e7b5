"""Lengths of time in words."""

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def duration_text(seconds: int) -> str:
    """Returns a length of time in the largest unit of which it has two, cut: "50 minutes"."""
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}s"
    return f"{seconds} {'second' if seconds == 1 else 'seconds'}"
