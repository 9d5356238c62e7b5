"""The long form of what the service must bear.

    python -m tests.abuse [--count 10000] [--seed 1] [--seconds 12] [--database-url URL]

Signed webhooks first, most of them spoiled, then what strangers send, then 500 slow clients of each
kind while good webhooks come at 20 a second. Prints a line for each, and ends with 1 if anything of
what is promised did not hold.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.abuse.callers import SLOW
from tests.abuse.run import Found, await_delivery, environment, signed, unsigned
from tests.abuse.slow import CLIENTS, Paced, paced
from tests.servers import Server, serving
from tests.standins.pinterest import FakePinterest

MOST_GROWN_KB = 50 * 1024
SLOWEST_P99 = 1.0


def main() -> int:
    """Run all parts; 0 if all held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--database-url", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, FakePinterest() as pinterest:
        env = environment(Path(name), pinterest, args.database_url)
        with serving(Path(name), env) as server:
            kept = [*_junk(server, pinterest, args), *_slow(server, args.seconds)]
    return 0 if all(kept) else 1


def _junk(server: Server, pinterest: FakePinterest, args: argparse.Namespace) -> list[bool]:
    kept = []
    for part, run in (("signed", signed), ("unsigned", unsigned)):
        if args.count:
            found = run(server, args.seed, args.count)
            missing = await_delivery(pinterest, found)
            kept.append(_is_kept(found, missing))
            _tell(f"{part}: {_line(found, missing)}")
    return kept


def _slow(server: Server, seconds: int) -> list[bool]:
    kept = []
    for kind, clients in (("silent", 0), *((kind, CLIENTS) for kind in SLOW)):
        if seconds:
            found = paced(server, kind, seconds, clients)
            kept.append(not found.failed and found.p99 < SLOWEST_P99)
            _tell(f"{clients} clients, {kind if clients else 'nobody slow'}: {_times(found)}")
    return kept


def _is_kept(found: Found, missing: int) -> bool:
    return not (found.failures or found.workers_lost or missing or found.grown_kb > MOST_GROWN_KB)


def _line(found: Found, missing: int) -> str:
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(found.statuses.items()))
    return (
        f"{found.sent} requests: {statuses}; 5xx {found.failures}, workers lost"
        f" {found.workers_lost}, memory {found.grown_kb / 1024:+.1f} MB, slowest"
        f" {found.slowest * 1000:.0f} ms, good orders {len(found.good)},"
        f" not delivered once {missing}"
    )


def _times(found: Paced) -> str:
    return (
        f"{found.sent} webhooks, {found.failed} failed, median {found.median * 1000:.0f} ms,"
        f" p99 {found.p99 * 1000:.0f} ms"
    )


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
