"""The figures that the rules of the alerts judge, read from the store."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from tracking.clients.pinterest_ads import PinterestAdsAccess
from tracking.domain.match_quality import WHOLE
from tracking.operate.alerts.rules import (
    DAY,
    HOUR,
    Deadlines,
    DiskSpace,
    EventShare,
    Overlap,
    PixelSilence,
    ReadingAge,
    ShareChange,
    TokenTime,
    WaitingTime,
    WebhookSilence,
)
from tracking.store import (
    Store,
    accounts,
    ad_accounts,
    alert_figures,
    arrivals,
    match_quality,
    match_verdicts,
    metrics,
    outbox,
    pending_erasures,
    pinterest_readings,
    privacy_requests,
)
from tracking.store.arrivals import ArrivalSlot
from tracking.store.engine.disk_guard import free_bytes
from tracking.store.engine.statement import Connection
from tracking.store.match_quality import DayShare
from tracking.store.pinterest_readings import SPEND, ReadingRow
from tracking.store.privacy_requests import ANSWER_DAYS, DATA_REQUEST

# Figures of a rule at an instant (seconds UTC); None if the rule does not apply here.
Gather = Callable[[int], Any]
DayShares = Callable[[Connection, int, int], Sequence[DayShare]]

_WEEK = 7 * DAY
# The ordinal of the day with which the seconds UTC begin.
_EPOCH = date(1970, 1, 1).toordinal()
_DAYS_BEFORE = 14
_REJECTS_SECONDS = 2 * HOUR
_DENIED = ("HTTP 401", "HTTP 403", "HTTP 404")
# The failure of a sync names the setting whose token was refused.
_ADS_TOKENS = ("PINTEREST_ADS_TOKEN", "PINTEREST_REFRESH_TOKEN")
# Pinterest's OAuth: an access token lives for 30 days, a refresh token for 60.
_ACCESS_SECONDS, _REFRESH_SECONDS = 30 * DAY, 60 * DAY


@dataclass(frozen=True, slots=True)
class Disk:
    """The folder of the database, and the bytes below which webhooks are refused."""

    folder: Path
    floor: int


class AlertFigures:
    """Reads the figures of each rule. What does not apply to this installation has none."""

    def __init__(
        self,
        store: Store,
        destinations: Collection[str],
        *,
        has_pixel: bool = False,
        is_beside_app: bool = False,
        ads: PinterestAdsAccess | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._store = store
        self._destinations = destinations
        self._has_pixel = has_pixel
        self._is_beside_app = is_beside_app
        self._ads = ads
        self._disk = disk

    def by_rule(self) -> Mapping[str, Gather]:
        """Returns the function that reads the figures of each rule, by the rule's name."""
        return {
            "no_webhooks": self._webhooks,
            "no_pixel_events": self._pixel,
            "fewer_click_ids": partial(self._change, match_quality.click_ids_by_day),
            "fewer_emails": partial(self._change, match_quality.emails_by_day),
            "low_overlap": self._overlap,
            "more_rejects": self._rejects,
            "token_refused": self._refused_tokens,
            "token_ends": self._token,
            "stale_spend": self._spend,
            "stale_figures": self._pinterests_figures,
            "late_events": self._waiting,
            "low_disk": self._disk_space,
            "dead_letters": self._dead,
            "privacy_due": self._privacy,
        }

    def _fill_arrivals(self, now: int) -> None:
        """Counts, once, the webhooks of the weeks before this service began to count them."""
        with self._store.read() as conn:
            if arrivals.between(conn, "webhook", 0, arrivals.SLOT):
                return
            slots = arrivals.of_receipts(conn, now)
        # The slot of the first instant there is marks that it was done.
        slots.append(ArrivalSlot("webhook", 0, 1, 0))
        self._store.commit(lambda conn: arrivals.fill(conn, slots))

    def _webhooks(self, now: int) -> WebhookSilence | None:
        self._fill_arrivals(now)
        with self._store.read() as conn:
            last = arrivals.last(conn, "webhook", now)
            if not last:
                return None
            earlier = tuple(
                arrivals.between(conn, "webhook", last - weeks * _WEEK, now - weeks * _WEEK)
                for weeks in range(1, 5)
            )
        return WebhookSilence(now - last, earlier)

    def _pixel(self, now: int) -> PixelSilence | None:
        if not self._has_pixel:
            return None
        with self._store.read() as conn:
            last = arrivals.last(conn, "pixel", now)
            if last is None:
                return None
            return PixelSilence(now - last, arrivals.between(conn, "pixel", last - _WEEK, now))

    def _change(self, by_day: DayShares, now: int) -> ShareChange:
        today = _EPOCH + now // DAY
        with self._store.read() as conn:
            days = by_day(conn, today - _DAYS_BEFORE - 1, today)
        since_yesterday = [each for each in days if each.day >= today - 1]
        before = [each for each in days if each.day < today - 1]
        return ShareChange(_sum(since_yesterday), _sum(before))

    def _overlap(self, now: int) -> Overlap | None:
        with self._store.read() as conn:
            told = match_verdicts.overlaps(conn)
            if not told and not self._is_beside_app:
                return None
            own = alert_figures.shared_ids(conn, now - DAY) if self._is_beside_app else None
        # The shortest lookback: what was mended shows there first.
        shares = {row.lookback: EventShare(row.overlap or 0, WHOLE) for row in told}
        known = shares.get("1d") or next(iter(shares.values()), None)
        return Overlap(known, None if own is None else EventShare(*own))

    def _rejects(self, now: int) -> ShareChange:
        began = now - _REJECTS_SECONDS
        with self._store.read() as conn:
            late = alert_figures.outcomes(conn, began, now)
            before = alert_figures.outcomes(conn, now - DAY, began)
        return ShareChange(_refused(late), _refused(before))

    def _refused_tokens(self, now: int) -> tuple[str, ...]:
        with self._store.read() as conn:
            rows = accounts.list_all(conn)
        refused = [
            row.destination
            for row in rows
            if row.destination in self._destinations and row.pause_reason.startswith(_DENIED)
        ]
        failures = [row.failure for row in self._readings()]
        if any(name in failure for failure in failures for name in _ADS_TOKENS):
            refused.append("Pinterest's Ads API")
        return tuple(refused)

    def _token(self, now: int) -> TokenTime | None:
        ads = self._ads
        if ads is None:
            return None
        token = ads.refresh_token if ads.can_renew else ads.access_token
        origin = hashlib.sha256(token.encode()).hexdigest()
        with self._store.read() as conn:
            known = ad_accounts.stored_token(conn, origin)
        if ads.can_renew:
            if known is None or not known.token:
                return None
            return TokenTime(known.renewed_at + _REFRESH_SECONDS - now, "PINTEREST_REFRESH_TOKEN")
        if known is None:
            self._store.commit(lambda conn: ad_accounts.note_token(conn, origin, now))
        since = now if known is None else known.renewed_at
        return TokenTime(since + _ACCESS_SECONDS - now, "PINTEREST_ADS_TOKEN")

    def _spend(self, now: int) -> ReadingAge | None:
        return _age_of([row for row in self._readings() if row.kind == SPEND], now)

    def _pinterests_figures(self, now: int) -> ReadingAge | None:
        # The verdict on the quality of events is for some apps only.
        others = (SPEND, match_verdicts.READING)
        return _age_of([row for row in self._readings() if row.kind not in others], now)

    def _readings(self) -> Sequence[ReadingRow]:
        if self._ads is None:
            return ()
        with self._store.read() as conn:
            return pinterest_readings.of_account(conn, self._ads.account_id)

    def _waiting(self, now: int) -> WaitingTime:
        with self._store.read() as conn:
            waiting = outbox.waiting(conn)
        return WaitingTime(waiting.events, 0 if waiting.oldest is None else now - waiting.oldest)

    def _disk_space(self, now: int) -> DiskSpace | None:
        if self._disk is None:
            return None
        return DiskSpace(free_bytes(self._disk.folder), self._disk.floor)

    def _dead(self, now: int) -> int:
        with self._store.read() as conn:
            return sum(row.events for row in metrics.open_events(conn, "dead"))

    def _privacy(self, now: int) -> Deadlines:
        with self._store.read() as conn:
            asked = privacy_requests.open_of(privacy_requests.of_topic(conn, DATA_REQUEST))
            held = [row for row in pending_erasures.list_all(conn) if row.is_held]
        ends = [row.received_at + ANSWER_DAYS * DAY for row in asked]
        ends += [row.due_at for row in held]
        return Deadlines(len(ends), min(ends, default=now) - now)


def _sum(days: Sequence[DayShare]) -> EventShare:
    return EventShare(sum(day.having for day in days), sum(day.events for day in days))


def _age_of(readings: Sequence[ReadingRow], now: int) -> ReadingAge | None:
    """Returns the age of the oldest reading; None if there was none yet, which is no alert: the
    first may fail by chance, and `doctor` says that it did."""
    read_at = [row.read_at for row in readings if row.read_at]
    return ReadingAge(now - min(read_at)) if read_at else None


def _refused(attempts: Mapping[str, int]) -> EventShare:
    dead = attempts.get("dead", 0)
    return EventShare(dead, dead + attempts.get("sent", 0) + attempts.get("late", 0))
