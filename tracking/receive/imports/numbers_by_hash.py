"""Numbers by the hashes of texts, in a tenth of the memory of a dict."""

from array import array

# Of so many rows and orders, and up to as many more, it is known that they are no longer held, to
# notice a row that comes late. Half of the slots for them stay empty, so that each is found soon.
REMEMBERED = 250_000
_SLOTS = 2**19


class NumbersByHash:
    """Numbers by the hashes of texts, in a tenth of the memory of a dict. It holds `REMEMBERED` of
    them; 0 is no number."""

    def __init__(self) -> None:
        self.count = 0
        self._hashes = array("q", bytes(8 * _SLOTS))
        self._numbers = array("I", bytes(4 * _SLOTS))

    def get(self, hashed: int) -> int:
        """Returns the number, 0 if there is none."""
        return self._numbers[self._slot(hashed)]

    def put(self, hashed: int, number: int) -> None:
        """Stores the number."""
        slot = self._slot(hashed)
        self.count += not self._numbers[slot]
        self._hashes[slot], self._numbers[slot] = hashed, number

    def _slot(self, hashed: int) -> int:
        hashes, numbers = self._hashes, self._numbers
        slot = hashed % _SLOTS
        while numbers[slot] and hashes[slot] != hashed:
            slot = (slot + 1) % _SLOTS
        return slot
