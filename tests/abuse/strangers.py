"""What strangers send who have no secret: odd heads, addresses, queries, pixel calls."""

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.abuse.bodies import NUMBERS, TEXTS, VALUES
from tests.actors import API_TOKEN

SITE_KEY = "pk_of-the-tests-only"
_METHODS = (
    *(b"GET", b"POST") * 5,
    b"PUT",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"X",
)
_ADDRESSES = (
    *("/webhooks/orders/create", "/webhooks/customers/redact", "/webhooks/shop/redact", "/collect"),
    *("/pixel.js", "/conversion-funnel", "/roi-analysis", "/events", "/spend", "/track-event"),
    *("/track-event-test", "/orders/1/journey", "/health", "/ready", "/metrics", "/openapi.json"),
    *("/", "//", "/..", "/../etc/passwd", "/%2e%2e/", "/.env", "/.git/config", "/static/x", "/%00"),
    *("/webhooks/orders/create/", "/webhooks/orders/../orders/create", "/orders/%0d%0aX:y/journey"),
    *("/" + "a" * 3000, "/%ff", "/%ud800", "http://evil.example/health", "*", "/?", "/console"),
)
_PARAMETERS = (
    *("start_date", "end_date", "traffic", "campaign", "model", "scope", "report_by", "state"),
    *("after", "limit", "format", "key", "token", "sort", "%00", ""),
)
_INJECTIONS = (
    *("' OR '1'='1", "1; DROP TABLE orders", "1 UNION SELECT sql FROM sqlite_master", "-1", "1e9"),
    *("%0d%0aSet-Cookie:%20a=b", "2026-11-20", "2026-13-01", "99999999999999999999", "%ff%fe", "'"),
    *("0001-01-01", "9999-12-31", "pinterest", "all", "csv", "\\x00", "$(id)", "../../x", "[]"),
)
_HEADERS = (
    *(b"X-Shopify-Hmac-Sha256", b"X-Shopify-Shop-Domain", b"X-Shopify-Topic", b"Authorization"),
    *(b"Content-Type", b"Content-Encoding", b"Accept", b"Origin", b"Cookie", b"X-Forwarded-For"),
    *(b"Forwarded", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"X-HTTP-Method-Override", b"Range"),
    *(b"If-None-Match", b"If-Modified-Since", b"Transfer-Encoding", b"Content-Length", b"Expect"),
    *(b"Host", b"User-Agent", b"Referer", b"Accept-Encoding", b"X_Under", b"Upgrade", b"Te"),
)
_KINDS = (b"text/plain", b"application/json", b"multipart/form-data; boundary=x", b"text/csv", b"x")


def requests(seed: int, count: int) -> Iterator[bytes]:
    """So many requests, the same for the same seed; each to be sent on a connection of its own."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choice((_odd, _odd, _told, _asked, _garbled))(rng)


def _odd(rng: random.Random) -> bytes:
    """Any method on any address with any headers."""
    body = rng.randbytes(rng.randrange(600)) if rng.random() < 0.5 else b""
    lines = [b"Host: x", *(_header(rng) for _ in range(rng.randrange(6)))]
    return _request(rng.choice(_METHODS), _address(rng), lines, body)


def _told(rng: random.Random) -> bytes:
    """A call of the pixel whose key is right and whose content is not."""
    event: dict[str, Any] = {
        "id": f"event-{rng.randrange(10**9)}",
        "name": rng.choice(("page_viewed", "product_viewed", "checkout_completed", "x")),
        "clientId": "visitor-0001",
        "timestamp": "2026-11-20T12:00:00Z",
        "data": {"productVariant": {"price": {"amount": 1.0, "currencyCode": "USD"}}},
        "context": {"document": {"location": {"href": "https://shop.example/?epik=x"}}},
    }
    call: dict[str, Any] = {"key": SITE_KEY, "events": [event]}
    for _ in range(rng.randrange(4)):
        call[rng.choice(list(call))] = rng.choice((*VALUES, *TEXTS, *NUMBERS))
        event[rng.choice(list(event))] = rng.choice((*VALUES, *TEXTS, *NUMBERS))
    body = json.dumps(call).encode()[: rng.choice((10**6, 10**6, 40))]
    kind = b"Content-Type: " + rng.choice(_KINDS)
    return _request(b"POST", b"/collect?key=" + SITE_KEY.encode(), [b"Host: x", kind], body)


def _asked(rng: random.Random) -> bytes:
    """A report or an event, asked for by somebody who may, with odd questions."""
    bearer = b"Authorization: Bearer " + API_TOKEN.encode()
    if rng.random() < 0.7:
        return _request(b"GET", _address(rng), [b"Host: x", bearer], b"")
    body = json.dumps({"event_data": rng.choice((*VALUES, *TEXTS)), "em": rng.choice(TEXTS)})
    path = rng.choice((b"/track-event", b"/spend"))
    kind = b"Content-Type: " + rng.choice((b"application/json", b"text/csv"))
    return _request(b"POST", path, [b"Host: x", bearer, kind], body.encode())


def _garbled(rng: random.Random) -> bytes:
    """A request with some of its bytes changed, missing or doubled."""
    raw = bytearray(rng.choice((_odd, _told))(rng))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(raw))
        match rng.randrange(3):
            case 0:
                raw[at] = rng.randrange(256)
            case 1:
                del raw[at : at + rng.randrange(1, 4)]
            case _:
                raw[at:at] = rng.choice((b"\r\n", b"\n", b"\0", b"\xff", b" ", b":", b"\r\n\r\n"))
    return bytes(raw)


def _address(rng: random.Random) -> bytes:
    query = "&".join(
        f"{rng.choice(_PARAMETERS)}={rng.choice(_INJECTIONS)}" for _ in range(rng.randrange(4))
    )
    address = rng.choice(_ADDRESSES) + (f"?{query}" if query else "")
    return address.replace(" ", "%20").encode()


def _header(rng: random.Random) -> bytes:
    value = rng.choice(
        (
            *(
                rng.choice(_INJECTIONS).encode(),
                rng.choice(TEXTS).encode("utf-8", "replace")[:7000],
            ),
            *(rng.randbytes(30), b"Bearer x", b"gzip", b"chunked", b"identity", b"5", b"", b"null"),
        )
    )
    return rng.choice(_HEADERS) + b": " + value.replace(b"\n", b" ").replace(b"\r", b" ")


def _request(method: bytes, address: bytes, headers: list[bytes], body: bytes) -> bytes:
    known = b"".join(line.lower() for line in headers)
    if body and b"content-length" not in known and b"transfer-encoding" not in known:
        headers = [*headers, b"Content-Length: %d" % len(body)]
    head = b"\r\n".join([b"%s %s HTTP/1.1" % (method, address), *headers, b"Connection: close"])
    return head + b"\r\n\r\n" + body
