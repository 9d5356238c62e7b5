"""The id of the request that a thread serves, which its log lines and its problem share."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_current: ContextVar[str] = ContextVar("request_id", default="")


def new() -> str:
    """Returns an id that no other request has. It is no secret: who knows some may guess others."""
    # The system's random numbers would take a call of it, for which other threads wait. A forked
    # process begins a row of its own.
    return f"{random.getrandbits(128):032x}"


def current() -> str:
    """Returns the id of the request that this thread serves; "" if it serves none."""
    return _current.get()


class Serving:
    """A block in which this thread serves the request of an id."""

    __slots__ = ("_request_id", "_token")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._token: Token[str]

    def __enter__(self) -> None:
        self._token = _current.set(self._request_id)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def with_request_ids(app: WSGIApplication) -> WSGIApplication:
    """Returns the application with an id for each request that its server has given none."""

    def with_id(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if current():
            return app(environ, start_response)
        with Serving(new()):
            return app(environ, start_response)

    return with_id
