"""What the pixel tells of a visitor: read, checked, and cleared of whoever it names."""

from tracking.receive.pixel.event import Call, Caller, Seen, call_of, is_bot
from tracking.receive.pixel.schema import MOST_EVENTS, STAGE_OF
from tracking.receive.pixel.visit import token_link

__all__ = ["MOST_EVENTS", "STAGE_OF", "Call", "Caller", "Seen", "call_of", "is_bot", "token_link"]
