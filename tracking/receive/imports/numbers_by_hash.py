"""Numbers by the hashes of texts, in a tenth of the memory of a dict."""

from array import array

_MOST = 250_000
# Half of the slots stay empty, so that each number is found soon.
_SLOTS = 2**19


class NumbersByHash:
    """Numbers by hashes, of which 0 is none. Once it `is_full`, others belong into another one."""

    def __init__(self) -> None:
        self._count = 0
        self._hashes = array("q", bytes(8 * _SLOTS))
        self._numbers = array("I", bytes(4 * _SLOTS))

    @property
    def is_full(self) -> bool:
        """Returns True if it holds as many as are found soon."""
        return self._count >= _MOST

    def get(self, hashed: int) -> int:
        """Returns the number, 0 if there is none."""
        return self._numbers[self._slot(hashed)]

    def put(self, hashed: int, number: int) -> None:
        """Stores the number."""
        slot = self._slot(hashed)
        self._count += not self._numbers[slot]
        self._hashes[slot], self._numbers[slot] = hashed, number

    def _slot(self, hashed: int) -> int:
        hashes, numbers = self._hashes, self._numbers
        slot = hashed % _SLOTS
        while numbers[slot] and hashes[slot] != hashed:
            slot = (slot + 1) % _SLOTS
        return slot
