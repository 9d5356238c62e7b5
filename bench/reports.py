"""Benchmark: the reports of a large shop, compared with DuckDB and with our own count of the rows.

    python -m bench.reports [--events 1000000] [--rounds 5] [--postgresql]

It seeds a store of its own with the events of ninety days, has the worker make the figures by day,
and checks every figure against a count of the raw rows. Then it asks a real gunicorn for reports,
in turns with DuckDB (two threads, in this process, the same events in its own format) and with the
count of the rows; each line is a ratio of medians, with that of the quartiles in brackets.
"""

import argparse
import json
import re
import statistics
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from bench.report_store import DAYS, seed
from bench.scale import serving
from bench.webhooks import SECRET, gunicorn
from tests.faults.postgres import cluster
from tests.funnel_by_sql import CountedBySql
from tracking.domain.attribution import MODELS, SCOPES, Rules, bit
from tracking.domain.shop_days import ShopDays
from tracking.domain.waterfall import PinterestSums
from tracking.report.accuracy_writer import AccuracyWriter
from tracking.report.ads import credits_by_ad
from tracking.report.compared_shares import order_shares
from tracking.report.compared_sums import compared_shares, dated
from tracking.report.comparison_writer import ComparisonWriter
from tracking.report.credit_sums import CreditSpan, credit_sums
from tracking.report.credit_writer import CreditWriter
from tracking.report.figures_by_day import FiguresByDay
from tracking.report.figures_worker import FiguresWorker
from tracking.report.funnel_span import FunnelSpan
from tracking.report.funnel_writer import FunnelWriter
from tracking.report.known_rows import KnownRows
from tracking.report.share_sums import ComparedShares, ComparedSpan
from tracking.store import Store, accuracy, ad_credits, open_store, report_progress, reports
from tracking.store.ad_credits import AdCreditSum, CampaignAdSum, CreditedSpan
from tracking.store.credit_figures import ReportDay
from tracking.store.engine.statement import Connection

_PORT = 8815
_TOKEN = "a-token-for-benchmarks-only"
_STEP = 50_000
_DATES: tuple[ReportDay, ...] = ("order_date", "click_date")
SHOP_DAYS = ShopDays(ZoneInfo("UTC"))
_WINDOW = Rules().click_window
_RETENTION_DAYS = 400
_DAY = 86_400
_DUCKDB = {
    "totals": "SELECT stage, count(*), count(DISTINCT visitor) FROM events"
    ' WHERE "at" >= ? AND "at" < ? AND is_counted = 1 GROUP BY stage',
    "campaigns": "SELECT is_pinterest, campaign, campaign_id, stage, count(*),"
    ' count(DISTINCT visitor), max("at") FROM events'
    ' WHERE "at" >= ? AND "at" < ? AND is_counted = 1 GROUP BY ALL',
}


@dataclass(frozen=True)
class Span:
    """The last `days` days of the seeded events."""

    days: int
    last: int

    @property
    def first(self) -> int:
        """The first day, as an ordinal."""
        return self.last - self.days + 1

    @property
    def query(self) -> str:
        """The dates as query parameters."""
        first, last = date.fromordinal(self.first), date.fromordinal(self.last)
        return f"start_date={first}&end_date={last}"

    @property
    def instants(self) -> tuple[int, int]:
        """The instants at which the days begin and end, seconds UTC."""
        return SHOP_DAYS.begin(self.first), SHOP_DAYS.begin(self.last + 1)


def main() -> None:
    """Seed, check and measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgresql", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _database(args, Path(folder)) as url:
        table = Path(folder) / "events.csv"
        began = time.perf_counter()
        seed(url, args.events, table)
        print(f"{args.events:,} events seeded in {time.perf_counter() - began:.0f} s")
        store = open_store(url)
        make_figures(store)
        spans = [Span(days, SHOP_DAYS.day_of(int(time.time())) - 1) for days in (30, DAYS)]
        for span in spans:
            _check(store, span)
        print("every figure is that of the raw rows")
        with _duckdb(table) as ask, _service(url) as get:
            for span in spans:
                _compare_funnel(store, span, get, ask, args.rounds)
                _compare_roi(store, span, args.rounds)
            _measure_memory(spans[0], get)
        store.close()


@contextmanager
def _database(args: argparse.Namespace, folder: Path) -> Iterator[str]:
    if not args.postgresql:
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    with cluster() as server:
        yield server.new_database()


def make_figures(store: Store) -> None:
    """Makes all figures of a store, and prints how long it took."""
    began = time.perf_counter()
    FiguresWorker(
        FunnelWriter(store, SHOP_DAYS, events=_STEP),
        CreditWriter(store, SHOP_DAYS, _WINDOW),
        AccuracyWriter(store, _RETENTION_DAYS, time.time),
        ComparisonWriter(store, SHOP_DAYS, Rules(), _RETENTION_DAYS, time.time),
    ).finish()
    print(f"figures made in {time.perf_counter() - began:.0f} s")


def _check(store: Store, span: Span) -> None:
    """Compares every figure of the reports with a count of the raw rows."""
    with store.read() as conn:
        progress = report_progress.of(conn, "funnel")
        for all_traffic in (True, False):
            funnel = FunnelSpan(span.first, span.last, all_traffic)
            ours = FiguresByDay(conn, funnel, SHOP_DAYS, progress)
            told = CountedBySql(conn, funnel, SHOP_DAYS)
            assert ours.total() == told.total()
            assert sorted(ours.labels()) == sorted(told.labels())
            for label in told.labels():
                assert ours.of([label]) == told.of([label]), label
        for credit_span in _credit_spans(span):
            rows = _raw_credits(conn, credit_span)
            assert sorted(credit_sums(conn, credit_span, SHOP_DAYS)) == sorted(rows)
    check_sums_of_orders(store, span)


def check_sums_of_orders(store: Store, span: Span) -> None:
    """Compares the figures of the comparison, the accuracy and the ads, under one model, with a
    count of the raw rows."""
    chosen, since, before = bit("pinterest", "last_touch"), *span.instants
    days = (span.first, span.last)
    with store.read() as conn:
        counted = accuracy.counted(conn, since, before, _DAY)
        assert sorted(accuracy.stored(conn, since, before, _DAY)) == sorted(counted)
        for by in _DATES:
            compared = ComparedSpan(*days, chosen, by)
            rows = ComparedShares()
            until = before + _WINDOW if by == "click_date" else before
            for share in order_shares(conn, (since, until), chosen, Rules(), 0):
                rows.add(compared, share.label, share.currency, dated(share, by, SHOP_DAYS))
            ours = compared_shares(conn, compared, SHOP_DAYS, Rules(), 0, KnownRows())
            assert _sums_of_shares(ours) == _sums_of_shares(rows)
            asked = CreditSpan(*days, chosen, by, _WINDOW)
            links = ad_credits.sums(conn, CreditedSpan(since, before, chosen, by, _WINDOW))
            found = credits_by_ad(conn, asked, SHOP_DAYS, (), KnownRows())
            assert _sums_of_links(found) == _sums_of_links(links)


def _sums_of_shares(found: ComparedShares) -> Counter[tuple[object, ...]]:
    sums: Counter[tuple[object, ...]] = Counter()
    for key, line in ("all", found.totals), *found.days.items(), *found.campaigns.items():
        for part in line.waterfall.parts(PinterestSums()):
            sums[key, part.name, "share"] += part.share
            sums[key, part.name, "value"] += part.value
        for currency, share in line.by_currency.items():
            sums[key, currency] += share
    # What is taken off is negative.
    return Counter({key: number for key, number in sums.items() if number})


def _sums_of_links(
    rows: Iterable[AdCreditSum | CampaignAdSum],
) -> Counter[tuple[object, ...]]:
    sums: Counter[tuple[object, ...]] = Counter()
    for row in rows:
        for name in ("share", "gross", "net", "cancellations"):
            sums[row.currency, row.ad_id, row.pin_id, name] += int(getattr(row, name))
    return +sums


def _credit_spans(span: Span) -> Iterator[CreditSpan]:
    for by in _DATES:
        for scope in SCOPES:
            for model in MODELS:
                yield CreditSpan(span.first, span.last, bit(scope, model), by, _WINDOW)


def _raw_credits(conn: Connection, span: CreditSpan) -> list[reports.CreditSum]:
    since, before = SHOP_DAYS.begin(span.first), SHOP_DAYS.begin(span.last + 1)
    if span.report_by == "order_date":
        return reports.credits_by_order_date(conn, since, before, span.bit)
    return reports.credits_by_click_date(conn, since, before, span.bit, _WINDOW)


@contextmanager
def _duckdb(table: Path) -> Iterator[Callable[[str, Span], object]]:
    with duckdb.connect(config={"threads": 2}) as raw:
        raw.execute(
            "CREATE TABLE events AS SELECT * FROM read_csv(?, all_varchar = false)", [str(table)]
        )

        def ask(query: str, span: Span) -> object:
            return raw.execute(_DUCKDB[query], list(span.instants)).fetchall()

        yield ask


@contextmanager
def _service(url: str) -> Iterator[Callable[[str], Any]]:
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": _TOKEN,
        "DATABASE_URL": url,
        "DELIVER": "false",
        "WEB_CONCURRENCY": "1",
    }
    with gunicorn("app:create_app()", _PORT, env) as address:

        def get(path: str) -> Any:
            request = urllib.request.Request(
                f"{address}{path}", headers={"Authorization": f"Bearer {_TOKEN}"}
            )
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.load(answer)

        yield get


def _compare_funnel(
    store: Store,
    span: Span,
    get: Callable[[str], Any],
    ask: Callable[[str, Span], object],
    rounds: int,
) -> None:
    path = f"/conversion-funnel?traffic=all&{span.query}"

    def brute_force() -> object:
        with store.read() as conn:
            told = CountedBySql(conn, FunnelSpan(span.first, span.last, True), SHOP_DAYS)
            return told.total(), [told.of([label]) for label in told.labels()]

    seconds = in_turns(
        {
            "totals": lambda: get(f"{path}&by_campaign=false"),
            "whole": lambda: get(path),
            "Pinterest's": lambda: get(path.replace("traffic=all", "traffic=pinterest")),
            "one campaign": lambda: get(f"{path}&campaign=campaign%207"),
            "DuckDB totals": lambda: ask("totals", span),
            "DuckDB whole": lambda: (ask("totals", span), ask("campaigns", span)),
            "brute force": brute_force,
        },
        rounds,
    )
    print(f"funnel of {span.days} days: " + medians(seconds))
    print(f"  DuckDB ÷ ours, totals: {ratio(seconds['DuckDB totals'], seconds['totals'])}")
    print(f"  DuckDB ÷ ours, whole: {ratio(seconds['DuckDB whole'], seconds['whole'])}")
    note = "" if span.days == 30 else f" ({span.days} days)"
    print(f"brute force{note} ÷ ours: {ratio(seconds['brute force'], seconds['whole'])}")


def _compare_roi(store: Store, span: Span, rounds: int) -> None:
    def ours() -> object:
        with store.read() as conn:
            return [credit_sums(conn, each, SHOP_DAYS) for each in _credit_spans(span)]

    def raw() -> object:
        with store.read() as conn:
            return [_raw_credits(conn, each) for each in _credit_spans(span)]

    seconds = in_turns({"ours": ours, "raw scan": raw}, rounds)
    print(f"ROI of {span.days} days, 14 pairs by both dates: " + medians(seconds))
    print(f"  raw scan ÷ ours: {ratio(seconds['raw scan'], seconds['ours'])}")


def _measure_memory(span: Span, get: Callable[[str], Any]) -> None:
    """Prints the memory of the serving processes before and after a hundred reports."""
    before = _megabytes()
    for _ in range(100):
        get(f"/conversion-funnel?traffic=all&{span.query}")
    print(
        f"memory of all serving processes: {before:.0f} MB, {_megabytes():.0f} MB 100 funnels later"
    )


def _megabytes() -> float:
    found = (Path(f"/proc/{pid}/status").read_text(encoding="utf-8") for pid in serving(_PORT))
    resident = (re.search(r"VmRSS:\s+(\d+) kB", status) for status in found)
    return sum(int(match[1]) for match in resident if match) / 1024


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Runs each work once a round, after a first round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def medians(seconds: Mapping[str, list[float]]) -> str:
    """Returns the median of each, in milliseconds."""
    return ", ".join(
        f"{name} {statistics.median(some) * 1000:.1f} ms" for name, some in seconds.items()
    )


def ratio(theirs: list[float], ours: list[float]) -> str:
    """Returns the ratio of the medians, and the quartiles of the rounds' ratios."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, _, high = statistics.quantiles(ratios * 2, n=4, method="inclusive")
    whole = statistics.median(theirs) / statistics.median(ours)
    return f"{whole:.1f} [{low:.1f} to {high:.1f}]"


if __name__ == "__main__":
    main()
