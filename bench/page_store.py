"""The rest of a large shop for the benchmark of the pages: what is known of the orders of a store
that has events and credits alone, and what Pinterest tells of the same days."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench.report_store import DAYS

ACCOUNT = "549755885175"
# An event as it is stored once it was sent, without what nobody asks a page for.
_PAYLOAD = (
    b'{"event_name":"checkout","action_source":"web","event_id":"checkout-1","event_time":1,'
    b'"user_data":{"em":["b1"]},"custom_data":{"value":"25.00","currency":"USD"}}'
)
_ORDERS = (
    "UPDATE conversions SET event_id = 'checkout-' || order_id,"
    " reason = CASE WHEN is_pinterest THEN '' ELSE 'not_attributed' END WHERE order_id <> ''",
    "INSERT OR IGNORE INTO orders (id, name, version, placed_at, currency, gross, is_counted,"
    " is_paid, financial_status, source_name, visitor, match_method, customer_type)"
    " SELECT order_id, '#' || (1000 + row_number() OVER (ORDER BY at)),"
    " strftime('%Y-%m-%dT%H:%M:%SZ', at, 'unixepoch'), at, currency, value, 1, 1,"
    " 'paid', 'web', visitor, 'visitor', iif(id % 3, 'new', 'returning')"
    " FROM conversions WHERE order_id <> ''",
    "INSERT OR IGNORE INTO receipts (order_id, digest, topic, received_at)"
    " SELECT order_id, printf('%064x', id), 'orders/create', at"
    " FROM conversions WHERE order_id <> ''",
    "UPDATE credits SET touch_key = 'seen-' || order_id || '-' || n, ad_id = campaign_id || n,"
    " pin_id = campaign_id || n WHERE is_pinterest = 1",
    "INSERT OR IGNORE INTO touches (visitor, at, key, kind, is_pinterest, source, medium,"
    " campaign_id, campaign)"
    " SELECT visitor, credited_at, touch_key, 'click', 1, 'pinterest', 'cpc', credits.campaign_id,"
    " credits.campaign FROM credits JOIN conversions USING (order_id) WHERE touch_key <> ''",
)
_DELIVERIES = (
    "INSERT OR IGNORE INTO outbox (event_id, destination, event_time, attempts, queued_at, state,"
    " payload, settled_at)"
    " SELECT event_id, 'pinterest', at, 1, at, 'sent', ?, at + 60"
    " FROM conversions WHERE is_pinterest = 1 AND order_id <> '' ORDER BY at",
    # Of what the pixel told, the payload is erased once it was sent.
    "INSERT OR IGNORE INTO outbox (event_id, destination, event_time, attempts, queued_at, state,"
    " payload, settled_at, is_browser)"
    " SELECT event_id, 'pinterest', at, 1, at, 'sent', x'', at + 60, 1"
    " FROM conversions WHERE is_pinterest = 1 AND order_id = ''",
    "UPDATE outbox SET state = 'dead', reason = 'The event is older than Pinterest takes.'"
    " WHERE id % 97 = 5 AND is_browser = 0 AND id < 97 * 300",
    "UPDATE outbox SET state = 'waiting', attempts = 0, settled_at = 0 WHERE id IN"
    " (SELECT id FROM outbox WHERE is_browser = 0 ORDER BY event_time DESC LIMIT 50)",
    "INSERT INTO attempts (event_id, destination, at, outcome, detail)"
    " SELECT event_id, destination, settled_at, 'dead', reason FROM outbox WHERE state = 'dead'",
)
# So that what changed with the rows above is summed up once, with everything else.
_MARKS = ("report_marks", "credit_changes", "accuracy_marks", "compared_marks")
_CAMPAIGNS = (
    "CREATE TEMP TABLE days AS WITH RECURSIVE ago(n) AS"
    " (SELECT 0 UNION ALL SELECT n + 1 FROM ago WHERE n < :days)"
    " SELECT date((SELECT max(at) FROM conversions), 'unixepoch', '-' || n || ' days') AS date"
    " FROM ago",
    "CREATE TEMP TABLE named AS SELECT DISTINCT campaign_id, campaign FROM report_campaigns"
    " WHERE is_pinterest = 1 AND campaign_id <> ''",
    "INSERT INTO spend SELECT date, campaign_id, 'USD', campaign, 40000000, :now FROM days, named",
    "INSERT INTO pinterest_ads SELECT campaign_id || n, 'ad ' || campaign_id || n, campaign_id,"
    " campaign_id || n, :now FROM named, (SELECT 0 AS n UNION SELECT 1)",
    "INSERT INTO ad_spend SELECT date, ad_id, 'USD', 20000000, :now FROM days, pinterest_ads",
    "INSERT INTO pinterest_figures (date, campaign_id, report_by, currency, campaign, orders,"
    " value_micros, click_orders, click_micros, web_orders, click_window_days, view_window_days,"
    " recorded_at) SELECT date, campaign_id, report_by, 'USD', campaign, 12, 300000000, 12,"
    " 300000000, 12, 30, 1, :now FROM days, named,"
    " (SELECT 'order_date' AS report_by UNION SELECT 'click_date')",
    "INSERT INTO match_days (day, event_name, action_source, events, hashed_email, order_id)"
    " SELECT julianday(date) - 1721424.5, event_name, 'web', 9000, 7000, 9000 FROM days,"
    " (SELECT 'checkout' AS event_name UNION SELECT 'page_visit' UNION SELECT 'add_to_cart'"
    " UNION SELECT 'initiate_checkout')",
    "INSERT INTO syncs (account, currency, through, synced_at, next_at)"
    " VALUES (:account, 'USD', :today, :now, :now + 3600)",
    "INSERT INTO pinterest_readings (account, kind, through, read_at, next_at)"
    " SELECT :account, kind, :today, :now, :now + 3600"
    " FROM (SELECT 'conversions' AS kind UNION SELECT 'ads' UNION SELECT 'quality')",
)


def complete(source: Path, target: Path) -> None:
    """Copies a seeded SQLite store, and writes into the copy what the pages show beside it."""
    now = int(time.time())
    values = {
        "days": DAYS,
        "account": ACCOUNT,
        "now": now,
        "today": datetime.fromtimestamp(now, UTC).date().isoformat(),
    }
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as seeded,
        closing(sqlite3.connect(target)) as raw,
    ):
        seeded.backup(raw)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-400000"):
            raw.execute(f"PRAGMA {pragma}")
        for statement in (*_ORDERS, *_DELIVERIES):
            raw.execute(statement, (_PAYLOAD,) * statement.count("?"))
        for table in _MARKS:
            raw.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of the list above
        for statement in _CAMPAIGNS:
            raw.execute(statement, values)
        raw.commit()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
