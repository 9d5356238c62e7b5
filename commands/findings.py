"""A finding, which is one line of what doctor prints."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One line of output: its mark ("ok", "note" or "FAIL"), its subject and its text."""

    mark: str
    subject: str
    text: str

    @property
    def is_failure(self) -> bool:
        return self.mark == "FAIL"
