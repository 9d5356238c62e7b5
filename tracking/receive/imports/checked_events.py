"""Finished events of a file that was checked, kept until the whole of it was, to be stored then.

They are what is stored of a file, so their values are those of the database: digests, and no cell
of the file.
"""

from collections.abc import Iterator, Sequence
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

import msgspec

from tracking.receive.imports.file_reader import BLOCK_SIZE, Record
from tracking.receive.imports.row_groups import EventRow
from tracking.store.engine.disk_guard import DiskGuard

# Bytes that are kept in memory; what is more goes to a file.
_IN_MEMORY = 16_000_000
_LENGTH = 4


class _KeptBlock(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Consecutive events, and the position in the file (bytes) after the last of them."""

    position: int
    rows: list[EventRow]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_KeptBlock).decode


class CheckedEvents:
    """Events in their order, in memory and, if they are many, in a file without a name beside the
    database, which is gone with the process.

    Without a `disk`, or without room on it for the file and for the database to grow as much, they
    are not kept: then the file of the events has to be read again.
    """

    def __init__(self, disk: DiskGuard | None, in_memory: int = _IN_MEMORY) -> None:
        self._disk = disk
        self._in_memory = in_memory
        # Created by its owner alone, as the files of the database may not be read by others either.
        self._file = SpooledTemporaryFile[bytes](in_memory, dir=str(disk.folder) if disk else None)
        self._rows: list[EventRow] = []
        self._size = 0
        self.position = 0
        self.is_whole = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: EventRow, position: int) -> None:
        """Adds an event without its cells; `position` is that of the file (bytes) by now."""
        self.position = position
        if self.is_whole:
            records = [Record(record.line, ()) for record in row.records]
            self._rows.append(
                EventRow(records, row.event_id, row.order_id, row.prepared, row.left_out)
            )
            if len(self._rows) >= BLOCK_SIZE:
                self._write()

    def discard(self) -> None:
        """Removes all of them: they are not wanted, or cannot be kept."""
        self.is_whole = False
        self._rows = []
        self._file.close()

    def blocks(self) -> Iterator[tuple[int, Sequence[EventRow]]]:
        """Iterates once over the events in their order, as many together as a block holds, with the
        position in the file (bytes) after them.

        Raises:
            OSError: the disk cannot be read.
        """
        self._file.seek(0)
        while length := self._file.read(_LENGTH):
            block = _decode(self._file.read(int.from_bytes(length, "big")))
            yield block.position, block.rows
        yield self.position, self._rows

    def _write(self) -> None:
        block = _encode(_KeptBlock(self.position, self._rows))
        self._rows = []
        self._size += _LENGTH + len(block)
        try:
            if self._has_room():
                self._file.write(len(block).to_bytes(_LENGTH, "big"))
                self._file.write(block)
            else:
                self.discard()
        except OSError:
            self.discard()

    def _has_room(self) -> bool:
        if self._size <= self._in_memory:
            return True
        # The database is going to grow by about as much as is kept.
        return self._disk is not None and self._disk.has_room_for(2 * self._size)
