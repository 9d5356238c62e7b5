"""`sync-spend` and `spend`: commands that read ad spend from Pinterest, list it, take it back."""

from datetime import UTC, datetime, timedelta

import click

from commands.shell import plural, table, with_service
from tracking.clients.pinterest_ads import MAX_DAYS, missing_settings
from tracking.receive.pinterest.spend import SpendResult
from tracking.receive.pinterest.sync import SyncBusy, SyncIncomplete
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
    if service.pinterest_sync is None:
        missing = " and ".join(missing_settings(service.settings))
        raise click.UsageError(f"spend cannot be read from Pinterest: set {missing}")
    first = since.date() if since else None
    if days is not None:
        first = datetime.fromtimestamp(service.clock(), UTC).date() - timedelta(days - 1)
    try:
        _print_result(service.pinterest_sync.sync_spend(first))
    except SyncBusy as error:
        raise click.ClickException(str(error)) from error
    except SyncIncomplete as error:
        stored = f"{plural(error.rows, 'row')} stored before that; run it again to go on"
        raise click.ClickException(f"{error} ({stored})") from error


def _print_result(synced: SpendResult) -> None:
    amount = f"{spend_text(synced.micros, synced.currency)} {synced.currency}"
    summary = f"{plural(synced.rows, 'row')} of {plural(synced.campaigns, 'campaign')}, {amount}"
    click.echo(f"{synced.start} to {synced.end} (UTC days): {summary}")
    if synced.unexplained:
        rest = spend_text(synced.unexplained, synced.currency)
        click.echo(f"the account's own total differs by {rest} {synced.currency}", err=True)


@click.group("spend")
def spend_() -> None:
    """List the stored ad spend, or take back a row of it."""


@spend_.command("list")
@click.option("--start-date", help="First day, YYYY-MM-DD.")
@click.option("--end-date", help="Last day; without both the last 30 days.")
@with_service
def list_spend(service: Service, start_date: str | None, end_date: str | None) -> None:
    """List the stored spend by day and campaign."""
    rows = service.reports.spend(start_date, end_date)["rows"]
    if not rows:
        click.echo("no spend on record in these days")
        return
    columns = {"date": "<", "campaign_id": "<", "spend": ">", "currency": "<", "campaign": "<"}
    click.echo(table(columns, [[row[name] for name in columns] for row in rows]))


@spend_.command("delete")
@click.argument("date")
@click.argument("campaign_id")
@click.argument("currency")
@with_service
def delete_spend(service: Service, date: str, campaign_id: str, currency: str) -> None:
    """Take back the spend of a day, campaign and currency, as `spend list` shows them."""
    if not service.spend_upload.delete(date, campaign_id, currency):
        raise click.ClickException("no spend of this day, campaign and currency is on record")
    click.echo("1 row of spend deleted")
