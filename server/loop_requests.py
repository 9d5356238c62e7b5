"""The requests that the main loop serves itself, since the application never waits in them."""

from collections.abc import Iterable

# A longer body takes long to parse, and everything else would wait for it.
LONGEST = 64 * 1024
_LONGEST_PATH = 200


class LoopRequests:
    """Whole requests with a short body that POST to one of these paths, written in the usual way.

    A path that is written in another way means the same, but is served by a thread.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._begins = frozenset(f"POST {path}".encode() for path in paths)

    def include(self, request: bytes | bytearray) -> bool:
        """Returns True if a request, as it arrived, is one of them."""
        end = request.find(b" HTTP/1.", 0, _LONGEST_PATH)
        return len(request) <= LONGEST and bytes(request[: max(end, 0)]) in self._begins
