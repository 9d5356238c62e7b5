"""Many webhooks of the same order, or of the same buyer, at the same moment."""

import itertools
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from tests.actors import instant, order, refund
from tests.faults.finding import Finding
from tests.faults.load import Answer, Webhook, post, webhook
from tests.faults.world import World

_REPORTED = (
    *("gross_revenue", "refunds", "cancellations", "revenue", "currency", "is_cancelled"),
    *("match_method", "session", "credits"),
)
_ORDERS = ("orders/create", "orders/updated", "orders/paid", "orders/cancelled")


def one_webhook(world: World, rounds: int = 2, callers: int = 50) -> Finding:
    """The same webhook from many callers at once; every other round under ids of their own."""
    found = Finding()
    told = world.placed(world.numbers(rounds))
    answers: list[Answer] = []
    for n, one in enumerate(told):
        posts = [
            (one, {"X-Shopify-Webhook-Id": f"id-{n}-{m if n % 2 else 0}"}) for m in range(callers)
        ]
        answers += _at_once(world, posts)
    world.drain()
    said = Counter(json.loads(answer.body or b"{}").get("status") for answer in answers)
    found.tells(f"{dict(said)}")
    found.expects(f"each order is accepted once: {said}", said["accepted"] == rounds)
    _judge(world, found, answers)
    return found


def one_order(world: World, orders: int = 4, callers: int = 20, seed: int = 1) -> Finding:
    """All topics of a few orders, in any order, from many callers at once."""
    found = Finding()
    told = [one for number in world.numbers(orders) for one in _story(world, number)]
    random.Random(seed).shuffle(told)
    answers = world.posts(told, callers=callers, again=False)
    world.drain()
    numbers = {one.number for one in told}
    stored = [row for row in world.rows("orders") if int(row["id"]) in numbers]
    found.expects(f"one row for each order: {len(stored)}", len(stored) == orders)
    events = [row for row in world.rows("conversions") if row["order_id"] in map(str, numbers)]
    found.expects(f"one event for each order: {len(events)}", len(events) == orders)
    world.judge_load(found, answers)
    world.judge_canaries(found)
    return found


def one_buyer(world: World, orders: int = 50) -> Finding:
    """Many orders of one buyer, all placed in one second and told at once."""
    found = Finding()
    numbers = world.numbers(orders)
    buyer = f"canary-{numbers[0]}-buyer@example.com"
    who: dict[str, Any] = {
        "email": buyer,
        "contact_email": buyer,
        "customer": {"id": numbers[0], "email": buyer},
    }
    who["billing_address"] = order()["billing_address"]
    now = world.clock()
    told = [webhook(number, "orders/create", now, **who) for number in numbers]
    answers = _at_once(world, [(one, {}) for one in told])
    world.drain()
    refused = sum(not answer.is_good for answer in answers)
    found.tells(f"{refused} refused, slowest {max(a.seconds for a in answers):.1f} s")
    world.posts([answer.webhook for answer in answers if not answer.is_good])
    world.drain()
    world.judge(found, numbers)
    # They take turns. On a machine that does other things the last one may be told to come again.
    odd = {answer.status for answer in answers} - {200, 503}
    found.expects(f"nothing but 200 and 503: {odd}", not odd)
    if world.is_timed:
        world.judge_load(found, answers)
    return found


def any_order(world: World, permutations: int = 12, seed: int = 1) -> Finding:
    """Create, update, payment, cancellation and refund in every order: one state in the end."""
    found, chance = Finding(), random.Random(seed)
    # Nothing is sent meanwhile, so that all events are decided by the same facts.
    world.pinterest.mode = "unauthorized"
    ways = list(itertools.permutations(range(5)))
    ways = ways if permutations >= len(ways) else chance.sample(ways, permutations)
    numbers = world.numbers(len(ways))
    told: list[list[Webhook]] = []
    for number, way in zip(numbers, ways, strict=True):
        story = _story(world, number)
        told.append([story[n] for n in way] + [chance.choice(story)])
    # Each order's webhooks one after the other, the orders all at once.
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda some: world.posts(some, callers=1), told)
        answers = [answer for part in parts for answer in part]
    world.pinterest.mode = "ok"
    world.drain()
    states = {_state(world, number) for number in numbers}
    found.tells(f"{len(ways)} ways, {len(states)} states in the end")
    found.expects(f"one state in the end: {sorted(states)[:2]}", len(states) == 1)
    taken, all_of_them = sum(answer.is_good for answer in answers), sum(map(len, told))
    found.expects(f"each webhook is taken: {taken} of {all_of_them}", taken == all_of_them)
    world.judge_load(found, answers, slowest=None)
    ids = world.ids_by_order()
    found.expects("no event of a cancelled order", not any(ids.get(str(n)) for n in numbers))
    world.judge_canaries(found)
    return found


def _at_once(world: World, posts: list[tuple[Webhook, dict[str, str]]]) -> list[Answer]:
    ready = Barrier(len(posts))

    def call(one: Webhook, headers: dict[str, str]) -> Answer:
        ready.wait()
        return post(world.server.port, one, **headers)

    with ThreadPoolExecutor(len(posts)) as pool:
        answers = [each.result() for each in [pool.submit(call, *one) for one in posts]]
    world.answers += answers
    return answers


def _story(world: World, number: int) -> list[Webhook]:
    """Five webhooks of an order, from its creation to its refund."""
    now = 1_000 * (world.clock() // 1_000)
    told: list[Webhook] = []
    for n, topic in enumerate(_ORDERS):
        changes: dict[str, Any] = {"updated_at": instant(now + n)}
        if topic == "orders/cancelled":
            changes |= {"cancelled_at": instant(now + n)}
        told.append(webhook(number, topic, now, **changes))
    body = refund(id=number * 10, order_id=number)
    told.append(Webhook(number, "refunds/create", json.dumps(body).encode()))
    return told


def _state(world: World, number: int) -> str:
    """What the reports say of an order, without its own number."""
    told = world.server.reads(f"/orders/{number}/journey")
    return json.dumps({name: told[name] for name in _REPORTED}).replace(str(number), "N")


def _judge(world: World, found: Finding, answers: list[Answer]) -> None:
    world.judge(found, {answer.webhook.number for answer in answers})
    world.judge_load(found, answers)
