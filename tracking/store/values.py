"""Values as the store keeps them: sessions, consent and paths as JSON."""

from collections.abc import Callable

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.consent import Consent
from tracking.domain.session import Session


def path_from(text: str) -> tuple[Touch, ...]:
    """The touches an order's stored path names."""
    return _decode_path(text) if text else ()


_decode_path: Callable[[str], tuple[Touch, ...]] = msgspec.json.Decoder(tuple[Touch, ...]).decode
_encode = msgspec.json.Encoder().encode


def session_from_json(text: str) -> Session:
    """A session as the store keeps it."""
    return _decode_session(text) if text else Session()


_decode_session: Callable[[str], Session] = msgspec.json.Decoder(Session).decode


def consent_from_json(text: str) -> Consent:
    """A word of consent as the store keeps it."""
    return _decode_consent(text) if text else Consent()


_decode_consent: Callable[[str], Consent] = msgspec.json.Decoder(Consent).decode


def json_of(value: object) -> str:
    """A value as the store keeps it."""
    return _encode(value).decode()
