"""A load balancer in few lines: one connection is one request, and machines take turns."""

import contextlib
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Sequence

from tests.servers import PATIENCE

_CHUNK = 65_536


class Balancer:
    """Passes connections on to ports of this machine. One that is refused goes to the next port;
    one that breaks is broken for the caller too."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._turn = 0
        self._under_way: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="balancer", daemon=True).start()

    def take_out(self, port: int) -> None:
        """Send nobody there any more, and wait until nobody is there."""
        with self._changed:
            self._ports.remove(port)
            assert self._changed.wait_for(lambda: not self._under_way[port], PATIENCE)

    def put_in(self, port: int) -> None:
        """Let it take its turns."""
        with self._changed:
            self._ports.append(port)

    def end(self) -> None:
        """Accept nobody any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller:
            for _ in range(len(self._ports)):
                port = self._next()
                try:
                    with socket.create_connection(("127.0.0.1", port)) as host:
                        _relay(caller, host)
                    return
                except ConnectionRefusedError:
                    continue
                except OSError:
                    return
                finally:
                    self._done(port)

    def _next(self) -> int:
        with self._changed:
            self._turn += 1
            port = self._ports[self._turn % len(self._ports)]
            self._under_way[port] += 1
            return port

    def _done(self, port: int) -> None:
        with self._changed:
            self._under_way[port] -= 1
            self._changed.notify_all()


def _relay(caller: socket.socket, host: socket.socket) -> None:
    """Carry bytes both ways until either hangs up."""
    with selectors.DefaultSelector() as ready:
        ready.register(caller, selectors.EVENT_READ, host)
        ready.register(host, selectors.EVENT_READ, caller)
        while True:
            for key, _ in ready.select():
                found = key.fileobj
                assert isinstance(found, socket.socket)
                data = found.recv(_CHUNK)
                if not data:
                    return
                key.data.sendall(data)
