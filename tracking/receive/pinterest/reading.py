"""A reading: one kind of figures that is read from Pinterest at its own interval."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from tracking.domain.pinterest_windows import PinterestWindows
from tracking.receive.pinterest.sync_session import SyncSession
from tracking.store.pinterest_readings import ReadingRow


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """The settings of the service that a reading may depend on."""

    windows: PinterestWindows


@dataclass(frozen=True, slots=True)
class ReadingResult:
    """The number of rows that were stored, and one line that says what was read."""

    rows: int
    summary: str


class Reading(ABC):
    """Reads one kind of figures once, in one session. `rows` is the number stored so far."""

    kind: ClassVar[str]
    interval_seconds: ClassVar[int] = 6 * 3_600
    # A third of a day's calls is left for spend, which is read every hour.
    most_calls: ClassVar[int] = 600

    def __init__(self, session: SyncSession, row: ReadingRow, options: ReadingOptions) -> None:
        """Sets the reading up to go on where `row` says the last one ended."""
        self.rows = 0
        self._session = session
        self._options = options
        settings = self.settings_of(options)
        is_first = row.settings != settings
        # With other settings the figures of all days are others.
        self._row = row._replace(settings=settings, through="" if is_first else row.through)

    @property
    def row(self) -> ReadingRow:
        """The progress of the reading, to be stored."""
        return self._row

    @classmethod
    def settings_of(cls, options: ReadingOptions) -> str:
        """Returns the settings that the figures depend on, in one text."""
        return ""

    @abstractmethod
    def read(self, since: date | None) -> ReadingResult:
        """Reads and stores the figures, of days from one on if they have days.

        Raises:
            PinterestAdsError: a request failed for good; what was read until then is stored.
            SyncStopped: the sync must end.
            StoreUnavailable: the rest may not have been stored.
        """

    def _reach(self, since: str, through: str) -> None:
        """Stores from which day and up to which one (ISO dates, UTC) the figures have been read."""
        self._row = self._row._replace(since=since, through=through)
        self._session.keep(self._row)
