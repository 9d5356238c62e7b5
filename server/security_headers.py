"""The headers that keep browsers from misusing an answer: every answer has them.

Strict-Transport-Security is not among them: it speaks for a whole host name, and so belongs to the
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


def hardened(app: WSGIApplication) -> WSGIApplication:
    """Every answer of the application, whoever made it, with those headers.

    One that the answer has already stays as it is.
    """

    def harden(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            given = {name.lower() for name, _ in headers}
            more = [header for header in HEADERS if header[0].lower() not in given]
            return start_response(status, [*headers, *more], *rest)

        return app(environ, start)

    return harden
