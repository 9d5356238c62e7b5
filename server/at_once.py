"""The requests that the main loop serves itself, since their application waits for nothing."""

from collections.abc import Mapping


class AtOnce:
    """Recognises short POST requests to some paths by their first bytes.

    `longest` is the size of a request, by its path: a longer one takes the time of several others.
    """

    def __init__(self, longest: Mapping[str, int] | None = None) -> None:
        # The whole first line but for the version, so that nothing else begins like it.
        self._longest = {
            f"POST {path} HTTP/1.".encode(): size for path, size in (longest or {}).items()
        }
        self._beginnings = tuple(self._longest)

    def takes(self, request: bytes | bytearray) -> bool:
        """Returns True if a request, as it arrived, is one of these."""
        if not request.startswith(self._beginnings):
            return False
        size = len(request)
        return any(
            size <= longest and request.startswith(beginning)
            for beginning, longest in self._longest.items()
        )
