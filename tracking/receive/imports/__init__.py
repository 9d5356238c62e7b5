"""Files of events and of Shopify's orders, taken in."""

from tracking.receive.imports.file_reader import Source, Unreadable
from tracking.receive.imports.importer import Counts, Importer, Stop, Tried
from tracking.receive.imports.records import Refused

__all__ = ["Counts", "Importer", "Refused", "Source", "Stop", "Tried", "Unreadable"]
