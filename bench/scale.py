"""Benchmark: the cost of one order in processor time and bytes, for SQLite and PostgreSQL.

    python -m bench.scale [--seconds 5] [--connections 32] [--processes 2]

wrk (a Debian package) posts new orders to the service with its own settings; PostgreSQL is a server
of its own. Orders a second depend on other load of the machine; processor time hardly does.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.webhooks import SECRET, burst, gunicorn, orders, write_pool
from tests.faults.postgres import cluster

_POOL = 16_000
_PORT = 8811
_PATH = "/webhooks/orders/create"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Cost of orders: orders a second, milliseconds to the response, and per order the processor
    milliseconds of the service and of the database server, and the bytes stored."""

    store: str
    rate: float
    p50: float
    p99: float
    service: float
    server: float
    stored: float


def main() -> None:
    """Measure both databases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"a flush of 4 kB takes {flush_ms(Path(folder)):.2f} ms; {os.cpu_count()} cores")
        costs = [measure_sqlite(args, Path(folder)), measure_postgresql(args, Path(folder))]
    print("store       orders/s   p50 ms   p99 ms  CPU ms  server's CPU ms  bytes")
    for cost in costs:
        print(
            f"{cost.store:<11} {cost.rate:>8.0f} {cost.p50:>8.1f} {cost.p99:>8.1f}"
            f" {cost.service:>7.2f} {cost.server:>16.2f} {cost.stored:>6.0f}"
        )


def measure_sqlite(args: argparse.Namespace, folder: Path) -> Cost:
    """Measure with a new SQLite file."""
    database = folder / "bench.db"

    def stored() -> int:
        return sum(path.stat().st_size for path in folder.glob("bench.db*"))

    return measure("SQLite", args, folder, f"sqlite:///{database}", stored, list)


def measure_postgresql(args: argparse.Namespace, folder: Path) -> Cost:
    """Measure with a new database in a PostgreSQL server of its own."""
    with cluster() as server:
        url = server.new_database()

        def stored() -> int:
            with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
                row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert row is not None
            return int(row[0])

        return measure("PostgreSQL", args, folder, url, stored, lambda: server.processes)


def measure(
    store: str,
    args: argparse.Namespace,
    folder: Path,
    url: str,
    stored: Callable[[], int],
    server: Callable[[], Sequence[int]],
) -> Cost:
    """Measure a burst of new orders after a warm-up; `server` returns the database's processes."""
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "DATABASE_URL": url,
        "PINTEREST_ACCESS_TOKEN": "bench",
        "PINTEREST_AD_ACCOUNT_ID": "1",
        "DELIVER": "false",
        "WEB_CONCURRENCY": str(args.processes),
    }
    first = time.time_ns() // 1000
    with gunicorn("app:create_app()", _PORT, env) as address:
        pool = folder / "pool"
        write_pool(pool, orders(first, _POOL))
        burst((address, _PATH), pool, 1, args.connections)
        write_pool(pool, orders(first + _POOL, _POOL))
        bytes_before = stored()
        before, server_before = cpu_ms(serving(_PORT)), cpu_ms(server())
        figures = burst((address, _PATH), pool, args.seconds, args.connections)
        after, server_after = cpu_ms(serving(_PORT)), cpu_ms(server())
        bytes_after = stored()
    if figures["requests"] > _POOL or figures["errors"]:
        raise SystemExit(f"{store}: {figures['requests']} requests, {figures['errors']} errors")
    count = figures["requests"]
    return Cost(
        store=store,
        rate=figures["rate"],
        p50=figures["p50"],
        p99=figures["p99"],
        service=(after - before) / count,
        server=(server_after - server_before) / count,
        stored=(bytes_after - bytes_before) / count,
    )


def serving(port: int) -> list[int]:
    """Ids of the processes whose environment has PORT set to this port."""
    variable = f"\0PORT={port}\0".encode()
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if variable in b"\0" + (folder / "environ").read_bytes():
                pids.append(int(folder.name))
        except OSError:
            continue
    return pids


def cpu_ms(pids: Sequence[int]) -> float:
    """Processor time of these processes so far, in milliseconds."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / _TICKS


def flush_ms(folder: Path) -> float:
    """Milliseconds to write and fdatasync 4 kB, the median of fifty."""
    seconds = []
    with (folder / "flush").open("wb") as out:
        for _ in range(50):
            out.write(bytes(4096))
            out.flush()
            began = time.perf_counter()
            os.fdatasync(out.fileno())
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    main()
