"""Benchmark: the collector compared with the bare handler that only verifies an HMAC, as a ratio.

    python -m bench.collector [--rounds 6] [--seconds 3] [--connections 32]

Every call is one new event of a visitor from Pinterest. The service parses it and stores it with
its touch and, for a product view, its encoded event for Pinterest, before it answers.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.webhooks import SECRET, Pair, arguments, gunicorn, run
from webhooks.signature import sign

KEY = "a-public-key-for-benchmarks"
EVENTS_A_VISIT = 4
_EPIK = "dj0yJnU9" + "aB3" * 30


def calls(first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Signed calls (the bare handler needs the signature): a page view, then product views."""
    now = int(time.time())
    for number in range(first, first + count):
        visitor, step = divmod(number, EVENTS_A_VISIT)
        body = json.dumps(_call(f"visitor-{visitor}", number, step, now)).encode()
        yield sign(body, SECRET.encode()), body


def _call(visitor: str, number: int, step: int, now: int) -> dict[str, Any]:
    session = {
        "landed_at": now - 60,
        "epik": _EPIK,
        "utm_source": "pinterest",
        "utm_medium": "cpc",
        "utm_campaign": "autumn",
        "utm_campaign_id": "626735565838",
    }
    document = {"location": {"href": "https://linen.example/products/linen-shirt"}}
    variant = {
        "id": "41234567890123",
        "price": {"amount": 29.99, "currencyCode": "USD"},
        "product": {"id": "7000000000000", "title": "Linen shirt", "vendor": "Linen"},
    }
    event = {
        "id": f"sh-{number:032x}",
        "name": "product_viewed" if step else "page_viewed",
        "timestamp": now * 1000,
        "context": {"document": document},
        "data": {"productVariant": variant} if step else {},
    }
    consent = {"analytics": True, "marketing": True}
    return {
        "key": KEY,
        "visitor": visitor,
        "session": session,
        "consent": consent,
        "events": [event],
    }


def main() -> None:
    """Runs the rounds and prints their ratios."""
    args = arguments(argparse.ArgumentParser(description=__doc__))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "DATABASE_URL": args.database_url or f"sqlite:///{folder}/bench.db",
            "PINTEREST_ACCESS_TOKEN": "bench",
            "PINTEREST_AD_ACCOUNT_ID": "1",
            "DELIVER": "false",
            "COLLECTOR_KEY": KEY,
            "COLLECTOR_RATE": "10000",
            "COLLECTOR_TOTAL_RATE": "100000",
        }
        bare = servers.enter_context(gunicorn("bench.bare:create_app()", 8803, env))
        service = servers.enter_context(gunicorn("app:create_app()", 8804, env))
        pair = Pair((bare, "/webhooks/orders/create"), (service, "/collect"), calls)
        run(args, Path(folder, "pool"), pair)


if __name__ == "__main__":
    main()
