"""One request and its answer, which is sent at once or later."""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gunicorn.http import wsgi

from server import request_ids
from server.connection import Client
from server.deferred import DEFERRED

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Exchange:
    """The WSGI environ of a request, and the response to it."""

    def __init__(self, cfg: Any, log: Any, req: Any, client: Client) -> None:
        self._log = log
        self._req = req
        self._began = time.monotonic()
        self.response, self.environ = wsgi.create(
            req, client.sock, client.client, client.server, cfg
        )
        self.environ["wsgi.multithread"] = True
        self.client = client
        self.request_id = request_ids.current()

    def run(self, app: "WSGIApplication", *, is_last: bool) -> bool:
        """Runs an application and writes its answer; returns False if it will answer later.

        The connection is closed after the answer if this `is_last`.
        """
        pieces = app(self.environ, self.response.start_response)
        if pieces is DEFERRED:
            return False
        if is_last:
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
