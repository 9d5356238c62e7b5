"""The id of the request that a thread serves, which its log lines and its problem share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_current: ContextVar[str] = ContextVar("request_id", default="")


def new() -> str:
    """Returns an id that no other request has."""
    return uuid.uuid4().hex


def current() -> str:
    """Returns the id of the request that this thread serves; "" if it serves none."""
    return _current.get()


@contextmanager
def serving(request_id: str) -> Iterator[None]:
    """Has this thread serve the request of this id meanwhile."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)


def with_request_ids(app: WSGIApplication) -> WSGIApplication:
    """Returns the application with an id for each request that its server has given none."""

    def with_id(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if current():
            return app(environ, start_response)
        with serving(new()):
            return app(environ, start_response)

    return with_id
