"""The command of the reports: `rebuild-reports`."""

import click

from commands.shell import with_service
from tracking.service import Service
from tracking.store import report_progress

_TELLS_EVERY = 100


@click.command()
@with_service
def rebuild_reports(service: Service) -> None:
    """Make the figures that the reports add up anew, while the service runs."""
    service.figures.restart()
    steps = 0

    def tell() -> None:
        nonlocal steps
        steps += 1
        if steps % _TELLS_EVERY == 0:
            click.echo(f"{_through(service):,} events are counted")

    service.figures.finish(tell)
    click.echo(f"the figures of all reports were made anew: {_through(service):,} events")


def _through(service: Service) -> int:
    with service.store.read() as conn:
        return report_progress.of(conn, "funnel").through
