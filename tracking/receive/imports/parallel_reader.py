"""A file read block by block: here, or faster by several processes, each of which reads a share."""

import gc
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import msgspec

from tracking.domain.order import Order
from tracking.receive.imports.file_reader import BLOCK, ImportSource, Share, UnreadableFile
from tracking.receive.imports.records import RejectedRecord, is_each_by_itself
from tracking.receive.server_events import EventRow

# What is made of a reading. Of None it is only known that there was one.
Entry = EventRow | Order | RejectedRecord | None

# Below it the processes cost more than they save.
_LARGE = 1024 * 1024
# More readers than this wait for the one that stores.
_MOST_READERS = 4


class Block(NamedTuple):
    """Readings that follow one another: how many, up to which byte of the file they go, and what
    was made of them. The last block tells the `end`: "", or why the rest cannot be read."""

    read: int
    position: int
    entries: Sequence[Entry]
    end: str | None


_encode = msgspec.msgpack.Encoder().encode
# An order never leaves the process that read it.
_decode = msgspec.msgpack.Decoder(
    tuple[int, int, list[EventRow | RejectedRecord], str | None]
).decode


def blocks_of(
    source: ImportSource, entries_of: Callable[[ImportSource], Iterator[Entry]], readers: int
) -> Iterator[Block]:
    """Everything that is made of a file, in its order.

    Args:
        readers: how many processes may read it, if it is large. None of them writes.
    """
    if readers and source.path and source.size >= _LARGE and is_each_by_itself(source):
        return _apart(source.path, entries_of, min(readers, _MOST_READERS))
    return _here(source, entries_of)


def _here(
    source: ImportSource, entries_of: Callable[[ImportSource], Iterator[Entry]]
) -> Iterator[Block]:
    entries = entries_of(source)
    end: str | None = None
    while end is None:
        read: list[Entry] = []
        try:
            for entry in islice(entries, BLOCK):
                read.append(entry)
            if len(read) < BLOCK:
                end = ""
        except UnreadableFile as error:
            end = str(error)
        yield Block(len(read), source.position, [one for one in read if one is not None], end)


def _apart(
    file: Path, entries_of: Callable[[ImportSource], Iterator[Entry]], readers: int
) -> Iterator[Block]:
    # Forked, since each would import for longer than it reads. Nothing was stored yet, so that
    # there is neither a thread nor a connection to a database that could be torn in two.
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    processes = []
    try:
        for number in range(readers):
            mine, theirs = context.Pipe(duplex=False)
            pipes.append(mine)
            share = Share(number, readers)
            process = context.Process(
                target=_send, args=(file, share, entries_of, theirs, pipes), daemon=True
            )
            processes.append(process)
            process.start()
            theirs.close()
        yield from _merged(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.terminate()
            process.join()


def _merged(pipes: Sequence[Connection]) -> Iterator[Block]:
    """The shares in the order of the file: each reader has every so-manieth block, and the first
    that comes to an end is the one whose turn it would have been."""
    for pipe in cycle(pipes):
        try:
            block = Block(*_decode(pipe.recv_bytes()))
        except (EOFError, OSError):
            raise UnreadableFile("a process that read the file was stopped; start again") from None
        yield block
        if block.end is not None:
            return


def _send(
    file: Path,
    share: Share,
    entries_of: Callable[[ImportSource], Iterator[Entry]],
    out: Connection,
    not_ours: Sequence[Connection],
) -> None:
    # Whoever stores ends the import, and with it the pipes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What the command does at these is not for a reader, which has nothing to clean up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for pipe in not_ours:
        pipe.close()
    # Nothing that is read refers to itself; looking for what does takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(100_000)
    with suppress(BrokenPipeError), file.open("rb") as raw:
        for block in _here(ImportSource(raw, file, share), entries_of):
            out.send_bytes(_encode(block))
