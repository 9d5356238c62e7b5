"""Finished events of a file that was checked, kept until the whole of it was, to be stored then.

They are what is stored of a file, and no cell of it: of a person's fields they hold digests and,
if an event is sent, the IP address and the user agent, as the database does.
"""

import errno
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

import msgspec

from tracking.receive.imports.file_reader import BLOCK_SIZE, Record
from tracking.receive.imports.numbers_by_hash import NumbersByHash
from tracking.receive.imports.row_groups import EventRow
from tracking.store.engine.disk_guard import DiskGuard

# Bytes that are kept in memory; what is more goes to a file.
_IN_MEMORY = 16_000_000
_BUFFER = 1_000_000
# After so many events it is seen again whether there is room.
_CHECKED_EVERY = 1000
# So many bytes of a visitor id are compared.
_DIGITS = 8

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(EventRow).decode


class CheckedEvents:
    """Events in memory and, if they are many, in a file without a name beside the database, which
    is gone with the process.

    Without a `disk`, or without room on it for the file and for the database to grow as much, they
    are not kept: then the file of the events has to be read again.

    They are stored in the order of their persons, so that a batch of them writes neighbouring
    pages of the trees that begin with a person. Those of one event id or order stay in their order.
    """

    def __init__(self, disk: DiskGuard | None, in_memory: int = _IN_MEMORY) -> None:
        self._disk = disk
        self._in_memory = in_memory
        self._memory: list[bytes] = []
        self._file: IO[bytes] | None = None
        # Of each event, the end of its bytes, and the beginning of the visitor id it is sorted by.
        self._ends = array("Q", [0])
        self._places = array("Q")
        # Each part is sorted by itself, and its first events are known by their ids.
        self._parts = [0]
        self._numbers = NumbersByHash()
        self.position = 0
        self.is_whole = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, row: EventRow, position: int) -> None:
        """Adds an event without its cells; `position` is that of the file (bytes) by now."""
        self.position = position
        if self.is_whole:
            records = [Record(record.line, ()) for record in row.records]
            bare = EventRow(records, row.event_id, row.order_id, row.prepared, row.left_out)
            try:
                self._write(_encode(bare))
            except OSError:
                self.discard()
            else:
                self._add_place(row)

    def finish(self) -> None:
        """Writes what is left to write, once all were added."""
        try:
            if self.is_whole and self._file is not None:
                self._file.flush()
        except OSError:
            self.discard()

    def discard(self) -> None:
        """Removes all of them: they are not wanted, or cannot be kept."""
        self.is_whole = False
        self._memory = []
        self._close()

    def blocks(self) -> Iterator[tuple[int, Sequence[EventRow]]]:
        """Iterates over the events in the order in which to store them, as many together as a block
        holds, with the position in the file (bytes) if that were its order.

        Raises:
            OSError: the disk cannot be read.
        """
        count, done = len(self._places), 0
        for first, end in pairwise([*self._parts, count]):
            order = sorted(range(first, end), key=self._places.__getitem__)
            for n in range(0, len(order), BLOCK_SIZE):
                rows = [self._row(number) for number in order[n : n + BLOCK_SIZE]]
                done += len(rows)
                yield self.position * done // count, rows

    def _close(self) -> None:
        if self._file is not None:
            # It writes what is buffered, for which there may be no room; nobody wants it any more.
            with suppress(OSError):
                self._file.close()

    def _row(self, number: int) -> EventRow:
        if self._file is None:
            return _decode(self._memory[number])
        start, end = self._ends[number], self._ends[number + 1]
        return _decode(os.pread(self._file.fileno(), end - start, start))

    def _write(self, row: bytes) -> None:
        """Writes an event behind the others.

        Raises:
            OSError: it cannot be written, or there is no room.
        """
        end = self._ends[-1] + len(row)
        if self._file is None and end > self._in_memory:
            self._open(end)
        if self._file is None:
            self._memory.append(row)
        else:
            if not len(self._places) % _CHECKED_EVERY:
                self._check_room(end, self._ends[-1])
            self._file.write(row)
        self._ends.append(end)

    def _open(self, size: int) -> None:
        folder = self._check_room(size)
        # Only its owner may read it.
        self._file = TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
        self._file.writelines(self._memory)
        self._memory = []

    def _check_room(self, size: int, written: int = 0) -> Path:
        """Returns the folder for the file.

        Raises:
            OSError: there is no room for so many bytes, of which some are `written`, and as many by
                which the database is going to grow.
        """
        if self._disk is None or not self._disk.has_room_for(2 * size - written):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._disk.folder

    def _add_place(self, row: EventRow) -> None:
        hashes = [hash(name) for name in (row.event_id, row.order_id) if name]
        known = [self._numbers.get(hashed) for hashed in hashes]
        first = next(filter(None, known), 0)
        if first:
            self._places.append(self._places[first - 1])
        else:
            visitor = row.prepared.visitor if row.prepared else ""
            self._places.append(int.from_bytes(visitor.encode()[:_DIGITS].ljust(_DIGITS), "big"))
        number = len(self._places)
        for hashed, found in zip(hashes, known, strict=True):
            if not found:
                self._numbers.put(hashed, number)
        if self._numbers.is_full:
            self._numbers = NumbersByHash()
            self._parts.append(number)
