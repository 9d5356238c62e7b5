"""Benchmark: the server's time for each page of the dashboard in shops of different sizes.

    python -m bench.pages [--events 1000000] [--rounds 5] [--folder FOLDER]

It seeds stores as bench.growth does, and adds to a copy of each what the pages show beside events
and credits: orders, deliveries, visits, spend, Pinterest's own figures. Then it logs in, and asks
for each page over thirty and over ninety days. It prints medians of processor time and of the time
until the page was there, both without the network, and what a service took that had just started.
"""

import argparse
import statistics
import tempfile
import time
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from flask.testing import FlaskClient

from app import create_app
from bench.growth import FEWEST, seeded_store
from bench.page_store import complete
from bench.report_store import ACCOUNT
from bench.reports import SHOP_DAYS, Span
from bench.webhooks import SECRET
from config import Settings
from tracking.service import open_service
from tracking.store import open_store, order_list
from tracking.store.order_list import OrderFilter, OrderPlace

_TOKEN = "a-token-for-benchmarks-only"
# A paint begins within 300 ms of the server's time, or the page is too slow.
_LIMIT_MS = 300
_PAGES = {
    "overview": "?{span}",
    "campaigns": "/campaigns?{span}",
    "campaigns, what if": "/campaigns?{span}&click_days=7",
    "campaign": "/campaigns/626700000007?{span}",
    "funnel": "/funnel?{span}",
    "funnel, all": "/funnel?{span}&traffic=all",
    "orders": "/orders?{span}",
    "orders, lost": "/orders?{span}&fate=lost",
    "orders, a campaign": "/orders?{span}&q=campaign+150",
    "orders, a name": "/orders?{span}&q=%231234",
    "order": "/orders/{order}",
    "delivery": "/delivery?{span}",
    "match quality": "/match-quality?{span}",
    "health": "/health",
}


class PageTime(NamedTuple):
    """The milliseconds of a page: of the processor, until it is there, and there at first."""

    processor: float
    whole: float
    first: float


def main() -> None:
    """Seeds the stores, asks for the pages, and prints their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for size in takewhile(lambda size: size <= args.events, (FEWEST * 10**n for n in range(9))):
            env = _environment(_completed(folder, size))
            print(f"{size:,} events; processor (until there, at first), milliseconds")
            for name, path in _PAGES.items():
                times = [_time_of(env, path, days, args.rounds) for days in _spans_of(path)]
                print(f"  {name:<20}" + "".join(map(_text, times)))


def _completed(folder: Path, size: int) -> str:
    """Returns the address of a store of so many events with all that the pages show."""
    file = folder / f"{size}-pages.db"
    url = f"sqlite:///{file}"
    if not file.exists():
        seeded_store(folder, size)
        unfinished = file.with_suffix(".unfinished")
        complete(folder / f"{size}.db", unfinished)
        began = time.perf_counter()
        settings = Settings.from_env(_environment(f"sqlite:///{unfinished}"))
        service = open_service(settings, time.time)
        service.figures.finish()
        service.store.close()
        unfinished.rename(file)
        print(f"figures of orders made in {time.perf_counter() - began:.0f} s")
    return url


def _environment(url: str) -> dict[str, str]:
    return {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": _TOKEN,
        "DATABASE_URL": url,
        "PINTEREST_ACCESS_TOKEN": "bench",
        "PINTEREST_ADS_TOKEN": "bench",
        "PINTEREST_AD_ACCOUNT_ID": ACCOUNT,
        "COLLECTOR_KEY": "a-key-for-benchmarks",
        # No thread works beside the pages, and Pinterest is asked nothing.
        "DELIVER": "false",
        "LOG_LEVEL": "ERROR",
    }


def _spans_of(path: str) -> tuple[int, ...]:
    return (30, 90) if "{span}" in path else (30,)


def _time_of(env: dict[str, str], path: str, days: int, rounds: int) -> PageTime:
    """Returns the times of a page, asked for again and again of a service that began with it."""
    span = Span(days, SHOP_DAYS.day_of(int(time.time())) - 1)
    app = create_app(env)
    client = app.test_client()
    client.post("/dashboard/login", data={"token": _TOKEN})
    address = f"/dashboard{path}".format(span=span.query, order=_some_order(env["DATABASE_URL"]))
    _, first = _ask(client, address)
    processor, whole = zip(*(_ask(client, address) for _ in range(rounds)), strict=True)
    return PageTime(statistics.median(processor), statistics.median(whole), first)


def _ask(client: FlaskClient, address: str) -> tuple[float, float]:
    processor, whole = time.process_time(), time.perf_counter()
    answer = client.get(address, headers={"Accept-Encoding": "gzip"})
    took = (time.process_time() - processor) * 1000, (time.perf_counter() - whole) * 1000
    assert answer.status_code == 200, f"{address}: {answer.status}"
    return took


def _some_order(url: str) -> str:
    store = open_store(url)
    with store.read() as conn:
        wanted = OrderFilter(0, 2**40, "sent")
        (row,) = order_list.page(conn, wanted, OrderPlace(2**40, 2**62), 1, 0)
    store.close()
    return row.order_id


def _text(times: PageTime) -> str:
    mark = "!" if times.processor > _LIMIT_MS else " "
    return f"{times.processor:>7.0f}{mark} ({times.whole:.0f}, {times.first:.0f})".ljust(26)


if __name__ == "__main__":
    main()
