"""The requests that the main loop serves itself, since their application waits for nothing."""

from collections.abc import Iterable

# A longer one takes the time of several others.
_LONGEST = 64 * 1024


class AtOnce:
    """Recognises short POST requests to some paths by their first bytes."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        # The whole first line but for the version, so that nothing else begins like it.
        self._beginnings = tuple(f"POST {path} HTTP/1.".encode() for path in paths)

    def takes(self, request: bytes | bytearray) -> bool:
        """Returns True if a request, as it arrived, is one of these."""
        return len(request) <= _LONGEST and request.startswith(self._beginnings)
