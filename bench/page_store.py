"""The rest of a large shop for the benchmark of the pages: what is known of the orders of a store
that has events, credits and deliveries alone."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench.report_store import ACCOUNT

# An event as it is stored once it was sent, without what nobody asks a page for.
_PAYLOAD = (
    '{"event_name":"checkout","action_source":"web","event_id":"checkout-1","event_time":1,'
    '"user_data":{"em":["b1"]},"custom_data":{"value":"25.00","currency":"USD"}}'
)
_ORDERS = (
    "CREATE TEMP TABLE named AS SELECT order_id, visitor, id % 3 AS third,"
    " '#' || (1000 + row_number() OVER (ORDER BY at)) AS name"
    " FROM conversions WHERE order_id <> ''",
    "UPDATE orders SET name = named.name, is_paid = 1, financial_status = 'paid',"
    " source_name = 'web', visitor = named.visitor, match_method = 'visitor',"
    " customer_type = iif(third, 'new', 'returning') FROM named WHERE named.order_id = orders.id",
    "INSERT OR IGNORE INTO receipts (order_id, digest, topic, received_at)"
    " SELECT order_id, printf('%064x', id), 'orders/create', at"
    " FROM conversions WHERE order_id <> ''",
    "UPDATE credits SET touch_key = 'seen-' || order_id || '-' || n WHERE is_pinterest = 1",
    "INSERT OR IGNORE INTO touches (visitor, at, key, kind, is_pinterest, source, medium,"
    " campaign_id, campaign)"
    " SELECT visitor, credited_at, touch_key, 'click', 1, 'pinterest', 'cpc', credits.campaign_id,"
    " credits.campaign FROM credits JOIN conversions USING (order_id) WHERE touch_key <> ''",
)
_DELIVERIES = (
    # Of what the pixel told, the payload is erased once it was sent.
    "INSERT OR IGNORE INTO outbox (event_id, destination, event_time, attempts, queued_at, state,"
    " payload, settled_at, is_browser)"
    " SELECT event_id, 'pinterest', at, 1, at, 'sent', x'', at + 60, 1"
    " FROM conversions WHERE is_pinterest = 1 AND order_id = ''",
    f"UPDATE outbox SET payload = CAST('{_PAYLOAD}' AS BLOB) WHERE is_browser = 0",  # noqa: S608
    "UPDATE outbox SET reason = 'The event is older than Pinterest takes.' WHERE state = 'dead'",
    "INSERT INTO attempts (event_id, destination, at, outcome, detail)"
    " SELECT event_id, destination, settled_at, 'dead', reason FROM outbox WHERE state = 'dead'",
)
# Nothing above changes what is summed up.
_MARKS = ("report_marks", "credit_changes", "accuracy_marks", "compared_marks")
_PINTEREST = (
    "INSERT INTO syncs (account, currency, through, synced_at, next_at)"
    " VALUES (:account, 'USD', :today, :now, :now + 3600)",
    "INSERT OR REPLACE INTO pinterest_readings (account, kind, through, read_at, next_at)"
    " SELECT :account, kind, :today, :now, :now + 3600"
    " FROM (SELECT 'conversions' AS kind UNION SELECT 'ads' UNION SELECT 'quality')",
)


def complete(source: Path, target: Path) -> None:
    """Copies a seeded SQLite store, and writes into the copy what the pages show beside it."""
    now = int(time.time())
    values = {
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
            raw.execute(statement)
        for table in _MARKS:
            raw.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of the list above
        for statement in _PINTEREST:
            raw.execute(statement, values)
        raw.commit()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
