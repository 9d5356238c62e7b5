"""The long form, by one command: `python -m tests.machines [--serving 3] [--delivering 2]`."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.postgres import cluster
from tests.machines.estate import Shop, estate
from tests.machines.scenario import Day


def main() -> None:
    """Live through the day and tell what each hour showed; ends with an error if one went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.machines")
    parser.add_argument("--serving", type=int, default=3)
    parser.add_argument("--delivering", type=int, default=2)
    parser.add_argument("--orders", type=int, default=500, help="in each hour of the day")
    parser.add_argument("--per-second", type=float, default=60.0)
    chosen = parser.parse_args()
    with cluster() as postgres, tempfile.TemporaryDirectory() as folder:
        url = postgres.new_database()
        with estate(Path(folder), url, chosen.serving, chosen.delivering) as machines:
            shop = Shop(
                machines.balancer.port, callers=8, per_second=chosen.per_second, is_timed=True
            )
            day = Day(machines, shop, chosen.orders, _tell)
            for hour in (
                day.all_are_up,
                day.a_release_is_rolled_out,
                day.a_machine_dies,
                day.a_machine_hangs,
                day.it_is_over,
            ):
                began = time.monotonic()
                _tell(f"{hour.__name__.replace('_', ' ')}:")
                hour()
                _tell(f"  {time.monotonic() - began:.0f} s")


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


main()
