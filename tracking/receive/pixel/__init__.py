"""What the pixel tells of a visitor: read, checked, and cleared of whoever it names."""

from tracking.receive.pixel.event import Caller, PixelBatch, PixelEvent, is_bot, pixel_batch_of
from tracking.receive.pixel.schema import MOST_EVENTS, STAGE_OF
from tracking.receive.pixel.visit import token_key

__all__ = [
    "MOST_EVENTS",
    "STAGE_OF",
    "Caller",
    "PixelBatch",
    "PixelEvent",
    "is_bot",
    "pixel_batch_of",
    "token_key",
]
