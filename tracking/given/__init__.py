"""Events that callers hand in, read into Pinterest's form."""

from tracking.given.event import Given, event_from, given_of
from tracking.given.rows import Rows

__all__ = ["Given", "Rows", "event_from", "given_of"]
