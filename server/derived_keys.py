"""Keys that are made of a secret, each for one purpose."""

import hmac


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """Returns a key of 32 bytes by HKDF-SHA256 (RFC 5869) without a salt."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")
