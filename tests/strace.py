"""What processes did to a SQLite file and its lock, as strace saw it."""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="Debian's strace is not installed"
)

# SQLite's lock for a checkpoint: a byte of the shared memory's file (sqlite.org/walformat.html).
_CHECKPOINT = re.compile(r"-shm>, F_SETLKW?, \{l_type=F_WRLCK, .*l_start=121, l_len=1\}\) += 0")
_LOG_WRITTEN = re.compile(r"pwrite\w*\(\d+<[^>]*-wal>")
_LOCKED = re.compile(r"flock\(\d+<[^>]*\.lock>, LOCK_EX(?:\|LOCK_NB)?\) += 0")
_LET_GO = re.compile(r"flock\(\d+<[^>]*\.lock>, LOCK_UN\)|close\(\d+<[^>]*\.lock>\)")
_BEGUN = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_WHOLE = re.compile(r"(\d+) +(.*)$")


def tracing(record: Path) -> Sequence[str]:
    """The command under which a program's writes and locks are recorded."""
    calls = "trace=flock,fcntl,close,pwrite64,pwritev"
    options = ("-f", "--seccomp-bpf", "-qq", "-y", "-e", calls, "-e", "signal=none")
    return ("strace", *options, "-o", str(record))


class LockTrace:
    """How often the log was written and checkpoints were made, and what of it without the lock."""

    def __init__(self, record: Path) -> None:
        self.log_writes = 0
        self.checkpoints = 0
        self.without_lock: list[str] = []
        holders: set[str] = set()
        for thread, call in _calls(record.read_text("utf-8", "replace").splitlines()):
            if _LOCKED.search(call):
                holders.add(thread)
            elif _LET_GO.search(call):
                holders.discard(thread)
            elif _LOG_WRITTEN.search(call):
                self.log_writes += 1
                self._note(thread, call, holders)
            elif _CHECKPOINT.search(call):
                self.checkpoints += 1
                self._note(thread, call, holders)

    def _note(self, thread: str, call: str, holders: set[str]) -> None:
        if thread not in holders:
            self.without_lock.append(call[:200])


def _calls(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every call with its thread. One that took its time counts from when it was done."""
    begun: dict[str, str] = {}
    for line in lines:
        if found := _BEGUN.match(line):
            begun[found[1]] = found[2]
        elif found := _RESUMED.match(line):
            yield found[1], begun.pop(found[1], "") + found[2]
        elif found := _WHOLE.match(line):
            yield found[1], found[2]
