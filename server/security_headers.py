"""The response headers that keep browsers from misusing an answer.

Strict-Transport-Security is not among them: it holds for a whole host name, and so belongs to the
proxy that holds the certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)


def with_security_headers(app: WSGIApplication) -> WSGIApplication:
    """Returns the application with these headers on every answer.

    A header that the answer already has keeps its value.
    """

    def with_headers(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            present = {name.lower() for name, _ in headers}
            more = [header for header in HEADERS if header[0].lower() not in present]
            return start_response(status, [*headers, *more], *rest)

        return app(environ, start)

    return with_headers
