"""Events that callers hand in, read into Pinterest's form."""

from tracking.receive.event_input.event import Given, event_from, given_of
from tracking.receive.event_input.rows import Rows

__all__ = ["Given", "Rows", "event_from", "given_of"]
