"""A person who is erased while their event waits, is under way, or is told of once more."""

import json
from hashlib import sha256

from tests.actors import instant
from tests.faults.finding import Finding
from tests.faults.load import Webhook, webhook
from tests.faults.world import World
from tests.standins.pinterest import Mode
from tests.store_contents import everything

SHOP = "fault-shop.myshopify.com"


def redacted(world: World) -> Finding:
    """Erase a buyer whose event waits and one whose event is under way; then replay both."""
    found = Finding()
    waits, goes, stays = world.numbers(3)
    world.pinterest.mode = "unauthorized"
    told = {n: webhook(n, "orders/create", world.clock()) for n in (waits, goes, stays)}
    world.posts([told[waits]])
    world.until_called()
    world.posts([_redact(waits)])

    world.pinterest.mode = Mode("slow", seconds=2.0)
    world.clock.tick(301)
    world.pinterest.forget()
    world.posts([told[goes]])
    world.until_called()
    world.posts([_redact(goes)])
    world.pinterest.mode = "ok"
    world.drain()
    world.pinterest.forget()

    again = [
        webhook(n, topic, world.clock(), updated_at=instant(world.clock() + 60 * m))
        for n in (waits, goes)
        for m, topic in enumerate(("orders/updated", "orders/paid"))
    ]
    answers = world.posts([*told.values(), *again, _redact(waits), _redact(goes)])
    world.drain()
    ids = {f"checkout-{n}" for n in (waits, goes)}
    found.expects("nothing of them is sent later", not ids & world.pinterest.accepted.keys())
    found.expects("others are sent", f"checkout-{stays}" in world.pinterest.accepted)
    found.expects("each webhook is taken", all(answer.is_good for answer in answers))
    held = json.dumps(everything(world.store), default=str)
    for number in (waits, goes):
        found.expects("no e-mail is kept", f"canary-{number}@" not in held)
        found.expects("no digest is kept", _digest(number) not in held)
    found.expects("the search would find one", _digest(stays) in held)
    world.judge_canaries(found)
    return found


def _digest(number: int) -> str:
    return sha256(f"canary-{number}@example.com".encode()).hexdigest()


def _redact(number: int) -> Webhook:
    body = {
        "shop_id": 1,
        "shop_domain": SHOP,
        "customer": {"id": number, "email": f"canary-{number}@example.com", "phone": None},
        "orders_to_redact": [number],
    }
    return Webhook(number, "customers/redact", json.dumps(body).encode())
