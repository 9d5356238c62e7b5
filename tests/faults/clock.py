"""The time of several processes, which a test pushes about through a file that they share."""

import os
import struct
import time
from pathlib import Path

_OFFSET = struct.Struct("d")
# Taken before anybody puts a pushed clock into its place.
_true_time = time.time


class PushedClock:
    """The time in seconds UTC: the machine's, plus what the file says."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def __call__(self) -> float:
        return _true_time() + self.offset

    @property
    def offset(self) -> float:
        """How far ahead of the machine's clock it is, in seconds."""
        kept = os.pread(self._file, _OFFSET.size, 0)
        seconds: float = _OFFSET.unpack(kept)[0] if kept else 0.0
        return seconds

    @offset.setter
    def offset(self, seconds: float) -> None:
        os.pwrite(self._file, _OFFSET.pack(seconds), 0)

    def tick(self, seconds: float) -> None:
        """Push it on, or back."""
        self.offset += seconds

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
