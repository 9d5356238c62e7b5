"""Benchmark: PostgreSQL compared with SQLite: webhooks, the pixel's calls, imports, as ratios.

    python -m bench.databases [--rounds 6] [--seconds 3] [--connections 32] [--rows 20000]

Both services run at the same time, PostgreSQL on a server of its own on this machine, whose
processes share its cores; bursts of wrk, and imports, alternate between them.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from bench.collector import KEY, calls
from bench.imports import checked_first, measured, write_file
from bench.webhooks import SECRET, Pair, arguments, gunicorn, orders, run, spread
from config import Settings
from tests.faults.postgres import cluster
from tracking.service import open_service

NAMES = ("sqlite", "postgresql")


def main() -> None:
    """Runs the rounds of each kind and prints their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    args = arguments(parser)
    with tempfile.TemporaryDirectory() as name, cluster() as server, ExitStack() as servers:
        folder = Path(name)
        urls = [f"sqlite:///{folder}/bench.db", server.new_database()]
        sqlite, postgresql = (
            servers.enter_context(gunicorn("app:create_app()", 8805 + n, _env(url)))
            for n, url in enumerate(urls)
        )
        for title, path, bodies in (
            ("webhooks", "/webhooks/orders/create", orders),
            ("collector", "/collect", calls),
        ):
            print(f"{title}:")
            run(args, folder / "pool", Pair((sqlite, path), (postgresql, path), bodies, NAMES))
        print("imports:")
        _import(args, folder, urls)


def _env(url: str) -> dict[str, str]:
    return {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "DATABASE_URL": url,
        "PINTEREST_ACCESS_TOKEN": "bench",
        "PINTEREST_AD_ACCOUNT_ID": "1",
        "DELIVER": "false",
        "COLLECTOR_KEY": KEY,
        "COLLECTOR_RATE": "10000",
        "COLLECTOR_TOTAL_RATE": "100000",
    }


def _import(args: argparse.Namespace, folder: Path, urls: list[str]) -> None:
    """Imports new files into both in alternating order; prints the ratio of their rates."""
    file, first = folder / "sales.csv", time.time_ns() // 1000
    ratios = []
    with ExitStack() as stack:
        services = [open_service(Settings.from_env(_env(url)), time.time) for url in urls]
        for service in services:
            stack.enter_context(closing(service.store))
        for number in range(args.rounds):
            write_file(file, first + number * args.rows, args.rows)
            seconds = {}
            for service in services if number % 2 else services[::-1]:
                work = partial(checked_first, service, file)
                seconds[service.store.dialect] = measured(work).clock
            ratios.append(seconds["sqlite"] / seconds["postgresql"])
            rates = "  ".join(f"{name} {args.rows / seconds[name]:.0f}/s" for name in NAMES)
            print(f"{number + 1:>5} {rates}  ratio {ratios[-1]:.2f}")
    print(f"rate: {spread(ratios)} of sqlite")


if __name__ == "__main__":
    main()
