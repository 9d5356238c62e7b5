"""Benchmark: what a report and a webhook cost in a shop of ten or a hundred times the events.

    python -m bench.growth [--events 1000000] [--rounds 5] [--folder FOLDER]

It seeds stores of a hundred thousand events, of ten times as many, and so on up to `--events`, each
with all figures made and checked against the rows, and serves them all at once. Each round asks
every service in turn for the reports of thirty days, some of ninety as well, and sends it webhooks
of new orders. Of the newer reports it prints the processor time of the serving process, too. What
is seeded in `--folder` is used again by the next run; without it the stores are deleted.
"""

import argparse
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path

from bench.report_store import ACCOUNT, DAYS, seed
from bench.reports import (
    SHOP_DAYS,
    Span,
    check_sums_of_orders,
    in_turns,
    make_figures,
    medians,
    ratio,
)
from bench.scale import cpu_ms, serving
from bench.webhooks import SECRET, gunicorn, orders
from tracking.store import open_store
from tracking.store.migrations import migrate

FEWEST = 100_000
_FIRST_PORT = 8830
_TOKEN = "a-token-for-benchmarks-only"
_WEBHOOKS = 20
# The disk's flushes vary more than anything else.
_TIMES_AS_MANY_ROUNDS = 10
_REPORTS = {
    "whole funnel": "/conversion-funnel?traffic=all&",
    "its totals": "/conversion-funnel?traffic=all&by_campaign=false&",
    "one campaign": "/conversion-funnel?traffic=all&campaign=campaign%207&",
    "ROI": "/roi-analysis?scope=all&",
}
# Each of which is wanted in less than a tenth of a second, of thirty days and of ninety.
_IN_TIME = {
    "comparison": "/comparison?",
    "accuracy": "/accuracy?",
    "match quality": "/match-quality?",
    "by ad": "/roi-analysis?group_by=ad&",
    "by pin": "/roi-analysis?group_by=pin&",
}


def main() -> None:
    """Seeds and serves the stores, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    sizes = list(takewhile(lambda size: size <= args.events, (FEWEST * 10**n for n in range(9))))
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as services:
        folder = args.folder or Path(temporary)
        stores = {size: seeded_store(folder, size) for size in sizes}
        addresses = {
            size: services.enter_context(_service(url, _FIRST_PORT + n))
            for n, (size, url) in enumerate(stores.items())
        }
        span = Span(30, SHOP_DAYS.day_of(int(time.time())) - 1)
        for size, address in addresses.items():
            print(f"{size:,} events: {_first_funnel(address, span):.0f} ms for the first funnel")
        for name, path in _REPORTS.items():
            _compare(name, addresses, args.rounds, partial(_get, path=f"{path}{span.query}"))
        for name, path in _IN_TIME.items():
            for each in (span, Span(DAYS, span.last)):
                get = partial(_get, path=f"{path}{each.query}")
                _compare(f"{name} of {each.days} days", addresses, args.rounds, get)
                _print_processor_time(addresses, args.rounds, get)
        rounds = args.rounds * _TIMES_AS_MANY_ROUNDS
        bodies = orders(time.time_ns() // 1000, _WEBHOOKS * len(sizes) * (rounds + 1))
        webhooks = partial(_send, bodies=iter(bodies))
        _compare(f"{_WEBHOOKS} webhooks", addresses, rounds, webhooks)


def seeded_store(folder: Path, size: int) -> str:
    """Returns the address of a store of so many events, which is seeded unless it is there."""
    file = folder / f"{size}.db"
    url = f"sqlite:///{file}"
    if file.exists():
        migrate(url)
    else:
        seed(url, size, folder / f"{size}.csv")
    store = open_store(url)
    make_figures(store)
    for days in (30, DAYS):
        check_sums_of_orders(store, Span(days, SHOP_DAYS.day_of(int(time.time())) - 1))
    store.close()
    return url


@contextmanager
def _service(url: str, port: int) -> Iterator[str]:
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": _TOKEN,
        "DATABASE_URL": url,
        "PINTEREST_ACCESS_TOKEN": "bench",
        "PINTEREST_AD_ACCOUNT_ID": ACCOUNT,
        "PINTEREST_ADS_TOKEN": "bench",
        "DELIVER": "false",
        "WEB_CONCURRENCY": "1",
    }
    with gunicorn("app:create_app()", port, env) as address:
        yield address


def _first_funnel(address: str, span: Span) -> float:
    began = time.perf_counter()
    _get(address, f"{_REPORTS['whole funnel']}{span.query}")
    return (time.perf_counter() - began) * 1000


def _get(address: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    request = urllib.request.Request(f"{address}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        json.load(answer)


def _print_processor_time(
    addresses: dict[int, str], rounds: int, get: Callable[[str], None]
) -> None:
    found: list[str] = []
    for size, address in addresses.items():
        pids = serving(int(address.rpartition(":")[2]))
        before = cpu_ms(pids)
        for _ in range(rounds):
            get(address)
        found.append(f"{size:,} {(cpu_ms(pids) - before) / rounds:.0f} ms")
    print(f"  processor time of one: {', '.join(found)}")


def _send(address: str, bodies: Iterator[tuple[str, bytes]]) -> None:
    for _ in range(_WEBHOOKS):
        signature, body = next(bodies)
        headers = {"X-Shopify-Hmac-Sha256": signature, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/webhooks/orders/create", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


def _compare(
    name: str, addresses: dict[int, str], rounds: int, work: Callable[[str], None]
) -> None:
    """Does the same on every service in turn, and prints how much longer it took on larger ones."""
    works = {f"{size:,}": partial(work, address) for size, address in addresses.items()}
    seconds = in_turns(works, rounds)
    few, *more = seconds
    print(f"{name}: {medians(seconds)}")
    for many in more:
        print(f"  {many} events ÷ {few}: {ratio(seconds[many], seconds[few])}")


if __name__ == "__main__":
    main()
