"""What the pixel tells of a visitor: read, checked, and cleared of whoever it names."""

from tracking.storefront.event import Call, Caller, Seen, call_of, is_bot
from tracking.storefront.visit import token_link
from tracking.storefront.wire import MOST_EVENTS, STAGE_OF

__all__ = ["MOST_EVENTS", "STAGE_OF", "Call", "Caller", "Seen", "call_of", "is_bot", "token_link"]
