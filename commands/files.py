"""`import-spend`, `import-events` and `export`: commands that read or write files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from commands.import_run import OnError, import_file, try_file
from commands.shell import plural, terminable, with_service
from tracking.receive.event_input.columns import column_of
from tracking.report.export import NoExport
from tracking.report.export import export as export_to
from tracking.service import Service


@click.command("import-spend")
@click.argument("file", type=click.File("rb"))
@with_service
def import_spend(service: Service, file: BinaryIO) -> None:
    """Import ad spend from a CSV file: date, campaign_id, spend, currency[, campaign]."""
    click.echo(f"{plural(service.spend_upload.take_csv(file.read()), 'row')} of spend stored")


@click.command("import-events")
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--test", "is_test", is_flag=True, help="Send it to Pinterest in test calls; store nothing."
)
@click.option("--dry-run", is_flag=True, help="Only check it; store nothing.")
@click.option(
    "--skip-invalid", is_flag=True, help="Write records that cannot be used to FILE.refused.csv."
)
@click.option(
    "--stop-on-invalid", is_flag=True, help="Store the records before the first invalid one."
)
@click.option(
    "--resend",
    "resends",
    is_flag=True,
    help="Also send what is on record and only a setting held back, such as missing credentials.",
)
@click.option(
    "--default",
    "defaults",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="The value of a column where a row has none, such as action_source=offline.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    help="Records stored at a time; by default as many as take half a second.",
)
@with_service
def import_events(
    service: Service,
    file: Path,
    is_test: bool,
    dry_run: bool,
    skip_invalid: bool,
    stop_on_invalid: bool,
    resends: bool,
    defaults: Sequence[str],
    batch_size: int | None,
) -> None:
    """Import events or orders of the last seven days from FILE, or from - for standard input.

    CSV or JSON lines, also with gzip: rows of events, or Shopify's own export of orders. Without
    an option nothing is stored unless all of FILE is valid. A file may be imported repeatedly.
    """
    if is_test + dry_run + skip_invalid + stop_on_invalid > 1:
        raise click.UsageError("give one of --test, --dry-run, --skip-invalid, --stop-on-invalid")
    by_column = _by_column(defaults)
    if is_test:
        try_file(service, file, by_column)
        return
    on_error: OnError = "skip" if skip_invalid else "stop" if stop_on_invalid else "check"
    with terminable():
        import_file(
            service, file, on_error, batch_size, by_column, dry_run=dry_run, resends=resends
        )


def _by_column(defaults: Iterable[str]) -> dict[str, str]:
    """Returns the values of --default by their columns.

    Raises:
        click.UsageError: one is no column of an event, or has no value.
    """
    found = {}
    for given in defaults:
        column, _, value = (part.strip() for part in given.partition("="))
        if not column_of(column)[0] or not value:
            raise click.UsageError(f"--default takes COLUMN=VALUE of an event, not {given!r}")
        found[column] = value
    return found


@click.command("export")
@click.option(
    "--to", type=click.Path(path_type=Path), required=True, help="A folder, or a FILE.sqlite."
)
@click.option("--start-date", help="First shop day, YYYY-MM-DD.")
@click.option("--end-date", help="Last shop day; without both the last 30 days.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@with_service
def export(
    service: Service, to: Path, start_date: str | None, end_date: str | None, force: bool
) -> None:
    """Write events, orders, credits and reports to CSV files or to one SQLite file."""
    try:
        counts = export_to(service.reports, to, start_date, end_date, force=force)
    except NoExport as error:
        raise click.ClickException(str(error)) from None
    summary = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    click.echo(f"{to}: {summary}")
