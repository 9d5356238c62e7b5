"""`sync-pinterest`: the command that reads everything that is read from Pinterest."""

import click

from commands.shell import table, with_service
from tracking.clients.pinterest_ads import missing_settings
from tracking.receive.pinterest.sync import ReadingOutcome, SyncBusy, SyncIncomplete
from tracking.service import Service


@click.command("sync-pinterest")
@with_service
def sync_pinterest(service: Service) -> None:
    """Read spend, conversions and ads from Pinterest now; the service does it by itself."""
    if service.pinterest_sync is None:
        missing = " and ".join(missing_settings(service.settings))
        raise click.UsageError(f"nothing can be read from Pinterest: set {missing}")
    try:
        outcomes = service.pinterest_sync.sync_all()
    except SyncBusy as error:
        raise click.ClickException(str(error)) from error
    click.echo(table({"": "<", "read": "<", "found": "<"}, [_line(one) for one in outcomes]))
    if any(isinstance(one.result, SyncIncomplete) for one in outcomes):
        raise SystemExit(1)


def _line(outcome: ReadingOutcome) -> tuple[str, str, str]:
    match outcome.result:
        case SyncIncomplete() as incomplete:
            text = f"not read to its end: {incomplete} ({incomplete.rows} rows stored before that)"
            return "FAIL", outcome.kind, text
        case result:
            return "ok", outcome.kind, result.summary
