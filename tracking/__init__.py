"""Pinterest conversion tracking: the names that other Python programs may import."""

from tracking.python_api import (
    PinterestConversionTracker,
    track_pinterest_add_to_cart,
    track_pinterest_checkout,
    track_pinterest_product_view,
    track_pinterest_purchase,
)

__all__ = [
    "PinterestConversionTracker",
    "track_pinterest_add_to_cart",
    "track_pinterest_checkout",
    "track_pinterest_product_view",
    "track_pinterest_purchase",
]
