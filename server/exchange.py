"""One request and its answer, which is sent at once or later."""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gunicorn.http import wsgi

from server import request_ids
from server.answers import JSON
from server.connection import Client
from server.deferred import DEFERRED
from server.security_headers import HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# They are valid, and none of them is for a single connection.
_USUAL_HEADERS = frozenset({JSON, *HEADERS})


class _Response(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, which does not check again and again what is in every answer."""

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Takes an application's headers over, but for those of a single connection."""
        others: list[tuple[str, str]] = []
        for header in headers:
            (self.headers if header in _USUAL_HEADERS else others).append(header)
        super().process_headers(others)


class Exchange:
    """The WSGI environ of a request, and the response to it."""

    def __init__(self, cfg: Any, log: Any, req: Any, client: Client) -> None:
        self._log = log
        self._req = req
        self._began = time.monotonic()
        self.response, self.environ = wsgi.create(
            req, client.sock, client.client, client.server, cfg, _Response
        )
        self.environ["wsgi.multithread"] = True
        self.client = client
        self.request_id = request_ids.current()

    def run(self, app: "WSGIApplication", is_last: Callable[[], bool]) -> bool:
        """Runs an application and writes its answer; returns False if it will answer later.

        The connection is closed after the answer if it then `is_last`.
        """
        pieces = app(self.environ, self.response.start_response)
        if pieces is DEFERRED:
            return False
        if is_last():
            self.response.force_close()
        self._write(pieces)
        return True

    @property
    def has_sent_headers(self) -> bool:
        """True once a part of the answer may be on its way to the client."""
        return bool(self.response.headers_sent)

    @property
    def keeps_alive(self) -> bool:
        """True if the answer allows the client to send another request."""
        return not self.response.should_close()

    def _write(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                self.response.write(piece)
            self.response.close()
        finally:
            took = timedelta(seconds=time.monotonic() - self._began)
            self._log.access(self.response, self._req, self.environ, took)
            if hasattr(pieces, "close"):
                pieces.close()
