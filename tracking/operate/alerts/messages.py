"""The messages about an alert: one when it begins, one when it ends."""

from dataclasses import dataclass
from typing import Literal

from tracking.domain.durations import duration_text
from tracking.domain.instants import instant
from tracking.operate.alerts.rules import Rule

Severity = Literal["warning", "success", "info"]


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """A message. Neither title nor body holds a person or a secret."""

    title: str
    body: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class AlertSender:
    """The installation that messages come from: its shop, and the address of its pages, if any."""

    shop: str
    address: str = ""

    def begins(self, rule: Rule, words: str, since: int) -> AlertMessage:
        """Returns the message about an alert that stands."""
        body = f"{words}\n\nWhat to do: {rule.remedy}\n\nSince {instant(since)}.{self._link()}"
        return AlertMessage(f"{self.shop}: {rule.title}", body, "warning")

    def ends(self, rule: Rule, since: int, until: int) -> AlertMessage:
        """Returns the message about an alert that is over."""
        length = duration_text(until - since)
        body = f"It stood from {instant(since)} to {instant(until)}, for {length}."
        return AlertMessage(f"{self.shop}: over: {rule.title}", f"{body}{self._link()}", "success")

    def test(self) -> AlertMessage:
        """Returns the message of a test."""
        body = f"This is a test. Alerts of this service will come here.{self._link()}"
        return AlertMessage(f"{self.shop}: test of the alerts", body, "info")

    def _link(self) -> str:
        return f"\n\n{self.address}" if self.address else ""
