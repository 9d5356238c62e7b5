"""The basis of all reports of a shop: its store, days, rules of attribution and clock."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tracking.domain.attribution import Model, Rules
from tracking.domain.shop_days import ShopDays
from tracking.report.known_rows import KnownRows
from tracking.store import Store

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class ReportBasis:
    """The basis of the reports. Deliveries that were settled `retention_days` ago are deleted."""

    store: Store
    days: ShopDays
    rules: Rules
    model: Model
    clock: Callable[[], float]
    retention_days: int
    known_rows: KnownRows = field(default_factory=KnownRows)

    def forgotten(self) -> int:
        """Returns the instant, in seconds UTC, before which deliveries are deleted."""
        return int(self.clock()) - self.retention_days * _DAY
