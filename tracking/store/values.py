"""Encodes and decodes the JSON columns of the store: sessions, consent and paths."""

from collections.abc import Callable

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.consent import Consent
from tracking.domain.conversion import ContentLine
from tracking.domain.order import Line
from tracking.domain.session import Session


def path_from(text: str) -> tuple[Touch, ...]:
    """Returns the touches of an order's stored path."""
    return _decode_path(text) if text else ()


_decode_path: Callable[[str], tuple[Touch, ...]] = msgspec.json.Decoder(tuple[Touch, ...]).decode
_encode = msgspec.json.Encoder().encode


def content_lines_from(text: str) -> tuple[ContentLine, ...]:
    """Returns the stored lines of an order; none for ""."""
    return _decode_content_lines(text) if text else ()


_decode_content_lines: Callable[[str], tuple[ContentLine, ...]] = msgspec.json.Decoder(
    tuple[ContentLine, ...]
).decode


def lines_from(text: str) -> tuple[Line, ...]:
    """Returns the stored pieces of a refund."""
    return _decode_lines(text) if text else ()


_decode_lines: Callable[[str], tuple[Line, ...]] = msgspec.json.Decoder(tuple[Line, ...]).decode


def session_from_json(text: str) -> Session:
    """Returns a stored session; an empty one for ""."""
    return _decode_session(text) if text else Session()


_decode_session: Callable[[str], Session] = msgspec.json.Decoder(Session).decode


def consent_from_json(text: str) -> Consent:
    """Returns a stored consent; one without answers for ""."""
    return _decode_consent(text) if text else Consent()


_decode_consent: Callable[[str], Consent] = msgspec.json.Decoder(Consent).decode


def json_of(value: object) -> str:
    """Returns a value as JSON."""
    return _encode(value).decode()
