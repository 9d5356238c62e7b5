"""The meaning of an HTTP answer as far as it is the same for every destination."""

import re
from typing import TypeVar

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
# Refusals of the moment, not of what was sent.
_TRANSIENT = frozenset({408, 425})
_SECONDS = re.compile(r"\s*([0-9]{1,9})")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")


def decoded(body: bytes, kind: type[_T]) -> _T | None:
    """The JSON body as a value of this type; None if it is anything else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def sanitized(text: str) -> str:
    """Text of somebody else's, fit to be kept: one line, storable everywhere, bounded."""
    return _UNPRINTABLE.sub(" ", text).strip()[:MAX_REASON]


def pause_or_retry(answer: HttpResponse, said: str = "") -> Paused | TryLater:
    """The meaning of an answer from which nothing follows for the events, whatever it said."""
    reason = sanitized(": ".join(filter(None, (f"HTTP {answer.status}", said))))
    if answer.status in _DENIED:
        known = _DENIED[answer.status]
        return Paused(reason if said else f"{reason}: {known}", is_credentials=True)
    if answer.status == _THROTTLED:
        return Paused(reason, seconds=retry_after(answer))
    return TryLater(reason)


def is_refusal(status: int) -> bool:
    """Whether the status blames what was sent, not the account and not the moment."""
    return 400 <= status < 500 and status not in (*_DENIED, _THROTTLED, *_TRANSIENT)


def refusal_of(answer: HttpResponse, said: str, count: int) -> BatchRefused | TryLater:
    """The meaning of a refusal of `count` events as one.

    Without words of the destination's own it may come from anybody on the way. Several events
    are then still worth splitting, which settles none; one that is alone waits.
    """
    reason = sanitized(f"HTTP {answer.status}: {said or 'refusal_of without a readable reason'}")
    return BatchRefused(reason) if said or count > 1 else TryLater(reason)


def retry_after(answer: HttpResponse) -> int | None:
    """The wait the answer asks for, in seconds from now.

    Pinterest documents no Retry-After; its X-RateLimit-Reset was seen to hold seconds from now.
    """
    for name in ("Retry-After", "X-RateLimit-Reset"):
        found = _SECONDS.match(answer.headers.get(name, ""))
        if found:
            return int(found[1])
    return None
