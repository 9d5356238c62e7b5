"""A person who is erased while their event waits, is under way, or is told of once more."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from tests.actors import instant, notes
from tests.faults.finding import Finding
from tests.faults.load import Webhook, acknowledged, meanwhile, webhook
from tests.faults.scenarios.kills import IN_TIME, Killer
from tests.faults.world import World
from tests.standins.pinterest import Mode
from tests.store_contents import everything
from tracking.domain.identity import Digest, identity_key
from tracking.store.pending_erasures import PLANNING

SHOP = "fault-shop.myshopify.com"
_SLOW = "canary-slow@example.com"
_MANY = "canary-many@example.com"


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
    last = [*told.values(), *again, _redact(waits), _redact(goes)]
    answers = world.posts(last)
    world.drain()
    ids = {f"checkout-{n}" for n in (waits, goes)}
    found.expects("nothing of them is sent later", not ids & world.pinterest.accepted.keys())
    found.expects("others are sent", f"checkout-{stays}" in world.pinterest.accepted)
    taken = sum(answer.is_good for answer in answers)
    found.expects(f"each webhook is taken: {taken} of {len(last)}", taken == len(last))
    world.judge_load(found, answers, slowest=None)
    held = json.dumps(everything(world.store), default=str)
    for number in (waits, goes):
        found.expects("no e-mail is kept", f"canary-{number}@" not in held)
        found.expects("no digest is kept", _digest(number) not in held)
    found.expects("the search would find one", _digest(stays) in held)
    world.judge_canaries(found)
    return found


def searched(
    world: World, size: int = 200_000, orders: int = 200, rate: float = 20.0, kills: int = 1
) -> Finding:
    """Erase buyers while bodies lie in quarantine that were made to be slow to search; kill
    everything in between, and see that no webhook waited and nothing of the buyers is left."""
    found = Finding()
    told = world.posts([_odd(text) for text in _slow_texts(size)], again=False)
    found.expects("each body is kept", all(answer.is_good for answer in told))
    numbers = world.numbers(orders)
    load = world.placed(numbers)
    load[orders // 2 : orders // 2] = [_redact_by_email("ada@elsewhere.example")]
    load[orders // 4 : orders // 4] = [_redact_by_email(_SLOW)]

    killer = Killer(world, kills, lambda: 3.0)
    heard = meanwhile(lambda: world.posts(load, callers=8, per_second=rate), killer)
    world.drain()
    world.until(lambda: _SLOW not in _bodies(world), within=300)

    found.tells(f"{killer.kills} kills")
    world.judge(found, numbers)
    world.judge_load(found, killer.apart(heard), slowest=IN_TIME)
    return found


def in_pieces(world: World, orders: int = 150, kills: int = 1, rate: float = 40.0) -> Finding:
    """Erase a buyer of very many orders, and kill everything before all pieces are done; states of
    these orders come in between, and orders of others."""
    found = Finding()
    hers, others = world.numbers(orders), world.numbers(int(3 * rate))
    told = [_of_many(number, world.clock()) for number in hers]
    placed = world.posts(told)
    found.expects("each order is taken", acknowledged(placed) >= {*hers})
    before = world.revenue()
    again = [_of_many(n, world.clock(), updated_at=instant(world.clock() + 60)) for n in hers]
    load = [webhook for pair in zip(world.placed(others), again, strict=False) for webhook in pair]

    def disturb(done: threading.Event) -> None:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(world.posts, [_redact_by_email(_MANY, hers)])
            world.until(lambda: any(row["body_id"] > PLANNING for row in _pending(world)))
            for n in range(kills):
                world.server.kill()
                found.expects(f"it is not complete at kill {n + 1}", bool(_pending(world)) or n > 0)
                world.server.start()
                done.wait(0.5)
            asked.result()

    heard = meanwhile(lambda: world.posts(load, callers=8, per_second=rate), disturb)
    world.drain()
    world.until(lambda: not _pending(world), within=120)

    held = json.dumps(everything(world.store), default=str)
    digest = sha256(_MANY.encode()).hexdigest()
    key = identity_key("em", Digest(digest)).partition(":")[2]
    for trace in (digest, key, "browser-of-many"):
        found.expects(f"{trace[:16]} is not kept", trace not in held)
    counted, _ = world.revenue()
    wanted = before[0] + len({answer.webhook.number for answer in heard} & {*others})
    found.expects(f"all orders are counted: {counted} of {wanted}", counted == wanted)
    found.expects("each webhook is taken", acknowledged(heard) >= {w.number for w in load})
    # On a machine with other work one may wait too long for those of the same buyer before it, and
    # is told again.
    if world.is_timed:
        world.judge_load(found, placed)
        # Some of them wait for a start.
        world.judge_load(found, heard, slowest=None)
    world.judge_canaries(found)
    return found


def _of_many(number: int, at: float, **changes: Any) -> Webhook:
    """An order of the buyer of very many, each from another browser."""
    return webhook(
        number,
        "orders/updated" if changes else "orders/create",
        at,
        email=_MANY,
        contact_email=_MANY,
        customer={"id": 777_777, "email": _MANY},
        note_attributes=notes(pin_vid=f"browser-of-many-{number}"),
        **changes,
    )


def _slow_texts(size: int) -> tuple[str, ...]:
    """Texts that are all one address without its end, or phones of any country."""
    countries = "".join(f'"country_code":"{a}{b}"' for a in "ABCD" for b in "EGLMR")
    phones = " ".join(f"0{212_555_000 + n}," for n in range(size // 40))
    return "a" * size, countries + phones


def _odd(text: str) -> Webhook:
    return Webhook(0, "orders/create", json.dumps({"text": text, "email": _SLOW}).encode())


def _redact_by_email(email: str, orders: Sequence[int] = ()) -> Webhook:
    body: dict[str, Any] = {"shop_id": 1, "shop_domain": SHOP, "customer": {"email": email}}
    if orders:
        body["orders_to_redact"] = [*orders]
    return Webhook(0, "customers/redact", json.dumps(body).encode())


def _pending(world: World) -> list[dict[str, Any]]:
    return world.rows("pending_erasures")


def _bodies(world: World) -> str:
    return "".join(str(bytes(row["body"])) for row in world.rows("quarantine"))


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
