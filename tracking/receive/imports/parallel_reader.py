"""Reading of a file block by block, in this process or, for large files, in several."""

import gc
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import msgspec

from tracking.domain.order import Order
from tracking.receive.imports.file_reader import BLOCK_SIZE, ImportSource, Share, UnreadableFile
from tracking.receive.imports.records import RejectedRecord, is_of_orders
from tracking.receive.imports.row_groups import EventRow

# Result of one parsed record. None stands for a record of which only the count matters.
Entry = EventRow | Order | RejectedRecord | None

# Below this size (bytes) the processes cost more time than they save.
_LARGE_FILE = 1024 * 1024
# More readers would wait for the process that stores.
_MAX_READERS = 4


class Block(NamedTuple):
    """Consecutive records: their number, the file position after them (bytes), their entries.

    The last block has an `end`: "", or the reason why the rest of the file cannot be read.
    """

    read: int
    position: int
    entries: Sequence[Entry]
    end: str | None


_encode = msgspec.msgpack.Encoder().encode
# An order never leaves the process that read it.
_decode = msgspec.msgpack.Decoder(
    tuple[int, int, list[EventRow | RejectedRecord], str | None]
).decode


@contextmanager
def rare_collections() -> Iterator[None]:
    """Lets Python look for reference cycles less often: records hold none, and the search among
    all of them would take a fifth of the time."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def blocks_of(
    source: ImportSource, entries_of: Callable[[ImportSource], Iterator[Entry]], readers: int
) -> Generator[Block, None, None]:
    """Iterates over the entries of a file in blocks, in the order of the file.

    Args:
        readers: number of processes that may read the file if it is large. They only read.
    """
    if readers and source.path and source.size >= _LARGE_FILE and not is_of_orders(source):
        return _read_in_processes(source.path, entries_of, min(readers, _MAX_READERS))
    return _read_blocks(source, entries_of)


def _read_blocks(
    source: ImportSource, entries_of: Callable[[ImportSource], Iterator[Entry]]
) -> Generator[Block, None, None]:
    entries = entries_of(source)
    end: str | None = None
    while end is None:
        read: list[Entry] = []
        try:
            for entry in islice(entries, BLOCK_SIZE):
                read.append(entry)
            if len(read) < BLOCK_SIZE:
                end = ""
        except UnreadableFile as error:
            end = str(error)
        yield Block(len(read), source.position, [entry for entry in read if entry is not None], end)


def _read_in_processes(
    file: Path, entries_of: Callable[[ImportSource], Iterator[Entry]], readers: int
) -> Generator[Block, None, None]:
    # Forked, since importing the modules would take longer than reading. Nothing was stored yet, so
    # there is neither a thread nor a database connection that a fork could break.
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    processes = []
    try:
        for number in range(readers):
            receiver, sender = context.Pipe(duplex=False)
            pipes.append(receiver)
            share = Share(number, readers)
            process = context.Process(
                target=_send_blocks, args=(file, share, entries_of, sender, pipes), daemon=True
            )
            processes.append(process)
            process.start()
            sender.close()
        yield from _merge(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.terminate()
            process.join()


def _merge(pipes: Sequence[Connection]) -> Iterator[Block]:
    """Iterates over the blocks in the order of the file.

    The readers' blocks alternate, so the first reader that ends marks the end of the file.
    """
    for pipe in cycle(pipes):
        try:
            block = Block(*_decode(pipe.recv_bytes()))
        except (EOFError, OSError):
            raise UnreadableFile("a process that read the file was stopped; start again") from None
        yield block
        if block.end is not None:
            return


def _send_blocks(
    file: Path,
    share: Share,
    entries_of: Callable[[ImportSource], Iterator[Entry]],
    pipe_out: Connection,
    other_pipes: Sequence[Connection],
) -> None:
    # The storing process handles Ctrl-C and closes the pipes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The command's handlers clean up, and a reader has nothing to clean up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for pipe in other_pipes:
        pipe.close()
    with rare_collections(), suppress(BrokenPipeError), file.open("rb") as raw:
        for block in _read_blocks(ImportSource(raw, file, share), entries_of):
            pipe_out.send_bytes(_encode(block))
