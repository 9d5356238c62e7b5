"""Whether Shopify signed these very bytes."""

import hmac
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence

# The one way to write 32 bytes in base64 (RFC 4648 section 4): padded, and the two spare bits of
# the last letter zero. Decoders let more pass, and then one body has many valid signatures.
_CANONICAL = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")


def sign(body: bytes, secret: bytes) -> str:
    """The X-Shopify-Hmac-Sha256 header of a body: base64 of its HMAC-SHA256."""
    return b2a_base64(hmac.digest(secret, body, "sha256"), newline=False).decode()


def is_signed(body: bytes, header: str | None, secrets: Sequence[bytes]) -> bool:
    """Whether one of the secrets made the header for this raw body. Never raises.

    Any secret will do, so that one can be rotated without losing an order; all are tried, so that
    the time does not tell which. An empty secret signs nothing: anybody has it.
    """
    if header is None or not _CANONICAL.fullmatch(header):
        return False
    given = a2b_base64(header)
    signed = False
    for secret in filter(None, secrets):
        signed |= hmac.compare_digest(hmac.digest(secret, body, "sha256"), given)
    return signed
