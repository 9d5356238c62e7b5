"""Reader of an import file: CSV or JSON lines, plain or gzip, recognized by its content.

It reads record by record without interpreting them. Only one line is held in memory, so the size
of the file does not matter.
"""

import codecs
import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

from tracking.domain.spreadsheet import separator_named_by

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Magic bytes of formats that people mistake for CSV.
_NOT_TEXT = {
    b"PK": "a ZIP archive or an Excel workbook: unpack it, or save it as CSV",
    b"SQLite": "a SQLite database",
}
_SEPARATORS = (",", ";", "\t", "|")
# Longer than any order or event, and short enough to hold in memory.
MAX_LINE = 1024 * 1024
MAX_CELL = csv.field_size_limit()
MAX_COLUMNS = 2000
# Records per block. Several processes read alternate blocks of a file.
BLOCK_SIZE = 100

Kind = Literal["CSV", "JSON lines"]


class UnreadableFile(Exception):
    """The file, or the rest of it, cannot be read. The message names the line."""


class Record(NamedTuple):
    """A row or a line, and the number of the line it begins on.

    `cells` are those of a row, or the one text of a line. With an `error` it cannot be used.
    """

    line: int
    cells: Sequence[str]
    error: str = ""


class Share(NamedTuple):
    """The blocks of records whose number modulo `of` is `number`."""

    number: int = 0
    of: int = 1


_WHOLE = Share()


class ImportSource:
    """An open file, whose records can be iterated over once.

    Raises:
        UnreadableFile: it is neither CSV nor JSON lines, or its header is wrong.
    """

    def __init__(self, raw: BinaryIO, path: Path | None = None, share: Share = _WHOLE) -> None:
        """Reads the header. Other processes open the file at `path` to read other shares."""
        self.path = path
        self._raw = raw
        self._share = share
        self._lines = _BoundedLines(_decompressed(raw))
        first = self._next_line()
        self._separator = separator_named_by(first)
        if self._separator:
            first = self._next_line()
        if not first:
            raise UnreadableFile("the file is empty")
        if first.lstrip().startswith("["):
            raise UnreadableFile(
                f"line {self._lines.number}: a JSON list: write one object a line, without commas"
            )
        self._first = first
        self.kind: Kind = "JSON lines" if first.lstrip().startswith("{") else "CSV"
        self._first_line_number = self._lines.number
        # After a row that is too long, the next one cannot be found: a quote may be open.
        self._lines.skips_long = self.kind == "JSON lines"
        self.header: tuple[str, ...] = ()
        if self.kind == "CSV":
            self._rows = self._csv_reader()
            self.header = self._header()

    def __iter__(self) -> Iterator[Record]:
        """The records after the header.

        Raises:
            UnreadableFile: the rest of the file cannot be split into records.
        """
        records = self._csv_records() if self.kind == "CSV" else self._json_records()
        number, of = self._share
        if of == 1:
            return records
        return (record for n, record in enumerate(records) if n // BLOCK_SIZE % of == number)

    @property
    def position(self) -> int:
        """Bytes of the file read so far, 0 if the file has no position."""
        return self._raw.tell() if self._raw.seekable() else 0

    @property
    def size(self) -> int:
        """Bytes of the file, 0 if it is not a file on a disk."""
        try:
            return os.fstat(self._raw.fileno()).st_size if self._raw.seekable() else 0
        except OSError:
            return 0

    def _next_line(self) -> str:
        return next((line for line in self._lines if line.strip()), "")

    def _csv_reader(self) -> Iterator[list[str]]:
        separator = self._separator or max(
            _SEPARATORS, key=lambda separator: len(_split(self._first, separator))
        )
        return csv.reader(chain([self._first], self._lines), delimiter=separator, strict=True)

    def _header(self) -> tuple[str, ...]:
        try:
            names = tuple(name.strip() for name in next(self._rows))
        except csv.Error as error:
            raise UnreadableFile(f"line {self._first_line_number}: {_csv_message(error)}") from None
        if message := self._lines.error:
            raise UnreadableFile(f"line {self._first_line_number}: {message}")
        if len(names) > MAX_COLUMNS:
            raise UnreadableFile(f"line {self._first_line_number}: more than {MAX_COLUMNS} columns")
        number_of: dict[str, int] = {}
        for n, name in enumerate(names, 1):
            if not name:
                raise UnreadableFile(f"line {self._first_line_number}: column {n} has no name")
            if name.lower() in number_of:
                both = f"columns {number_of[name.lower()]} and {n}"
                raise UnreadableFile(
                    f"line {self._first_line_number}: {both} are both named {quoted(name)}"
                )
            number_of[name.lower()] = n
        return names

    def _csv_records(self) -> Iterator[Record]:
        width = len(self.header)
        while True:
            line = self._lines.number + 1
            self._lines.error = ""
            try:
                cells = next(self._rows, None)
            except csv.Error as error:
                raise UnreadableFile(
                    f"line {line}: {_csv_message(error)}; nothing after it was read"
                ) from None
            if cells is None:
                return
            if not cells:
                continue
            message = self._lines.error
            if not message and len(cells) != width:
                message = f"{len(cells)} columns, and the header has {width}"
            yield Record(line, cells, message)

    def _json_records(self) -> Iterator[Record]:
        error, self._lines.error = self._lines.error, ""
        yield Record(self._first_line_number, [self._first], error)
        for text in self._lines:
            error, self._lines.error = self._lines.error, ""
            if error or text.strip():
                yield Record(self._lines.number, [text], error)


class _BoundedLines:
    """Iterates over the lines of a file as text, each of a bounded length.

    A line that is not UTF-8 or holds NUL sets `error`. A line that is too long ends the file, or
    with `skips_long` is replaced by an empty text and sets `error`.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.number = 0
        self.error = ""
        self.skips_long = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read()
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_LINE:
            message = f"longer than {MAX_LINE} bytes"
            if not self.skips_long:
                raise UnreadableFile(f"line {self.number}: {message}")
            self.error = message
            while line and not line.endswith(b"\n"):
                line = self._read()
            return ""
        if self.number == 1:
            line = line.removeprefix(_BOM)
        if b"\0" in line:
            self.error = f"line {self.number} holds a NUL byte"
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self.error = (
                f"not UTF-8: byte 0x{line[error.start]:02X} at position {error.start + 1} of line"
                f" {self.number}; save the file as UTF-8"
            )
            return line.decode(errors="replace")

    def _read(self) -> bytes:
        try:
            return self._raw.readline(MAX_LINE + 1)
        except UnicodeError as error:
            raise UnreadableFile(f"after line {self.number}: not UTF-16: {error}") from None
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(
                f"after line {self.number}: {str(error) or type(error).__name__}; the rest is lost"
            ) from None


def quoted(name: str) -> str:
    """A name from the file in quotes: short, and without control characters."""
    clean = "".join(char if char.isprintable() else "?" for char in name[:60])
    return f'"{clean}{"…" if len(name) > 60 else ""}"'


def _decompressed(raw: BinaryIO) -> BinaryIO:
    buffered = raw if isinstance(raw, io.BufferedReader) else _buffered(raw)
    start = buffered.peek(8)
    for magic, what in _NOT_TEXT.items():
        if start.startswith(magic):
            raise UnreadableFile(f"this is {what}")
    if start.startswith(_GZIP):
        return _in_utf_8(io.BufferedReader(gzip.GzipFile(fileobj=buffered)))
    return _in_utf_8(buffered)


def _in_utf_8(buffered: io.BufferedReader) -> BinaryIO:
    try:
        start = buffered.peek(2)[:2]
    except (OSError, EOFError, zlib.error):
        # The first line is read next, with the error's message.
        return buffered
    return io.BufferedReader(_Utf16File(buffered)) if start in _UTF_16 else buffered


class _Utf16File(io.RawIOBase):
    """A file in UTF-16 with a byte order mark, read as UTF-8. Excel saves "Unicode text" so."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer; returns how many bytes it holds, 0 at the end of the file."""
        is_end = False
        while not self._rest and not is_end:
            chunk = self._raw.read(io.DEFAULT_BUFFER_SIZE)
            is_end = not chunk
            # Half of a surrogate pair is told by the line's own check.
            text = self._decoder.decode(chunk, final=is_end)
            self._rest = text.encode("utf-8", "surrogatepass")
        size = min(len(self._rest), len(buffer))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _buffered(raw: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, raw))


def _split(line: str, separator: str) -> Sequence[str]:
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:
        return ()


_CSV_MESSAGES: dict[str, str] = {
    "unexpected end of data": "a quote is opened and never closed",
    "field larger than field limit": f"a cell of more than {MAX_CELL} characters: is a quote"
    " opened and never closed?",
}


def _csv_message(error: csv.Error) -> str:
    text = str(error)
    return next((message for part, message in _CSV_MESSAGES.items() if part in text), text)
