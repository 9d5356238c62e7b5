"""The pixel's calls: decoded, checked, and without clear personal data."""

from tracking.receive.pixel.event import (
    ClientInfo,
    DecodedCall,
    PixelBatch,
    PixelEvent,
    decoded_call_of,
    events_in,
    is_bot,
    pixel_batch_of,
)
from tracking.receive.pixel.schema import MOST_EVENTS, STAGE_OF
from tracking.receive.pixel.visit import token_key

__all__ = [
    "MOST_EVENTS",
    "STAGE_OF",
    "ClientInfo",
    "DecodedCall",
    "PixelBatch",
    "PixelEvent",
    "decoded_call_of",
    "events_in",
    "is_bot",
    "pixel_batch_of",
    "token_key",
]
