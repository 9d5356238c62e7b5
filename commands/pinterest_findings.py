"""The findings of `doctor` on what is read from Pinterest."""

from collections.abc import Iterator
from datetime import UTC, datetime

from commands.findings import Finding
from config import Settings
from tracking.clients.pinterest_ads import missing_settings
from tracking.domain.instants import instant
from tracking.receive.pinterest.conversions import ConversionsReading
from tracking.receive.pinterest.sync import READINGS, PinterestSync
from tracking.receive.pinterest.sync_session import CALLS_A_DAY
from tracking.service import Service
from tracking.store import (
    ad_accounts,
    pinterest_calls,
    pinterest_erasures,
    pinterest_readings,
)
from tracking.store.pinterest_readings import SPEND, ReadingRow

LONGEST_WITHOUT_FIGURES = 86_400
_ERASURE_DAYS = 30 * 86_400


def pinterest_findings(service: Service) -> Iterator[Finding]:
    """Yields a finding on each kind of figures, and one on the calls of the day."""
    sync, now = service.pinterest_sync, int(service.clock())
    if sync is None:
        missing = " and ".join(missing_settings(service.settings))
        text = f"spend and conversions are not read from Pinterest: {missing} not set"
        yield Finding("note", "figures", text)
        return
    account = sync.access.account_id
    today = datetime.fromtimestamp(now, UTC).date().isoformat()
    with service.store.read() as conn:
        known = ad_accounts.of_account(conn, account)
        rows = {row.kind: row for row in pinterest_readings.of_account(conn, account)}
        calls = pinterest_calls.of_day(conn, account, today)
    details = {
        SPEND: f", in {known.currency}" if known else "",
        ConversionsReading.kind: _windows_text(sync, service.settings),
    }
    for reading in READINGS:
        row = rows.get(reading.kind, ReadingRow(account, reading.kind))
        yield _reading_finding(row, sync, details.get(reading.kind, ""), now)
    mark = "ok" if calls < CALLS_A_DAY else "note"
    yield Finding(mark, "Pinterest calls", f"{calls} of {CALLS_A_DAY} of this UTC day are used")


def _reading_finding(row: ReadingRow, sync: PinterestSync, detail: str, now: int) -> Finding:
    if row.failure:
        return Finding("FAIL", row.kind, f"not read from Pinterest to its end: {row.failure}")
    if not row.read_at:
        command = "sync-spend" if row.kind == SPEND else "sync-pinterest"
        text = f"not read from Pinterest yet: {command} does it now"
        return Finding("note", row.kind, text)
    mark = "ok" if now - row.read_at <= LONGEST_WITHOUT_FIGURES else "FAIL"
    through = f" up to {row.through}" if row.through else ""
    ends = "" if sync.access.can_renew else "; the token ends 30 days after it was made"
    text = f"read at {instant(row.read_at)}{through}{detail}"
    return Finding(mark, row.kind, text + (ends if row.kind == SPEND else ""))


def _windows_text(sync: PinterestSync, settings: Settings) -> str:
    """Says with which windows Pinterest counts, where it does not offer ours."""
    clicks, views = sync.options.windows
    click_days, view_hours = settings.click_window_days, settings.view_window_hours
    if (24 * clicks, 24 * views) == (24 * click_days, view_hours):
        return ""
    ours = f"CLICK_WINDOW_DAYS is {click_days}, VIEW_WINDOW_HOURS {view_hours}"
    return f", counted {clicks} days after clicks and {views} after views, the nearest ({ours})"


def erasures_at_pinterest(service: Service) -> Iterator[Finding]:
    """Yields a finding on the persons whose events Pinterest was asked to delete, if there are
    any."""
    now = int(service.clock())
    with service.store.read() as conn:
        counts = {row.email: row for row in pinterest_erasures.counts(conn, now - _ERASURE_DAYS)}
    refused, lost = counts.get(pinterest_erasures.REFUSED), counts.get(pinterest_erasures.LOST)
    subject = "erasures at pinterest"
    if refused is not None:
        text = (
            f"Pinterest refused {refused.requests} ({refused.answer or 'no answer'}): the endpoint"
            " is in beta and may need PINTEREST_ADS_TOKEN; ask for the deletion in Ads Manager"
        )
        yield Finding("note", subject, text)
    if lost is not None:
        text = f"{lost.requests} without the e-mail, which was lost as the service ended: not asked"
        yield Finding("note", subject, text)
    asked = counts.get(pinterest_erasures.ASKED)
    if asked is not None and refused is None and lost is None:
        yield Finding("ok", subject, f"{asked.requests} asked in the last 30 days")
