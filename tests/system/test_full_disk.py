"""A disk that fills up under a running service, and is made larger again."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.actors import API_TOKEN, SECRET, instant, order
from tests.funnel_by_sql import CountedBySql
from tests.servers import Server
from tests.small_disk import grow, needs_mounts, on_a_disk_of, seen_by
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.domain.shop_days import ShopDays
from tracking.report.figures_by_day import FiguresByDay
from tracking.report.figures_worker import FiguresWorker
from tracking.report.funnel_span import FunnelSpan, StageCounts
from tracking.report.funnel_writer import FunnelWriter
from tracking.store import Store, open_store, report_progress
from tracking.store.engine.disk_guard import MEGABYTE, free_bytes

# What a machine that is busy with other things makes of the one second that it takes.
SECONDS = 20.0


@pytest.fixture
def pinterest_now() -> Iterator[FakePinterest]:
    """A Pinterest whose clock is that of the processes."""
    with FakePinterest() as server:
        yield server


@needs_mounts
@pytest.mark.parametrize(
    ("size_mb", "floor_mb"), [(10, 0), (100, 90)], ids=["to the last byte", "down to the floor"]
)
def test_a_full_disk_loses_nothing_and_is_got_over_within_seconds(
    tmp_path: Path, pinterest_now: FakePinterest, size_mb: int, floor_mb: int
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{disk}/tracking.db",
        "PINTEREST_ACCESS_TOKEN": pinterest_now.token,
        "PINTEREST_AD_ACCOUNT_ID": pinterest_now.account_id,
        "PINTEREST_API_BASE": pinterest_now.url,
        "PINTEREST_SEND": "all",
        "FREE_SPACE_FLOOR_MB": str(floor_mb),
        "WEB_CONCURRENCY": "1",
    }
    server = Server(tmp_path, env, under=on_a_disk_of(size_mb, disk))
    try:
        server.start()
        there = seen_by(server.workers[0], disk)
        assert server.sends("orders/create", placed_now(2)).ok
        statuses: dict[bytes, int] = {}
        # Where a large body has no room any more, an order may have.
        for size in (150_000, 10_000, 100):
            refused = 0
            while refused < 5:
                body = b"%d %s" % (len(statuses), b"x" * size)
                statuses[body] = server.sends("orders/create", body).status_code
                refused += statuses[body] == 503
        left = free_bytes(there)
        assert server.sends("orders/create", placed_now(1)).status_code == 503
        assert server.reads("/roi-analysis?scope=all")["orders"] == 1

        grow(server.workers[0], disk, size_mb + 100)
        server.wait_until(lambda: server.sends("orders/create", placed_now(1)).ok, SECONDS)
        server.wait_until(lambda: "checkout-1" in pinterest_now.accepted, SECONDS)
        assert server.reads("/roi-analysis?scope=all")["orders"] == 2
        # Nobody writes any more. SQLite itself would not find its way into the other's disk.
        for name in ("tracking.db", "tracking.db-wal"):
            shutil.copy(there / name, tmp_path)
        store = open_store(f"sqlite:///{tmp_path}/tracking.db")
        kept = {bytes(row["body"]) for row in rows(store, "quarantine")}
        with store.read() as conn:
            sound = conn.cursor.execute("PRAGMA integrity_check").fetchone()
        figures, counted = funnels_of(store)
        store.close()
    finally:
        server.end()

    assert set(statuses.values()) == {200, 503}
    assert {body for body, status in statuses.items() if status == 200} <= kept
    assert left > 20 * MEGABYTE if floor_mb else left < MEGABYTE
    assert sound == ("ok",)
    assert figures == counted == {"purchase": (2, 1)}


def funnels_of(store: Store) -> tuple[StageCounts, StageCounts]:
    """The purchases by the figures, once the worker is done, and as the rows have them."""
    days = ShopDays(ZoneInfo("UTC"))
    FiguresWorker(FunnelWriter(store, days)).finish()
    today = days.day_of(int(time.time()))
    span = FunnelSpan(today - 1, today, all_traffic=True)
    with store.read() as conn:
        progress = report_progress.of(conn, "funnel")
        return (
            FiguresByDay(conn, span, days, progress).total(),
            CountedBySql(conn, span, days).total(),
        )


def placed_now(number: int) -> bytes:
    moments = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(time.time()))
    return json.dumps(order(id=number, **moments)).encode()
