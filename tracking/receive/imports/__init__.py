"""Import of files of events and of Shopify's export of orders."""

from tracking.receive.imports.checked_events import CheckedEvents
from tracking.receive.imports.file_reader import ImportSource, UnreadableFile
from tracking.receive.imports.importer import ImportCounts, Importer, StopImport
from tracking.receive.imports.records import RejectedRecord
from tracking.receive.imports.trial import FileTrial, TrialResult

__all__ = [
    "CheckedEvents",
    "FileTrial",
    "ImportCounts",
    "ImportSource",
    "Importer",
    "RejectedRecord",
    "StopImport",
    "TrialResult",
    "UnreadableFile",
]
