"""`sync-spend`: command that reads ad spend from Pinterest."""

from datetime import UTC, datetime, timedelta

import click

from commands.shell import plural, with_service
from tracking.clients.pinterest_ads import MAX_DAYS, missing_settings
from tracking.receive.spend.sync import SyncBusy, SyncIncomplete, SyncResult
from tracking.report.roi import spend_text
from tracking.service import Service


@click.command("sync-spend")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First UTC day to read.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), help="Read so many days, today too.")
@with_service
def sync_spend(service: Service, since: datetime | None, days: int | None) -> None:
    """Read the ad spend from Pinterest now; the service reads it once an hour."""
    if since is not None and days is not None:
        raise click.UsageError("--since and --days say the same: give one of them")
    if service.spend_sync is None:
        missing = " and ".join(missing_settings(service.settings))
        raise click.UsageError(f"spend cannot be read from Pinterest: set {missing}")
    first = since.date() if since else None
    if days is not None:
        first = datetime.fromtimestamp(service.clock(), UTC).date() - timedelta(days - 1)
    try:
        _print_result(service.spend_sync.sync(first))
    except SyncBusy as error:
        raise click.ClickException(str(error)) from error
    except SyncIncomplete as error:
        stored = f"{plural(error.rows, 'row')} stored before that; run it again to go on"
        raise click.ClickException(f"{error} ({stored})") from error


def _print_result(synced: SyncResult) -> None:
    amount = f"{spend_text(synced.micros, synced.currency)} {synced.currency}"
    summary = f"{plural(synced.rows, 'row')} of {plural(synced.campaigns, 'campaign')}, {amount}"
    click.echo(f"{synced.start} to {synced.end} (UTC days): {summary}")
    if synced.unexplained:
        rest = spend_text(synced.unexplained, synced.currency)
        click.echo(f"the account's own total differs by {rest} {synced.currency}", err=True)
