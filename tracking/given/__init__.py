"""Events that callers hand in, read into Pinterest's form."""

from tracking.given.event import Given, event_from, given_of

__all__ = ["Given", "event_from", "given_of"]
