"""The file of what an import refused: each record with its line and the reason, to be mended.

It holds what the imported file held, in clear text, so that nobody but its owner may read it. It
can be imported itself.
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

_OUR_OWN = (REFUSED_LINE, REFUSED_REASON)


class RejectsFile:
    """Written beside its final name, and put there in the end; not at all if nothing is refused.

    Only then its `path` is known, and `held` is how many it holds.
    """

    def __init__(self, beside: Path) -> None:
        self._beside = beside
        self._part: Path | None = None
        self._final = beside
        self._out: io.TextIOWrapper | None = None
        self._header: tuple[str, ...] = ()
        self.path: Path | None = None
        self.held = 0

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
        except OSError as fault:
            self._part.unlink(missing_ok=True)
            raise OSError(fault.errno, fault.strerror, str(self._part)) from None

    def add(self, source: ImportSource, refused: RejectedRecord) -> None:
        """Write down what was refused and why.

        Raises:
            OSError: it cannot be written.
        """
        out = self._out or self._opened(source)
        self.held += 1
        for record in refused.records:
            if source.kind == "CSV":
                told = (value for value, _ in self._own(source, record.cells))
                cells = [str(record.line), refused.reason, *told]
                csv.writer(out, lineterminator="\n").writerow([c.replace("\0", "") for c in cells])
            else:
                head = {REFUSED_LINE: record.line, REFUSED_REASON: refused.reason}
                out.write(msgspec.json.encode(head | _tree(record.cells[0])).decode() + "\n")

    def _opened(self, source: ImportSource) -> io.TextIOWrapper:
        ending = "csv" if source.kind == "CSV" else "jsonl"
        # One of an earlier time may be just what somebody is mending.
        endings = (f"refused.{ending}" if n == 1 else f"refused.{n}.{ending}" for n in count(1))
        paths = (self._beside.with_name(f"{self._beside.name}.{one}") for one in endings)
        self._final = next(path for path in paths if not path.exists())
        self._part = self._final.with_name(f"{self._final.name}.part")
        self._part.unlink(missing_ok=True)
        number = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._out = io.TextIOWrapper(os.fdopen(number, "wb"), "utf-8", newline="")
        if source.kind == "CSV":
            names = [name for _, name in self._own(source, source.header)]
            csv.writer(self._out, lineterminator="\n").writerow([*_OUR_OWN, *names])
        return self._out

    def _own(self, source: ImportSource, cells: Any) -> list[tuple[str, str]]:
        """The cells without those that an earlier import added, with the names of their columns."""
        names = [*source.header, *[""] * (len(cells) - len(source.header))]
        return [(c, n) for c, n in zip(cells, names, strict=False) if n.lower() not in _OUR_OWN]


def _tree(text: str) -> dict[str, Any]:
    """What a line says; of one that cannot be read, the line."""
    try:
        tree = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        return {"refused_text": text.rstrip("\r\n")}
    return {name: value for name, value in tree.items() if name not in _OUR_OWN}
