"""File of the records that an import rejected, each with its line and the reason.

It holds personal data of the imported file in clear text, so only its owner may read it. It can be
imported after the records are corrected.
"""

import csv
import io
import os
from contextlib import closing
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tracking.receive.imports.file_reader import ImportSource
from tracking.receive.imports.records import REFUSED_LINE, REFUSED_REASON, RejectedRecord

_ADDED_COLUMNS = (REFUSED_LINE, REFUSED_REASON)


class RejectsFile:
    """Writes to a temporary name and renames the file at the end; without rejects there is none.

    `path` is set by the renaming, and `written` is the number of rejects.
    """

    def __init__(self, source_path: Path) -> None:
        self._source_path = source_path
        self._part: Path | None = None
        self._final = source_path
        self._out: io.TextIOWrapper | None = None
        self._header: tuple[str, ...] = ()
        self.path: Path | None = None
        self.written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._out is None or self._part is None:
            return
        try:
            with closing(self._out):
                self._out.flush()
                os.fsync(self._out.fileno())
            self.path = self._part.replace(self._final)
        except OSError as write_error:
            self._part.unlink(missing_ok=True)
            raise OSError(write_error.errno, write_error.strerror, str(self._part)) from None

    def add(self, source: ImportSource, rejected: RejectedRecord) -> None:
        """Writes rejected records with their reason.

        Raises:
            OSError: the file cannot be written.
        """
        out = self._out or self._open(source)
        self.written += 1
        for record in rejected.records:
            if source.kind == "CSV":
                original = (value for value, _ in self._original_cells(source, record.cells))
                cells = [str(record.line), rejected.reason, *original]
                writer = csv.writer(out, lineterminator="\n")
                writer.writerow([cell.replace("\0", "") for cell in cells])
            else:
                added = {REFUSED_LINE: record.line, REFUSED_REASON: rejected.reason}
                out.write(msgspec.json.encode(added | _tree(record.cells[0])).decode() + "\n")

    def _open(self, source: ImportSource) -> io.TextIOWrapper:
        ending = "csv" if source.kind == "CSV" else "jsonl"
        # Keep the file of an earlier import: the operator may be correcting it.
        endings = (f"refused.{ending}" if n == 1 else f"refused.{n}.{ending}" for n in count(1))
        paths = (
            self._source_path.with_name(f"{self._source_path.name}.{ending}") for ending in endings
        )
        self._final = next(path for path in paths if not path.exists())
        self._part = self._final.with_name(f"{self._final.name}.part")
        self._part.unlink(missing_ok=True)
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._out = io.TextIOWrapper(os.fdopen(descriptor, "wb"), "utf-8", newline="")
        if source.kind == "CSV":
            names = [name for _, name in self._original_cells(source, source.header)]
            csv.writer(self._out, lineterminator="\n").writerow([*_ADDED_COLUMNS, *names])
        return self._out

    def _original_cells(self, source: ImportSource, cells: Any) -> list[tuple[str, str]]:
        """The cells and their columns, without the columns that an earlier import added."""
        names = [*source.header, *[""] * (len(cells) - len(source.header))]
        return [
            (cell, name)
            for cell, name in zip(cells, names, strict=False)
            if name.lower() not in _ADDED_COLUMNS
        ]


def _tree(text: str) -> dict[str, Any]:
    """The JSON object of a line without added fields; an unreadable line as one field."""
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        return {"refused_text": text.rstrip("\r\n")}
    return {name: value for name, value in tree.items() if name not in _ADDED_COLUMNS}
