"""One run of an import: reads a file, stores or tries its events, and prints how it goes."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal

import click

from tracking.receive.event_trials import ReportOnly
from tracking.receive.imports import (
    Counts,
    Importer,
    ImportSource,
    RejectedRecord,
    Stop,
    TrialResult,
    UnreadableFile,
)
from tracking.receive.imports.rejects_file import RejectsFile
from tracking.service import Service
from tracking.store import StoreUnavailable

MOST_SHOWN = 20
STDIN = Path("-")

OnFault = Literal["check", "skip", "stop"]


def import_file(
    service: Service, file: Path, on_fault: OnFault, batch_size: int | None, *, dry_run: bool
) -> None:
    """Take a file of events or orders in, or with `dry_run` only read it.

    Raises:
        click.ClickException: not all of it was taken in; one line says why.
    """
    run = _Run(service, file)
    if dry_run:
        run.check()
        click.echo(f"{_counted(run.counts.read)} read, all of them fit; nothing was stored")
    elif on_fault == "skip":
        run.skip(batch_size)
    elif on_fault == "stop":
        run.stop(batch_size)
    else:
        if not file.is_file():
            what = "standard input" if file == STDIN else "a pipe"
            raise click.UsageError(
                f"{what} can be read only once: give --skip-invalid or --stop-on-invalid"
            )
        run.check()
        run = _Run(service, file, now=run.now)
        run.stop(batch_size)


def try_file(service: Service, file: Path) -> None:
    """Show a file to Pinterest, and what it says of it.

    Raises:
        click.ClickException: Pinterest would not count all of it, or cannot be asked.
    """
    run = _Run(service, file)
    taken, shown = run.try_out()
    refused = run.counts.refused
    words = f"{_counted(shown)} shown to Pinterest, which would count {taken}; nothing was stored"
    if refused:
        words = f"{refused} cannot be used; {words}"
    if refused or taken < shown:
        raise click.ClickException(words)
    click.echo(words)


class _Run:
    """One reading of a file."""

    def __init__(self, service: Service, file: Path, now: int | None = None) -> None:
        self.now = int(service.clock()) if now is None else now
        self._file = file
        self._trials = service.event_trials
        self._importer = Importer(
            service.events, service.tracker, self.now, self._list, cores=os.cpu_count() or 1
        )
        self.counts: Counts = self._importer.counts

    def check(self) -> None:
        """Read all of it, and list what cannot be used."""
        with self._opened("checking") as source:
            self._importer.check(source)
        if self.counts.refused:
            raise click.ClickException(
                f"{self.counts.refused:,} of {_counted(self.counts.read)} cannot be used; nothing"
                " was stored. Mend them, or take the others in with --skip-invalid"
            )

    def skip(self, batch_size: int | None) -> None:
        """Take in what can be, and write down what cannot."""
        beside = Path("import") if self._file == STDIN else self._file
        refused = RejectsFile(beside)
        try:
            with self._opened("taking in") as source, refused:
                self._importer.refuse = lambda one: refused.add(source, one)
                self._importer.take(source, batch_size)
            click.echo(_summary(self.counts))
        finally:
            if refused.path is not None:
                click.echo(
                    f"{refused.held:,} refused: {refused.path} has them with the reasons,"
                    " in clear text. Mend it, import it, delete it"
                )

    def stop(self, batch_size: int | None) -> None:
        """Take in what comes before the first that cannot be."""
        self._importer.refuse = self._refuse
        with self._opened("taking in") as source:
            self._importer.take(source, batch_size)
        click.echo(_summary(self.counts))

    def try_out(self) -> tuple[int, int]:
        """How many Pinterest would count, and of how many; every other answer is told."""
        taken = shown = 0
        remarks: dict[str, list[int]] = {}
        with self._opened("showing") as source:
            try:
                for tried in self._importer.try_out(source, self._trials, time.sleep):
                    shown += 1
                    taken += tried.is_taken
                    _note(remarks, tried)
            except ReportOnly:
                raise click.ClickException(
                    "nobody to show it to: set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID"
                ) from None
        for words, lines in remarks.items():
            click.echo(
                f"line {lines[0]}{f' and {len(lines) - 1:,} more' * (len(lines) > 1)}: {words}"
            )
        return taken, shown

    def _list(self, refused: RejectedRecord) -> None:
        if self.counts.refused <= MOST_SHOWN:
            click.echo(f"line {refused.line}: {refused.reason}", err=True)
        elif self.counts.refused == MOST_SHOWN + 1:
            click.echo("… and more", err=True)

    def _refuse(self, refused: RejectedRecord) -> None:
        raise Stop(f"line {refused.line}: {refused.reason}")

    @contextmanager
    def _opened(self, verb: str) -> Iterator[ImportSource]:
        try:
            with _bytes_of(self._file) as raw:
                source = ImportSource(raw, None if self._file == STDIN else self._file)
                with _progress(source.size, verb) as self._importer.news:
                    yield source
        except UnreadableFile as error:
            words = f"{self._file}: {error}{self._so_far('Mend it, and')}"
            raise click.ClickException(words) from None
        except Stop as error:
            raise click.ClickException(f"{error}{self._so_far('Mend it, and')}") from None
        except StoreUnavailable as error:
            (words, *_) = str(error).splitlines()
            raise click.ClickException(f"{words}{self._so_far()}") from None
        except OSError as error:
            name = error.filename or self._file
            words = f"{name}: {error.strerror or error}{self._so_far()}"
            raise click.ClickException(words) from None

    def _so_far(self, first: str = "") -> str:
        stored = self.counts.taken + self.counts.known
        if not stored:
            return "; nothing was stored"
        again = f"{first} run it again to go on" if first else "Run it again to go on"
        return f"; {_summary(self.counts)} before that. {again}: nothing counts twice"


def _note(remarks: dict[str, list[int]], tried: TrialResult) -> None:
    if tried.words:
        remarks.setdefault(tried.words, []).append(tried.line)


def _counted(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"


def _summary(counts: Counts) -> str:
    return f"{counts.taken:,} taken in, {counts.known:,} known already"


def _bytes_of(file: Path) -> AbstractContextManager[BinaryIO]:
    if file == STDIN:
        return nullcontext(sys.stdin.buffer)
    return file.open("rb")


@contextmanager
def _progress(size: int, verb: str) -> Iterator[Callable[[Counts], None]]:
    """A bar with rate and remaining time on a terminal; elsewhere nothing."""
    if not size or not sys.stderr.isatty():
        yield lambda counts: None
        return
    began = time.monotonic()
    with click.progressbar(length=size, label=verb, file=sys.stderr) as bar:

        def news(counts: Counts) -> None:
            rate = counts.read / max(time.monotonic() - began, 0.001)
            bar.label = f"{verb}, {rate:,.0f} a second"
            bar.update(counts.position - bar.pos)

        yield news
