"""Conversions, and the events that are made of them."""

import hashlib
import json
import time
from typing import Any

from msgspec.structs import replace

from tracking.destinations.pinterest import encode
from tracking.domain.conversion import Content, Conversion
from tracking.domain.identity import Digest, Identity


def digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).hexdigest())


EVA = Identity(em=(digest("eva@example.org"),), external_id=(digest("88"),))


ORDER = Conversion(
    event_id="checkout-7001",
    event_name="checkout",
    action_source="web",
    event_time=int(time.time()) - 60,
    identity=EVA,
    event_source_url="https://mugs.example/thank-you",
    partner_name="direct",
    language="sv",
    click_id="dj0yJnU9c2Vj",
    ip="198.51.100.23",
    user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/141.0",
    currency="SEK",
    value="249.00",
    order_id="7001",
    contents=(
        Content("31", "Mug", "Kopp AB", "99.00", 2),
        Content("32", "Saucer", "", "51.00", 1),
        Content("31", "Mug, engraved", "Kopp AB", "120.00", 1),
    ),
    num_items=4,
)


def events(count: int) -> list[bytes]:
    return [encode(replace(ORDER, event_id=f"checkout-{n}")) for n in range(count)]


def decoded(conversion: Conversion) -> Any:
    return json.loads(encode(conversion))
