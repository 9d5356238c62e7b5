"""Shopify's signature of a webhook: HMAC-SHA256 over the raw body."""

import hmac
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence

# Canonical base64 of 32 bytes (RFC 4648 section 4): padded, with the two spare bits of the last
# letter zero. Decoders accept more, and then one body would have many valid signatures.
_CANONICAL = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")


def sign(body: bytes, secret: bytes) -> str:
    """Returns the X-Shopify-Hmac-Sha256 header of a body: base64 of its HMAC-SHA256."""
    return b2a_base64(hmac.digest(secret, body, "sha256"), newline=False).decode()


def is_signed(body: bytes, header: str | None, secrets: Sequence[bytes]) -> bool:
    """Returns True if one of the secrets signed this raw body with this header. Never raises.

    Any secret is accepted, so that one can be rotated without losing an order. All are compared,
    so that the time taken does not reveal which one matched. An empty secret is never accepted:
    an attacker could sign with it.
    """
    if header is None or not _CANONICAL.fullmatch(header):
        return False
    signature = a2b_base64(header)
    matches = False
    for secret in filter(None, secrets):
        matches |= hmac.compare_digest(hmac.digest(secret, body, "sha256"), signature)
    return matches
