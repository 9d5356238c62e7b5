"""Meaning of an HTTP response, where it is the same for every destination."""

import re
from collections.abc import Iterable
from typing import AnyStr, TypeVar

import msgspec

from tracking.clients.http import HttpResponse
from tracking.clients.outcome import BatchRefused, Paused, TryLater

MAX_REASON = 500

_T = TypeVar("_T")
_DENIED = {
    401: "the credentials are not accepted",
    403: "the credentials may not write to this account",
    404: "there is no such account",
}
_THROTTLED = 429
# Refusals that a later attempt may not meet.
_TRANSIENT = frozenset({408, 425})
_SECONDS = re.compile(r"\s*([0-9]{1,9})")
# A shorter secret is a placeholder, and may be a part of the response's own words.
_SECRET_LENGTH = 12
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")


def decoded(body: bytes, kind: type[_T]) -> _T | None:
    """The JSON body decoded into this type; None if it does not fit."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def sanitized(text: str) -> str:
    """A text of another service, made safe to store and log: one printable line, bounded."""
    return _UNPRINTABLE.sub(" ", text).strip()[:MAX_REASON]


def redacted(text: AnyStr, secrets: Iterable[AnyStr], mark: AnyStr) -> AnyStr:
    """A text or body of another service, in which `mark` stands for each of our secrets.

    A proxy may quote the request, and what it answers may be stored.
    """
    for secret in secrets:
        if len(secret) >= _SECRET_LENGTH:
            text = text.replace(secret, mark)
    return text


def pause_or_retry(response: HttpResponse, message: str = "") -> Paused | TryLater:
    """The outcome of a response that says nothing about the events; `message` is its own text."""
    reason = sanitized(": ".join(filter(None, (f"HTTP {response.status}", message))))
    if response.status in _DENIED:
        known = _DENIED[response.status]
        return Paused(reason if message else f"{reason}: {known}", is_credentials=True)
    if response.status == _THROTTLED:
        return Paused(reason, seconds=retry_after(response))
    return TryLater(reason)


def is_refusal(status: int) -> bool:
    """Returns whether the status blames the request's content, not the account or the moment."""
    return 400 <= status < 500 and status not in (*_DENIED, _THROTTLED, *_TRANSIENT)


def refusal_of(response: HttpResponse, message: str, count: int) -> BatchRefused | TryLater:
    """The outcome of a response that refuses `count` events as one.

    Without a message of the destination's own the response may come from a proxy on the way.
    Several events are then still split, which settles none of them; a single event is retried.
    """
    reason = sanitized(f"HTTP {response.status}: {message or 'refused without a readable reason'}")
    return BatchRefused(reason) if message or count > 1 else TryLater(reason)


def retry_after(response: HttpResponse) -> int | None:
    """The wait that the response requests, in seconds from now.

    Pinterest documents no Retry-After; its X-RateLimit-Reset was seen to hold seconds from now.
    """
    for name in ("Retry-After", "X-RateLimit-Reset"):
        match = _SECONDS.match(response.headers.get(name, ""))
        if match:
            return int(match[1])
    return None
