"""The command `alerts`: lists the alerts that stand, or tries the addresses they are sent to."""

import click

from commands.shell import with_service
from tracking.domain.instants import instant
from tracking.service import Service


@click.command("alerts")
@click.option("--test", "tries", is_flag=True, help="Send a test to each address of ALERT_URLS.")
@with_service
def alerts_(service: Service, tries: bool) -> None:
    """List the alerts that stand, or send a test; exit code 1 if an address fails."""
    if tries:
        _try_addresses(service)
        return
    standing = service.alerts.standing()
    for alert in standing:
        click.echo(f"{alert.title}, since {instant(alert.since)}\n  {alert.words}")
        click.echo(f"  {alert.remedy}")
    if not standing:
        click.echo("no alert stands")
    for failure in service.alerts.failures():
        click.echo(f"not sent: {failure}", err=True)


def _try_addresses(service: Service) -> None:
    if not service.alerts.addresses:
        raise click.UsageError("nobody to tell: set ALERT_URLS")
    message, failed = service.alerts.sender.test(), 0
    for address in service.alerts.addresses:
        failure = address.send(message.title, message.body, message.severity)
        failed += bool(failure)
        click.echo(f"{address.label}: {failure or 'sent'}")
    if failed:
        raise SystemExit(1)
