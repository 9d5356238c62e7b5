"""Webhook bodies as nobody should send them, all signed; every tenth is a good order."""

import copy
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.actors import instant, order, pinned, refund

FIRST_GOOD, FIRST_ODD, FIRST_BETWEEN = 10_000_000, 20_000_000, 30_000_000
TOPICS = ("orders/create", "orders/paid", "orders/updated", "orders/cancelled", "refunds/create")

NUMBERS = (
    *("1e1000000", "-1e1000000", "1e-1000000", "1" * 4301, "NaN", "Infinity", "-Infinity", "1_000"),
    *("٣", "²", "1e50", "0x10", "", " ", "-", "+1", "1.", ".5", "1,5", "9" * 30, "0.00000001"),
    *("-0", "1e9", "00012", "\u0000", "1e", "--1", "1.2.3", "1e+400", "9223372036854775808"),
)
TEXTS = (
    *(
        "\x00",
        "a\x00b",
        "\ud800",
        "\udfff\ud800",
        "\ufffe",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\x1b[2J",
    ),
    *("' OR 1=1 --", "'; DROP TABLE orders; --", "${jndi:ldap://x}", "{{7*7}}", "%s%n", "../../.."),
    *(
        "<script>alert(1)</script>",
        "=1+1",
        "\r\nSet-Cookie: a=b",
        "x" * 70_000,
        "é" * 5000,
        "🙂" * 99,
    ),
    *("https://[", "//", "?epik=%00%ff", "utm_source=pinterest&utm_source=" * 50, "a@b", "@", "+"),
    *("2026-02-30", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "now", "T", "null"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**63, -(2**63) - 1, 10**400, 1.5, 1e308, -0.0),
    *([], {}, [[]], [None] * 300, {"": ""}, {"shop_money": {"amount": {}}}, [{}] * 300, "x", ""),
)
RAW = (
    *(b"", b" ", b"null", b"[]", b"{}", b'""', b"0", b"NaN", b"[" * 100_000, b'{"a":' * 100_000),
    *(b'{"id":1e1000000}', b'{"id":1,"id":2}', b'{"id":NaN}', b'{"total_price":Infinity}'),
    *(b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b'{"id":"\xc0\x80"}', b'{"id":"\xed\xa0\x80"}'),
    *(b'{"id":"\\ud800"}', b'{"id":"\\u0000"}', b'{"id":1}{"id":2}', b'{"id":1}\x00', b"{'id':1}"),
)


class Webhook(NamedTuple):
    """One webhook; `good` is the id of the order if there is nothing wrong with it."""

    topic: str
    body: bytes
    good: int = 0


def webhooks(seed: int, count: int) -> Iterator[Webhook]:
    """So many webhooks, the same for the same seed (but for the time in them)."""
    rng = random.Random(seed)
    now = instant(time.time())
    for number in range(count):
        if number % 10 == 9:
            yield good_order(FIRST_GOOD + number)
        else:
            spoil = rng.choices(_SPOILERS, _WEIGHTS)[0]
            yield Webhook(rng.choice(TOPICS), spoil(rng, _body(rng, FIRST_ODD + number, now)))


def good_order(number: int) -> Webhook:
    """An order of this id with nothing wrong about it, placed just now."""
    body = _order(number, instant(time.time()))
    return Webhook("orders/create", json.dumps(body).encode(), number)


def _order(number: int, now: str) -> dict[str, Any]:
    # A buyer of its own: whoever orders ten thousand times is another story.
    email = f"{number}@example.com"
    moments = dict.fromkeys(("created_at", "processed_at", "updated_at"), now)
    buyer = {"email": email, "contact_email": email, "customer": {"id": number, "email": email}}
    address = {"first_name": "Ada", "zip": "10001", "country_code": "US"}
    click = f"dj0yJnU9b2JwcTV2cjl5VjN1-{number}"
    body = order(id=number, landing_site=pinned(epik=click), billing_address=address, **moments)
    return body | buyer


def _body(rng: random.Random, number: int, now: str) -> dict[str, Any]:
    return refund(id=number, order_id=number) if rng.random() < 0.2 else _order(number, now)


def _flipped(rng: random.Random, body: dict[str, Any]) -> bytes:
    raw = bytearray(json.dumps(body).encode())
    for _ in range(rng.randint(1, 8)):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def _retyped(rng: random.Random, body: dict[str, Any]) -> bytes:
    for _ in range(rng.randint(1, 5)):
        _put(rng, body, rng.choice(VALUES))
    return json.dumps(body).encode()


def _listed(rng: random.Random, body: dict[str, Any]) -> bytes:
    if rng.random() < 0.2:
        return rng.choice(RAW)
    for _ in range(rng.randint(1, 5)):
        _put(rng, body, rng.choice(rng.choice((NUMBERS, TEXTS))))
    text = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.3:
        # As a number and not as text: what no parser agrees on.
        text = text.replace(b'"40.00"', rng.choice(NUMBERS).encode() or b"1")
    return text


def _cut(rng: random.Random, body: dict[str, Any]) -> bytes:
    raw = json.dumps(body).encode()
    return raw[: rng.randrange(len(raw))]


def _random(rng: random.Random, _: dict[str, Any]) -> bytes:
    return rng.randbytes(rng.randrange(4000))


_SPOILERS: tuple[Callable[[random.Random, dict[str, Any]], bytes], ...] = (
    *(_flipped, _retyped, _listed, _cut, _random),
)
_WEIGHTS = (30, 30, 20, 10, 10)


def _put(rng: random.Random, tree: Any, value: Any) -> None:
    """Put a value somewhere into the tree, seldom far from its root."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.8:
        _put(rng, tree[key], value)
    else:
        tree[key] = copy.deepcopy(value)
