"""Two processes that write one database at the same time."""

import json
import multiprocessing
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

from config import Settings
from tests.actors import NOW, SECRET, Clock
from tests.orders import of_buyer
from tests.servers import PATIENCE
from tests.store_contents import names_of, put_event, rows
from tracking.service import service_of
from tracking.store import open_store


def record_all(url: str, first: int, start: Barrier, told: Any) -> None:
    """What one of two processes does: take in the same orders as the other, at the same time."""
    chosen = Settings.from_env({"SHOPIFY_WEBHOOK_SECRET": SECRET, "DATABASE_URL": url})
    service = service_of(chosen, open_store(url), {}, Clock(NOW))
    bodies = [json.dumps(of_buyer(n)).encode() for n in range(1, 101)]
    start.wait(60)
    found = [
        service.tracker.receive_order(body, "orders/create").status
        for body in (*bodies[first:], *bodies[:first])
    ]
    service.store.close()
    told.put(Counter(found))


def test_two_processes_take_in_each_order_once(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=record_all, args=(database_url, first, start, told))
        for first in (0, 20)
    ]
    for process in processes:
        process.start()
    statuses = told.get(timeout=60) + told.get(timeout=60)
    for process in processes:
        process.join(60)

    store = open_store(database_url)
    assert statuses == {"accepted": 100, "duplicate": 100}
    assert len(rows(store, "orders")) == len(rows(store, "conversions")) == 100
    store.close()


def _write_many(url: str, name: str, count: int) -> None:
    store = open_store(url)
    with ThreadPoolExecutor(4) as threads:
        works = [
            threads.submit(store.commit, lambda conn, n=n: put_event(conn, f"{name}-{n}"))
            for n in range(count)
        ]
    for work in works:
        work.result()
    store.close()


def test_two_processes_write_one_file_and_lose_nothing(sqlite_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_write_many, args=(sqlite_url, n, 200)) for n in ("a", "b")]
    for process in others:
        process.start()
    _write_many(sqlite_url, "c", 200)
    for process in others:
        process.join(PATIENCE)
    assert [process.exitcode for process in others] == [0, 0]
    store = open_store(sqlite_url)
    assert names_of(store) == {f"{name}-{n}" for name in "abc" for n in range(200)}
    store.close()
