"""A file to import, read record by record: CSV or JSON lines, plain or gzip, told by its content.

What a record holds is not looked at here. Nothing of a file is kept, so its size does not matter.
"""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
# Beginnings of what people take for a CSV file.
_NOT_TEXT = {
    b"PK": "a ZIP archive or an Excel workbook: unpack it, or save it as CSV",
    b"\xff\xfe": "UTF-16: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
    b"SQLite": "a SQLite database",
}
_SEPARATORS = (",", ";", "\t", "|")
# Longer than any order or event, and short enough to be held in memory.
LONGEST_LINE = 1024 * 1024
LONGEST_CELL = csv.field_size_limit()
MOST_COLUMNS = 2000
# Records that stay together when several read shares of a file.
BLOCK = 100

Kind = Literal["CSV", "JSON lines"]


class UnreadableFile(Exception):
    """The file, or the rest of it, cannot be read. The message names the line."""


class Record(NamedTuple):
    """A row or a line with the number of the line it begins on. With a `fault` it is not to be
    used; its `cells` are those of a row, or the one text of a line."""

    line: int
    cells: Sequence[str]
    fault: str = ""


class Share(NamedTuple):
    """Every so-manieth block of records, of `of`."""

    number: int = 0
    of: int = 1


_WHOLE = Share()


class ImportSource:
    """A file whose kind is known by its beginning; each record of a share is read once.

    Raises:
        UnreadableFile: it is neither CSV nor JSON lines, or its header is wrong.
    """

    def __init__(self, raw: BinaryIO, path: Path | None = None, share: Share = _WHOLE) -> None:
        """With a `path` it may be opened again there, by somebody who reads another share."""
        self.path = path
        self._raw = raw
        self._share = share
        self._lines = _BoundedLines(_unpacked(raw))
        first = next((line for line in self._lines if line.strip()), "")
        if not first:
            raise UnreadableFile("the file is empty")
        if first.lstrip().startswith("["):
            raise UnreadableFile(
                f"line {self._lines.number}: a JSON list: write one object a line, without commas"
            )
        self._first = first
        self.kind: Kind = "JSON lines" if first.lstrip().startswith("{") else "CSV"
        self._begins = self._lines.number
        # Of rows nobody knows where the next one begins: a quote may be open.
        self._lines.skips_long = self.kind == "JSON lines"
        self.header: tuple[str, ...] = ()
        if self.kind == "CSV":
            self._rows = self._opened()
            self.header = self._header()

    def __iter__(self) -> Iterator[Record]:
        """The records after the header.

        Raises:
            UnreadableFile: what follows cannot be told apart.
        """
        records = self._csv() if self.kind == "CSV" else self._json()
        number, of = self._share
        if of == 1:
            return records
        return (r for n, r in enumerate(records) if n // BLOCK % of == number)

    @property
    def position(self) -> int:
        """How many bytes of the file were read, 0 if it cannot tell."""
        return self._raw.tell() if self._raw.seekable() else 0

    @property
    def size(self) -> int:
        """Bytes of the file, 0 for what is no file on a disk."""
        try:
            return os.fstat(self._raw.fileno()).st_size if self._raw.seekable() else 0
        except OSError:
            return 0

    def _opened(self) -> Iterator[list[str]]:
        separator = max(_SEPARATORS, key=lambda one: len(_split(self._first, one)))
        return csv.reader(chain([self._first], self._lines), delimiter=separator, strict=True)

    def _header(self) -> tuple[str, ...]:
        try:
            names = tuple(name.strip() for name in next(self._rows))
        except csv.Error as error:
            raise UnreadableFile(f"line {self._begins}: {_said(error)}") from None
        if fault := self._lines.fault:
            raise UnreadableFile(f"line {self._begins}: {fault}")
        if len(names) > MOST_COLUMNS:
            raise UnreadableFile(f"line {self._begins}: more than {MOST_COLUMNS} columns")
        seen: dict[str, int] = {}
        for n, name in enumerate(names, 1):
            if not name:
                raise UnreadableFile(f"line {self._begins}: column {n} has no name")
            if name.lower() in seen:
                both = f"columns {seen[name.lower()]} and {n}"
                raise UnreadableFile(f"line {self._begins}: {both} are both named {shown(name)}")
            seen[name.lower()] = n
        return names

    def _csv(self) -> Iterator[Record]:
        width = len(self.header)
        while True:
            line = self._lines.number + 1
            self._lines.fault = ""
            try:
                cells = next(self._rows, None)
            except csv.Error as error:
                raise UnreadableFile(
                    f"line {line}: {_said(error)}; nothing after it was read"
                ) from None
            if cells is None:
                return
            if not cells:
                continue
            fault = self._lines.fault
            if not fault and len(cells) != width:
                fault = f"{len(cells)} columns, and the header has {width}"
            yield Record(line, cells, fault)

    def _json(self) -> Iterator[Record]:
        fault, self._lines.fault = self._lines.fault, ""
        yield Record(self._begins, [self._first], fault)
        for text in self._lines:
            fault, self._lines.fault = self._lines.fault, ""
            if fault or text.strip():
                yield Record(self._lines.number, [text], fault)


class _BoundedLines:
    """Lines as text. A byte that is none of UTF-8's, or NUL, is a `fault` of what is read of it,
    and so is the length of one that is too long, of which nothing is kept where such are skipped.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.number = 0
        self.fault = ""
        self.skips_long = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read()
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > LONGEST_LINE:
            words = f"longer than {LONGEST_LINE} bytes"
            if not self.skips_long:
                raise UnreadableFile(f"line {self.number}: {words}")
            self.fault = words
            while line and not line.endswith(b"\n"):
                line = self._read()
            return ""
        if self.number == 1:
            line = line.removeprefix(_BOM)
        if b"\0" in line:
            self.fault = f"line {self.number} holds a NUL byte"
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self.fault = (
                f"not UTF-8: byte 0x{line[error.start]:02X} at position {error.start + 1} of line"
                f" {self.number}; save the file as UTF-8"
            )
            return line.decode(errors="replace")

    def _read(self) -> bytes:
        try:
            return self._raw.readline(LONGEST_LINE + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(
                f"after line {self.number}: {str(error) or type(error).__name__}; the rest is lost"
            ) from None


def shown(name: str) -> str:
    """A name of the file's own as it may be printed: short, and without what moves the cursor."""
    clean = "".join(char if char.isprintable() else "?" for char in name[:60])
    return f'"{clean}{"…" if len(name) > 60 else ""}"'


def _unpacked(raw: BinaryIO) -> BinaryIO:
    head = raw if isinstance(raw, io.BufferedReader) else _buffered(raw)
    begins = head.peek(8)
    for magic, what in _NOT_TEXT.items():
        if begins.startswith(magic):
            raise UnreadableFile(f"this is {what}")
    if begins.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=head))
    return head


def _buffered(raw: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, raw))


def _split(line: str, separator: str) -> Sequence[str]:
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:
        return ()


_SAYINGS: dict[str, str] = {
    "unexpected end of data": "a quote is opened and never closed",
    "field larger than field limit": f"a cell of more than {LONGEST_CELL} characters: is a quote"
    " opened and never closed?",
}


def _said(error: csv.Error) -> str:
    told = str(error)
    return next((words for part, words in _SAYINGS.items() if part in told), told)
