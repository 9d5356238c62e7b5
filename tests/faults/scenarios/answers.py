"""Answers of Pinterest that are partial, refuse everything for one, throttle, or are no answer."""

import math
import time

from tests.faults.finding import Finding
from tests.faults.load import Answer, acknowledged
from tests.faults.world import World
from tests.standins.pinterest import Mode
from tracking.deliver.retry import LOCKED_OUT

# Time for every deliverer to look once more.
POLL_SECONDS = 1.2
LIES = ("html", "empty", "short", "no_content", "redirect", "garbage")


def poison(world: World, mode: str = "partial", orders: int = 40, poisoned: int = 3) -> Finding:
    """Some events of a full call are wrong: they are found, and the others are taken once. What
    was refused is put right and replayed, twice."""
    found = Finding()
    numbers = world.numbers(orders)
    heard = _held_up(world, numbers)
    bad = [f"checkout-{number}" for number in numbers[:: orders // poisoned][:poisoned]]
    world.pinterest.poisoned = frozenset(bad)
    world.pinterest.mode = mode
    world.clock.tick(LOCKED_OUT + 1)
    world.until(lambda: world.waiting() == 0)
    calls = len(world.pinterest.calls)

    rows = {row["event_id"]: row for row in world.events_of(numbers)}
    dead = sorted(event_id for event_id, row in rows.items() if row["state"] == "dead")
    words = "poison" if mode == "reject" else "poisoned"
    # One call, halved until each culprit is alone.
    most = 1 + 2 * poisoned * math.ceil(math.log2(orders / poisoned)) + 2 * poisoned + 10
    found.tells(f"{calls} calls, {len(dead)} dead letters")
    found.expects(f"{poisoned} dead letters: {len(dead)}", dead == sorted(bad))
    found.expects("in Pinterest's words", all(words in rows[each]["reason"] for each in dead))
    found.expects(f"at most {most} calls: {calls}", calls <= most)
    good = {f"checkout-{number}" for number in numbers} - set(bad)
    found.expects("the others were taken once", world.pinterest.accepted == dict.fromkeys(good, 1))

    world.pinterest.mode, world.pinterest.poisoned = "ok", frozenset()
    first = world.replayed()
    world.until(lambda: world.waiting() == 0)
    second = world.replayed()
    found.tells(f"{first} replayed, and then {second}")
    found.expects(f"a second replay does nothing: {second}", (first, second) == (poisoned, 0))
    all_of_them = dict.fromkeys({*good, *bad}, 1)
    found.expects("replayed under their ids, once", world.pinterest.accepted == all_of_them)
    world.judge(found, numbers)
    world.judge_load(found, heard)
    return found


def lies(world: World, modes: tuple[str, ...] = LIES, orders: int = 3) -> Finding:
    """What is no answer settles nothing, and leads nowhere."""
    found = Finding()
    told: list[int] = []
    for mode in modes:
        world.pinterest.mode = mode
        world.pinterest.forget()
        numbers = world.numbers(orders)
        told += numbers
        world.posts(world.placed(numbers))
        # Past every wait of an event and of the account.
        world.clock.tick(LOCKED_OUT + 600)
        world.until_called()
        states = {row["state"] for row in world.events_of(told)}
        found.expects(f"{mode}: nothing is settled: {states}", states == {"waiting"})
        found.expects(f"{mode}: nowhere else is called", not world.pinterest.strays)
        found.expects(f"{mode}: nothing was taken", not world.pinterest.accepted)
    world.pinterest.mode = "ok"
    world.drain()
    world.judge(found, told)
    return found


def throttled(world: World, orders: int = 20, limit: int = 2, wait: int = 120) -> Finding:
    """Pinterest takes so many calls and then says how long to stay away; meanwhile more arrives."""
    found = Finding()
    world.pinterest.mode = Mode("throttle", limit=limit, window=wait, retry_after=wait)
    numbers = world.numbers(limit + 1)
    heard = []
    for n, number in enumerate(numbers):
        heard += world.posts(world.placed([number]))
        world.until_called(n + 1)
    refused = world.pinterest.calls[-1]
    found.expects(f"call {limit + 1} is one too many: {refused}", refused.status == 429)

    more = world.numbers(orders)
    heard += world.posts(world.placed(more), callers=16)
    world.clock.tick(refused.at + wait - 2 - world.clock())
    time.sleep(POLL_SECONDS)
    kept_away = len(world.pinterest.calls) == limit + 1
    world.clock.tick(3)
    world.until_called(limit + 2)
    back_at = world.pinterest.calls[limit + 1].at
    world.until(lambda: world.waiting() == 0)

    told = [*numbers, *more]
    largest = max(call.events for call in world.pinterest.calls)
    found.tells(f"{len(world.pinterest.calls)} calls, the largest of {largest} events")
    found.tells(f"back {back_at - refused.at:.1f} s after a 429 that asked for {wait}")
    found.expects(f"no call for {wait} s", kept_away and back_at >= refused.at + wait - 1)
    found.expects(f"at most 1000 events a call: {largest}", largest <= 1000)
    used = {row["attempts"] for row in world.events_of(told)}
    found.expects(f"no attempt was used up: {used}", used == {1})
    world.judge(found, told)
    world.judge_load(found, heard)
    return found


def _held_up(world: World, numbers: list[int]) -> list[Answer]:
    """Post orders whose events wait together, until the account may send again."""
    world.pinterest.mode = "unauthorized"
    first, rest = numbers[:1], numbers[1:]
    heard = world.posts(world.placed(first))
    world.until_called()
    # From now on the account is paused.
    world.until(lambda: "paused" in world.server.log[-3000:])
    heard += world.posts(world.placed(rest), callers=16)
    world.pinterest.forget()
    assert acknowledged(heard) == set(numbers)
    return heard
