"""Threads of their own for the requests to one address, so that no other request waits for them."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_to_bytes

from server.request_buffer import MAX_HEAD


class SideThreads(ThreadPoolExecutor):
    """Serves the requests whose address contains a path, in whatever way it is written."""

    def __init__(self, path: bytes, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="side")
        self._path = path

    def takes(self, request: bytes | bytearray) -> bool:
        """Returns True if a request, as it arrived, asks for the path."""
        line = bytes(request[:MAX_HEAD]).lstrip().partition(b"\n")[0]
        address = line.partition(b"?")[0]
        return self._path in (unquote_to_bytes(address) if b"%" in address else address)
