"""What a power cut would take: an answer that was given before its webhook was on disk."""

from tests.faults.finding import Finding
from tests.faults.tracing import answered_too_soon, traced
from tests.faults.world import World

# Where a commit is written first.
_LOG_OF = {"sqlite": "tracking.db-wal>", "postgresql": "/pg_wal/"}


def before_answering(world: World, orders: int = 30) -> Finding:
    """Trace the service, and PostgreSQL with it: each answer must come after the flush."""
    found = Finding()
    told = world.placed(world.numbers(1 + orders))
    # Deliverers flush as well. While the account is paused they cannot be taken for a webhook.
    world.pinterest.mode = "unauthorized"
    world.posts(told[:1], callers=1)
    world.until(lambda: any(row["paused_until"] for row in world.rows("accounts")))
    trace = world.folder / "trace"
    with traced(trace, lambda: _processes(world)):
        heard = world.posts(told[1:], callers=1)
    answered, too_soon = answered_too_soon(trace.read_text("utf-8", "replace"), _LOG_OF[world.kind])
    world.pinterest.mode = "ok"
    world.drain()

    found.tells(f"{too_soon} of {answered} answered before the flush")
    found.expects(f"{orders} answers traced: {answered}", answered == orders)
    found.expects(f"none answered before the flush: {too_soon}", too_soon == 0)
    world.judge(found, [one.number for one in told])
    world.judge_load(found, heard)
    return found


def _processes(world: World) -> list[int]:
    found = [world.server.pid, *world.server.workers]
    if world.kind == "postgresql" and world.cluster is not None:
        found += world.cluster.processes
    return found
