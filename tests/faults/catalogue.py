"""All faults: what each is called, how it is put in, and how much of it in either form.

The numbers are those of the plan. Others stand elsewhere: disk full and failing (F14, F15) in
tests/system/test_disk_guard.py, bodies that are no orders (F22, F23) and slow callers (F24) in
tests/abuse, backups under load (F29) in tests/system/test_backup.py.
"""

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.finding import Finding
from tests.faults.postgres import Cluster
from tests.faults.scenarios import (
    answers,
    clocks,
    crowds,
    deferred,
    erasure,
    files,
    flushing,
    kills,
    lifecycle,
    limits,
    outages,
    stores,
    weight,
)
from tests.faults.world import CLOCKED, World, world

STORES = ("sqlite", "postgresql")
LIMITED = "tests.faults.start_up.limited:create_app()"
Amount = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """A fault. Its `short` form runs with the everyday tests, unless it is None; its `long` form
    is a number of runs, each on a service of its own."""

    number: str
    title: str
    put_in: Callable[..., Finding]
    short: Amount | None
    long: Sequence[Amount]
    stores: Sequence[str] = STORES
    app: str = CLOCKED
    # Of what is mostly waiting, once is enough every day.
    short_on: Sequence[str] = STORES


def _seeds(count: int, **amount: Any) -> list[Amount]:
    return [{**amount, "seed": seed} for seed in range(1, count + 1)]


FAULTS: tuple[Fault, ...] = (
    Fault(
        "F1",
        "everything killed under load",
        kills.everything,
        {"orders": 50},
        _seeds(3, orders=800, kills=8),
    ),
    Fault(
        "F2",
        "the same, and nobody comes again",
        kills.one_topic,
        {"orders": 60},
        _seeds(5, orders=500, kills=5),
    ),
    Fault(
        "F3",
        "one process killed after another",
        kills.one_process,
        None,
        _seeds(2, orders=1000, kills=15),
    ),
    Fault(
        "F4",
        "flushed before answered",
        flushing.before_answering,
        {"orders": 10},
        [{"orders": 100}],
    ),
    Fault("F5", "killed during a call", kills.under_way, None, [{"orders": 300}]),
    *(
        Fault(
            "F5",
            f"killed while Pinterest is {mode}",
            kills.everything,
            None,
            _seeds(1, orders=600, kills=6, mode=mode),
        )
        for mode in ("flaky", "slow", "reset")
    ),
    Fault(
        "F6",
        "Pinterest down for an hour",
        outages.down,
        {},
        [{"orders": 500, "steps": 240}],
        short_on=("postgresql",),
    ),
    Fault("F7", "down for eight days", outages.down_for_days, None, [{"orders": 500}]),
    Fault("F8", "throttled", answers.throttled, None, [{"orders": 5000, "limit": 10}]),
    Fault(
        "F9", "our own limit, two processes", limits.shared, None, [{"orders": 100}], app=LIMITED
    ),
    Fault("F10", "poison, told apart", answers.poison, {}, [{"orders": 1000}]),
    Fault("F10", "poison, all refused", answers.poison, None, [{"orders": 1000, "mode": "reject"}]),
    Fault(
        "F11", "answers that are none", answers.lies, {}, [{"orders": 20}], short_on=("postgresql",)
    ),
    *(
        Fault("F12", f"an answer that does not end: {mode}", outages.silent, None, [{"mode": mode}])
        for mode in ("hang", "drip", "drip_head", "endless")
    ),
    Fault("F13", "the token is refused", outages.unauthorized, {}, [{"orders": 200, "steps": 40}]),
    Fault(
        "F16",
        "the database is locked",
        stores.locked,
        {},
        [{"seconds": 10.0, "rate": 20.0}],
        short_on=("postgresql",),
    ),
    *(
        Fault(
            "F17",
            f"PostgreSQL: {how}",
            stores.gone,
            {"how": how} if how == "stop" else None,
            [{"how": how, "seconds": 20.0, "orders": 100}],
            stores=("postgresql",),
        )
        for how in ("stop", "kill")
    ),
    Fault(
        "F17",
        "a worker starts without PostgreSQL",
        stores.started_without,
        {},
        [{}],
        stores=("postgresql",),
    ),
    Fault(
        "F18",
        "one order, every topic at once",
        crowds.one_order,
        {},
        _seeds(3, orders=10, callers=50),
    ),
    Fault("F18", "one buyer, many orders at once", crowds.one_buyer, {"orders": 20}, [{}]),
    Fault("F19", "the clock jumps", clocks.jumping, {}, _seeds(3, orders=200)),
    Fault("F20", "one webhook, many at once", crowds.one_webhook, {}, [{"rounds": 20}]),
    Fault("F21", "out of order", crowds.any_order, {}, [{"permutations": 120}]),
    Fault("F25", "the same load for minutes", weight.soak, None, [{}]),
    Fault("F26", "a flash sale", weight.burst, {}, [{"orders": 5000}]),
    Fault("F27", "stopped under load", lifecycle.stopped, None, [{"stops": 20, "orders": 2400}]),
    Fault(
        "F28",
        "killed while migrating",
        lifecycle.killed_while_migrating,
        None,
        _seeds(1, kills=20),
    ),
    Fault("F28", "an older release's database", lifecycle.upgraded, None, [{"orders": 1000}]),
    Fault("F31", "erased while under way", erasure.redacted, {}, [{}] * 3),
    Fault(
        "F33",
        "the database is moved and put back",
        files.there_and_back,
        {},
        [{"orders": 300}],
        stores=("sqlite",),
    ),
    *(
        Fault("F33", f"the database: {how}", files.gone, None, [{"how": how}], stores=("sqlite",))
        for how in files.ACTS
    ),
    Fault("F36", "bodies that are slow to search", erasure.searched, None, [{}]),
    Fault(
        "F38",
        "killed while a buyer of many orders is erased",
        erasure.in_pieces,
        {},
        [{"orders": 1500, "kills": 3}],
    ),
    Fault(
        "F39",
        "killed while it holds claims",
        kills.while_claiming,
        {},
        [{"orders": 600, "kills": 4}],
    ),
    Fault(
        "F40",
        "killed while new orders share transactions",
        deferred.new_orders,
        {},
        [{"orders": 2000}] * 3,
    ),
    Fault(
        "F41",
        "killed while calls of the pixel wait for their answers",
        deferred.calls_of_the_pixel,
        {},
        [{"calls": 1000}] * 3,
    ),
)


@dataclass
class Line:
    """One line of the table: what came of all runs of a fault on a store."""

    fault: Fault
    store: str
    runs: int
    found: Finding
    seconds: float


def run_short(fault: Fault, there: World) -> Finding:
    """Put the short form of a fault into a service that others were put into before."""
    assert fault.short is not None
    there.calm()
    return fault.put_in(there, **fault.short)


def run_long(fault: Fault, store: str, cluster: Cluster | None) -> Line:
    """Every run of the long form, each on a new service."""
    all_found, begun = Finding(), time.monotonic()
    for amount in fault.long:
        with _own_world(fault, store, cluster) as there:
            _add(all_found, _found_in(there, fault, amount))
    return Line(fault, store, len(fault.long), all_found, time.monotonic() - begun)


def table_of(lines: Sequence[Line]) -> str:
    """The lines under their heads, and below them what was broken."""
    head = ("fault", "", "store", "runs", "lost", "twice", "worst ack (ms)", "verdict")
    rows = [head, *(_cells(line) for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    broken = [
        f"{line.fault.number} {line.fault.title}, {line.store}: {promise}"
        for line in lines
        for promise in line.found.broken
    ]
    return "\n".join([*text, *(["", "Broken:", *broken] if broken else [])])


def _cells(line: Line) -> tuple[str, ...]:
    found = line.found
    figures = (str(line.runs), str(found.lost), str(found.counted_twice))
    worst = f"{found.worst_answer * 1000:.0f}"
    verdict = "BROKEN" if found.broken else "holds"
    return (line.fault.number, line.fault.title, line.store, *figures, worst, verdict)


@contextlib.contextmanager
def _own_world(fault: Fault, store: str, cluster: Cluster | None) -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        world(Path(folder), store, cluster, app=fault.app, is_timed=True) as there,
    ):
        yield there


def _found_in(there: World, fault: Fault, amount: Amount) -> Finding:
    try:
        there.calm()
        return fault.put_in(there, **amount)
    except (AssertionError, TimeoutError) as error:
        first_line = next(iter(str(error).splitlines()), "")
        return Finding(broken=[f"it went on: {first_line[:200]}"])


def _add(total: Finding, more: Finding) -> None:
    total.lost += more.lost
    total.counted_twice += more.counted_twice
    total.heard([more.worst_answer])
    total.said += more.said
    total.broken += more.broken


def chosen(numbers: Sequence[str], stores: Sequence[str]) -> list[tuple[Fault, str]]:
    """The faults of these numbers (of all without any) on these stores."""
    return [
        (fault, store)
        for fault, store in itertools.product(FAULTS, stores)
        if store in fault.stores and (not numbers or fault.number in numbers)
    ]
