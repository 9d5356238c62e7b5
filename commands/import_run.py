"""Import of a file by a command: checks, stores or tests its events and prints the progress."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal

import click

from tracking.receive.event_trials import ReportOnly
from tracking.receive.imports import (
    CheckedEvents,
    FileTrial,
    ImportCounts,
    Importer,
    ImportSource,
    RejectedRecord,
    StopImport,
    TrialResult,
    UnreadableFile,
)
from tracking.receive.imports.rejects_file import RejectsFile
from tracking.service import Service
from tracking.store import StoreUnavailable

MAX_LISTED = 20
STDIN = Path("-")

OnError = Literal["check", "skip", "stop"]


def import_file(
    service: Service,
    file: Path,
    on_error: OnError,
    batch_size: int | None,
    defaults: Mapping[str, str],
    *,
    dry_run: bool,
    resends: bool,
) -> None:
    """Imports a file of events or orders; with `dry_run` only checks it. `defaults` are values of
    columns that rows leave out. With `resends` what only a setting held back is sent.

    Raises:
        click.ClickException: not every record was stored; the message is one line.
    """
    run = _Run(service, file, defaults, resends=resends)
    if dry_run:
        run.check()
        click.echo(f"{_record_count(run.counts.read)} read, all of them fit; nothing was stored")
        _print_left_out(run.counts)
    elif on_error == "skip":
        run.skip(batch_size)
    elif on_error == "stop":
        run.stop(batch_size)
    else:
        if not file.is_file():
            what = "standard input" if file == STDIN else "a pipe"
            raise click.UsageError(
                f"{what} can be read only once: give --skip-invalid or --stop-on-invalid"
            )
        with CheckedEvents(service.disk_guard) as kept:
            run.check(kept)
            run = _Run(service, file, defaults, resends=resends, now=run.now)
            if kept.is_whole:
                run.store(kept, batch_size)
            else:
                run.stop(batch_size)


def try_file(service: Service, file: Path, defaults: Mapping[str, str]) -> None:
    """Sends a file's events to Pinterest in test calls, and prints the results.

    Raises:
        click.ClickException: Pinterest would not count every event, or cannot be called.
    """
    run = _Run(service, file, defaults)
    accepted, tested = run.try_out()
    rejected = run.counts.rejected
    message = (
        f"{_record_count(tested)} shown to Pinterest, which would count {accepted};"
        " nothing was stored"
    )
    if rejected:
        message = f"{rejected} cannot be used; {message}"
    if rejected or accepted < tested:
        raise click.ClickException(message)
    click.echo(message)


class _Run:
    """One reading of a file, or storing of what was kept of it, by one importer."""

    def __init__(
        self,
        service: Service,
        file: Path,
        defaults: Mapping[str, str],
        *,
        resends: bool = False,
        now: int | None = None,
    ) -> None:
        self.now = int(service.clock()) if now is None else now
        self._file = file
        self._listed = 0
        self._trials = service.event_trials
        self._importer = Importer(
            service.events,
            service.tracker,
            self.now,
            self._print_reject,
            cores=os.cpu_count() or 1,
            defaults=defaults,
            resends=resends,
        )
        self.counts: ImportCounts = self._importer.counts

    def check(self, kept: CheckedEvents | None = None) -> None:
        """Reads the whole file, and lists the records that cannot be used; `kept` takes the
        events."""
        with self._open_source("checking") as source:
            self._importer.check(source, kept)
        if self.counts.rejected:
            _print_left_out(self.counts)
            raise click.ClickException(
                f"{self.counts.rejected:,} of {_record_count(self.counts.read)} cannot be used;"
                " nothing was stored. Mend them, or take the others in with --skip-invalid"
            )

    def skip(self, batch_size: int | None) -> None:
        """Stores the valid records, and writes the others to a rejects file."""
        source_path = Path("import") if self._file == STDIN else self._file
        rejects = RejectsFile(source_path)
        try:
            with self._open_source("taking in") as source, rejects:
                self._importer.on_reject = lambda record: rejects.add(source, record)
                self._importer.run(source, batch_size)
            _print_summary(self.counts)
        finally:
            if rejects.path is not None:
                click.echo(
                    f"{rejects.written:,} refused: {rejects.path} has them with the reasons,"
                    " in clear text. Mend it, import it, delete it"
                )

    def stop(self, batch_size: int | None) -> None:
        """Stores the records before the first invalid one."""
        self._importer.on_reject = self._stop_at
        with self._open_source("taking in") as source:
            self._importer.run(source, batch_size)
        _print_summary(self.counts)

    def store(self, kept: CheckedEvents, batch_size: int | None) -> None:
        """Stores the events of the file that was checked."""
        self._importer.on_reject = self._stop_at
        with (
            self._errors_told(),
            _progress(kept.position, "taking in") as self._importer.on_progress,
        ):
            self._importer.store(kept, batch_size)
        _print_summary(self.counts)

    def try_out(self) -> tuple[int, int]:
        """Tests the events; returns how many Pinterest would count and how many were tested.

        Prints every message of Pinterest's once, with its first line.
        """
        accepted = tested = 0
        lines_by_message: dict[str, list[int]] = {}
        with self._open_source("showing") as source:
            try:
                for result in FileTrial(self._importer, self._trials, time.sleep).run(source):
                    tested += 1
                    accepted += result.is_accepted
                    _add_message(lines_by_message, result)
            except ReportOnly:
                raise click.ClickException(
                    "nobody to show it to: set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID"
                ) from None
        for message, lines in lines_by_message.items():
            click.echo(
                f"line {lines[0]}{f' and {len(lines) - 1:,} more' * (len(lines) > 1)}: {message}"
            )
        _print_left_out(self.counts)
        return accepted, tested

    def _print_reject(self, rejected: RejectedRecord) -> None:
        self._listed += 1
        if self._listed <= MAX_LISTED:
            click.echo(f"line {rejected.line}: {rejected.reason}", err=True)
        elif self._listed == MAX_LISTED + 1:
            click.echo("… and more", err=True)

    def _stop_at(self, rejected: RejectedRecord) -> None:
        raise StopImport(f"line {rejected.line}: {rejected.reason}")

    @contextmanager
    def _open_source(self, verb: str) -> Iterator[ImportSource]:
        with self._errors_told(), _open_bytes(self._file) as raw:
            source = ImportSource(raw, None if self._file == STDIN else self._file)
            with _progress(source.size, verb) as self._importer.on_progress:
                yield source

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except UnreadableFile as error:
            message = f"{self._file}: {error}{self._stored_so_far('Mend it, and')}"
            raise click.ClickException(message) from None
        except StopImport as error:
            raise click.ClickException(f"{error}{self._stored_so_far('Mend it, and')}") from None
        except StoreUnavailable as error:
            (message, *_) = str(error).splitlines()
            raise click.ClickException(f"{message}{self._stored_so_far()}") from None
        except OSError as error:
            name = error.filename or self._file
            message = f"{name}: {error.strerror or error}{self._stored_so_far()}"
            raise click.ClickException(message) from None

    def _stored_so_far(self, first: str = "") -> str:
        stored = self.counts.stored + self.counts.duplicates + self.counts.resent
        if not stored:
            return "; nothing was stored"
        again = f"{first} run it again to go on" if first else "Run it again to go on"
        return f"; {_summary(self.counts)} before that. {again}: nothing counts twice"


def _add_message(lines_by_message: dict[str, list[int]], result: TrialResult) -> None:
    if result.message:
        lines_by_message.setdefault(result.message, []).append(result.line)


def _record_count(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"


def _summary(counts: ImportCounts) -> str:
    resent = f"{counts.resent:,} put in line again, " if counts.resent else ""
    before = f"{resent}{counts.duplicates:,} known already"
    if not counts.not_sent:
        return f"{counts.stored:,} taken in, {before}"
    not_sent = f"of which {counts.not_sent.total():,} not sent: {_reasons(counts.not_sent)}"
    return f"{counts.stored:,} taken in, {not_sent}; {before}"


def _reasons(not_sent: Counter[str]) -> str:
    """Returns the reasons why records are not sent, each with its number if there are several."""
    told = [(reason.replace("_", " "), count) for reason, count in not_sent.most_common()]
    if len(told) == 1:
        return told[0][0]
    return ", ".join(f"{reason} {count:,}" for reason, count in told)


def _print_summary(counts: ImportCounts) -> None:
    click.echo(_summary(counts))
    _print_left_out(counts)


def _print_left_out(counts: ImportCounts) -> None:
    """Prints how many values of each field could not be used; never a value, which may be
    personal."""
    if counts.left_out:
        found = sorted(counts.left_out.items(), key=lambda item: (-item[1], item[0]))[:MAX_LISTED]
        more = ", …" * (len(counts.left_out) > MAX_LISTED)
        by_field = ", ".join(f"{field} {count:,}" for field, count in found)
        click.echo(f"values left out, by field: {by_field}{more}")


def _open_bytes(file: Path) -> AbstractContextManager[BinaryIO]:
    if file == STDIN:
        return nullcontext(sys.stdin.buffer)
    return file.open("rb")


@contextmanager
def _progress(size: int, verb: str) -> Iterator[Callable[[ImportCounts], None]]:
    """Shows a progress bar with rate and remaining time, on a terminal only."""
    if not size or not sys.stderr.isatty():
        yield lambda counts: None
        return
    began = time.monotonic()
    with click.progressbar(length=size, label=verb, file=sys.stderr) as bar:

        def on_progress(counts: ImportCounts) -> None:
            rate = counts.read / max(time.monotonic() - began, 0.001)
            bar.label = f"{verb}, {rate:,.0f} a second"
            bar.update(counts.position - bar.pos)

        yield on_progress
