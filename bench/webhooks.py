"""Benchmark: the durable webhook compared with a bare handler, as a ratio.

    python -m bench.webhooks [--rounds 6] [--seconds 3] [--connections 32] [--database-url URL]

The bare handler only verifies the HMAC. Both run under the same gunicorn settings at the same time;
bursts of wrk (a Debian package) alternate between them, so that other load of the machine affects
both. The service receives every order once: signature, attribution, event and outbox row are on
disk before the response.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.orders import signed_orders

SECRET = "a-secret-for-benchmarks-only"
POOL = 12_000
HERE = Path(__file__).parent


@contextmanager
def gunicorn(app: str, port: int, env: dict[str, str]) -> Iterator[str]:
    """Serves `app` with the service's own gunicorn settings."""
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "error"]
    server = subprocess.Popen(
        [*command, app],
        env={**os.environ, **env, "PORT": str(port)},
        cwd=HERE.parent,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing-here", timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


@dataclass(frozen=True)
class Pair:
    """The two servers compared: address and path of each, and the signed bodies sent to both."""

    bare: tuple[str, str]
    durable: tuple[str, str]
    bodies: Callable[[int, int], Iterable[tuple[str, bytes]]]
    names: tuple[str, str] = ("bare", "durable")


def burst(target: tuple[str, str], pool: Path, seconds: int, connections: int) -> dict[str, Any]:
    """Runs one burst of wrk; returns its figures."""
    url, path = target
    output = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"),
            *("-s", str(HERE / "webhooks.lua"), url, "--", str(pool), path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(row for row in output.stdout.splitlines() if row.startswith("RESULT"))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    result["rate"] = result["requests"] / result["seconds"]
    return result


def write_pool(path: Path, bodies: Iterable[tuple[str, bytes]]) -> None:
    """Writes a file of signed bodies, one per line."""
    with path.open("wb") as out:
        for signature, body in bodies:
            out.write(signature.encode() + b" " + body + b"\n")


def orders(first: int, count: int) -> Iterable[tuple[str, bytes]]:
    """Signed orders, each of which is attributed and queued."""
    return signed_orders(SECRET.encode(), first, count)


def main() -> None:
    """Runs the rounds and prints their ratios."""
    args = arguments(argparse.ArgumentParser(description=__doc__))
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": args.database_url or f"sqlite:///{folder}/bench.db",
            "PINTEREST_ACCESS_TOKEN": "bench",
            "PINTEREST_AD_ACCOUNT_ID": "1",
            "DELIVER": "false",
        }
        with (
            gunicorn("bench.bare:create_app()", 8801, env) as bare,
            gunicorn("app:create_app()", 8802, env) as service,
        ):
            path = "/webhooks/orders/create"
            run(args, Path(folder, "pool"), Pair((bare, path), (service, path), orders))


def run(args: argparse.Namespace, pool: Path, pair: Pair) -> None:
    """Sends bursts to both in alternating order, and prints their ratios."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    rates, p99s, errors = [], [], 0
    bare, durable = pair.names
    print(f"{'round':>5} {f'{bare}/s':>9} {f'{durable}/s':>9} {'ratio':>6} {'p99 ms':>14}")
    first = time.time_ns() // 1000
    for number in range(args.rounds):
        write_pool(pool, pair.bodies(first + number * POOL, POOL))
        servers = [("bare", pair.bare), ("durable", pair.durable)]
        if number % 2:
            servers.reverse()
        figures = {
            name: burst(target, pool, args.seconds, args.connections) for name, target in servers
        }
        if figures["durable"]["requests"] > POOL:
            raise SystemExit("the pool is too small for this machine: bodies were repeated")
        errors += figures["bare"]["errors"] + figures["durable"]["errors"]
        rates.append(figures["durable"]["rate"] / figures["bare"]["rate"])
        p99s.append(figures["durable"]["p99"] / figures["bare"]["p99"])
        print(
            f"{number + 1:>5} {figures['bare']['rate']:>9.0f} {figures['durable']['rate']:>9.0f}"
            f" {rates[-1]:>6.2f} {figures['bare']['p99']:>6.1f} {figures['durable']['p99']:>7.1f}"
        )
    print(f"rate: {spread(rates)} of {bare}; p99: {spread(p99s)} times {bare}; errors: {errors}")


def spread(values: list[float]) -> str:
    """Returns the median and the quartiles as text."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{middle:.2f} [{low:.2f}-{high:.2f}]"


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses the options that all benchmarks share."""
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--database-url", default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
