"""Files of events and of Shopify's orders, taken in."""

from tracking.receive.imports.file_reader import ImportSource, UnreadableFile
from tracking.receive.imports.importer import Counts, Importer, Stop, TrialResult
from tracking.receive.imports.records import RejectedRecord

__all__ = [
    "Counts",
    "ImportSource",
    "Importer",
    "RejectedRecord",
    "Stop",
    "TrialResult",
    "UnreadableFile",
]
