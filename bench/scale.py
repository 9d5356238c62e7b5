"""What one order costs, in processor time and in bytes, and so how much a machine holds.

    python -m bench.scale [--seconds 5] [--connections 32] [--processes 2]

For SQLite, and for a PostgreSQL of its own: wrk (a Debian package) posts new orders to the service
as it ships. Orders a second depend on whatever else the machine does; processor time hardly does.
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
    """What orders cost: so many a second, milliseconds to the answer, processor milliseconds of
    the service and of the database server for each, and bytes of the database for each."""

    store: str
    rate: float
    p50: float
    p99: float
    service: float
    server: float
    stored: float


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"a flush of 4 kB takes {flush_ms(Path(folder)):.2f} ms; {os.cpu_count()} cores")
        found = [of_sqlite(args, Path(folder)), of_postgresql(args, Path(folder))]
    print("store       orders/s   p50 ms   p99 ms  CPU ms  server's CPU ms  bytes")
    for each in found:
        print(
            f"{each.store:<11} {each.rate:>8.0f} {each.p50:>8.1f} {each.p99:>8.1f}"
            f" {each.service:>7.2f} {each.server:>16.2f} {each.stored:>6.0f}"
        )


def of_sqlite(args: argparse.Namespace, folder: Path) -> Cost:
    """The cost with a new SQLite file."""
    database = folder / "bench.db"

    def stored() -> int:
        return sum(path.stat().st_size for path in folder.glob("bench.db*"))

    return measured("SQLite", args, folder, f"sqlite:///{database}", stored, list)


def of_postgresql(args: argparse.Namespace, folder: Path) -> Cost:
    """The cost with a new database in a PostgreSQL server that nobody else uses."""
    with cluster() as server:
        url = server.new_database()

        def stored() -> int:
            with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
                row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert row is not None
            return int(row[0])

        return measured("PostgreSQL", args, folder, url, stored, lambda: server.processes)


def measured(
    store: str,
    args: argparse.Namespace,
    folder: Path,
    url: str,
    stored: Callable[[], int],
    server: Callable[[], Sequence[int]],
) -> Cost:
    """One burst of new orders, after one to warm up. `server` gives the database's processes."""
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
        found = burst((address, _PATH), pool, args.seconds, args.connections)
        after, server_after = cpu_ms(serving(_PORT)), cpu_ms(server())
        bytes_after = stored()
    if found["requests"] > _POOL or found["errors"]:
        raise SystemExit(f"{store}: {found['requests']} requests, {found['errors']} errors")
    count = found["requests"]
    return Cost(
        store=store,
        rate=found["rate"],
        p50=found["p50"],
        p99=found["p99"],
        service=(after - before) / count,
        server=(server_after - server_before) / count,
        stored=(bytes_after - bytes_before) / count,
    )


def serving(port: int) -> list[int]:
    """The processes that listen on a port, by what their environment says."""
    wanted = f"\0PORT={port}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in b"\0" + (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def cpu_ms(pids: Sequence[int]) -> float:
    """Processor time that these processes used so far, in milliseconds."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / _TICKS


def flush_ms(folder: Path) -> float:
    """How long the disk takes to have 4 kB for sure, the median of fifty."""
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
