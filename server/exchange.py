"""One request and its answer, be it given at once or later."""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gunicorn.http import wsgi

from server.connection import Client
from server.deferred import DEFERRED

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Exchange:
    """What the application is asked, and what it answers."""

    def __init__(self, cfg: Any, log: Any, req: Any, client: Client) -> None:
        self._log = log
        self._req = req
        self._began = time.monotonic()
        self.response, self.environ = wsgi.create(
            req, client.sock, client.client, client.server, cfg
        )
        self.environ["wsgi.multithread"] = True
        self.client = client

    def run(self, app: "WSGIApplication", *, is_last: bool) -> bool:
        """Have an application answer; whether it did, or will later. Nothing more is taken from
        the client if this `is_last`."""
        pieces = app(self.environ, self.response.start_response)
        if pieces is DEFERRED:
            return False
        # It may have come to that while the application was busy.
        if is_last:
            self.response.force_close()
        self._write(pieces)
        return True

    @property
    def has_sent_headers(self) -> bool:
        """Whether a part of the answer is on its way."""
        return bool(self.response.headers_sent)

    @property
    def keeps_alive(self) -> bool:
        """Whether the client was told that it may go on."""
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
