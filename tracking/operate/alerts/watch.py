"""The watch over the alerts: checks the rules once a minute, and tells of what begins and ends."""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tracking.clients.alert_addresses import AlertAddress
from tracking.operate.alerts.figures import Gather
from tracking.operate.alerts.messages import AlertMessage, AlertSender
from tracking.operate.alerts.rules import RULES, Fine, Thresholds, Unknown, Verdict
from tracking.operate.alerts.states import AlertState
from tracking.operate.background import outliving_errors
from tracking.operate.error_lines import error_line
from tracking.store import Store, alerts
from tracking.store.alerts import AlertRow
from tracking.store.engine.statement import Connection

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 60
POLL_SECONDS = 15.0
# Longer than any address is waited for.
LEASE_SECONDS = 300
# From a minute on, and at most an hour: an address that is down for five hours is given up.
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 60, 3_600
MOST_TRIES = 10


@dataclass(frozen=True, slots=True)
class StandingAlert:
    """An alert that stands since an instant (seconds UTC): what is wrong, and what to do."""

    name: str
    title: str
    since: int
    words: str
    remedy: str


@dataclass(frozen=True, slots=True)
class EndedAlert:
    """An alert that stood the last time from one instant until another (seconds UTC)."""

    title: str
    since: int
    until: int


class AlertWatch:
    """Checks the rules and tells the addresses. One process at a time does either."""

    name = "alerts"

    def __init__(
        self,
        store: Store,
        figures: Mapping[str, Gather],
        limits: Thresholds,
        addresses: Sequence[AlertAddress],
        sender: AlertSender,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self.figures = figures
        self._limits = limits
        self.addresses = addresses
        self.sender = sender
        self._clock = clock

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Checks once a minute, and tells of what changed, until `stop` is set."""
        while not stop.is_set():
            with outliving_errors(
                logger, "alerts wait for the store", "the alerts were not checked"
            ):
                self.check()
                self.tell()
            stop.wait(poll)

    def standing(self) -> list[StandingAlert]:
        """Returns the alerts that stand, oldest first.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        with self._store.read() as conn:
            return standing_of(alerts.list_all(conn))

    def ended(self) -> list[EndedAlert]:
        """Returns the alerts that stood before and are over, each with its last time; the one that
        ended last comes first.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        with self._store.read() as conn:
            rows = alerts.list_all(conn)
        found = [
            EndedAlert(RULES[row.name].title, row.since, row.changed_at)
            for row in rows
            # Of one whose trouble is back, when it ended is not known any more.
            if row.since and not row.stands and not row.is_trouble and row.name in RULES
        ]
        return sorted(found, key=lambda alert: (-alert.until, alert.title))

    def failures(self) -> list[str]:
        """Returns the alert, and the addresses that were not told of it, where one was not.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        with self._store.read() as conn:
            rows = alerts.list_all(conn)
        return [f"{row.name}: {row.failure}" for row in rows if row.failure]

    def check(self) -> bool:
        """Checks every rule; returns False if it is not time yet, or another process is at it.

        Raises:
            StoreUnavailable: what was found may not be stored.
        """
        now, claim = int(self._clock()), secrets.token_hex(8)
        with self._store.read() as conn:
            if not alerts.is_check_due(conn, now):
                return False
        until = now + LEASE_SECONDS
        if not self._store.commit(lambda conn: alerts.claim_check(conn, claim, now, until)):
            return False
        verdicts = {name: self._verdict(name, now) for name in self.figures}
        for before, row in self._store.commit(partial(self._put, claim, verdicts, now)):
            _log_turn(before, row)
        return True

    def tell(self) -> None:
        """Sends a message about each alert that began or ended since the addresses were told.

        Raises:
            StoreUnavailable: a message that was sent may be sent once more.
        """
        if not self.addresses:
            return
        with self._store.read() as conn:
            rows = alerts.list_all(conn)
        for row in rows:
            if row.stands != row.told and row.name in RULES:
                self._tell_of(row.name)

    def _verdict(self, name: str, now: int) -> Verdict:
        try:
            figures = self.figures[name](now)
            return Fine() if figures is None else RULES[name].judge(figures, self._limits)
        except Exception as error:
            # What keeps one rule's figures from being read keeps no other rule from its verdict.
            logger.error("alert %s was not checked: %s", name, error_line(error))
            return Unknown()

    def _put(
        self, claim: str, verdicts: Mapping[str, Verdict], now: int, conn: Connection
    ) -> list[tuple[AlertRow, AlertRow]]:
        """Stores the states after the verdicts; returns the alerts that turned, before and after.

        Stores nothing if another process has taken the lease since.
        """
        if not alerts.end_check(conn, claim, now + INTERVAL_SECONDS):
            return []
        known = {row.name: row for row in alerts.list_all(conn)}
        turned = []
        for name, verdict in verdicts.items():
            before = known.get(name, AlertRow(name))
            row = _row_after(before, verdict, now)
            if row != before:
                alerts.put_state(conn, row, now)
            if row.stands != before.stands:
                turned.append((before, row))
        return turned

    def _tell_of(self, name: str) -> None:
        claim = secrets.token_hex(8)
        row = self._store.commit(
            lambda conn: alerts.claim(conn, name, claim, self._now(), self._now() + LEASE_SECONDS)
        )
        if row is None:
            return
        message = self._message_of(row)
        reached, failures = row.reached.split(), []
        for address in self.addresses:
            if address.digest in reached:
                continue
            # In the same step it is stored who was told before, so that a crash repeats one
            # message at most, and is found out whether another process has the alert by now.
            if not self._store.commit(partial(self._hold, name, claim, " ".join(reached))):
                return
            if failure := address.send(message.title, message.body, message.severity):
                failures.append(f"{address.label}: {failure}")
                logger.warning("alert %s was not sent to %s: %s", name, address.label, failure)
            else:
                reached.append(address.digest)
        self._store.commit(partial(self._end, row, claim, " ".join(reached), "; ".join(failures)))

    def _message_of(self, row: AlertRow) -> AlertMessage:
        rule = RULES[row.name]
        if row.stands:
            return self.sender.begins(rule, row.words, row.since)
        return self.sender.ends(rule, row.since, row.changed_at)

    def _hold(self, name: str, claim: str, reached: str, conn: Connection) -> bool:
        return alerts.reach(conn, name, claim, reached, self._now() + LEASE_SECONDS)

    def _end(
        self, row: AlertRow, claim: str, reached: str, failures: str, conn: Connection
    ) -> None:
        if failures and row.tries + 1 < MOST_TRIES:
            wait = min(_FIRST_RETRY_SECONDS << row.tries, _LAST_RETRY_SECONDS)
            self._hold(row.name, claim, reached, conn)
            alerts.postpone(conn, row.name, claim, failures, self._now() + wait)
        else:
            alerts.settle(conn, row.name, claim, failures)

    def _now(self) -> int:
        return int(self._clock())


def standing_of(rows: Sequence[AlertRow]) -> list[StandingAlert]:
    """Returns the alerts of these rows that stand, oldest first."""
    found = [
        StandingAlert(row.name, RULES[row.name].title, row.since, row.words, RULES[row.name].remedy)
        for row in rows
        if row.stands and row.name in RULES
    ]
    return sorted(found, key=lambda alert: (alert.since, alert.name))


def _row_after(row: AlertRow, verdict: Verdict, now: int) -> AlertRow:
    state = AlertState(bool(row.is_trouble), row.changed_at, bool(row.stands), row.since, row.words)
    after = state.after(verdict, now)
    return row._replace(
        is_trouble=int(after.is_trouble),
        changed_at=after.changed_at,
        stands=int(after.stands),
        since=after.since,
        words=after.words,
    )


def _log_turn(before: AlertRow, row: AlertRow) -> None:
    if row.stands:
        logger.warning("alert %s begins: %s", row.name, row.words)
    else:
        logger.info("alert %s is over", before.name)
