"""`python -m tests.faults --long`: every fault at full length, and one table of what came of it."""

import argparse
import contextlib
import sys

from tests.faults.catalogue import STORES, Line, chosen, run_long, table_of
from tests.faults.postgres import FLUSHES_LATE, Cluster, NoPostgres, cluster


def main() -> int:
    """Run what was asked for; 1 if a promise was broken."""
    options = _options()
    stores = options.store or list(STORES)
    lines: list[Line] = []
    with contextlib.ExitStack() as stack:
        server: Cluster | None = None
        if "postgresql" in stores:
            server = stack.enter_context(cluster(FLUSHES_LATE))
        for fault, store in chosen(options.only, stores):
            print(f"{fault.number} {fault.title}, {store} …", end=" ", file=sys.stderr, flush=True)
            line = run_long(fault, store, server)
            told = "; ".join(line.found.said + line.found.broken)
            verdict = "BROKEN" if line.found.broken else "holds"
            print(f"{verdict} ({line.seconds:.0f} s): {told}", file=sys.stderr, flush=True)
            lines.append(line)
    print(table_of(lines))
    return int(any(line.found.broken for line in lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--long", action="store_true", required=True, help="about an hour on two cores"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="F1", help="a fault by its number"
    )
    parser.add_argument("--store", action="append", choices=STORES, help="default: both")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NoPostgres as error:
        sys.exit(f"PostgreSQL is needed (or --store sqlite): {error}")
