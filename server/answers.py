"""Answers without Flask: WSGI applications for what is answered by the thousand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from server.deferred import DEFERRED
from server.security_headers import HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

JSON = ("Content-Type", "application/json")


def json_answer(status: str, content: object) -> WSGIApplication:
    """Returns an answer with JSON text in it, and the security headers."""
    body = msgspec.json.encode(content)
    headers = [JSON, ("Content-Length", str(len(body))), *HEADERS]

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, headers)
        return [body]

    return respond


def with_more_headers(app: WSGIApplication, more: Sequence[tuple[str, str]]) -> WSGIApplication:
    """Returns the application with these headers on every answer, which has none of them."""

    def with_headers(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *more], *rest)

        return app(environ, start)

    return with_headers


def answer_follows(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers later, as the server has allowed for this request."""
    return DEFERRED
