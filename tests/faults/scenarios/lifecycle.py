"""Starts and stops: under load, half-way through a migration, on an older release's database."""

import random
import subprocess
import sys
import threading
import time
from typing import Any

from alembic import command
from sqlalchemy import NullPool, create_engine, insert, inspect

from tests.faults.finding import Finding
from tests.faults.load import acknowledged, meanwhile
from tests.faults.world import World
from tests.servers import ROOT, end_with_parent
from tests.store_contents import rows
from tracking.deliver.retry import LOCKED_OUT
from tracking.store import migrations, open_store
from tracking.store.schema import metadata

STOPPED_WITHIN = 10.0
# The first schema that was released.
FIRST_RELEASE = "0001"


def stopped(world: World, stops: int = 1, orders: int = 60, rate: float = 60.0) -> Finding:
    """TERM under load: what was accepted is finished, and nothing is left half done."""
    found = Finding()
    numbers = world.numbers(orders)
    lasted: list[float] = []
    statuses: list[int] = []

    def disturb(done: threading.Event) -> None:
        while len(lasted) < stops and not done.wait(0.4):
            begun = time.monotonic()
            statuses.append(world.server.stop())
            lasted.append(time.monotonic() - begun)
            world.server.start()

    told = world.placed(numbers)
    heard = meanwhile(lambda: world.posts(told, callers=12, per_second=rate, again=False), disturb)
    stored = {int(row["id"]) for row in world.rows("orders")}
    cut = [a for a in heard if a.status == 0 and a.webhook.number in stored]
    world.posts([answer.webhook for answer in heard if not answer.is_good])
    world.drain()
    found.tells(f"{len(lasted)} stops, the slowest {max(lasted, default=0):.1f} s")
    found.tells(f"{sum(a.status == 0 for a in heard)} came while it was away")
    found.expects("it was stopped", bool(lasted))
    found.expects(f"each stop is a clean one: {statuses}", set(statuses) == {0})
    found.expects(f"no answer is cut off once the order is stored: {len(cut)}", not cut)
    if world.is_timed:
        found.expects("stopped within 10 s", max(lasted, default=0.0) < STOPPED_WITHIN)
    world.judge(found, numbers)
    twice = [event for event, times in world.pinterest.accepted.items() if times > 1]
    found.expects(f"no event is sent twice: {twice}", not twice)
    # What the kernel hands to a worker that only begins waits until it has begun.
    world.judge_load(found, heard, slowest=None)
    return found


def killed_while_migrating(world: World, kills: int = 3, seed: int = 1) -> Finding:
    """A migration that is killed at any moment is whole or absent, and the next start does it."""
    found, chance = Finding(), random.Random(seed)
    run = "import sys; from tracking.store.migrations import migrate; migrate(sys.argv[1])"
    whole = 0
    for n in range(kills):
        url = _empty_database(world, n)
        process = subprocess.Popen(
            [sys.executable, "-c", run, url], cwd=ROOT, preexec_fn=end_with_parent
        )
        try:
            process.wait(chance.uniform(0.3, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        tables = _tables(url)
        whole += tables == {*metadata.tables, "alembic_version"}
        found.expects(f"all or nothing: {tables}", not tables or metadata.tables.keys() <= tables)
        migrations.migrate(url)
        found.expects("the next start migrates", metadata.tables.keys() <= _tables(url))
    found.tells(f"{kills} killed, {whole} of them after the end")
    return found


def upgraded(world: World, orders: int = 20) -> Finding:
    """A database of the first release, with events that wait, under this release."""
    found = Finding()
    world.pinterest.mode = "unauthorized"
    numbers = world.numbers(orders)
    heard = world.posts(world.placed(numbers), callers=16)
    world.server.stop()
    known = {name: rows(world.store, name) for name in ("orders", "conversions", "outbox")}
    old = _empty_database(world, 1000)
    _fill_first_release(old, known, {f"checkout-{n}" for n in numbers})

    world.pinterest.mode = "ok"
    world.clock.tick(LOCKED_OUT + 1)
    usual, world.server = world.server, world.server_on(old)
    try:
        world.server.start()
        store = open_store(old)
        world.until(lambda: len(world.pinterest.accepted) >= orders)
        world.until(lambda: {row["state"] for row in rows(store, "outbox")} == {"sent"})
        store.close()
        world.server.stop()
    finally:
        world.server.end()
        world.server = usual
    accepted = world.pinterest.accepted
    found.tells(f"{len(accepted)} events of the first release delivered")
    found.expects("each once", accepted == dict.fromkeys((f"checkout-{n}" for n in numbers), 1))
    world.server.start()
    world.drain()
    found.expects("each order is acknowledged", acknowledged(heard) == set(numbers))
    world.judge_canaries(found)
    return found


def _empty_database(world: World, n: int) -> str:
    if world.cluster is not None and world.kind == "postgresql":
        return world.cluster.empty_database()
    return f"sqlite:///{world.folder}/migrating-{world.numbers(1)[0]}-{n}.db"


def _tables(url: str) -> set[str]:
    engine = create_engine(url, poolclass=NullPool)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def _fill_first_release(
    url: str, known: dict[str, list[dict[str, Any]]], event_ids: set[str]
) -> None:
    """Bring an empty database to the first schema, with these events waiting in it."""
    with migrations._begun(url) as connection:
        command.upgrade(migrations._config(connection), FIRST_RELEASE)
    engine = create_engine(url, poolclass=NullPool)
    has = {name: {c["name"] for c in inspect(engine).get_columns(name)} for name in known}
    ids = {event_id.removeprefix("checkout-") for event_id in event_ids}
    with engine.begin() as connection:
        for name, found in known.items():
            for row in found:
                if row.get("event_id") in event_ids or row["id"] in ids:
                    kept = {k: v for k, v in row.items() if k in has[name]}
                    connection.execute(insert(metadata.tables[name]).values(kept))
    engine.dispose()
