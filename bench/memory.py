"""Benchmark: the memory of the serving processes after many webhooks and reports.

    python -m bench.memory [--webhooks 20000] [--funnels 100] [--database-url URL]

The webhooks come in ten parts, and each line tells the largest resident memory of a process that
serves, in MB: flat is what it must be. For reports of a large shop, name a store that
`bench.reports` has filled.
"""

import argparse
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.webhooks import HERE, SECRET, gunicorn, orders, write_pool

PORT = 8831
TOKEN = "a-token-for-benchmarks-only"
PARTS = 10
_WEBHOOKS = "/webhooks/orders/create"
_FUNNEL = "/conversion-funnel?start_date={}&end_date={}"


def serving_processes(port: int) -> list[Path]:
    """Returns the /proc folders of gunicorn's processes on a port."""
    mark = f"PORT={port}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            is_ours = mark in (folder / "environ").read_bytes().split(b"\0")
            if is_ours and b"gunicorn" in (folder / "cmdline").read_bytes():
                found.append(folder)
        except (OSError, NotADirectoryError):
            continue
    return found


def largest(port: int) -> float:
    """Returns the resident memory of the largest process (MB)."""
    sizes = [_resident(folder) for folder in serving_processes(port)]
    return max(sizes) / 1024


def _resident(folder: Path) -> int:
    lines = (folder / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def send(url: str, pool: Path, first: int, count: int) -> None:
    """Sends so many new orders, and some of them again if that is sooner than to stop."""
    write_pool(pool, orders(first, count))
    sent = 0
    while sent < count:
        command = ["wrk", "-t1", "-c32", "-d1s", "-s", str(HERE / "webhooks.lua"), url, "--"]
        output = subprocess.run(
            [*command, str(pool), _WEBHOOKS], capture_output=True, text=True, check=True
        ).stdout
        result = next(line for line in output.splitlines() if line.startswith("RESULT"))
        done = int(result.partition('"requests": ')[2].partition(",")[0])
        sent += done
        # wrk begins each time at the top of the pool.
        lines = pool.read_bytes().splitlines(keepends=True)
        pool.write_bytes(b"".join(lines[done:]) or lines[0])


def read_funnels(url: str, count: int) -> None:
    """Asks for the funnel of the last 90 days."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    start = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 89 * 86_400))
    request = urllib.request.Request(
        url + _FUNNEL.format(start, today), headers={"Authorization": f"Bearer {TOKEN}"}
    )
    for _ in range(count):
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()


def main() -> None:
    """Serves, sends, asks, and prints the memory after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhooks", type=int, default=20_000)
    parser.add_argument("--funnels", type=int, default=100)
    parser.add_argument("--database-url", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": args.database_url or f"sqlite:///{folder}/bench.db",
            "API_TOKEN": TOKEN,
            "DELIVER": "false",
        }
        with gunicorn("app:create_app()", PORT, env) as url:
            print(f"{'at the start':>24} {largest(PORT):>6.0f} MB")
            first, part = time.time_ns() // 1000, args.webhooks // PARTS
            for number in range(PARTS):
                send(url, Path(folder, "pool"), first + number * part, part)
                done = f"{(number + 1) * part} webhooks"
                print(f"{done:>24} {largest(PORT):>6.0f} MB", flush=True)
            read_funnels(url, args.funnels)
            print(f"{f'{args.funnels} funnels':>24} {largest(PORT):>6.0f} MB")


if __name__ == "__main__":
    main()
