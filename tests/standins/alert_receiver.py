"""A receiver of alerts: a real HTTP server that apprise's json:// posts to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PATIENCE = 20


class AlertReceiver:
    """Keeps what it is told. It answers with `status`, once it is not `held` any more."""

    def __init__(self) -> None:
        self.status = 200
        self.told: list[dict[str, Any]] = []
        self.asked = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked.set()
                receiver._go_on.wait(PATIENCE)
                if receiver.status == 200:
                    receiver.told.append(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Nobody may wait for a client that went away.
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Its address for ALERT_URLS, with a secret in it."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/secret-of-the-receiver"

    @property
    def titles(self) -> list[str]:
        """The titles of what it was told."""
        return [message["title"] for message in self.told]

    def hold(self) -> None:
        """Let the next callers wait for their answers."""
        self.asked.clear()
        self._go_on.clear()

    def go_on(self) -> None:
        """Answer whoever waits."""
        self._go_on.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on()
        self._server.shutdown()
        self._server.server_close()
