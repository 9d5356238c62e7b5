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
from tracking.store import ad_accounts, pinterest_calls, pinterest_readings
from tracking.store.pinterest_readings import SPEND, ReadingRow

LONGEST_WITHOUT_FIGURES = 86_400


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
