"""Files of events and of Shopify's orders, taken in."""

from tracking.importing.files import Source, Unreadable
from tracking.importing.intake import Counts, Importer, Stop, Tried
from tracking.importing.readings import Refused

__all__ = ["Counts", "Importer", "Refused", "Source", "Stop", "Tried", "Unreadable"]
