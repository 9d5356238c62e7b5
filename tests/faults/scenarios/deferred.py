"""Processes that are killed while answers wait for what is being written."""

import http.client
import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

from tests.actors import COLLECTOR_KEY, instant
from tests.faults.finding import Finding
from tests.faults.load import Answer, Webhook, acknowledged, meanwhile, waited_in_vain
from tests.faults.world import World
from tests.pixel_events import event
from tests.servers import PATIENCE, Server

_CALLERS = 24
_TABLES = (("orders", "id"), ("receipts", "order_id"), ("conversions", "order_id"))


def new_orders(world: World, orders: int = 400, callers: int = 40) -> Finding:
    """Kill everything while a crowd tells of a new order each, once: on PostgreSQL those that come
    together share a transaction."""
    found = Finding()
    numbers = world.numbers(orders)
    told = world.placed(numbers)

    def disturb(_: threading.Event) -> None:
        world.until(lambda: len(_stored(world, "orders", "id", numbers)) > orders // 10)
        world.server.kill()
        world.server.start()

    heard = meanwhile(lambda: world.posts(told, callers=callers, again=False), disturb)
    world.drain()

    kept = acknowledged(heard)
    shared = _shared_transactions(world)
    found.tells(f"{len(kept)} of {orders} acknowledged, {shared} shared transactions")
    found.expects("some are acknowledged", bool(kept))
    found.expects("some are cut off", len(kept) < orders)
    found.expects("some shared a transaction", shared > 0 or world.kind == "sqlite")
    rows = [_stored(world, table, name, numbers) for table, name in _TABLES]
    found.expects("each order is there in full or not at all", all(r == rows[0] for r in rows))
    world.judge(found, kept)
    world.judge_load(found, heard, slowest=None)
    return found


def calls_of_the_pixel(world: World, calls: int = 50) -> Finding:
    """Kill everything while a crowd of browsers calls the collector, each time with another event
    and until it is cut off, which is after so many calls: the answer is all that says that a call
    was recorded."""
    found = Finding()
    other = world.server_on(world.url, COLLECTOR_KEY=COLLECTOR_KEY, COLLECTOR_RATE="1000")
    heard: list[Answer] = []
    other.start()
    try:
        with ThreadPoolExecutor(_CALLERS) as pool:
            waiting = [
                pool.submit(_calls_until_cut_off, world, other, heard) for _ in range(_CALLERS)
            ]
            world.until(lambda: len(heard) > calls)
            other.kill()
            for each in waiting:
                each.result()
        other.start()
        world.until(lambda: not world.rows("pixel_backlog"))
    finally:
        other.end()

    kept = {f"pixel-{answer.webhook.number}" for answer in heard if answer.status == 202}
    refused = [answer for answer in heard if answer.status not in (0, 202)]
    is_busy = not world.is_timed and waited_in_vain(refused)
    stored = [row["event_id"] for row in world.rows("conversions")]
    lost = kept - {*stored}
    found.lost += len(lost)
    found.tells(f"{len(kept)} of {len(heard)} calls answered")
    found.expects("some are answered", bool(kept))
    found.expects(f"none is refused: {refused[:3]}", not refused or is_busy)
    found.expects(f"none that was answered is lost: {sorted(lost)[:5]}", not lost)
    found.expects("none is counted twice", len(stored) == len({*stored}))
    world.drain()
    world.judge_canaries(found)
    return found


def _stored(world: World, table: str, name: str, numbers: Iterable[int]) -> set[str]:
    """The orders among these that a table names."""
    return {row[name] for row in world.rows(table)} & {str(number) for number in numbers}


def _shared_transactions(world: World) -> int:
    """How many transactions have written several orders, as far as PostgreSQL tells."""
    if world.kind == "sqlite":
        return 0
    shared = "(SELECT FROM receipts GROUP BY xmin::text HAVING count(*) > 1) AS shared"
    with world.store.read() as conn:
        return int(conn.cursor.execute(f"SELECT count(*) FROM {shared}").fetchone()[0])  # noqa: S608


def _calls_until_cut_off(world: World, server: Server, heard: list[Answer]) -> None:
    """Call with one event after the other until a connection breaks; adds what is answered."""
    is_cut_off = False
    while not is_cut_off:
        (number,) = world.numbers(1)
        answer = _called(server, number, world.clock())
        heard.append(answer)
        is_cut_off = not answer.status


def _called(server: Server, number: int, at: float) -> Answer:
    """A call of a browser that saw a product."""
    id = f"pixel-{number}"
    told = event("product_viewed", id=id, visitor=f"browser-of-{id}", timestamp=instant(at))
    begun, status = time.monotonic(), 0
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        body = json.dumps({"key": COLLECTOR_KEY, "events": [told]})
        connection.request("POST", "/collect", body, {"User-Agent": "Mozilla/5.0"})
        status = connection.getresponse().status
    call = Webhook(number, "collect", b"")
    return Answer(call, status, begun, time.monotonic() - begun)
