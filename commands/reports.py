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
            click.echo(f"counted {_reach(service)}")

    service.figures.finish(tell)
    click.echo(f"the figures of all reports were made anew, {_reach(service)}")


def _reach(service: Service) -> str:
    """Returns how far the figures go: events have numbers with gaps, and on PostgreSQL a slow
    transaction may hold up the newest ones."""
    with service.store.read() as conn:
        through = report_progress.of(conn, "funnel").through
        return f"up to event {through} of {report_progress.newest_event(conn)}"
