"""Shopify under way to the service: many callers at once, who come again until they are heard."""

import http.client
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.actors import SECRET, instant, order, pinned
from webhooks.signature import sign

EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
# Shopify waits for five seconds. A caller here waits longer, to see what an answer would have been.
WAITS_SECONDS = 30.0
COMES_AGAIN_AFTER = 0.1
GIVES_UP_AFTER = 90.0
# Who is refused because others were in the way has waited for longer than this.
_WAITED_IN_VAIN = 1.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """A body about the order `number`, to be posted under a topic."""

    number: int
    topic: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook was answered, when it was posted (by the monotonic clock) and how many
    seconds that took. Status 0: the connection broke."""

    webhook: Webhook
    status: int
    at: float
    seconds: float
    body: bytes = b""

    @property
    def is_good(self) -> bool:
        return self.status == 200


def webhook(number: int, topic: str, at: float, **changes: Any) -> Webhook:
    """A state of an order of 40.00 USD, placed at an instant by a buyer of its own whom a pin
    brought."""
    email = f"canary-{number}@example.com"
    phone = f"+1 {212 + number // 10_000}-555-{number % 10_000:04}"
    moments = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(at))
    body = order(id=number, landing_site=pinned(epik=EPIK), **moments)
    body |= {"email": email, "contact_email": email, "customer": {"id": number, "email": email}}
    body["billing_address"] |= {"phone": phone}
    return Webhook(number, topic, json.dumps(body | changes).encode())


def post(port: int, told: Webhook, **headers: str) -> Answer:
    """Post a signed webhook over a connection of its own, as Shopify does."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAITS_SECONDS)
    signed = {"X-Shopify-Hmac-Sha256": sign(told.raw, SECRET.encode()), **headers}
    try:
        connection.request("POST", f"/webhooks/{told.topic}", told.raw, signed)
        response = connection.getresponse()
        body = response.read()
        return Answer(told, response.status, begun, time.monotonic() - begun, body)
    except (OSError, http.client.HTTPException):
        return Answer(told, 0, begun, time.monotonic() - begun)
    finally:
        connection.close()


def post_all(
    port: int,
    told: Iterable[Webhook],
    callers: int = 8,
    per_second: float = 0.0,
    again: bool = True,
) -> list[Answer]:
    """Post webhooks in their order, by so many callers; every answer. With `again` each one is
    posted until it is answered with 200, as Shopify does, though no longer than while any is."""
    waiting: queue.SimpleQueue[tuple[float, Webhook]] = queue.SimpleQueue()
    begun = time.monotonic()
    last = begun
    for n, one in enumerate(told):
        last = begun + n / per_second if per_second else begun
        waiting.put((last, one))
    patience = _Patience(last)

    def call() -> list[Answer]:
        heard: list[Answer] = []
        while True:
            try:
                due, one = waiting.get_nowait()
            except queue.Empty:
                return heard
            _wait_until(due)
            heard += _posted(port, one, patience) if again else [post(port, one)]

    with ThreadPoolExecutor(callers) as pool:
        parts = [pool.submit(call) for _ in range(callers)]
    return [answer for part in parts for answer in part.result()]


def meanwhile(
    work: Callable[[], list[Answer]], disturb: Callable[[threading.Event], None]
) -> list[Answer]:
    """Do the work in the background while the fault is put in; `disturb` ends with its event."""
    done = threading.Event()

    def until_done() -> list[Answer]:
        try:
            return work()
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(until_done)
        # Here and not in the pool: what is started must not end with a thread.
        disturb(done)
        return found.result()


def acknowledged(answers: Sequence[Answer]) -> set[int]:
    """The orders of which at least one webhook was answered with 200."""
    return {answer.webhook.number for answer in answers if answer.is_good}


def waited_in_vain(refused: Sequence[Answer]) -> bool:
    """Whether all were told to come again, and the first of them after its time to wait. What
    comes after it need not wait as long to know that others are in the way."""
    only_busy = all(answer.status == 503 for answer in refused)
    return only_busy and any(answer.seconds > _WAITED_IN_VAIN for answer in refused)


class _Patience:
    """Ends some time after the last webhook was due or one was taken. On a busy machine a few that
    come one after the other may take longer than that in all."""

    def __init__(self, since: float) -> None:
        self._end = since + GIVES_UP_AFTER

    def renew(self) -> None:
        """Begin anew: one was taken."""
        self._end = max(self._end, time.monotonic() + GIVES_UP_AFTER)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end


def _posted(port: int, one: Webhook, patience: _Patience) -> list[Answer]:
    """Post it, and while patience lasts again as long as it is not taken."""
    heard = [post(port, one)]
    while not heard[-1].is_good and not patience.is_over:
        time.sleep(COMES_AGAIN_AFTER)
        heard.append(post(port, one))
    if heard[-1].is_good:
        patience.renew()
    return heard


def _wait_until(due: float) -> None:
    time.sleep(max(0.0, due - time.monotonic()))
