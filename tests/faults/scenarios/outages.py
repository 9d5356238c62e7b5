"""Pinterest away, for an hour or for eight days; silent for ever; closed to our token."""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from tests.faults.finding import Finding, percentile
from tests.faults.load import Answer, acknowledged
from tests.faults.world import World
from tests.standins.pinterest import Mode
from tracking.deliver.retry import BREAKS_AFTER

DAY = 86_400
# No call is made more often than this while nobody answers.
STEP = 15
POLL_SECONDS = 0.4
# Between the end of an outage and the last event's arrival.
RECOVERED_WITHIN = 60
MOST_CALLS_AN_HOUR = 300
CALL_SECONDS = 30.0


def down(world: World, orders: int = 20, steps: int = 8) -> Finding:
    """Pinterest refuses every call for `steps` quarters of a minute, while orders go on."""
    found = Finding()
    before = world.posts(world.placed(world.numbers(orders)))
    world.drain()
    world.pinterest.forget()

    world.pinterest.mode = "down"
    told = world.placed(world.numbers(orders))
    placed_at = {one.number: json.loads(one.raw)["created_at"] for one in told}
    during = world.posts(told)
    for _ in range(steps):
        world.clock.tick(STEP)
        # Time for every deliverer to look once more.
        time.sleep(POLL_SECONDS)
    calls = len(world.pinterest.calls)

    world.pinterest.mode = "ok"
    seconds = _ticks_until_sent(world, RECOVERED_WITHIN)
    allowed = 10 + MOST_CALLS_AN_HOUR * steps * STEP // 3600
    found.tells(f"{calls} calls in {steps * STEP} s, recovered after {seconds} s")
    found.expects(f"at most {allowed} calls: {calls}", calls <= allowed)
    found.expects(f"recovered within 60 s: {seconds}", world.waiting() == 0)
    world.drain()
    times = {n: _event_time(world, n) for n in placed_at}
    kept = times == {n: _seconds(placed) for n, placed in placed_at.items()}
    found.expects("the events kept their time", kept)
    world.judge(found, [*placed_at])
    world.judge_load(found, during, slowest=_little_more(before))
    return found


def down_for_days(world: World, orders: int = 10) -> Finding:
    """Pinterest refuses every call for eight days: it takes no event that is older than seven."""
    found = Finding()
    world.pinterest.mode = "down"
    numbers = world.numbers(orders)
    heard = world.posts(world.placed(numbers))
    _until_it_is_left_alone(world)
    world.clock.tick(8 * DAY)
    world.pinterest.mode = "ok"
    world.pinterest.forget()
    world.until(lambda: world.waiting() == 0)

    rows = world.events_of(numbers)
    expired = [row for row in rows if row["state"] == "dead" and "expired" in row["reason"]]
    found.tells(f"{len(expired)} dead letters")
    found.expects(f"all {orders} expired: {len(expired)}", len(expired) == orders)
    found.expects("no call with an event that is too old", not world.pinterest.calls)
    found.expects("the log says so", world.server.log.count("dead: it expired") >= orders)
    if world.is_timed:
        alarm = world.runs("doctor")
        found.expects(f"doctor says so: {alarm}", "FAIL  dead letters" in alarm)
    world.judge_load(found, heard)
    return found


def silent(world: World, mode: str = "hang", orders: int = 5) -> Finding:
    """Pinterest takes the call and never ends its answer."""
    found = Finding()
    world.pinterest.mode = Mode(mode, seconds=1.0)
    numbers = world.numbers(orders)
    heard = world.posts(world.placed(numbers))
    world.until_called()
    begun = time.monotonic()
    world.until(lambda: "pinterest failed" in world.server.log[-2000:], CALL_SECONDS + 15)
    lasted = time.monotonic() - begun
    later = world.posts(world.placed(world.numbers(orders)))
    world.pinterest.mode = "ok"
    world.drain()
    found.tells(f"the call ended after {lasted:.1f} s")
    if world.is_timed:
        found.expects(f"the call ends within 30 s: {lasted:.1f}", lasted <= CALL_SECONDS + 1)
    world.judge(found, acknowledged([*heard, *later]))
    world.judge_load(found, [*heard, *later])
    return found


def unauthorized(world: World, orders: int = 20, steps: int = 4) -> Finding:
    """The token is refused for a while: somebody must set it right, no event is to blame."""
    found = Finding()
    world.pinterest.mode = "unauthorized"
    heard = world.posts(world.placed(world.numbers(orders)))
    world.until_called()
    for _ in range(steps):
        world.clock.tick(STEP)
        time.sleep(POLL_SECONDS)
    calls = len(world.pinterest.calls)
    world.pinterest.mode = "ok"
    world.drain()
    rows = world.events_of(acknowledged(heard))
    found.tells(f"{calls} calls")
    found.expects(f"at most 10 calls: {calls}", 1 <= calls <= 10)
    found.expects("no dead letter", {row["state"] for row in rows} == {"sent"})
    found.expects("no attempt was used up", {row["attempts"] for row in rows} == {1})
    world.judge(found, acknowledged(heard))
    world.judge_load(found, heard)
    return found


def _until_it_is_left_alone(world: World) -> None:
    """Until so many calls failed that none is made or under way for half a minute."""
    for failures in range(1, BREAKS_AFTER + 1):
        world.clock.tick(STEP)
        world.until(partial(_has_failed, world, failures))


def _has_failed(world: World, times: int) -> bool:
    return max((row["failures"] for row in world.rows("accounts")), default=0) >= times


def _ticks_until_sent(world: World, most: int) -> int:
    """Seconds pushed on until nothing waits, at most `most` less one."""
    pushed = 0
    deadline = time.monotonic() + 30
    while world.waiting() and time.monotonic() < deadline:
        if pushed + 5 < most:
            world.clock.tick(5)
            pushed += 5
        time.sleep(POLL_SECONDS)
    return pushed


def _event_time(world: World, number: int) -> int:
    return int(world.pinterest.events[f"checkout-{number}"]["event_time"])


def _seconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp())


def _little_more(before: Sequence[Answer]) -> float:
    """A fifth more than the slowest percent before the outage, and the grain of the clock."""
    return 1.2 * percentile([answer.seconds for answer in before], 0.99) + 0.05
